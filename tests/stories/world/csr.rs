//! Certificate signing requests, made by openssl.

use super::account_key::AccountKey;
use super::openssl::openssl;
use super::place::Place;
use std::process::Command;

pub struct Csr {
    pub der: Vec<u8>,
}

impl Csr {
    /// What an ACME client sends: an empty subject and the names as subjectAltName, under a fresh P-256 key.
    pub fn for_names(names: &[&str]) -> Csr {
        let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        Csr::with("/", &format!("subjectAltName={}", names.join(",")), &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
    }

    /// The same for a key that a story holds, an RSA one.
    pub fn for_key(place: &Place, key: &AccountKey, names: &[&str]) -> Csr {
        place.write("holder.key", key.rsa_pem());
        let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let extension = format!("subjectAltName={}", names.join(","));
        let request = ["req", "-new", "-key", "holder.key", "-subj", "/", "-addext", &extension];
        openssl(place, &[&request[..], &["-outform", "DER", "-out", "holder.csr"]].concat()).succeeded();
        Csr { der: std::fs::read(place.file("holder.csr")).unwrap() }
    }

    /// `extensions` are the lines of an extension section, `key` is what follows `openssl req -newkey`.
    pub fn with(subject: &str, extensions: &str, key: &[&str]) -> Csr {
        let directory = tempfile::tempdir().unwrap();
        let (private, request) = (directory.path().join("key.pem"), directory.path().join("csr.der"));
        let output = Command::new("/usr/bin/openssl")
            .args(["req", "-new", "-nodes", "-outform", "DER", "-subj", subject])
            .args(extensions.lines().flat_map(|line| ["-addext", line]))
            .arg("-newkey")
            .args(key)
            .arg("-keyout")
            .arg(private)
            .arg("-out")
            .arg(&request)
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl req: {}", String::from_utf8_lossy(&output.stderr));
        Csr { der: std::fs::read(request).unwrap() }
    }
}
