//! A TLS server that shows the tls-alpn-01 certificates of a directory, NAME.crt.pem with NAME.key.pem, for a client that
//! makes them and leaves the showing to others.

use rustls::ServerConfig;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

pub fn start(directory: PathBuf, address: SocketAddr) {
    let mut config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Directory(directory)));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let config = Arc::new(config);
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
        }
    });
}

#[derive(Debug)]
struct Directory(PathBuf);

impl ResolvesServerCert for Directory {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?;
        let certificate = CertificateDer::from_pem_file(self.0.join(format!("{name}.crt.pem"))).ok()?;
        let key = PrivateKeyDer::from_pem_file(self.0.join(format!("{name}.key.pem"))).ok()?;
        Some(Arc::new(CertifiedKey::new(vec![certificate], any_supported_type(&key).ok()?)))
    }
}
