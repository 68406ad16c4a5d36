//! The ways of proving control of a name.

use crate::error::{Error, Result};

/// A challenge type. A new one is a variant here and a file in `validation/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeType {
    /// RFC 8555, 8.3.
    Http01,
    /// RFC 8555, 8.4.
    Dns01,
    /// RFC 8737.
    TlsAlpn01,
    /// draft-ietf-acme-dns-account-label.
    DnsAccount01,
    /// draft-ietf-acme-dns-persist.
    DnsPersist01,
}

impl ChallengeType {
    /// All of them.
    pub const ALL: [ChallengeType; 5] = [
        ChallengeType::Http01,
        ChallengeType::Dns01,
        ChallengeType::TlsAlpn01,
        ChallengeType::DnsAccount01,
        ChallengeType::DnsPersist01,
    ];

    /// What an issuer offers unless it is told otherwise: the standard ones, since some clients choke on others.
    pub const DEFAULT: [ChallengeType; 3] = [ChallengeType::Http01, ChallengeType::Dns01, ChallengeType::TlsAlpn01];

    /// The name in ACME and in commands.
    pub fn name(self) -> &'static str {
        match self {
            ChallengeType::Http01 => "http-01",
            ChallengeType::Dns01 => "dns-01",
            ChallengeType::TlsAlpn01 => "tls-alpn-01",
            ChallengeType::DnsAccount01 => "dns-account-01",
            ChallengeType::DnsPersist01 => "dns-persist-01",
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

    /// Whether it looks into the DNS, which alone proves control of a whole domain: of wildcards, and of names below.
    pub fn is_dns(self) -> bool {
        match self {
            ChallengeType::Dns01 | ChallengeType::DnsAccount01 | ChallengeType::DnsPersist01 => true,
            ChallengeType::Http01 | ChallengeType::TlsAlpn01 => false,
        }
    }

    /// Whether it answers with a token of its own; a persistent record has none.
    pub fn has_token(self) -> bool {
        self != ChallengeType::DnsPersist01
    }
}
