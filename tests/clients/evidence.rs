//! What shows that a client has what it says: judges of the certificate, and the daemon's own books.

use crate::stage::Stage;
use crate::world::issuer::{Eab, text};
use crate::world::judges::{assert_trusted, facts};
use crate::world::outcome::Outcome;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// A certificate that was accepted.
#[derive(Debug)]
pub struct Leaf {
    pub serial: String,
    pub key: KeyKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Rsa,
    P256,
    P384,
}

impl Stage {
    /// Two chains of trust must lead from the chain to the root for each of these names, which must be all that it has,
    /// and it must certify the public half of that key.
    #[track_caller]
    pub fn accept(&self, chain: &Path, key: &Path, names: &[&str]) -> Leaf {
        let chain = std::fs::read_to_string(chain).unwrap_or_else(|error| panic!("{}: {error}", chain.display()));
        for name in names {
            assert_trusted(&self.ca.place, &self.issuer.root_pem, &chain, &name.replace('*', "any"));
        }
        let certificates = facts(&self.ca.place, &chain);
        assert_eq!(certificates.len(), 2, "leaf and signer");
        let leaf = &certificates[0];
        let mut found: Vec<&str> = strings(&leaf["extensions"]["subjectAltName"]["value"]);
        let mut wanted: Vec<String> = names.iter().map(|name| format!("DNSName:{name}")).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted);
        let public_key = text(leaf, "public_key");
        assert_eq!(public_key, public_half(key), "the certificate is for another key");
        Leaf { serial: text(leaf, "serial"), key: kind_of(&public_key) }
    }

    /// There is one account, made with this credential.
    #[track_caller]
    pub fn assert_registered(&self, eab: &Eab) {
        let account = self.account();
        assert_eq!((&account["status"], &account["eab_kid"]), (&json!("valid"), &json!(eab.kid)), "{account}");
    }

    #[track_caller]
    pub fn assert_contact(&self, address: &str) {
        let account = self.account();
        assert_eq!(account["contacts"], json!([format!("mailto:{address}")]), "{account}");
    }

    #[track_caller]
    pub fn assert_deactivated(&self) {
        let account = self.account();
        assert_eq!(account["status"], "deactivated", "{account}");
    }

    /// The thumbprint of the account's key.
    #[track_caller]
    pub fn account_key(&self) -> String {
        text(&self.account(), "key_digest")
    }

    #[track_caller]
    pub fn assert_revoked(&self, leaf: &Leaf) {
        assert_eq!(self.revocations(leaf), 1, "the certificate with serial number {} is not revoked", leaf.serial);
    }

    #[track_caller]
    pub fn assert_not_revoked(&self, leaf: &Leaf) {
        assert_eq!(self.revocations(leaf), 0, "the certificate with serial number {} is revoked", leaf.serial);
    }

    fn account(&self) -> Value {
        let mut accounts = self.ca.accounts(&self.issuer);
        assert_eq!(accounts.len(), 1, "one client, one account: {accounts:?}");
        accounts.remove(0)
    }

    fn revocations(&self, leaf: &Leaf) -> u64 {
        let serial: u128 = leaf.serial.parse().expect("a serial number of at most 128 bits");
        let sql = format!(
            "SELECT count(*) FROM revocations JOIN certificates ON certificates.id = revocations.certificate \
             WHERE ltrim(hex(certificates.serial), '0') = '{serial:X}'"
        );
        self.ca.query(&sql).parse().unwrap()
    }
}

fn strings(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap_or_else(|| panic!("not a list: {list}"));
    list.iter().map(|one| one.as_str().unwrap()).collect()
}

/// SubjectPublicKeyInfo in hexadecimal, as openssl makes it.
fn public_half(key: &Path) -> String {
    let output = Command::new("/usr/bin/openssl").args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(key).output();
    let output = output.unwrap();
    let der = output.stdout.clone();
    Outcome::new(format!("openssl pkey -in {}", key.display()), output).succeeded();
    der.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn kind_of(public_key: &str) -> KeyKind {
    // rsaEncryption, prime256v1, secp384r1, each as DER writes the object identifier.
    match public_key {
        rsa if rsa.contains("06092a864886f70d010101") => KeyKind::Rsa,
        p256 if p256.contains("06082a8648ce3d030107") => KeyKind::P256,
        p384 if p384.contains("06052b81040022") => KeyKind::P384,
        other => panic!("a key that no client here makes: {other}"),
    }
}
