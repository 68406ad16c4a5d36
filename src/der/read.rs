//! Reading DER strictly: definite shortest lengths, single-byte tags, nothing left over, nothing allocated.

use super::*;
use crate::error::{Error, Result};

/// Walks over the elements of one encoding.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over complete elements.
    pub fn new(input: &'a [u8]) -> Self {
        Reader { rest: input }
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element.
    pub fn peek(&self) -> Option<Tag> {
        self.rest.first().copied()
    }

    /// The content of the next element, which must have this tag.
    ///
    /// # Errors
    /// Malformed when the encoding is not DER or the tag is another.
    pub fn read(&mut self, tag: Tag) -> Result<&'a [u8]> {
        let (found, content, _) = self.any()?;
        if found == tag { Ok(content) } else { Err(wrong("an element is not of the expected type")) }
    }

    /// The content of the next element if it has this tag.
    ///
    /// # Errors
    /// Malformed when the encoding is not DER.
    pub fn optional(&mut self, tag: Tag) -> Result<Option<&'a [u8]>> {
        if self.peek() == Some(tag) { self.read(tag).map(Some) } else { Ok(None) }
    }

    /// A reader over the content of the next element, which must have this tag.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn enter(&mut self, tag: Tag) -> Result<Reader<'a>> {
        self.read(tag).map(Reader::new)
    }

    /// The next element whatever it is: tag, content, and the whole of it with tag and length.
    ///
    /// # Errors
    /// Malformed when the encoding is not DER.
    pub fn any(&mut self) -> Result<(Tag, &'a [u8], &'a [u8])> {
        let all = self.rest;
        let (&tag, after_tag) = all.split_first().ok_or_else(|| wrong("it ends too early"))?;
        if tag & 0x1f == 0x1f {
            return Err(wrong("a tag has more than one byte"));
        }
        let (length, after_length) = read_length(after_tag)?;
        let (content, rest) = after_length.split_at_checked(length).ok_or_else(|| wrong("it ends too early"))?;
        self.rest = rest;
        let whole = all.get(..all.len().saturating_sub(rest.len())).unwrap_or(all);
        Ok((tag, content, whole))
    }

    /// Nothing must be left.
    ///
    /// # Errors
    /// Malformed when something is.
    pub fn finish(self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(wrong("there are bytes after its end")) }
    }

    /// A non-negative INTEGER as big-endian bytes without leading zeros (one zero byte for 0).
    ///
    /// # Errors
    /// Malformed when it is negative or not in its shortest form.
    pub fn unsigned(&mut self) -> Result<&'a [u8]> {
        match self.read(INTEGER)? {
            [] => Err(wrong("an integer is empty")),
            [0, rest @ ..] if rest.first().is_some_and(|b| *b < 0x80) => {
                Err(wrong("an integer is not in its shortest form"))
            }
            [0, rest @ ..] if !rest.is_empty() => Ok(rest),
            [first, ..] if *first >= 0x80 => Err(wrong("an integer is negative")),
            bytes => Ok(bytes),
        }
    }

    /// A BIT STRING of whole octets.
    ///
    /// # Errors
    /// Malformed when there are unused bits.
    pub fn octet_aligned_bits(&mut self) -> Result<&'a [u8]> {
        match self.read(BIT_STRING)? {
            [0, octets @ ..] => Ok(octets),
            _ => Err(wrong("a bit string does not end at an octet")),
        }
    }

    /// A BOOLEAN.
    ///
    /// # Errors
    /// Malformed when it is neither 00 nor FF (X.690, 11.1).
    pub fn boolean(&mut self) -> Result<bool> {
        match self.read(BOOLEAN)? {
            [0x00] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(wrong("a boolean is neither true nor false")),
        }
    }
}

fn read_length(input: &[u8]) -> Result<(usize, &[u8])> {
    let (&first, rest) = input.split_first().ok_or_else(|| wrong("it ends too early"))?;
    if first < 0x80 {
        return Ok((first.into(), rest));
    }
    let count = usize::from(first & 0x7f);
    // Four bytes count to 4 GiB, far above anything that is read here.
    if !(1..=4).contains(&count) {
        return Err(wrong("a length is indefinite or too large"));
    }
    let (bytes, rest) = rest.split_at_checked(count).ok_or_else(|| wrong("it ends too early"))?;
    let length = bytes.iter().fold(0usize, |sum, &b| (sum << 8) | usize::from(b));
    let shortest = bytes.first() != Some(&0) && length >= 0x80;
    if shortest { Ok((length, rest)) } else { Err(wrong("a length is not in its shortest form")) }
}

fn wrong(why: &str) -> Error {
    Error::malformed(format!("this is not DER: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_form_is_read() {
        assert_eq!(Reader::new(&[2, 2, 0, 0x80]).unsigned(), Ok(&[0x80][..]));
        for bad in [
            &[2, 2, 0, 1][..], // leading zero
            &[2, 1, 0x80],     // negative
            &[2, 0],           // empty
            &[2, 0x81, 1, 5],  // long form of a short length
            &[2, 0x80, 5, 0, 0],
            &[2, 0x82, 0, 1, 5],
            &[2, 3, 1],
            &[2],
            &[],
            &[0x1f, 0x81, 0],
        ] {
            assert!(Reader::new(bad).unsigned().is_err(), "{bad:?}");
        }
        assert!(Reader::new(&[1, 1, 1]).boolean().is_err());
        assert!(Reader::new(&[3, 2, 1, 6]).octet_aligned_bits().is_err());
    }
}
