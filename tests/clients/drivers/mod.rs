//! The clients, a driver for each. A driver says of every operation what its client does, or why it cannot.

mod acme_tiny;
mod caddy;
mod certbot;
mod dehydrated;
mod lego;
mod library;
mod mod_md;
mod uacme;

use crate::journal::Journal;

pub struct Client {
    pub name: &'static str,
    pub drive: fn(&mut Journal),
}

/// Those that take longest begin first.
pub const CLIENTS: &[Client] = &[
    Client { name: "certbot (Debian)", drive: certbot::debian },
    Client { name: "certbot (PyPI)", drive: certbot::pypi },
    Client { name: "mod_md", drive: mod_md::drive },
    Client { name: "dehydrated", drive: dehydrated::drive },
    Client { name: "lego", drive: lego::drive },
    Client { name: "caddy", drive: caddy::drive },
    Client { name: "uacme", drive: uacme::drive },
    Client { name: "python acme", drive: library::python_acme },
    Client { name: "node acme-client", drive: library::node_acme_client },
    Client { name: "ruby acme-client", drive: library::ruby_acme_client },
    Client { name: "rust instant-acme", drive: library::rust_instant_acme },
    Client { name: "acme-tiny", drive: acme_tiny::drive },
];
