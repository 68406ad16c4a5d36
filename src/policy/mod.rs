//! What an issuer permits. Settings are parsed into types that cannot say nonsense; settings that cannot be parsed are an
//! error to whoever reads them, so that an unreadable policy permits nothing.

mod buckets;
mod challenge;
mod gateway_url;
mod issuer_policy;
mod names;
mod permission;
mod profile;

pub use buckets::{Buckets, Rate};
pub use challenge::ChallengeType;
pub use gateway_url::GatewayUrl;
pub use issuer_policy::{DEFAULT_OCSP_TTL, IssuerPolicy, LONGEST_ACME_TTL, SUBJECT_LISTS};
pub use names::{EabBounds, NamePolicy};
pub use permission::Permission;
pub use profile::Profile;

use crate::clock::Span;

/// What CAA said is believed for eight hours (Baseline Requirements, 4.2.2.1).
pub const CAA_LIFETIME: Span = Span(8 * 3_600);

/// The path of an account under its issuer's part of the URL.
pub fn account_path(account: i64) -> String {
    format!("account/{account}")
}

/// The URL of a path under an issuer's part of a gw-cluster-url.
pub fn acme_url(gateway: &str, display_id: &str, path: &str) -> String {
    format!("{gateway}/acme/{display_id}/{path}")
}

/// The URL of an account (RFC 8555, 7.3), which stands in DNS records as well.
pub fn account_url(gateway: &str, display_id: &str, account: i64) -> String {
    acme_url(gateway, display_id, &account_path(account))
}
