//! Private keys that come from elsewhere in PEM, brought into the one shape that is kept here: PKCS #8.

use super::KeyAlgorithm;
use super::generate::rsa_private_key_info;
use crate::der::{self, Reader, from_pem, oid};
use crate::error::{Error, Result};
use zeroize::Zeroizing;

/// Read an unencrypted private key: PKCS #8 (RFC 5958), PKCS #1 (RFC 8017, A.1.2) or SEC 1 (RFC 5915).
///
/// # Errors
/// Malformed, with what to do, when there is none, more than one, one that is encrypted, or one of a kind that is not
/// supported.
pub fn private_key_from_pem(text: &str) -> Result<(KeyAlgorithm, Zeroizing<Vec<u8>>)> {
    if text.contains("ENCRYPTED") {
        return Err(Error::malformed(
            "the private key is encrypted; decrypt it first, with: openssl pkey -in KEY-FILE -out DECRYPTED-KEY-FILE",
        ));
    }
    let blocks = |label: &str| -> Result<Vec<Zeroizing<Vec<u8>>>> {
        Ok(from_pem(label, text)?.into_iter().map(Zeroizing::new).collect())
    };
    let infos = blocks("PRIVATE KEY")?.into_iter();
    let rsa = blocks("RSA PRIVATE KEY")?.into_iter().map(|key| rsa_private_key_info(&key));
    let ec = blocks("EC PRIVATE KEY")?.iter().map(|key| ec_private_key_info(key)).collect::<Result<Vec<_>>>()?;
    let found: Vec<Zeroizing<Vec<u8>>> = infos.chain(rsa).chain(ec).collect();
    match found.as_slice() {
        [info] => Ok((algorithm_of(info)?, info.clone())),
        [] => Err(Error::malformed("there is no private key in PEM in the file (PKCS #8, PKCS #1 or SEC 1)")),
        _ => Err(Error::malformed("there is more than one private key in the file")),
    }
}

/// An ECPrivateKey names its curve itself; in PKCS #8 the algorithm does.
fn ec_private_key_info(key: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mut outer = Reader::new(key);
    let mut parts = outer.enter(der::SEQUENCE)?;
    outer.finish()?;
    parts.unsigned()?;
    parts.read(der::OCTET_STRING)?;
    let unnamed = || Error::malformed("the EC key does not name its curve");
    let mut parameters = Reader::new(parts.optional(der::context_constructed(0))?.ok_or_else(unnamed)?);
    let curve = parameters.read(der::OID)?;
    let algorithm = der::sequence(&[der::object_identifier(oid::EC_PUBLIC_KEY), der::object_identifier(curve)]);
    let wrapped = Zeroizing::new(der::octet_string(key));
    Ok(Zeroizing::new(der::sequence(&[&der::small_integer(0), &algorithm, &*wrapped])))
}

fn algorithm_of(info: &[u8]) -> Result<KeyAlgorithm> {
    let mut outer = Reader::new(info);
    let mut parts = outer.enter(der::SEQUENCE)?;
    parts.unsigned()?;
    let mut algorithm = parts.enter(der::SEQUENCE)?;
    let unsupported = || {
        let choice = KeyAlgorithm::ALL.map(KeyAlgorithm::name).join(", ");
        Error::malformed(format!("the private key is of a kind that is not supported; supported are {choice}"))
    };
    match algorithm.read(der::OID)? {
        oid::RSA_ENCRYPTION => {
            let mut key = Reader::new(parts.read(der::OCTET_STRING)?).enter(der::SEQUENCE)?;
            key.unsigned()?;
            match key.unsigned()?.len() {
                256 => Ok(KeyAlgorithm::Rsa2048),
                384 => Ok(KeyAlgorithm::Rsa3072),
                512 => Ok(KeyAlgorithm::Rsa4096),
                _ => Err(unsupported()),
            }
        }
        oid::EC_PUBLIC_KEY => match algorithm.read(der::OID)? {
            oid::P256 => Ok(KeyAlgorithm::Ec256),
            oid::P384 => Ok(KeyAlgorithm::Ec384),
            _ => Err(unsupported()),
        },
        oid::ED25519 => Ok(KeyAlgorithm::Ed25519),
        _ => Err(unsupported()),
    }
}
