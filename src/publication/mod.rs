//! What is served in the clear, to whoever asks (RFC 5280, 4.2.2.1: CA certificates are fetched over plain HTTP).

use crate::der::to_pem;
use crate::error::Result;
use crate::keys::from_hex;
use crate::store::{ItemKind, KeyVersion, Store};
use std::sync::Arc;

/// What can be fetched.
pub struct Publication {
    store: Arc<Store>,
}

/// A document to be served.
#[derive(Clone, Debug)]
pub struct Document {
    /// The media type.
    pub content_type: &'static str,
    /// For how many seconds caches may keep it.
    pub max_age: u32,
    /// The content.
    pub body: Vec<u8>,
}

const DER: &str = "application/pkix-cert";
const PEM: &str = "application/x-pem-file";

impl Publication {
    /// What a store has to publish.
    pub fn new(store: Arc<Store>) -> Publication {
        Publication { store }
    }

    /// The document at a path, if there is one: `/ca/<subject key identifier>.cer` or `.pem`, and `/ca/<display-id>.pem`
    /// of a key or an issuer.
    ///
    /// # Errors
    /// The store's.
    pub fn find(&self, path: &str) -> Result<Option<Document>> {
        let Some(file) = path.strip_prefix("/ca/") else { return Ok(None) };
        let Some((name, format)) = file.rsplit_once('.') else { return Ok(None) };
        let version = match from_hex::<20>(name) {
            Some(identifier) => self.store.read(|read| read.key_version_by_identifier(&identifier))?,
            None if format == "pem" => self.current_version(name)?,
            None => None,
        };
        let Some(certificate) = version.and_then(|v| v.certificate) else { return Ok(None) };
        Ok(match format {
            "cer" => Some(Document { content_type: DER, max_age: 86_400, body: certificate }),
            "pem" => {
                let body = to_pem("CERTIFICATE", &certificate).into_bytes();
                Some(Document { content_type: PEM, max_age: 3_600, body })
            }
            _ => None,
        })
    }

    fn current_version(&self, display_id: &str) -> Result<Option<KeyVersion>> {
        self.store.read(|read| {
            let key = match read.item_by_display_id(display_id)? {
                Some(item) if item.kind == ItemKind::Key => item.id,
                Some(item) if item.kind == ItemKind::Issuer => read.issuer(item.id)?.signer_key,
                _ => return Ok(None),
            };
            Ok(Some(read.key(key)?.current))
        })
    }
}
