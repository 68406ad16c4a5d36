//! base64 and base64url (RFC 4648, 4 and 5), strictly: one text for each sequence of bytes and no other.

use crate::error::{Error, Result};

/// The two characters for 62 and 63, which are all that the alphabets differ in.
pub type Alphabet = [u8; 2];
/// base64 (RFC 4648, 4).
pub const STANDARD: Alphabet = *b"+/";
/// base64url (RFC 4648, 5).
pub const URL_SAFE: Alphabet = *b"-_";

/// Encode as base64 with padding.
pub fn to_base64(bytes: &[u8]) -> String {
    let mut out = encode(STANDARD, bytes);
    while !out.len().is_multiple_of(4) {
        out.push('=');
    }
    out
}

/// Decode base64 with padding, without line breaks.
///
/// # Errors
/// Malformed when it is anything else.
pub fn from_base64(text: &str) -> Result<Vec<u8>> {
    let body = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len().saturating_sub(body.len()) > 2 {
        return Err(Error::malformed("a value is not base64: its padding is wrong"));
    }
    decode(STANDARD, body).map_err(|why| Error::malformed(format!("a value is not base64: {why}")))
}

/// Encode without padding.
pub fn encode(alphabet: Alphabet, bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let byte = |at: usize| group.get(at).copied().unwrap_or_default();
        let (a, b, c) = (byte(0), byte(1), byte(2));
        let sextets = [a >> 2, (a & 0x03) << 4 | b >> 4, (b & 0x0f) << 2 | c >> 6, c & 0x3f];
        // One byte makes two characters, two make three.
        for sextet in sextets.into_iter().take(group.len().saturating_add(1)) {
            out.push(char::from(character(alphabet, sextet)));
        }
    }
    out
}

/// Decode what has no padding.
///
/// # Errors
/// Why not, when there is padding, white space, a foreign character, an impossible length, or a stray bit at the end.
pub fn decode(alphabet: Alphabet, text: &str) -> std::result::Result<Vec<u8>, &'static str> {
    let mut out = Vec::with_capacity(text.len().div_ceil(4).saturating_mul(3));
    for group in text.as_bytes().chunks(4) {
        let mut bits: u32 = 0;
        for &c in group {
            let value = value_of(alphabet, c).ok_or("it has a character outside the alphabet (padding is one)")?;
            bits = bits << 6 | u32::from(value);
        }
        let (bytes, stray, aligned) = match group.len() {
            4 => (3, 0, bits),
            3 => (2, bits & 0b11, bits << 6),
            2 => (1, bits & 0b1111, bits << 12),
            _ => return Err("its length is impossible"),
        };
        if stray != 0 {
            return Err("its last character has bits that mean nothing");
        }
        out.extend(aligned.to_be_bytes().iter().skip(1).take(bytes));
    }
    Ok(out)
}

fn character([at_62, at_63]: Alphabet, sextet: u8) -> u8 {
    match sextet {
        0..=25 => sextet.wrapping_add(b'A'),
        26..=51 => sextet.wrapping_sub(26).wrapping_add(b'a'),
        52..=61 => sextet.wrapping_sub(52).wrapping_add(b'0'),
        62 => at_62,
        _ => at_63,
    }
}

fn value_of([at_62, at_63]: Alphabet, c: u8) -> Option<u8> {
    match c {
        b'A'..=b'Z' => Some(c.wrapping_sub(b'A')),
        b'a'..=b'z' => Some(c.wrapping_sub(b'a').wrapping_add(26)),
        b'0'..=b'9' => Some(c.wrapping_sub(b'0').wrapping_add(52)),
        _ if c == at_62 => Some(62),
        _ if c == at_63 => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_one_value_and_each_value_one_text() {
        for length in 0..100usize {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 37) as u8).collect();
            assert_eq!(decode(URL_SAFE, &encode(URL_SAFE, &bytes)).as_deref(), Ok(&bytes[..]));
            assert_eq!(from_base64(&to_base64(&bytes)), Ok(bytes));
        }
        assert_eq!(encode(URL_SAFE, b"\xff\xfe\xfd"), "__79");
        assert_eq!(encode(STANDARD, b"\xfb\xff"), "+/8");
        assert_eq!(to_base64(b"f"), "Zg==", "RFC 4648, 10");
        for bad in ["A", "AA==", "AA=", "AB", "AAB", "A A", "AA\n", "+/", "AAAAA", "é"] {
            assert!(decode(URL_SAFE, bad).is_err(), "{bad}");
        }
        for bad in ["A", "AA", "AAA", "AA=A", "AB==", "A===", "====", "__79", "AAAA\n", "Zg=", "Zg==Zg=="] {
            assert!(from_base64(bad).is_err(), "{bad}");
        }
    }
}
