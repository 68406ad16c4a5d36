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
mod quickstart;
mod walkthrough;

// An administrator's day.
mod accidents;
mod accounts;
mod admin_socket;
mod assumptions;
mod backup;
mod clock;
mod damage;
mod disk;
mod hierarchy;
mod items;
mod kills;
mod passed_sockets;
mod records;
mod refusals;
mod registration;
mod restart;
mod restore;
mod revocation;
mod secrets;
mod service;
mod shortage;
mod tidying;
mod units;
mod upgrade;
mod usage;

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
mod siege;
mod tls;

// The house itself.
mod documents;
mod plans;
mod rooms;
