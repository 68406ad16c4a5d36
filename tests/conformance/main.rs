//! What the RFCs and drafts of ACME ask of a server, one test for each requirement, named by the section that it stands in.
//!
//! All tests share one daemon (`scene`), since it takes longer to start one than to ask it something.

// A test says that something went wrong by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::string_slice
)]

#[allow(dead_code)]
#[path = "../stories/world/mod.rs"]
mod world;

// What the tests are played with.
mod der;
mod foreign;
mod judge;
mod nameserver;
mod premises;
mod proof;
mod request;
mod scene;
mod session;
mod tls_responder;

// RFC 8555, 6: how messages travel.
mod errors;
mod jws;
mod keys;
mod methods;
mod nonces;
mod rate_limits;
mod signatures;
mod transport;

// RFC 8555, 7.1 to 7.3: directory and accounts.
mod accounts;
mod contacts;
mod deactivation;
mod directory;
mod eab;
mod key_change;
mod orders_list;
mod terms;

// RFC 8555, 7.4: from names to a certificate.
mod certificates;
mod finalize;
mod finalize_keys;
mod names;
mod orders;

// RFC 8555, 7.5 and 8: proving control of names.
mod authorizations;
mod challenges_dns;
mod challenges_dns_account;
mod challenges_dns_persist;
mod challenges_http;
mod challenges_tls_alpn;
mod retried;
mod reuse;

// RFC 8555, 7.6.
mod revocation;

// What grew around it.
mod addresses;
mod caa;
mod credentials;
mod disabled;
mod limits;
mod profiles;
mod renewal;
mod subdomains;

// What holds everywhere.
mod odd_input;
mod odd_payloads;
mod odd_requests;
mod races;
mod strangers;
