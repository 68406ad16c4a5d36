//! PEM (RFC 7468) around DER.

use super::base64::{from_base64, to_base64};
use crate::error::{Error, Result};

/// Strict textual encoding, lines of 64 characters.
pub fn to_pem(label: &str, der: &[u8]) -> String {
    let base64 = to_base64(der);
    let mut out = String::with_capacity(der.len().saturating_mul(2));
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(&format!("-----END {label}-----\n"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_goes_both_ways_at_every_length() {
        for length in 0..200usize {
            let der: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
            let pem = to_pem("CERTIFICATE", &der);
            assert_eq!(from_pem("CERTIFICATE", &pem), Ok(vec![der]));
            let lines: Vec<&str> = pem.lines().collect();
            let [_, full @ .., last, _] = lines.as_slice() else { continue };
            assert!(full.iter().all(|line| line.len() == 64) && (1..=64).contains(&last.len()), "{pem}");
        }
        assert!(from_pem("CERTIFICATE", "-----BEGIN CERTIFICATE-----\nAAAA\n").is_err());
        assert!(from_pem("CERTIFICATE", "-----BEGIN CERTIFICATE-----\nA*AA\n-----END CERTIFICATE-----\n").is_err());
    }
}
