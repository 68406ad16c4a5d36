//! What an issuer permits. Settings are parsed into types that cannot say nonsense; settings that cannot be parsed are an
//! error to whoever reads them, so that an unreadable policy permits nothing.

mod gateway_url;
mod issuer_policy;
mod names;

pub use gateway_url::GatewayUrl;
pub use issuer_policy::{IssuerPolicy, LONGEST_ACME_TTL};
pub use names::NamePolicy;

use crate::error::{Error, Result};

/// The ways of proving control of a name (RFC 8555, 8). A new one is a variant here and a file in `validation/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeType {
    /// RFC 8555, 8.3.
    Http01,
}

impl ChallengeType {
    /// All of them.
    pub const ALL: [ChallengeType; 1] = [ChallengeType::Http01];

    /// The name in ACME and in commands.
    pub fn name(self) -> &'static str {
        match self {
            ChallengeType::Http01 => "http-01",
        }
    }

    /// Parse that name.
    ///
    /// # Errors
    /// Malformed, naming what there is, for any other text.
    pub fn parse(text: &str) -> Result<ChallengeType> {
        ChallengeType::ALL.into_iter().find(|c| c.name() == text).ok_or_else(|| {
            let known = ChallengeType::ALL.map(ChallengeType::name).join(", ");
            Error::malformed(format!("the challenge type \"{text}\" is not offered; known are {known}"))
        })
    }

    /// Whether it can prove control of a whole wildcard (only DNS can).
    pub fn proves_wildcards(self) -> bool {
        match self {
            ChallengeType::Http01 => false,
        }
    }

    /// Whether it can prove control of an IP address (RFC 8738, 7).
    pub fn proves_addresses(self) -> bool {
        match self {
            ChallengeType::Http01 => true,
        }
    }
}
