//! What an account may ask an issuer for.

use super::{EabBounds, IssuerPolicy};
use crate::ca::ChainConstraints;
use crate::error::Result;
use crate::identifier::Identifier;
use std::sync::Arc;

/// Everything that decides over a name: the issuer's settings, the daemon's own hosts, the bounds of the account's
/// credential, and what the chain above the issuer can carry.
#[derive(Clone, Debug)]
pub struct Permission {
    /// The issuer's settings.
    pub policy: Arc<IssuerPolicy>,
    /// The daemon's own hosts, of all issuers.
    pub own_hosts: Arc<Vec<Identifier>>,
    /// The bounds of the credential that the account was made with, if it has any.
    pub bounds: Option<EabBounds>,
    /// Those of the CA certificates above the issuer.
    pub constraints: Arc<ChainConstraints>,
}

impl Permission {
    /// Whether a certificate for this name is permitted.
    ///
    /// # Errors
    /// RejectedIdentifier, about the name, with the reason.
    pub fn check(&self, identifier: &Identifier) -> Result<()> {
        self.policy.names.check(identifier, &self.own_hosts)?;
        if let Some(bounds) = &self.bounds {
            bounds.check(identifier)?;
        }
        self.constraints.check(identifier)
    }
}
