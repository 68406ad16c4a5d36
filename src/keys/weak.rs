//! Keys that are refused although they are well formed: too small, or broken by construction.

use crate::error::{Class, Error, Result};
use rsa::BoxedUint;
use std::num::NonZeroU64;

/// An RSA key has 2048 to 4096 bits and an odd exponent of at least 65537; more would make each signature dear to verify.
pub(super) fn check_rsa_size(modulus: &[u8], exponent: &[u8]) -> Result<()> {
    if modulus.first() == Some(&0) || exponent.first() == Some(&0) {
        return Err(weak("an RSA number begins with a zero byte"));
    }
    let bits = bit_length(modulus);
    if !(2048..=4096).contains(&bits) {
        return Err(weak(format!("an RSA key has 2048 to 4096 bits, this one {bits}")));
    }
    // ring, like most verifiers, takes exponents of 33 bits at most.
    let exponent_value = match exponent.len() {
        0..=8 => exponent.iter().fold(0u64, |sum, &b| sum << 8 | u64::from(b)),
        _ => u64::MAX,
    };
    if !(65_537..1 << 33).contains(&exponent_value) || exponent_value % 2 == 0 {
        return Err(weak("an RSA exponent is odd, at least 65537 and below 2^33"));
    }
    Ok(())
}

/// A modulus has no small factors, and is not of a kind that is known to be broken.
pub(super) fn check_modulus(modulus: &[u8]) -> Result<()> {
    if let Some(factor) = small_factor(modulus) {
        return Err(weak(format!("the RSA modulus is divisible by {factor}")));
    }
    if is_roca(modulus) {
        return Err(weak("the RSA key is of the kind that ROCA breaks (CVE-2017-15361); make it with other software"));
    }
    if has_close_primes(modulus) {
        return Err(weak("the primes of the RSA key are too close to each other (CVE-2022-26320)"));
    }
    Ok(())
}

/// A public point of small order makes signatures verify that nobody made (RFC 8032, 8.9, calls for no check; we do).
pub(super) fn check_ed25519(key: &[u8; 32]) -> Result<()> {
    let mut without_sign = *key;
    without_sign[31] &= 0x7f;
    let small = SMALL_ORDER.contains(&without_sign);
    // y must be below p = 2^255 - 19: all bytes ff but the first (ed or more) and the last (7f).
    let not_reduced =
        without_sign[31] == 0x7f && without_sign[1..31].iter().all(|&b| b == 0xff) && without_sign[0] >= 0xed;
    if small || not_reduced { Err(weak("the Ed25519 key is a point of small order")) } else { Ok(()) }
}

/// The y coordinates of the points whose order divides 8.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = [0xff; 32];
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        minus_one
    },
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

fn bit_length(number: &[u8]) -> usize {
    let leading = number.first().map_or(0, |b| b.leading_zeros() as usize);
    number.len().saturating_mul(8).saturating_sub(leading)
}

/// The smallest prime below 752 that divides the number (CA/Browser Forum, 6.1.6, asks for this bound).
fn small_factor(number: &[u8]) -> Option<u32> {
    let is_prime = |n: &u32| (2..*n).take_while(|d| d.saturating_mul(*d) <= *n).all(|d| !n.is_multiple_of(d));
    let primes: Vec<u32> = (2..752).filter(is_prime).collect();
    // Three of them at a time, whose product fits: dividing the long number is what costs.
    primes.chunks(3).find_map(|three| {
        let rest = remainder(number, three.iter().product());
        three.iter().copied().find(|prime| rest.is_multiple_of(*prime))
    })
}

/// The primes of a broken library are powers of 65537 modulo each of many small primes, and so is their product.
fn is_roca(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
        109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|prime| {
        let rest = remainder(modulus, *prime);
        let powers = std::iter::successors(Some(1u32), |power| power.checked_mul(65_537)?.checked_rem(*prime));
        powers.take(*prime as usize).any(|power| power == rest)
    })
}

/// A hundred rounds of Fermat's factorization (Baseline Requirements, 6.1.1.3).
fn has_close_primes(modulus: &[u8]) -> bool {
    let Ok(bits) = u32::try_from(modulus.len().saturating_mul(8).saturating_add(64)) else { return true };
    let Ok(n) = BoxedUint::from_be_slice(modulus, bits) else { return true };
    let one = BoxedUint::one_with_precision(bits);
    let two = one.wrapping_add(&one);
    let mut a = n.floor_sqrt_vartime();
    if a.wrapping_square() < n {
        a = a.wrapping_add(&one);
    }
    let mut rest = a.wrapping_square().wrapping_sub(&n);
    for _ in 0..100 {
        if is_square(&rest) {
            return true;
        }
        // (a + 1)^2 - n from a^2 - n.
        rest = rest.wrapping_add(a.wrapping_mul(&two)).wrapping_add(&one);
        a = a.wrapping_add(&one);
    }
    false
}

/// Most numbers are seen to be no square by their remainders, without a root.
fn is_square(number: &BoxedUint) -> bool {
    let bytes = number.to_be_bytes();
    let is_square_of =
        |modulus: u32, rest: u32| (0..modulus).any(|root| root.saturating_mul(root).checked_rem(modulus) == Some(rest));
    let low = bytes.last().copied().unwrap_or_default();
    if !is_square_of(64, u32::from(low % 64)) {
        return false;
    }
    if ![63, 65, 11, 17].into_iter().all(|modulus| is_square_of(modulus, remainder(&bytes, modulus))) {
        return false;
    }
    let root = number.floor_sqrt_vartime();
    root.wrapping_square() == *number
}

/// What is left of a number, 0 where one cannot divide by the modulus.
fn remainder(number: &[u8], modulus: u32) -> u32 {
    let Some(modulus) = NonZeroU64::new(modulus.into()) else { return 0 };
    let (first, words) = number.as_rchunks::<4>();
    let rest = first.iter().fold(0, |rest, &b| (rest << 8 | u64::from(b)) % modulus);
    let rest = words.iter().fold(rest, |rest, &word| (rest << 32 | u64::from(u32::from_be_bytes(word))) % modulus);
    u32::try_from(rest).unwrap_or_default()
}

fn weak(why: impl Into<String>) -> Error {
    Error::new(Class::BadPublicKey, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_rsa_numbers_are_refused() {
        let mut modulus = vec![0xff; 256];
        modulus[255] = 0x53; // found by trial to have no factor below 752
        while small_factor(&modulus).is_some() {
            modulus[254] = modulus[254].wrapping_sub(1);
        }
        let e = [1, 0, 1];
        assert_eq!(check_rsa_size(&modulus, &e), Ok(()));
        assert_eq!(check_modulus(&modulus), Ok(()));
        assert!(check_rsa_size(&modulus, &[1]).is_err(), "e = 1");
        assert!(check_rsa_size(&modulus, &[3]).is_err(), "e = 3");
        assert!(check_rsa_size(&modulus, &[1, 0, 2]).is_err(), "even e");
        assert!(check_rsa_size(&modulus, &[0xff; 9]).is_err(), "huge e");
        assert!(check_rsa_size(&modulus[128..], &e).is_err(), "1024 bits");
        assert!(check_rsa_size(&[&modulus[..], &modulus[..], &[3]].concat(), &e).is_err(), "over 4096 bits");
        modulus[255] &= 0xfe;
        assert!(check_modulus(&modulus).is_err(), "even modulus");
        assert!(check_rsa_size(&[], &[]).is_err());
    }

    #[test]
    fn points_of_small_order_are_refused_with_either_sign() {
        for point in SMALL_ORDER {
            let mut negative = point;
            negative[31] |= 0x80;
            assert!(check_ed25519(&point).is_err());
            assert!(check_ed25519(&negative).is_err());
        }
        let mut not_reduced = [0xff; 32];
        not_reduced[0] = 0xee;
        assert!(check_ed25519(&not_reduced).is_err());
        assert!(check_ed25519(&[7; 32]).is_ok());
    }
}
