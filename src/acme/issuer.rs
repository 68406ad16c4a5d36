//! The issuer that a path names, its policy, and the URLs under which it is known.

use super::no_such;
use super::route::{Resource, Route};
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::policy::{GatewayUrl, IssuerPolicy, acme_url};
use crate::store::{Item, ItemKind, Read, Remembered, Store};
use std::fmt::Write as _;
use std::sync::Arc;

/// Room for what follows the base of a URL, in bytes.
const USUAL_PATH: usize = 32;

/// The issuers, as their settings were understood last.
#[derive(Default)]
pub(super) struct Issuers(Remembered<(String, bool), IssuerContext>);

impl Issuers {
    /// The issuer that a path names.
    pub(super) fn find(&self, store: &Store, route: Route<'_>) -> Result<Arc<IssuerContext>> {
        let outlives = route.resource.outlives_its_issuer();
        let key = (route.display_id.to_owned(), outlives);
        self.0.read(store, key, |read| IssuerContext::load(read, route.display_id, outlives))
    }
}

pub(super) struct IssuerContext {
    pub(super) item: Item,
    pub(super) policy: Arc<IssuerPolicy>,
    /// The hosts of all issuers. When they cannot be told nothing new is permitted; what is issued can still be fetched and
    /// revoked.
    own_hosts: Result<Arc<Vec<Identifier>>>,
    /// What the URLs of its resources begin with.
    base: String,
    /// The Link header of its replies (RFC 8555, 7.1).
    index_link: String,
    /// Every URL that the issuer ever had; clients keep what they were told.
    known_urls: Vec<String>,
}

impl IssuerContext {
    fn load(read: &Read<'_>, display_id: &str, even_deleted: bool) -> Result<IssuerContext> {
        let unknown = || no_such("ACME directory");
        let found = match read.item_by_display_id(display_id)? {
            // Its certificates are about, and can be revoked and asked about until their end.
            None if even_deleted => read.deleted_item(display_id)?,
            found => found,
        };
        let item = found.filter(|i| i.kind == ItemKind::Issuer).ok_or_else(unknown)?;
        // Settings that cannot be understood permit nothing.
        let policy = IssuerPolicy::parse(&read.issuer(item.id)?)
            .map_err(|e| Error::internal(format!("the settings of {} cannot be understood: {e}", item.name)))?;
        let url = policy.acme.as_ref().ok_or_else(unknown)?;
        let base = acme_url(&url.to_string(), &item.display_id, "");
        let host = |url: &String| Ok(GatewayUrl::parse(url)?.host().clone());
        let own_hosts = read.all_issuer_urls()?.iter().map(host).collect::<Result<Vec<_>>>().map(Arc::new);
        let own_hosts = own_hosts.map_err(|e| Error::internal(format!("the URL of an issuer is damaged: {e}")));
        let known_urls = read.issuer_urls(item.id)?;
        let index_link = format!("<{}>;rel=\"index\"", url_under(&base, Resource::Directory));
        Ok(IssuerContext { item, policy: Arc::new(policy), own_hosts, base, index_link, known_urls })
    }

    /// The daemon's own hosts.
    pub(super) fn own_hosts(&self) -> Result<Arc<Vec<Identifier>>> {
        self.own_hosts.clone()
    }

    /// The URL of a resource, for links.
    pub(super) fn url_of(&self, resource: Resource<'_>) -> String {
        url_under(&self.base, resource)
    }

    /// The URL of an account, as DNS records are to name it.
    pub(super) fn account_url(&self, account: i64) -> String {
        self.url_of(Resource::Account(account))
    }

    /// The Link header that leads to the directory.
    pub(super) fn index_link(&self) -> &str {
        &self.index_link
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

fn url_under(base: &str, resource: Resource<'_>) -> String {
    let mut url = String::with_capacity(base.len().saturating_add(USUAL_PATH));
    url.push_str(base);
    // Writing to memory does not fail.
    let _ = write!(url, "{resource}");
    url
}
