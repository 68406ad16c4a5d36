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
    if !issuer.policy.caa_identities.is_empty() {
        let names: Vec<String> = issuer.policy.caa_identities.iter().map(ToString::to_string).collect();
        meta.insert("caaIdentities".into(), json!(names));
    }
    let profiles: Map<String, Value> =
        issuer.policy.profiles.iter().map(|p| (p.name().to_owned(), p.description().into())).collect();
    meta.insert("profiles".into(), Value::Object(profiles));
    if issuer.policy.authorizes_subdomains() {
        // RFC 9444, 4.1.
        meta.insert("subdomainAuthAllowed".into(), true.into());
    }
    let renewal_info = issuer.url_of(Resource::RenewalInfo(""));
    Reply::json(
        200,
        &json!({
            "newNonce": issuer.url_of(Resource::NewNonce),
            "newAccount": issuer.url_of(Resource::NewAccount),
            "newOrder": issuer.url_of(Resource::NewOrder),
            "newAuthz": issuer.url_of(Resource::NewAuthz),
            "revokeCert": issuer.url_of(Resource::RevokeCert),
            "keyChange": issuer.url_of(Resource::KeyChange),
            // Clients append the identifier of a certificate to it.
            "renewalInfo": renewal_info.trim_end_matches('/'),
            "meta": meta,
        }),
    )
}
