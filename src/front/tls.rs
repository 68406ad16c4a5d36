//! TLS 1.2 and 1.3 for the door, with the certificates that are in use at the moment.

use crate::error::{Error, Result};
use crate::issuance::Issuance;
use rustls::ServerConfig;
use rustls::crypto::ring;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A configuration for each local address that clients reach: without SNI it decides which certificate is shown.
pub(super) struct TlsConfigs {
    issuance: Arc<Issuance>,
    template: ServerConfig,
    by_address: HashMap<IpAddr, Arc<ServerConfig>>,
}

impl TlsConfigs {
    pub(super) fn new(issuance: Arc<Issuance>) -> Result<TlsConfigs> {
        let failed = |e: rustls::Error| Error::internal(format!("TLS cannot be set up: {e}"));
        let mut template = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(failed)?
            .with_no_client_auth()
            .with_cert_resolver(issuance.tls().resolver(IpAddr::from([0, 0, 0, 0])));
        template.alpn_protocols = vec![b"http/1.1".to_vec()];
        template.ticketer = ring::Ticketer::new().map_err(failed)?;
        template.max_early_data_size = 0;
        Ok(TlsConfigs { issuance, template, by_address: HashMap::new() })
    }

    /// Whether there is no certificate to show yet.
    pub(super) fn is_empty(&self) -> bool {
        self.issuance.tls().is_empty()
    }

    pub(super) fn for_local(&mut self, address: IpAddr) -> Arc<ServerConfig> {
        let config = self.by_address.entry(address).or_insert_with(|| {
            let mut config = self.template.clone();
            config.cert_resolver = self.issuance.tls().resolver(address);
            Arc::new(config)
        });
        Arc::clone(config)
    }
}
