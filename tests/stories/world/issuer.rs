//! An issuer with its key, made by commands, and what a client must know of it.

use super::account_key::AccountKey;
use super::acme::Client;
use super::daemon::Ca;
use super::wire::Wire;
use serde_json::Value;
use std::net::SocketAddr;

pub const SIGNER_KEY: &str = "/ACME/Server/SignerKey";
pub const ISSUER: &str = "/ACME/Server/ACMEIssuer";
pub const CERTIFICATES: &str = "/ACME/Server/Certificates";

/// The published csr.conf, byte for byte.
pub const CSR_CONF: &str = include_str!("../../data/walkthrough-csr.conf");

#[derive(Clone)]
pub struct Issuer {
    pub name: String,
    pub host: String,
    pub directory: String,
    pub root_pem: String,
    pub listen: SocketAddr,
}

impl Ca {
    /// The walk-through's key and issuer for these domains. The key is an EC one: RSA keys take seconds to make.
    pub fn make_issuer(&self, domains: &str) -> Issuer {
        self.make_issuer_with(domains, &[])
    }

    pub fn make_issuer_with(&self, domains: &str, flags: &[&str]) -> Issuer {
        self.make_signer_key(SIGNER_KEY);
        self.make_issuer_named(ISSUER, SIGNER_KEY, "ca.lan", domains, flags)
    }

    pub fn make_signer_key(&self, name: &str) {
        let conf = self.place.write("csr.conf", CSR_CONF);
        let conf = conf.to_str().unwrap();
        self.run(&[
            "create-dfc-key",
            "--name",
            name,
            "--alg",
            "EC256",
            "--generate-self-signed-certificate",
            "true",
            "--certificate-ttl",
            "365",
            "--conf-file-path",
            conf,
        ])
        .succeeded();
    }

    pub fn make_issuer_named(&self, name: &str, key: &str, host: &str, domains: &str, flags: &[&str]) -> Issuer {
        let url = self.cluster_url(host);
        let mut arguments = vec![
            "create-pki-cert-issuer",
            "--name",
            name,
            "--signer-key-name",
            key,
            "--gw-cluster-url",
            &url,
            "--destination-path",
            CERTIFICATES,
            "--ttl",
            "90d",
            "--allowed-domains",
            domains,
            "--enable-acme",
            "true",
        ];
        arguments.extend(flags);
        self.run(&arguments).succeeded();
        self.issuer(name, key, host)
    }

    pub fn issuer(&self, name: &str, key: &str, host: &str) -> Issuer {
        Issuer {
            name: name.to_string(),
            host: host.to_string(),
            directory: text(&self.describe(name), "acme_directory_url"),
            root_pem: text(&self.describe(key), "certificates"),
            listen: self.listen,
        }
    }

    pub fn cluster_url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.listen.port())
    }

    pub fn describe(&self, name: &str) -> Value {
        self.run(&["describe-item", "--name", name]).succeeded().json()
    }

    pub fn make_eab(&self, issuer: &Issuer) -> Eab {
        self.make_eab_with(issuer, &[])
    }

    pub fn make_eab_with(&self, issuer: &Issuer, flags: &[&str]) -> Eab {
        let arguments = [&["generate-acme-eab", "--cert-issuer-name", &issuer.name], flags].concat();
        let reply = self.run(&arguments).succeeded().json();
        Eab::read(&reply)
    }

    pub fn accounts(&self, issuer: &Issuer) -> Vec<Value> {
        let reply = self.run(&["list-acme-accounts", "--cert-issuer-name", &issuer.name]).succeeded().json();
        reply["accounts"].as_array().unwrap_or_else(|| panic!("no accounts in {reply}")).clone()
    }

    /// What get-certificate-value gives to programs.
    pub fn certificate_value(&self, name: &str) -> String {
        let reply = self.run(&["get-certificate-value", "--name", name, "--json"]).succeeded().json();
        text(&reply, "certificate_pem")
    }

    /// The names of all items below this path.
    pub fn item_names(&self, path: &str) -> Vec<String> {
        let reply = self.run(&["list-items", "--path", path, "--json"]).succeeded().json();
        let items = reply["items"].as_array().unwrap_or_else(|| panic!("no items in {reply}"));
        items.iter().map(|item| text(item, "item_name")).collect()
    }

    /// A client with an account, of the usual kind.
    pub fn client(&self, issuer: &Issuer) -> Client {
        let mut client = issuer.client(AccountKey::es256());
        client.register(&self.make_eab(issuer)).expect(201);
        client
    }

    /// A client with an account that needs no challenge for these domains.
    pub fn unchallenged_client(&self, issuer: &Issuer, domains: &str) -> Client {
        let mut client = issuer.client(AccountKey::es256());
        client.register(&self.make_eab_with(issuer, &["--no-challenge", "--allowed-domains", domains])).expect(201);
        client
    }
}

impl Issuer {
    pub fn wire(&self) -> Wire {
        Wire::new(self.listen, &self.host, &self.root_pem)
    }

    /// A client that has no account yet.
    pub fn client(&self, key: AccountKey) -> Client {
        Client::new(self.wire(), &self.directory, key)
    }
}

#[derive(Clone, Debug)]
pub struct Eab {
    pub kid: String,
    pub mac_key: String,
    pub expires_at: String,
}

impl Eab {
    /// What generate-acme-eab says.
    pub fn read(reply: &Value) -> Eab {
        Eab { kid: text(reply, "kid"), mac_key: text(reply, "mac_key"), expires_at: text(reply, "expires_at") }
    }
}

#[track_caller]
pub fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}")).to_string()
}
