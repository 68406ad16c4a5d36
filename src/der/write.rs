//! Building DER from the inside out: every function gives one complete element.

use super::*;

/// One element: tag, shortest length, content.
pub fn element(tag: Tag, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len().saturating_add(6));
    out.push(tag);
    push_length(&mut out, content.len());
    out.extend_from_slice(content);
    out
}

/// SEQUENCE of complete elements.
pub fn sequence<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
    constructed(SEQUENCE, parts)
}

/// SET OF complete elements, sorted as DER wants it (X.690, 11.6).
pub fn set_of(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort();
    constructed(SET, &parts)
}

/// A constructed element, such as an explicit tag, around complete elements. The result is its only copy of them, so that
/// a caller can wipe it.
pub fn constructed<P: AsRef<[u8]>>(tag: Tag, parts: &[P]) -> Vec<u8> {
    let length = parts.iter().map(|p| p.as_ref().len()).fold(0usize, usize::saturating_add);
    let mut out = Vec::with_capacity(length.saturating_add(6));
    out.push(tag);
    push_length(&mut out, length);
    for part in parts {
        out.extend_from_slice(part.as_ref());
    }
    out
}

/// A non-negative INTEGER from big-endian bytes, leading zeros or not.
pub fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let significant = bytes.iter().position(|&b| b != 0).map_or(&[0u8][..], |at| bytes.get(at..).unwrap_or(&[0]));
    let is_high = significant.first().is_some_and(|first| *first >= 0x80);
    let sign: &[u8] = if is_high { &[0] } else { &[] };
    constructed(INTEGER, &[sign, significant])
}

/// A small non-negative INTEGER.
pub fn small_integer(value: u32) -> Vec<u8> {
    unsigned(&value.to_be_bytes())
}

/// BOOLEAN TRUE. FALSE is never written: where we use it, it is a default.
pub fn boolean_true() -> Vec<u8> {
    element(BOOLEAN, &[0xff])
}

/// NULL.
pub fn null() -> Vec<u8> {
    element(NULL, &[])
}

/// OBJECT IDENTIFIER from its encoded content (see [`oid`]).
pub fn object_identifier(content: &[u8]) -> Vec<u8> {
    element(OID, content)
}

/// OCTET STRING.
pub fn octet_string(content: &[u8]) -> Vec<u8> {
    element(OCTET_STRING, content)
}

/// BIT STRING of whole octets.
pub fn bit_string(content: &[u8]) -> Vec<u8> {
    constructed(BIT_STRING, &[&[0], content])
}

/// BIT STRING of named bits (X.690, 11.2.2): trailing zero bits are cut. Bit 0 is the first of the first octet.
pub fn named_bits(bits: &[u8]) -> Vec<u8> {
    let Some(&last) = bits.iter().max() else {
        return element(BIT_STRING, &[0]);
    };
    let mut octets = vec![0u8; usize::from(last / 8).saturating_add(1)];
    for &bit in bits {
        if let Some(octet) = octets.get_mut(usize::from(bit / 8)) {
            *octet |= 0x80 >> (bit % 8);
        }
    }
    let unused = 7u8.saturating_sub(last % 8);
    constructed(BIT_STRING, &[&[unused], octets.as_slice()])
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    if length < 0x80 {
        out.push(length as u8);
        return;
    }
    let bytes = length.to_be_bytes();
    let zeros = bytes.iter().take_while(|&&b| b == 0).count();
    out.push(0x80 | bytes.len().saturating_sub(zeros) as u8);
    out.extend(bytes.iter().skip(zeros));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_the_one_encoding_that_der_allows() {
        assert_eq!(unsigned(&[0, 0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0, 0]), [2, 1, 0]);
        assert_eq!(unsigned(&[]), [2, 1, 0]);
        assert_eq!(small_integer(3), [2, 1, 3]);
        assert_eq!(named_bits(&[5, 6]), [3, 2, 1, 0x06]);
        assert_eq!(named_bits(&[0, 8]), [3, 3, 7, 0x80, 0x80]);
        assert_eq!(element(OCTET_STRING, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(element(OCTET_STRING, &[0; 300])[..4], [4, 0x82, 1, 44]);
    }
}
