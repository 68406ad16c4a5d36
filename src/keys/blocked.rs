//! Lists of keys that are known to be compromised, such as those of Debian's generator of 2008.

use super::from_hex;
use crate::error::{Error, Result};

/// The SHA-256 hashes of SubjectPublicKeyInfos that a text lists in hexadecimal, one a line; `#` begins a comment.
///
/// # Errors
/// Malformed, naming the line.
pub fn parse_blocked_keys(text: &str) -> Result<Vec<[u8; 32]>> {
    let lines = (1usize..).zip(text.lines()).filter_map(|(number, line)| {
        let hash = line.split('#').next().unwrap_or_default().trim();
        (!hash.is_empty()).then(|| (number, hash.to_ascii_lowercase()))
    });
    lines
        .map(|(number, hash)| {
            from_hex::<32>(&hash)
                .ok_or_else(|| Error::malformed(format!("line {number} is not a SHA-256 hash in hexadecimal")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_stand_one_a_line_between_comments() {
        let hash = "AB".repeat(32);
        assert_eq!(parse_blocked_keys(&format!("# keys\n\n{hash} # one\r\n")).unwrap(), [[0xab; 32]]);
        let wrong = parse_blocked_keys(&format!("{hash}\n{hash}0\n")).unwrap_err();
        assert!(wrong.detail().contains("line 2"), "{wrong}");
    }
}
