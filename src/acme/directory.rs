//! The directory (RFC 8555, 7.1.1).

use super::Reply;
use super::issuer::IssuerContext;
use super::route::Resource;
use serde_json::{Map, Value, json};

pub(super) fn show(issuer: &IssuerContext) -> Reply {
    let mut meta = Map::new();
    // certbot says that it needs an external account binding only where this is told.
    meta.insert("externalAccountRequired".into(), Value::Bool(issuer.policy.require_eab));
    if let Some(terms) = &issuer.policy.terms_of_service {
        meta.insert("termsOfService".into(), terms.as_str().into());
    }
    if let Some(website) = &issuer.policy.website {
        meta.insert("website".into(), website.as_str().into());
    }
    Reply::json(
        200,
        &json!({
            "newNonce": issuer.url_of(Resource::NewNonce),
            "newAccount": issuer.url_of(Resource::NewAccount),
            "newOrder": issuer.url_of(Resource::NewOrder),
            "meta": meta,
        }),
    )
}
