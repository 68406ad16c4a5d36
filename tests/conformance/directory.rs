//! RFC 8555, 7.1 and 7.1.1: the directory and its meta.

use crate::premises::{account_url, bound_issuer, headers, issuer_with, links, member, name, open_issuer, stranger};
use crate::world::account_key::AccountKey;
use crate::world::issuer::text;
use serde_json::json;

/// GET without a signature gives JSON with the URL of every operation that there is.
#[test]
fn rfc8555_s7_1_1_the_directory_names_every_operation() {
    let client = stranger();
    let reply = client.wire.request("GET", &open_issuer().directory, &[], b"").expect(200);
    assert_eq!(headers(&reply, "content-type"), ["application/json"]);
    let directory = reply.json();
    let base = open_issuer().directory.trim_end_matches("directory").to_string();
    let mut urls = Vec::new();
    for operation in ["newNonce", "newAccount", "newOrder", "newAuthz", "revokeCert", "keyChange", "renewalInfo"] {
        let url = text(&directory, operation);
        assert!(url.starts_with(&base) && url.len() > base.len(), "{operation}: {url}");
        assert!(!urls.contains(&url), "{operation} shares its URL: {directory}");
        urls.push(url);
    }
}

/// `meta` is always there, since some clients look into it unasked.
#[test]
fn rfc8555_s7_1_1_meta_says_whether_an_external_account_is_required() {
    assert_eq!(stranger().directory["meta"]["externalAccountRequired"], false);
    let required = bound_issuer().client(AccountKey::es256());
    assert_eq!(required.directory["meta"]["externalAccountRequired"], true);
}

/// Terms, website and CAA identities are told where they are set, each as it was set.
#[test]
fn rfc8555_s7_1_1_meta_tells_terms_website_and_caa_identities() {
    let issuer = issuer_with(&[
        "--terms-of-service",
        "https://acme.com/terms",
        "--website",
        "https://acme.com/",
        "--caa-identity",
        "acme.com",
        "--caa-identity",
        "ca.acme.com",
    ]);
    let meta = &issuer.client(AccountKey::es256()).directory["meta"];
    assert_eq!(meta["termsOfService"], "https://acme.com/terms");
    assert_eq!(meta["website"], "https://acme.com/");
    assert_eq!(meta["caaIdentities"], json!(["acme.com", "ca.acme.com"]));
}

/// And are absent, not null, where they are not.
#[test]
fn rfc8555_s7_1_1_meta_leaves_out_what_is_not_set() {
    let directory = stranger().directory;
    let meta = directory["meta"].as_object().expect("meta");
    for member in ["termsOfService", "website", "caaIdentities"] {
        assert!(!meta.contains_key(member), "{member} in {directory}");
    }
    assert!(meta.values().all(|value| !value.is_null()), "{directory}");
}

/// A client that never heard of an issuer learns nothing about others by trying URLs.
#[test]
fn rfc8555_s7_1_1_an_unknown_directory_is_404() {
    let client = stranger();
    let url = &open_issuer().directory;
    let (stem, id) = url.trim_end_matches("/directory").rsplit_once('/').unwrap();
    for wrong in [id.to_uppercase(), format!("{id}x"), id[..id.len() - 1].to_string(), "x".into(), "%00".into()] {
        if wrong != id {
            client.wire.request("GET", &format!("{stem}/{wrong}/directory"), &[], b"").problem(404, "malformed");
        }
    }
}

/// Every resource but the directory links to it with relation "index".
#[test]
fn rfc8555_s7_1_every_resource_links_to_the_directory() {
    let client = member();
    let order = client.order(&[&name()]);
    let authorization = order.authorizations()[0].clone();
    let challenge = text(&client.http_01(&authorization), "url");
    let account = account_url(&client).to_string();
    let orders = text(&client.fetch(&account).json(), "orders");
    for url in [account, orders, order.url, authorization, challenge] {
        let reply = client.fetch(&url).expect(200);
        assert_eq!(links(&reply, "index"), [open_issuer().directory.as_str()], "{url}: {reply}");
    }
    let mut newcomer = stranger();
    for status in [201, 200] {
        let reply = newcomer.register_with(&json!({})).expect(status);
        assert_eq!(links(&reply, "index"), [open_issuer().directory.as_str()], "{reply}");
    }
    let made = client.ask_for(&[&name()]).expect(201);
    assert_eq!(links(&made, "index"), [open_issuer().directory.as_str()], "{made}");
}

/// The directory itself does not ("other than the directory").
#[test]
fn rfc8555_s7_1_the_directory_has_no_index_link() {
    let client = member();
    for reply in [
        client.wire.request("GET", &open_issuer().directory, &[], b"").expect(200),
        client.fetch(&open_issuer().directory).expect(200),
    ] {
        assert!(links(&reply, "index").is_empty(), "{reply}");
    }
}
