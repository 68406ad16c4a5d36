//! What certwright promises, told as stories from the outside: a daemon of its own for each, real clients, real TLS,
//! a real database file, and judges that share no code with it.
//!
//! `world` holds what the stories are played with. Everything else is a story.

// A test says that something went wrong by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod world;

// From start to end, as a person does it.
mod examples;
mod quickstart;
mod walkthrough;

// An administrator's day.
mod accidents;
mod accounts;
mod admin_socket;
mod assumptions;
mod backup;
mod client_config;
mod clock;
mod damage;
mod disk;
mod explain;
mod hierarchy;
mod items;
mod kills;
mod nearly;
mod passed_sockets;
mod records;
mod refusals;
mod registration;
mod restart;
mod restore;
mod revocation;
mod root_page;
mod secrets;
mod service;
mod settings;
mod shortage;
mod terminal;
mod tidying;
mod trust;
mod units;
mod upgrade;
mod usage;
mod watching;

// What is signed, before independent judges.
mod judges;
mod judges_refuse;

// ACME (RFC 8555).
mod jws;
mod network;
mod nonces;
mod orders;
mod races;
mod reach;
mod validation;

// What stands between us and the network.
mod costs;
mod door;
mod memory;
mod proxied;
mod siege;
mod tls;

// The house itself.
mod documents;
mod pages;
mod plans;
mod rooms;
