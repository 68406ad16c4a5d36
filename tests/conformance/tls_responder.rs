//! What answers tls-alpn-01: a TLS server that shows a certificate chosen for each server name, honest or not, and
//! remembers how it was greeted. For names without a certificate of their own it is a web server, for redirects to https.

use crate::world::base64url;
use crate::world::patience::seconds;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

pub const ALPN: &[u8] = b"acme-tls/1";
pub const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

pub struct TlsResponder {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    shown: HashMap<String, Shown>,
    greetings: Vec<Greeting>,
}

/// What is shown to whoever asks for a name.
#[derive(Clone)]
pub struct Shown {
    pub certificate: Certificate,
    /// The protocols that the server speaks; none means that it does not know ALPN.
    pub protocols: Vec<Vec<u8>>,
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// What is written once the handshake is done.
    pub page: String,
}

#[derive(Clone)]
pub struct Certificate {
    pub der: Vec<u8>,
    pub key: Vec<u8>,
}

/// How a client introduced itself, and what it sent after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    pub server_name: Option<String>,
    pub protocols: Vec<Vec<u8>>,
    pub request: Vec<u8>,
}

impl Shown {
    pub fn new(certificate: Certificate) -> Shown {
        Shown {
            certificate,
            protocols: vec![ALPN.to_vec()],
            versions: rustls::ALL_VERSIONS.to_vec(),
            page: String::new(),
        }
    }
}

impl Certificate {
    /// The certificate of RFC 8737, 3: one name, and the hash of the key authorization in a critical extension.
    pub fn of_challenge(name: &str, key_authorization: &str) -> Certificate {
        Certificate::with(&[&alt_name(&[name]), &identifier_line("critical,", &hash(key_authorization))])
    }

    /// These lines of an extension section, under a fresh key.
    pub fn with(lines: &[&str]) -> Certificate {
        let directory = tempfile::tempdir().unwrap();
        let (key, certificate) = (directory.path().join("key.der"), directory.path().join("certificate.der"));
        let pem = directory.path().join("key.pem");
        let output = Command::new("/usr/bin/openssl")
            .args(["req", "-x509", "-nodes", "-outform", "DER", "-subj", "/CN=challenge", "-days", "7"])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(lines.iter().flat_map(|line| ["-addext", line]))
            .arg("-keyout")
            .arg(&pem)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl req -x509: {}", String::from_utf8_lossy(&output.stderr));
        let mut convert = Command::new("/usr/bin/openssl");
        convert.args(["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in"]).arg(&pem).arg("-out").arg(&key);
        assert!(convert.status().unwrap().success());
        Certificate { der: std::fs::read(certificate).unwrap(), key: std::fs::read(key).unwrap() }
    }
}

pub fn hash(key_authorization: &str) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, key_authorization.as_bytes()).as_ref().to_vec()
}

/// What stands in the TXT record of dns-01.
pub fn text_hash(key_authorization: &str) -> String {
    base64url::encode(hash(key_authorization))
}

pub fn alt_name(names: &[&str]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| match name.parse::<IpAddr>() {
            Ok(_) => format!("IP:{name}"),
            Err(_) => format!("DNS:{name}"),
        })
        .collect();
    format!("subjectAltName={}", names.join(","))
}

pub fn identifier_line(critical: &str, hash: &[u8]) -> String {
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{ACME_IDENTIFIER}={critical}DER:04{:02x}{hex}", hash.len())
}

impl TlsResponder {
    pub fn start(address: impl Into<IpAddr>, port: u16) -> TlsResponder {
        let listener = TcpListener::bind((address.into(), port)).unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    let _ = serve(stream, &shared);
                });
            }
        });
        TlsResponder { state }
    }

    pub fn show(&self, server_name: &str, shown: Shown) {
        self.state.lock().unwrap().shown.insert(server_name.to_owned(), shown);
    }

    /// The greetings in which this name was asked for.
    pub fn greetings(&self, server_name: &str) -> Vec<Greeting> {
        let state = self.state.lock().unwrap();
        state
            .greetings
            .iter()
            .filter(|greeting| greeting.server_name.as_deref() == Some(server_name))
            .cloned()
            .collect()
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(seconds(10)))?;
    let mut acceptor = Acceptor::default();
    let accepted = loop {
        acceptor.read_tls(&mut stream)?;
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err((error, mut alert)) => {
                alert.write_all(&mut stream)?;
                return Err(std::io::Error::other(error));
            }
        }
    };
    let (server_name, protocols) = introduced(&accepted.client_hello());
    let at = {
        let mut state = state.lock().unwrap();
        state.greetings.push(Greeting { server_name: server_name.clone(), protocols, request: Vec::new() });
        state.greetings.len() - 1
    };
    let Some(shown) = state.lock().unwrap().shown.get(server_name.as_deref().unwrap_or_default()).cloned() else {
        return Ok(());
    };
    let mut connection = match accepted.into_connection(configuration(&shown)) {
        Ok(connection) => connection,
        Err((error, mut alert)) => {
            alert.write_all(&mut stream)?;
            return Err(std::io::Error::other(error));
        }
    };
    connection.complete_io(&mut stream)?;
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    tls.write_all(shown.page.as_bytes())?;
    tls.flush()?;
    let mut request = vec![0; 4096];
    let length = tls.read(&mut request).unwrap_or(0);
    request.truncate(length);
    state.lock().unwrap().greetings[at].request = request;
    Ok(())
}

fn introduced(hello: &ClientHello<'_>) -> (Option<String>, Vec<Vec<u8>>) {
    let protocols = hello.alpn().map(|all| all.map(<[u8]>::to_vec).collect()).unwrap_or_default();
    (hello.server_name().map(str::to_owned), protocols)
}

fn configuration(shown: &Shown) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(shown.certificate.key.clone()));
    let signing = any_ecdsa_type(&key).unwrap();
    let certified = CertifiedKey::new(vec![CertificateDer::from(shown.certificate.der.clone())], signing);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&shown.versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(certified))));
    config.alpn_protocols.clone_from(&shown.protocols);
    Arc::new(config)
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}
