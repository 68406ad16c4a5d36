//! A reverse proxy as people put one before a daemon: it ends TLS, and says for whom it asks.

use super::openssl_ca::OpensslCa;
use super::place::Place;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

const LEAF: &str = "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:ca.lan";

/// In which field it says for whom it asks. Each adds to what the client has sent, and lets the other field through.
#[derive(Clone, Copy, Debug)]
pub enum Says {
    XForwardedFor,
    Forwarded,
}

pub struct Proxy {
    pub address: SocketAddr,
    /// Whom its clients have to trust.
    pub root_pem: String,
}

impl Proxy {
    /// Before a daemon that it reaches from 127.0.0.1.
    pub fn start(place: &Place, daemon: SocketAddr, says: Says) -> Proxy {
        let ca = OpensslCa::new();
        let chain = ca.issue("proxy", "/", LEAF, 30);
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(&ca.key("proxy")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind((place.address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let config = Arc::clone(&config);
                // Whoever goes away in between hears nothing.
                std::thread::spawn(move || pass_on(client, config, daemon, says));
            }
        });
        Proxy { address, root_pem: ca.root_pem.clone() }
    }
}

/// One request and its reply, since clients of stories close after each.
fn pass_on(client: TcpStream, config: Arc<ServerConfig>, daemon: SocketAddr, says: Says) -> std::io::Result<()> {
    let who = client.peer_addr()?.ip();
    let mut client = StreamOwned::new(ServerConnection::new(config).unwrap(), client);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        client.read_exact(&mut octet)?;
        head.push(octet[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let value = |line: &str, name: &str| {
        let (own, value) = line.split_once(':')?;
        own.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    };
    let length =
        head.lines().find_map(|line| value(line, "Content-Length")).map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    let (name, own) = match says {
        Says::XForwardedFor => ("X-Forwarded-For", who.to_string()),
        Says::Forwarded => ("Forwarded", format!("for={who};proto=https")),
    };
    let before: Vec<String> = head.lines().filter_map(|line| value(line, name)).collect();
    let kept: Vec<&str> = head.trim_end().lines().filter(|line| value(line, name).is_none()).collect();
    let hops = [before, vec![own]].concat().join(", ");
    let mut upstream = TcpStream::connect(daemon)?;
    upstream.write_all(format!("{}\r\n{name}: {hops}\r\n\r\n", kept.join("\r\n")).as_bytes())?;
    upstream.write_all(&body)?;
    let mut reply = Vec::new();
    upstream.read_to_end(&mut reply)?;
    client.write_all(&reply)?;
    client.conn.send_close_notify();
    client.flush()
}
