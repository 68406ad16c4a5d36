//! Named profiles of certificates (draft-ietf-acme-profiles), as the public CAs have them.

use crate::ca::ExtendedKeyUsage;
use crate::clock::Span;
use crate::error::{Error, Result};

/// A profile that an issuer can offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// What the issuer's own settings say.
    Classic,
    /// 45 days; no subject key identifier, no keyEncipherment.
    TlsServer,
    /// 160 hours, otherwise as `TlsServer`.
    ShortLived,
    /// For servers that are clients too.
    Mtls,
}

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 4] = [Profile::Classic, Profile::TlsServer, Profile::ShortLived, Profile::Mtls];

    /// The name in ACME and in commands.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Classic => "classic",
            Profile::TlsServer => "tlsserver",
            Profile::ShortLived => "shortlived",
            Profile::Mtls => "mtls",
        }
    }

    /// What the directory says of it.
    pub fn description(self) -> &'static str {
        match self {
            Profile::Classic => "for TLS servers, with the issuer's own lifetime",
            Profile::TlsServer => "for TLS servers, 45 days",
            Profile::ShortLived => "for TLS servers, 160 hours",
            Profile::Mtls => "for TLS servers that are clients too",
        }
    }

    /// Parse the name.
    ///
    /// # Errors
    /// Malformed, naming what there is, for any other text.
    pub fn parse(text: &str) -> Result<Profile> {
        Profile::ALL.into_iter().find(|p| p.name() == text).ok_or_else(|| {
            let known = Profile::ALL.map(Profile::name).join(", ");
            Error::malformed(format!("the profile \"{text}\" is not known; known are {known}"))
        })
    }

    /// The longest lifetime, within what the issuer allows.
    pub fn lifetime(self, ttl: Span) -> Span {
        match self {
            Profile::Classic | Profile::Mtls => ttl,
            Profile::TlsServer => ttl.min(Span::days(45)),
            Profile::ShortLived => ttl.min(Span(160 * 3_600)),
        }
    }

    /// Whether it is one of the lean ones, which leave out what TLS does not need.
    pub fn is_lean(self) -> bool {
        matches!(self, Profile::TlsServer | Profile::ShortLived)
    }

    /// What certificates are for, where the issuer's settings are `of_issuer`.
    pub fn extended_key_usage(self, of_issuer: &[ExtendedKeyUsage]) -> Vec<ExtendedKeyUsage> {
        match self {
            Profile::Classic => of_issuer.to_vec(),
            Profile::TlsServer | Profile::ShortLived => vec![ExtendedKeyUsage::ServerAuth],
            Profile::Mtls => vec![ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::ClientAuth],
        }
    }
}
