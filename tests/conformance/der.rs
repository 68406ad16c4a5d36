//! DER, written apart from the product's so that the two can disagree, and so that what openssl refuses to make can be
//! made all the same.

pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;
pub const UTF8: u8 = 0x0c;

pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut bytes = vec![tag];
    match content.len() {
        short @ 0..=127 => bytes.push(short as u8),
        medium @ 128..=255 => bytes.extend([0x81, medium as u8]),
        long => bytes.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    bytes.extend(content);
    bytes
}

pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, parts)
}

pub fn octets(content: &[u8]) -> Vec<u8> {
    element(4, &[content])
}

pub fn bits(content: &[u8]) -> Vec<u8> {
    element(3, &[&[0], content])
}

/// A number that is not negative, from its big-endian bytes.
pub fn integer(magnitude: &[u8]) -> Vec<u8> {
    let first = magnitude.iter().position(|byte| *byte != 0).unwrap_or(magnitude.len() - 1);
    let magnitude = &magnitude[first..];
    let sign: &[u8] = if magnitude[0] & 0x80 != 0 { &[0] } else { &[] };
    element(2, &[sign, magnitude])
}

/// An object identifier, from its dotted form.
pub fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted.split('.').map(|arc| arc.parse().unwrap()).collect();
    let mut content = vec![(arcs[0] * 40 + arcs[1]) as u8];
    for arc in &arcs[2..] {
        let mut groups = vec![(arc & 0x7f) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            groups.push(0x80 | (rest & 0x7f) as u8);
            rest >>= 7;
        }
        content.extend(groups.iter().rev());
    }
    element(6, &[&content])
}

pub fn critical() -> Vec<u8> {
    vec![1, 1, 0xff]
}

#[test]
fn der_is_as_the_standard_has_it() {
    assert_eq!(oid("1.2.840.113549.1.9.14"), [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14]);
    assert_eq!(integer(&[0, 0x80]), [2, 2, 0, 0x80]);
    assert_eq!(integer(&[0]), [2, 1, 0]);
    assert_eq!(octets(&[0; 200])[..4], [4, 0x81, 200, 0]);
}
