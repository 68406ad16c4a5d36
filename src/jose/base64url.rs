//! base64url without padding (RFC 7515, 2), strictly: one text for each sequence of bytes and no other.

use crate::error::{Error, Result};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Encode.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |sum, &b| sum << 8 | u32::from(b)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            let index = bits >> (18 - 6 * place) & 0x3f;
            out.push(char::from(ALPHABET[index as usize]));
        }
    }
    out
}

/// Decode.
///
/// # Errors
/// Malformed when there is padding, white space, a foreign character, an impossible length, or a stray bit at the end.
pub fn decode(text: &str) -> Result<Vec<u8>> {
    let wrong = |why: &str| Error::malformed(format!("a value is not unpadded base64url: {why}"));
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let mut bits: u32 = 0;
        for &c in group {
            let value = value_of(c).ok_or_else(|| wrong("it has a character outside the alphabet (padding is one)"))?;
            bits = bits << 6 | u32::from(value);
        }
        let (bytes, stray) = match group.len() {
            4 => (3, 0),
            3 => (2, bits & 0b11),
            2 => (1, bits & 0b1111),
            _ => return Err(wrong("its length is impossible")),
        };
        if stray != 0 {
            return Err(wrong("its last character has bits that mean nothing"));
        }
        let aligned = bits << (6 * (4 - group.len()));
        out.extend(aligned.to_be_bytes().iter().skip(1).take(bytes));
    }
    Ok(out)
}

fn value_of(c: u8) -> Option<u8> {
    match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
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
            assert_eq!(decode(&encode(&bytes)), Ok(bytes));
        }
        assert_eq!(encode(b"\xff\xfe\xfd"), "__79");
        for bad in ["A", "AA==", "AA=", "AB", "AAB", "A A", "AA\n", "+/", "AAAAA", "é"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }
}
