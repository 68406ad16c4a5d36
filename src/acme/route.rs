//! Paths: exactly these, anything else is not there.

use crate::metrics;
use crate::policy::account_path;
use std::fmt;

/// A path under `/acme/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route<'a> {
    pub(super) display_id: &'a str,
    pub(super) resource: Resource<'a>,
}

/// The resources of an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource<'a> {
    Directory,
    NewNonce,
    NewAccount,
    NewOrder,
    NewAuthz,
    RevokeCert,
    KeyChange,
    /// By the identifier of a certificate.
    RenewalInfo(&'a str),
    Account(i64),
    AccountOrders(i64),
    Order(i64),
    Finalize(i64),
    Authorization(i64),
    Challenge(i64),
    Certificate(i64),
    /// The same certificate with another chain, counted from 1.
    AlternateCertificate(i64, i64),
}

impl<'a> Route<'a> {
    pub(super) fn parse(path: &'a str) -> Option<Route<'a>> {
        let mut segments = path.strip_prefix("/acme/")?.split('/');
        let (display_id, first, second, third) = (segments.next()?, segments.next()?, segments.next(), segments.next());
        if segments.next().is_some() {
            return None;
        }
        let resource = match (first, second, third) {
            ("directory", None, None) => Resource::Directory,
            ("new-nonce", None, None) => Resource::NewNonce,
            ("new-account", None, None) => Resource::NewAccount,
            ("new-order", None, None) => Resource::NewOrder,
            ("new-authz", None, None) => Resource::NewAuthz,
            ("revoke-cert", None, None) => Resource::RevokeCert,
            ("key-change", None, None) => Resource::KeyChange,
            ("renewal-info", Some(identifier), None) => Resource::RenewalInfo(identifier),
            ("account", Some(id), None) => Resource::Account(row_id(id)?),
            ("account", Some(id), Some("orders")) => Resource::AccountOrders(row_id(id)?),
            ("order", Some(id), None) => Resource::Order(row_id(id)?),
            ("order", Some(id), Some("finalize")) => Resource::Finalize(row_id(id)?),
            ("authz", Some(id), None) => Resource::Authorization(row_id(id)?),
            ("challenge", Some(id), None) => Resource::Challenge(row_id(id)?),
            ("cert", Some(id), None) => Resource::Certificate(row_id(id)?),
            ("cert", Some(id), Some(number)) => Resource::AlternateCertificate(row_id(id)?, row_id(number)?),
            _ => return None,
        };
        Some(Route { display_id, resource })
    }
}

impl Resource<'_> {
    pub(super) fn methods(self) -> &'static [&'static str] {
        match self {
            Resource::Directory => &["GET", "HEAD", "POST"],
            Resource::NewNonce => &["HEAD", "GET", "POST"],
            Resource::RenewalInfo(_) => &["GET", "HEAD"],
            _ => &["POST"],
        }
    }

    pub(super) fn allows(self, method: &str) -> bool {
        self.methods().contains(&method)
    }

    /// Whether it is served after its issuer was deleted, for the certificates that are left.
    pub(super) fn outlives_its_issuer(self) -> bool {
        matches!(self, Resource::NewNonce | Resource::RevokeCert | Resource::RenewalInfo(_))
    }

    /// As what requests for it are counted.
    pub(super) fn counted(self) -> metrics::Resource {
        match self {
            Resource::Directory => metrics::Resource::Directory,
            Resource::NewNonce => metrics::Resource::NewNonce,
            Resource::NewAccount => metrics::Resource::NewAccount,
            Resource::NewOrder => metrics::Resource::NewOrder,
            Resource::NewAuthz => metrics::Resource::NewAuthz,
            Resource::RevokeCert => metrics::Resource::RevokeCert,
            Resource::KeyChange => metrics::Resource::KeyChange,
            Resource::RenewalInfo(_) => metrics::Resource::RenewalInfo,
            Resource::Account(_) => metrics::Resource::Account,
            Resource::AccountOrders(_) => metrics::Resource::Orders,
            Resource::Order(_) => metrics::Resource::Order,
            Resource::Finalize(_) => metrics::Resource::Finalize,
            Resource::Authorization(_) => metrics::Resource::Authorization,
            Resource::Challenge(_) => metrics::Resource::Challenge,
            Resource::Certificate(_) | Resource::AlternateCertificate(..) => metrics::Resource::Certificate,
        }
    }
}

/// The path of a resource under its issuer.
impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Directory => f.write_str("directory"),
            Resource::NewNonce => f.write_str("new-nonce"),
            Resource::NewAccount => f.write_str("new-account"),
            Resource::NewOrder => f.write_str("new-order"),
            Resource::NewAuthz => f.write_str("new-authz"),
            Resource::RevokeCert => f.write_str("revoke-cert"),
            Resource::KeyChange => f.write_str("key-change"),
            Resource::RenewalInfo(identifier) => write!(f, "renewal-info/{identifier}"),
            Resource::Account(id) => f.write_str(&account_path(*id)),
            Resource::AccountOrders(id) => write!(f, "account/{id}/orders"),
            Resource::Order(id) => write!(f, "order/{id}"),
            Resource::Finalize(id) => write!(f, "order/{id}/finalize"),
            Resource::Authorization(id) => write!(f, "authz/{id}"),
            Resource::Challenge(id) => write!(f, "challenge/{id}"),
            Resource::Certificate(id) => write!(f, "cert/{id}"),
            Resource::AlternateCertificate(id, number) => write!(f, "cert/{id}/{number}"),
        }
    }
}

/// A positive number in its one spelling.
fn row_id(text: &str) -> Option<i64> {
    text.parse().ok().filter(|_| text.starts_with(|first| matches!(first, '1'..='9')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_is_found_under_its_own_path_and_nothing_else_is() {
        for resource in [
            Resource::Directory,
            Resource::NewNonce,
            Resource::NewAccount,
            Resource::NewOrder,
            Resource::NewAuthz,
            Resource::RevokeCert,
            Resource::KeyChange,
            Resource::RenewalInfo("a.b"),
            Resource::Account(1),
            Resource::AccountOrders(2),
            Resource::Order(3),
            Resource::Finalize(4),
            Resource::Authorization(5),
            Resource::Challenge(6),
            Resource::Certificate(7),
            Resource::AlternateCertificate(7, 1),
        ] {
            let path = format!("/acme/x/{resource}");
            assert_eq!(Route::parse(&path), Some(Route { display_id: "x", resource }));
        }
        for path in [
            "/acme/x",
            "/acme/x/",
            "/acme/x/directory/",
            "/acme//directory/x",
            "/acme/x/order/0",
            "/acme/x/order/01",
            "/acme/x/order/+1",
            "/acme/x/order/-1",
            "/acme/x/order/99999999999999999999",
            "/acme/x/order/1/",
            "/acme/x/order/1/finalize/",
            "/acme/x/cert/7/1/x",
            "/other",
        ] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }
}
