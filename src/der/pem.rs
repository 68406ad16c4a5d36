//! PEM (RFC 7468) around DER.

use crate::error::{Error, Result};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Strict textual encoding, lines of 64 characters.
pub fn to_pem(label: &str, der: &[u8]) -> String {
    let mut out = format!("-----BEGIN {label}-----\n");
    // 48 bytes make one line of 64 characters.
    for line in der.chunks(48) {
        out.push_str(&to_base64(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// Encode as base64 with padding (RFC 4648, 4).
pub fn to_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let octets = [group.first(), group.get(1), group.get(2)].map(|b| u32::from(b.copied().unwrap_or(0)));
        let bits = (octets[0] << 16) | (octets[1] << 8) | octets[2];
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) & 0x3f;
            out.push(if place <= group.len() { char::from(ALPHABET[index as usize]) } else { '=' });
        }
    }
    out
}

/// The DER of every block with this label, in order. Text outside the blocks is passed over.
///
/// # Errors
/// Malformed when a block is not closed or its base64 is not strict.
pub fn from_pem(label: &str, text: &str) -> Result<Vec<Vec<u8>>> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines().map(str::trim) {
        if line == begin {
            open = Some(String::new());
        } else if line == end {
            let body = open.take().ok_or_else(|| Error::malformed(format!("\"{end}\" stands without a beginning")))?;
            blocks.push(from_base64(&body)?);
        } else if let Some(body) = &mut open {
            body.push_str(line);
        }
    }
    match open {
        Some(_) => Err(Error::malformed(format!("\"{begin}\" has no end"))),
        None => Ok(blocks),
    }
}

/// Decode strict base64 (RFC 4648, 4) without line breaks.
///
/// # Errors
/// Malformed when it is anything else.
pub fn from_base64(text: &str) -> Result<Vec<u8>> {
    let wrong = || Error::malformed("this is not base64");
    let body = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len().saturating_sub(body.len()) > 2 {
        return Err(wrong());
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for group in body.as_bytes().chunks(4) {
        let mut bits: u32 = 0;
        for c in group {
            let value = ALPHABET.iter().position(|a| a == c).ok_or_else(wrong)?;
            bits = bits << 6 | value as u32;
        }
        match group.len() {
            4 => out.extend_from_slice(&bits.to_be_bytes()[1..]),
            3 => out.extend_from_slice(&(bits << 6).to_be_bytes()[1..3]),
            2 => out.push((bits >> 4) as u8),
            _ => return Err(wrong()),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_goes_both_ways_at_every_length() {
        for length in 0..200usize {
            let der: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
            let pem = to_pem("CERTIFICATE", &der);
            assert_eq!(from_pem("CERTIFICATE", &pem), Ok(vec![der]));
        }
        assert!(from_pem("CERTIFICATE", "-----BEGIN CERTIFICATE-----\nAAAA\n").is_err());
        assert!(from_pem("CERTIFICATE", "-----BEGIN CERTIFICATE-----\nA*AA\n-----END CERTIFICATE-----\n").is_err());
    }
}
