//! Keys as somebody shows them: nobody has signed with them yet, and what costs much to find out is not known of them.

use super::PublicKey;
use crate::error::Result;

/// A public key of a supported kind and size, which is all that is known of it. To look for weaknesses costs more than to
/// verify a signature, so that is done last, and a stranger who only shows keys does not get it done at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedKey(PublicKey);

impl ClaimedKey {
    /// A key that somebody claims to have.
    pub fn new(key: PublicKey) -> ClaimedKey {
        ClaimedKey(key)
    }

    /// Parse a SubjectPublicKeyInfo (RFC 5280, 4.1.2.7).
    ///
    /// # Errors
    /// Malformed when it is not DER, BadPublicKey when the kind or size is not supported.
    pub fn from_spki(spki: &[u8]) -> Result<ClaimedKey> {
        let key = PublicKey::known(spki)?;
        key.check_form()?;
        Ok(ClaimedKey(key))
    }

    /// The key, to be compared with others.
    pub fn unproved(&self) -> &PublicKey {
        &self.0
    }

    /// The key, once something that it signed has been verified and it is seen not to be weak, in this order.
    ///
    /// # Errors
    /// Those of `verify`; BadPublicKey when the key is weak.
    pub fn proved_by(&self, verify: impl FnOnce(&PublicKey) -> Result<()>) -> Result<PublicKey> {
        verify(&self.0)?;
        self.0.check_strength()?;
        Ok(self.0.clone())
    }
}
