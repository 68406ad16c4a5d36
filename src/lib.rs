//! certwright, a private ACME certificate authority for a LAN. This page is the map of the crate.
//!
//! Each module is one room with one job, and a room uses only rooms that stand below it:
//!
//! ```text
//! 11  cli            what a person types            10  daemon       wiring
//!  9  front          TCP, TLS, heads, deadlines      8  http         tiny_http workers, routing, replies
//!  7  admin          the commands and their socket   6  acme         RFC 8555, a file per resource
//!  6  publication    what is served in the clear     6  housekeeping what happens by itself on a clock
//!  6  backup         one file of everything, and its way back
//!  6  health         how the daemon does
//!  5  issuance       every signature                 5  validation   proving control of a name
//!  4  policy         what an issuer permits          3  store        SQLite, shared commits, audit
//!  3  ca             CSR, certificate, CRL, OCSP     3  jose         base64url, JWK, JWS, EAB
//!  2  keys           algorithms, fragments, signer   2  settings     what the daemon is told
//!  2  logging        a line for each event          1  near         what was nearly typed
//!  1  absence        who is about to wait for something, so that others do meanwhile what is next
//!  1  der, identifier, clock, metrics, systemd       0  error        what can go wrong
//! ```
//!
//! A request goes `front -> http -> acme -> issuance | validation -> ca | store -> reply`, a command goes
//! `cli -> admin -> issuance | store -> reply`. ARCHITECTURE.md tells why.

// One file takes what systemd passes, and says why that cannot be safe.
#![deny(unsafe_code)]
// Where a sum could overflow it says what is meant then. In every room, since most of them read what strangers send.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod absence;
pub mod acme;
pub mod admin;
pub mod backup;
pub mod ca;
pub mod cli;
pub mod clock;
pub mod daemon;
pub mod der;
pub mod error;
pub mod front;
pub mod health;
pub mod housekeeping;
pub mod http;
pub mod identifier;
pub mod issuance;
pub mod jose;
pub mod keys;
pub mod logging;
pub mod metrics;
pub mod near;
pub mod policy;
pub mod publication;
pub mod settings;
pub mod store;
pub mod systemd;
pub mod validation;
