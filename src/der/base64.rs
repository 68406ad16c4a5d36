//! base64 and base64url (RFC 4648, 4 and 5), strictly: one text for each sequence of bytes and no other.

use crate::error::{Error, Result};

/// Sixty-four characters, and what each character stands for.
#[derive(Debug)]
pub struct Alphabet {
    characters: [u8; 64],
    /// By character; [`FOREIGN`] for those that are not in it.
    values: [u8; 256],
}

/// base64 (RFC 4648, 4).
pub static STANDARD: Alphabet = Alphabet::of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
/// base64url (RFC 4648, 5).
pub static URL_SAFE: Alphabet = Alphabet::of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

const FOREIGN: u8 = 0xff;

impl Alphabet {
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // While compiling; a place that is not there stops the compiler.
    const fn of(characters: &[u8; 64]) -> Alphabet {
        let mut values = [FOREIGN; 256];
        let mut value = 0;
        while value < 64 {
            values[characters[value as usize] as usize] = value;
            value += 1;
        }
        Alphabet { characters: *characters, values }
    }

    /// What stands for the last six bits.
    fn character(&self, bits: u32) -> u8 {
        self.characters.get((bits & 0x3f) as usize).copied().unwrap_or(b'=')
    }

    fn value(&self, character: u8) -> u8 {
        self.values.get(usize::from(character)).copied().unwrap_or(FOREIGN)
    }
}

/// Encode as base64 with padding.
pub fn to_base64(bytes: &[u8]) -> String {
    let mut out = encode(&STANDARD, bytes);
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
    decode(&STANDARD, body).map_err(|why| Error::malformed(format!("a value is not base64: {why}")))
}

/// Encode without padding.
pub fn encode(alphabet: &Alphabet, bytes: &[u8]) -> String {
    let (groups, rest) = bytes.as_chunks::<3>();
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    out.resize(groups.len().saturating_mul(4), 0);
    for (place, &[a, b, c]) in out.as_chunks_mut::<4>().0.iter_mut().zip(groups) {
        let bits = u32::from_be_bytes([0, a, b, c]);
        let character = |shift: u32| alphabet.character(bits >> shift);
        *place = [character(18), character(12), character(6), character(0)];
    }
    if let [a, tail @ ..] = rest {
        let bits = u32::from_be_bytes([0, *a, tail.first().copied().unwrap_or_default(), 0]);
        // One byte makes two characters, two make three.
        let characters = [18, 12, 6].into_iter().take(rest.len().saturating_add(1));
        out.extend(characters.map(|shift| alphabet.character(bits >> shift)));
    }
    // Both alphabets are ASCII.
    String::from_utf8(out).unwrap_or_default()
}

/// Decode what has no padding.
///
/// # Errors
/// Why not, when there is padding, white space, a foreign character, an impossible length, or a stray bit at the end.
pub fn decode(alphabet: &Alphabet, text: &str) -> std::result::Result<Vec<u8>, &'static str> {
    const FOREIGN_CHARACTER: &str = "it has a character outside the alphabet (padding is one)";
    let (groups, rest) = text.as_bytes().as_chunks::<4>();
    let mut out = Vec::with_capacity(text.len().div_ceil(4).saturating_mul(3));
    out.resize(groups.len().saturating_mul(3), 0);
    // All in one go, and then one look at what was foreign.
    let mut all = 0;
    for (place, &[a, b, c, d]) in out.as_chunks_mut::<3>().0.iter_mut().zip(groups) {
        let [a, b, c, d] = [alphabet.value(a), alphabet.value(b), alphabet.value(c), alphabet.value(d)];
        all |= a | b | c | d;
        let bits = u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d);
        let [_, bytes @ ..] = bits.to_be_bytes();
        *place = bytes;
    }
    if all >= 64 {
        return Err(FOREIGN_CHARACTER);
    }
    let mut bits: u32 = 0;
    for &character in rest {
        let value = alphabet.value(character);
        if value == FOREIGN {
            return Err(FOREIGN_CHARACTER);
        }
        bits = bits << 6 | u32::from(value);
    }
    let (bytes, stray, aligned) = match rest.len() {
        0 => return Ok(out),
        3 => (2, bits & 0b11, bits << 6),
        2 => (1, bits & 0b1111, bits << 12),
        _ => return Err("its length is impossible"),
    };
    if stray != 0 {
        return Err("its last character has bits that mean nothing");
    }
    out.extend(aligned.to_be_bytes().iter().skip(1).take(bytes));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_one_value_and_each_value_one_text() {
        for length in 0..100usize {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 37) as u8).collect();
            assert_eq!(decode(&URL_SAFE, &encode(&URL_SAFE, &bytes)).as_deref(), Ok(&bytes[..]));
            assert_eq!(from_base64(&to_base64(&bytes)), Ok(bytes));
        }
        assert_eq!(encode(&URL_SAFE, b"\xff\xfe\xfd"), "__79");
        assert_eq!(encode(&STANDARD, b"\xfb\xff"), "+/8");
        assert_eq!(to_base64(b"f"), "Zg==", "RFC 4648, 10");
        for bad in ["A", "AA==", "AA=", "AB", "AAB", "A A", "AA\n", "+/", "AAAAA", "é"] {
            assert!(decode(&URL_SAFE, bad).is_err(), "{bad}");
        }
        for bad in ["A", "AA", "AAA", "AA=A", "AB==", "A===", "====", "__79", "AAAA\n", "Zg=", "Zg==Zg=="] {
            assert!(from_base64(bad).is_err(), "{bad}");
        }
    }
}
