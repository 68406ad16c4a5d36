//! Keys: which algorithms there are, how keys are made, judged, sealed and split into fragments, and the signer.

mod algorithm;
mod fragments;
mod generate;
mod public_key;
mod seal;
mod signer;
mod weak;

pub use algorithm::{Hash, KeyAlgorithm};
pub use fragments::{Places, Share, check_split_level};
pub use generate::generate;
pub use public_key::{KeyParts, PublicKey, SignatureEncoding};
pub use seal::{Sealed, SecretKey};
pub use signer::Signer;

use crate::error::{Error, Result};
use ring::rand::{SecureRandom, SystemRandom};

/// Random bytes from the operating system, by way of ring.
///
/// # Errors
/// Internal when the system gives none.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::internal("the system gives no random bytes"))?;
    Ok(bytes)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
