//! The answer to tls-alpn-01 (RFC 8737), which instant-acme leaves to those who use it.

use crate::Outcome;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};
use std::net::TcpListener;
use std::sync::Arc;

/// Show the certificate for this digest there until the program ends.
pub fn show(name: &str, digest: &[u8], address: &str) -> Outcome<()> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_string()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?.der().clone();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der())?;
    let shown = Always(Arc::new(CertifiedKey::new(vec![certificate], any_supported_type(&private)?)));
    let mut config = ServerConfig::builder_with_provider(default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let (config, listener) = (Arc::new(config), TcpListener::bind(address)?);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Ok(mut connection) = ServerConnection::new(config.clone()) else { break };
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
        }
    });
    Ok(())
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}
