//! The world that the stories play in: a daemon of one's own, the network around it, its clients, and its judges.

pub mod account_key;
pub mod acme;
pub mod base64url;
pub mod binary;
pub mod certbot;
pub mod csr;
pub mod daemon;
pub mod database;
pub mod dns;
pub mod faults;
pub mod hex;
pub mod issuer;
pub mod judges;
pub mod manager;
pub mod openssl;
pub mod openssl_ca;
pub mod outcome;
pub mod patience;
pub mod place;
pub mod plain;
pub mod process;
pub mod proxy;
pub mod reading;
pub mod responder;
pub mod turned;
pub mod wire;
