//! The issuer that a path names, its policy, and the URLs under which it is known.

use super::no_such;
use super::route::{Resource, Route};
use crate::error::{Error, Result};
use crate::policy::{GatewayUrl, IssuerPolicy, acme_url};
use crate::store::{Item, ItemKind, Store};

pub(super) struct IssuerContext {
    pub(super) item: Item,
    pub(super) policy: IssuerPolicy,
    url: GatewayUrl,
    /// Every URL that the issuer ever had; clients keep what they were told.
    known_urls: Vec<String>,
}

impl IssuerContext {
    pub(super) fn load(store: &Store, route: Route<'_>) -> Result<IssuerContext> {
        let unknown = || no_such("ACME directory");
        let (item, issuer, known_urls) = store.read(|read| {
            let found = match read.item_by_display_id(route.display_id)? {
                // Its certificates are about, and can be revoked and asked about until their end.
                None if route.resource.outlives_its_issuer() => read.deleted_item(route.display_id)?,
                found => found,
            };
            let item = found.filter(|i| i.kind == ItemKind::Issuer).ok_or_else(unknown)?;
            let issuer = read.issuer(item.id)?;
            let urls = read.issuer_urls(item.id)?;
            Ok((item, issuer, urls))
        })?;
        // Settings that cannot be understood permit nothing.
        let policy = IssuerPolicy::parse(&issuer)
            .map_err(|e| Error::internal(format!("the settings of {} cannot be understood: {e}", item.name)))?;
        let url = policy.acme.clone().ok_or_else(unknown)?;
        Ok(IssuerContext { item, policy, url, known_urls })
    }

    /// The URL of a resource, for links.
    pub(super) fn url_of(&self, resource: Resource<'_>) -> String {
        acme_url(&self.url.to_string(), &self.item.display_id, &resource.path())
    }

    /// The URL of an account, as DNS records are to name it.
    pub(super) fn account_url(&self, account: i64) -> String {
        self.url_of(Resource::Account(account))
    }

    pub(super) fn directory_url(&self) -> String {
        self.url_of(Resource::Directory)
    }

    /// The resource of this issuer that a URL names, under whichever of its URLs.
    pub(super) fn resource_at<'u>(&self, url: &'u str) -> Option<Resource<'u>> {
        self.known_urls.iter().find_map(|known| {
            let path = url.strip_prefix(known.as_str())?;
            Route::parse(path).filter(|route| route.display_id == self.item.display_id).map(|route| route.resource)
        })
    }

    /// Whether a URL in a JWS names this path of ours (RFC 8555, 6.4).
    pub(super) fn is_url_of_path(&self, url: &str, path_and_query: &str) -> bool {
        self.known_urls.iter().any(|known| url.strip_prefix(known.as_str()) == Some(path_and_query))
    }

    /// A disabled issuer takes nothing new.
    pub(super) fn check_enabled(&self) -> Result<()> {
        if self.item.enabled {
            Ok(())
        } else {
            Err(Error::unauthorized("this issuer is disabled at the moment; ask its administrator"))
        }
    }
}
