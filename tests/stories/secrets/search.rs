//! Looking for a secret in whatever form it could have slipped out.

use super::opened::Secret;
use crate::world::hex::hex;

/// How often a secret, or half of it, stands in a text or a file: as it is, in hexadecimal, in either base64 at whichever
/// place of a longer text, in lines or not, or as Rust shows a list of numbers.
pub fn count(secret: &Secret, place: &[u8]) -> usize {
    let unbroken: Vec<u8> = place.iter().copied().filter(|octet| !matches!(octet, b'\n' | b'\r' | b' ')).collect();
    // A number's leading zero may be left away, and so may what stands beyond the end of a line.
    let (first, second) = secret.bytes.split_at(secret.bytes.len() / 2);
    let halves = [first, second].map(|half| &half[..half.len().min(64)]);
    halves
        .iter()
        .map(|half| {
            let texts = forms(half);
            let as_text: usize = texts.iter().map(|form| occurrences(form.as_bytes(), &unbroken)).sum();
            as_text + occurrences(half, place)
        })
        .max()
        .unwrap()
}

fn forms(octets: &[u8]) -> Vec<String> {
    let list: Vec<String> = octets.iter().map(u8::to_string).collect();
    let mut forms = vec![hex(octets), hex(octets).to_uppercase(), list.join(",")];
    for shift in 0..3 {
        let padded = [&vec![0; shift][..], octets].concat();
        let text = crate::world::base64url::encode(padded);
        // The outermost letters depend on the neighbours as well.
        let letters = text[[0, 2, 3][shift]..text.len() - 1].to_owned();
        forms.push(letters.replace('-', "+").replace('_', "/"));
        forms.push(letters);
    }
    forms.sort();
    forms.dedup();
    forms
}

fn occurrences(wanted: &[u8], place: &[u8]) -> usize {
    let Some((first, _)) = wanted.split_first() else { return 0 };
    let mut count = 0;
    let mut rest = place;
    while let Some(at) = rest.iter().position(|octet| octet == first) {
        count += usize::from(rest[at..].starts_with(wanted));
        rest = &rest[at + 1..];
    }
    count
}

#[test]
fn a_secret_is_found_in_every_form() {
    let bytes: Vec<u8> = (0..32).map(|number| 251 - 7 * number).collect();
    let secret = Secret::new("a secret", bytes.clone());
    let standard = |octets: &[u8]| crate::world::base64url::encode(octets).replace('-', "+").replace('_', "/");
    for place in [
        bytes.clone(),
        [b"noise", &bytes[..], b"noise"].concat(),
        format!("x={}.", hex(&bytes)).into_bytes(),
        hex(&bytes).to_uppercase().into_bytes(),
        format!("{bytes:?}").into_bytes(),
        format!("{bytes:#?}").into_bytes(),
        standard(&bytes).into_bytes(),
        standard(&[b"a", &bytes[..], b"b"].concat()).into_bytes(),
        crate::world::base64url::encode([b"ab", &bytes[..]].concat()).into_bytes(),
        standard(&[b"abc", &bytes[..]].concat()).as_bytes().chunks(7).collect::<Vec<_>>().join(&b'\n'),
        hex(&bytes[16..]).into_bytes(),
    ] {
        assert!(count(&secret, &place) > 0, "{}", String::from_utf8_lossy(&place));
    }
    assert_eq!(count(&secret, &hex(&[7; 64]).into_bytes()), 0);
}
