//! base64url without padding, as RFC 7515, 2 has it.

use crate::der::base64::{self, URL_SAFE};
use crate::error::{Error, Result};

/// Encode.
pub fn encode(bytes: &[u8]) -> String {
    base64::encode(&URL_SAFE, bytes)
}

/// Decode.
///
/// # Errors
/// Malformed when it is not the one text that `encode` gives for some bytes.
pub fn decode(text: &str) -> Result<Vec<u8>> {
    base64::decode(&URL_SAFE, text).map_err(|why| Error::malformed(format!("a value is not unpadded base64url: {why}")))
}
