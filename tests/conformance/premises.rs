//! What the tests of sections 6 and 7.1 to 7.3 share: two issuers of the one daemon, and accounts at them.

use crate::scene::scene;
use crate::world::account_key::AccountKey;
use crate::world::acme::Client;
use crate::world::daemon::Ca;
use crate::world::issuer::{Eab, Issuer};
use crate::world::responder::Responder;
use crate::world::wire::Reply;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Barrier, LazyLock};

static COUNT: AtomicU32 = AtomicU32::new(0);
static OPEN: LazyLock<Issuer> = LazyLock::new(|| issuer_with(&["--require-eab=false"]));
static BOUND: LazyLock<Issuer> = LazyLock::new(|| issuer_with(&[]));

pub fn ca() -> &'static Ca {
    &scene().ca
}

/// Whoever has a key may register here. Names below acme.com are allowed.
pub fn open_issuer() -> &'static Issuer {
    &OPEN
}

/// Here an external account is required.
pub fn bound_issuer() -> &'static Issuer {
    &BOUND
}

/// What answers http-01 for the names that `name` gives.
pub fn responder() -> &'static Responder {
    &scene().http
}

/// An issuer of a test's own.
pub fn issuer_with(flags: &[&str]) -> Issuer {
    scene().issuer_with("acme.com", &[&["--allow-subdomains=true"], flags].concat())
}

/// A name of a test's own, which points to the responder, as every name does that nobody has set.
pub fn name() -> String {
    format!("host{}.acme.com", COUNT.fetch_add(1, Ordering::Relaxed))
}

pub fn eab() -> Eab {
    ca().make_eab(bound_issuer())
}

/// A client of the open issuer that has no account.
pub fn stranger() -> Client {
    open_issuer().client(AccountKey::es256())
}

/// A client of the open issuer with an account.
pub fn member() -> Client {
    member_with(AccountKey::es256())
}

pub fn member_with(key: AccountKey) -> Client {
    member_of(open_issuer(), key)
}

/// A client with an account at an issuer that requires no external account.
pub fn member_of(issuer: &Issuer, key: AccountKey) -> Client {
    let mut client = issuer.client(key);
    client.register_with(&json!({"termsOfServiceAgreed": true})).expect(201);
    client
}

/// A client of the issuer that requires external accounts, without one yet.
pub fn applicant() -> Client {
    bound_issuer().client(AccountKey::es256())
}

pub fn account_url(client: &Client) -> &str {
    client.account.as_deref().expect("an account")
}

/// A payload of newOrder for these names.
pub fn order_for(names: &[&str]) -> Value {
    let identifiers: Vec<Value> = names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
    json!({"identifiers": identifiers})
}

/// POST with the header that `spoil` makes of an honest one.
pub fn post_with_header(client: &Client, url: &str, payload: &str, spoil: &dyn Fn(&mut Value)) -> Reply {
    let mut header = client.header(url);
    spoil(&mut header);
    client.send(url, &client.sign(&header, payload.as_bytes()))
}

/// All do the same at the same time.
pub fn at_once(count: usize, act: impl Fn(usize) -> Reply + Sync) -> Vec<Reply> {
    let barrier = Barrier::new(count);
    let (act, barrier) = (&act, &barrier);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| {
                scope.spawn(move || {
                    barrier.wait();
                    act(number)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// The values of all headers of this name.
pub fn headers<'r>(reply: &'r Reply, name: &str) -> Vec<&'r str> {
    let all = reply.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    all.map(|(_, value)| value.as_str()).collect()
}

/// The targets of the Link headers with this relation (RFC 8288).
pub fn links(reply: &Reply, relation: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for value in headers(reply, "link") {
        for link in value.split(",<").map(|link| link.trim_start_matches('<')) {
            let (target, parameters) = link.split_once('>').unwrap_or_else(|| panic!("not a link: {value}"));
            let relations = parameters.split(';').filter_map(|parameter| parameter.trim().strip_prefix("rel="));
            if relations.into_iter().any(|found| found.trim_matches('"') == relation) {
                targets.push(target.to_string());
            }
        }
    }
    targets
}
