//! Names of items: slash paths under virtual folders.

use crate::error::{Error, Result};
use crate::identifier::{printable, turns};

const LONGEST_NAME: usize = 1_024;
const LONGEST_SEGMENT: usize = 255;

/// The name with its leading slash.
pub(super) fn parse(flag: &str, text: &str) -> Result<String> {
    let wrong = |why: &str| Error::malformed(format!("--{flag} {}: {why}", printable(text)));
    let path = text.strip_prefix('/').unwrap_or(text);
    for segment in path.split('/') {
        if segment.is_empty() {
            return Err(wrong("a part between slashes is empty"));
        }
        if segment == "." || segment == ".." {
            return Err(wrong("\".\" and \"..\" mean nothing here"));
        }
        if segment.len() > LONGEST_SEGMENT {
            return Err(wrong("a part between slashes is longer than 255 bytes"));
        }
        if segment.chars().any(char::is_control) {
            return Err(wrong("it has control characters"));
        }
    }
    let name = format!("/{path}");
    if name.len() > LONGEST_NAME { Err(wrong("it is longer than 1024 bytes")) } else { Ok(name) }
}

/// The name of an item that is to be. It stands in the midst of sentences, so nothing in it may turn the direction of what follows.
pub(super) fn parse_new(flag: &str, text: &str) -> Result<String> {
    match text.chars().any(turns) {
        true => Err(Error::malformed(format!(
            "--{flag} {}: it has characters that turn the direction of what follows; leave them out",
            printable(text)
        ))),
        false => parse(flag, text),
    }
}

/// A folder that certificates are filed under; a slash at the end is fine, and there must be room for a name below.
pub(super) fn parse_destination(flag: &str, text: &str) -> Result<String> {
    let folder = parse_new(flag, text.strip_suffix('/').filter(|t| !t.is_empty()).unwrap_or(text))?;
    if folder.len() > LONGEST_NAME - LONGEST_SEGMENT - 1 {
        return Err(Error::malformed(format!("--{flag} is too long; certificates are filed below it")));
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_leading_slash_is_optional_and_nonsense_is_refused() {
        for text in ["/ACME/Server/Key", "ACME/Server/Key"] {
            assert_eq!(super::parse("name", text).as_deref(), Ok("/ACME/Server/Key"));
        }
        assert!(super::parse("name", "Schlüssel").is_ok());
        let long = "a".repeat(256);
        for text in ["", "/", "a//b", "a/", "/a/../b", "./a", "a\nb", &long, &"abc/".repeat(300)] {
            assert!(super::parse("name", text).is_err(), "{text}");
        }
        for text in ["/Key\u{202e}", "a\u{2066}/b", "\u{200f}a"] {
            assert!(
                super::parse_new("name", text).is_err() && super::parse_destination("path", text).is_err(),
                "{text}"
            );
            assert!(super::parse("name", text).is_ok(), "what is there already can be named: {text}");
        }
        assert_eq!(super::parse_new("name", "/Schlüssel/مفتاح").as_deref(), Ok("/Schlüssel/مفتاح"));
        assert_eq!(super::parse_destination("destination-path", "/a/b/").as_deref(), Ok("/a/b"));
    }
}
