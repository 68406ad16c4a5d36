//! What the work itself costs on this machine with these libraries, in the same run: the limit to come close to.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    UnparsedPublicKey,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Microseconds, each the median of many.
pub struct Floor {
    pub verify: f64,
    pub sign: f64,
    pub rsa_sign: f64,
    /// Of TLS 1.3, the server's side.
    pub handshake: f64,
    pub fdatasync: f64,
    /// Of one byte and back over a kept connection on loopback, one side.
    pub round_trip: f64,
}

impl Floor {
    pub fn measure() -> Floor {
        let random = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).unwrap();
        let message = [7; 300];
        let signature = pair.sign(&random, &message).unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key().as_ref());
        let rsa = rsa_key();
        let mut rsa_signature = vec![0; rsa.public().modulus_len()];
        Floor {
            verify: median(2000, || public.verify(&message, signature.as_ref()).unwrap()),
            sign: median(2000, || pair.sign(&random, &message).map(|_| ()).unwrap()),
            rsa_sign: median(300, || rsa.sign(&RSA_PKCS1_SHA256, &random, &message, &mut rsa_signature).unwrap()),
            handshake: handshake(),
            fdatasync: fdatasync(),
            round_trip: round_trip(),
        }
    }

    /// The server's CPU time for one issuance, were there nothing but what cannot be left out: the signatures of six
    /// requests, of the CSR, and of what was issued are verified, one is made, and six requests and http-01 pass loopback.
    pub fn issuance(&self, sign: f64) -> f64 {
        8.0 * self.verify + sign + 7.0 * self.round_trip
    }
}

impl Floor {
    pub fn markdown(&self) -> String {
        let rows = [
            ("ES256 verification", self.verify),
            ("ES256 signature", self.sign),
            ("RSA-2048 signature", self.rsa_sign),
            ("TLS 1.3 handshake, server's side", self.handshake),
            ("fdatasync after 4 KiB", self.fdatasync),
            ("round trip on loopback, a side", self.round_trip),
        ];
        let rows: String = rows.iter().map(|(what, cost)| format!("| {what} | {cost:.0} |\n")).collect();
        format!("| what the work itself costs | µs |\n| -------------------------- | -: |\n{rows}")
    }
}

fn median(count: usize, mut act: impl FnMut()) -> f64 {
    let times = (0..count).map(|_| {
        let start = Instant::now();
        act();
        start.elapsed()
    });
    middle(times.collect())
}

fn middle(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = std::process::Command::new("/usr/bin/openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn rsa_key() -> RsaKeyPair {
    let pem = openssl(&["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    RsaKeyPair::from_pkcs8(PrivateKeyDer::from_pem_slice(&pem).unwrap().secret_der()).unwrap()
}

/// Both sides in memory, the server's steps timed.
fn handshake() -> f64 {
    let place = tempfile::tempdir().unwrap();
    let (key, certificate) = (place.path().join("key"), place.path().join("certificate"));
    let (key, certificate) = (key.to_str().unwrap(), certificate.to_str().unwrap());
    let request = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=a.lan";
    let request: Vec<&str> = request.split(' ').collect();
    let rest = [
        "-addext",
        "subjectAltName=DNS:a.lan",
        "-addext",
        "basicConstraints=CA:FALSE",
        "-keyout",
        key,
        "-out",
        certificate,
    ];
    openssl(&[&request[..], &rest].concat());
    let chain: Vec<CertificateDer> = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = [&rustls::version::TLS13];
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.clone(), PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (server, client) = (Arc::new(server), Arc::new(client));
    let times = (0..200).map(|_| {
        let mut server = ServerConnection::new(server.clone()).unwrap();
        let mut client = ClientConnection::new(client.clone(), ServerName::try_from("a.lan").unwrap()).unwrap();
        let mut spent = Duration::ZERO;
        while server.is_handshaking() || client.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            let start = Instant::now();
            server.read_tls(&mut &bytes[..]).unwrap();
            server.process_new_packets().unwrap();
            let mut reply = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut reply).unwrap();
            }
            spent += start.elapsed();
            let mut reply = &reply[..];
            while !reply.is_empty() {
                client.read_tls(&mut reply).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        spent
    });
    middle(times.collect())
}

fn fdatasync() -> f64 {
    let place = tempfile::tempdir().unwrap();
    let mut file = File::create(place.path().join("wal")).unwrap();
    median(300, || {
        file.write_all(&[7; 4096]).unwrap();
        rustix::fs::fdatasync(&file).unwrap();
    })
}

/// Half of what both sides and the waking of one by the other take.
fn round_trip() -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    for side in [&near, &far] {
        side.set_nodelay(true).unwrap();
    }
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while far.read_exact(&mut byte).is_ok() {
            far.write_all(&byte).unwrap();
        }
    });
    let mut byte = [0];
    let both = median(3000, || {
        near.write_all(&byte).unwrap();
        near.read_exact(&mut byte).unwrap();
    });
    drop(near);
    echo.join().unwrap();
    both / 2.0
}
