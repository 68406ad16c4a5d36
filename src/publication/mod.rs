//! What is served in the clear, to whoever asks (RFC 5280, 4.2.2.1 and 8: CA certificates and CRLs are fetched over plain
//! HTTP, so that fetching them needs no certificate checked).

mod page;
mod trusting;

pub use trusting::{WayLine, WayToTrust, ways_to_trust};

use crate::ca::RootCertificate;
use crate::clock::{Clock, Time};
use crate::der::{from_base64, to_pem};
use crate::error::Result;
use crate::issuance::{Issuance, OcspReply};
use crate::keys::{from_hex, sha256};
use crate::policy::acme_url;
use crate::store::{CrlShard, Issuer, Item, ItemKind, KeyVersion, Store};
use std::sync::Arc;

/// What can be fetched.
pub struct Publication {
    store: Arc<Store>,
    issuance: Arc<Issuance>,
    clock: Clock,
}

/// A request as the HTTP room hands it in.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Whether it is a POST.
    pub is_post: bool,
    /// Path, as written.
    pub path: &'a str,
    /// Content-Type, if there is one.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// The client's address.
    pub address: &'a str,
}

/// A document to be served.
#[derive(Clone, Debug)]
pub struct Document {
    /// The media type.
    pub content_type: &'static str,
    /// For how many seconds caches may keep it; `None` where they must not.
    pub max_age: Option<u32>,
    /// When it was made and until when it is good, where it says so itself.
    pub life: Option<(Time, Time)>,
    /// What a browser may do with it, where it is a page.
    pub security_policy: Option<String>,
    /// The content.
    pub body: Vec<u8>,
}

const CERTIFICATE: &str = "application/pkix-cert";
const CRL: &str = "application/pkix-crl";
const OCSP_REQUEST: &str = "application/ocsp-request";
const OCSP_RESPONSE: &str = "application/ocsp-response";
const PEM: &str = "application/x-pem-file";
const HTML: &str = "text/html; charset=utf-8";
/// A revocation is seen within so many seconds by whoever asks, whatever stands between.
const MAX_AGE: u32 = 600;
/// The longest path of a request by GET (RFC 6960, A.1, has 255 bytes of it in mind).
const LONGEST_GET: usize = 4_096;

impl Publication {
    /// What a store has to publish.
    pub fn new(store: Arc<Store>, issuance: Arc<Issuance>, clock: Clock) -> Publication {
        Publication { store, issuance, clock }
    }

    /// What is answered to a request, if there is anything: the page `/ca`, the roots that it names at
    /// `/ca/root/<SHA-256>.cer` or `.pem`, `/ca/<subject key identifier>.cer` or `.pem`,
    /// `/ca/<display-id>.pem` of a key or an issuer, `/crl/<subject key identifier>/<shard>.crl`, the complete lists at
    /// `/crl/<display-id>` and, of one version of a signer, at `/crl/<subject key identifier>.crl`, and
    /// `/ocsp/<subject key identifier>` by POST, or by GET with the request after it.
    ///
    /// # Errors
    /// The store's.
    pub fn find(&self, question: &Question<'_>) -> Result<Option<Document>> {
        if let Some(rest) = question.path.strip_prefix("/ocsp/") {
            return self.ocsp(rest, question);
        }
        if question.is_post {
            return Ok(None);
        }
        if matches!(question.path, "/ca" | "/ca/") {
            return self.page().map(Some);
        }
        if let Some(file) = question.path.strip_prefix("/ca/root/") {
            return self.root(file);
        }
        match question.path.strip_prefix("/ca/") {
            Some(file) => self.certificate(file),
            None => question.path.strip_prefix("/crl/").map_or(Ok(None), |rest| self.crl(rest)),
        }
    }

    fn page(&self) -> Result<Document> {
        let mut shown = Vec::new();
        for (item, issuer) in self.enabled_issuers()? {
            // One whose signer has no certificate yet has nothing to show, and holds up no other.
            let Ok(roots) = self.issuance.roots_of_key(issuer.signer_key) else { continue };
            let url = issuer.gw_cluster_url.as_ref().filter(|_| issuer.acme_enabled);
            shown.push(page::ShownIssuer {
                name: item.name.rsplit('/').next().unwrap_or_default().to_owned(),
                directory: url.map(|url| acme_url(url, &item.display_id, "directory")),
                roots: roots.iter().map(|der| RootCertificate::parse(der)).collect::<Result<_>>()?,
            });
        }
        Ok(Document {
            content_type: HTML,
            max_age: None,
            life: None,
            security_policy: Some(page::policy()),
            body: page::render(&shown, self.clock.now()).into_bytes(),
        })
    }

    /// A root that the page names, by its SHA-256.
    fn root(&self, file: &str) -> Result<Option<Document>> {
        let Some((name, format)) = file.rsplit_once('.') else { return Ok(None) };
        let Some(hash) = from_hex::<32>(name) else { return Ok(None) };
        for (_, issuer) in self.enabled_issuers()? {
            let Ok(roots) = self.issuance.roots_of_key(issuer.signer_key) else { continue };
            if let Some(root) = roots.iter().find(|root| sha256(root) == hash) {
                return Ok(as_file(root, format));
            }
        }
        Ok(None)
    }

    fn enabled_issuers(&self) -> Result<Vec<(Item, Issuer)>> {
        let issuers = self.store.read(|read| {
            read.issuers()?.into_iter().map(|issuer| Ok((read.item(issuer.item)?, issuer))).collect::<Result<Vec<_>>>()
        })?;
        Ok(issuers.into_iter().filter(|(item, _)| item.enabled).collect())
    }

    fn certificate(&self, file: &str) -> Result<Option<Document>> {
        let Some((name, format)) = file.rsplit_once('.') else { return Ok(None) };
        let version = match self.version(name)? {
            None if format == "pem" => self.item(name)?.map(|(_, version)| version),
            found => found,
        };
        let Some(version) = version.filter(|version| version.certificate.is_some()) else { return Ok(None) };
        let Some(certificate) = self.issuance.ca_certificate(version.id)? else { return Ok(None) };
        Ok(as_file(&certificate, format))
    }

    fn crl(&self, rest: &str) -> Result<Option<Document>> {
        let (signer, shard) = match rest.split_once('/') {
            None => {
                let signer = match rest.strip_suffix(".crl") {
                    // That of a version which signs no more, for servers that load one file.
                    Some(name) => self.version(name)?,
                    None => self.item(rest)?.map(|(_, version)| version),
                };
                (signer, Some(CrlShard::Complete))
            }
            Some((name, file)) => {
                let shard = match file.strip_suffix(".crl") {
                    Some("ca") => Some(CrlShard::CaCertificates),
                    // One spelling for each number.
                    Some(digits) => {
                        digits.parse::<i64>().ok().filter(|n| *n >= 0 && n.to_string() == digits).map(CrlShard::Leaves)
                    }
                    None => None,
                };
                (self.version(name)?, shard)
            }
        };
        let (Some(signer), Some(shard)) = (signer, shard) else { return Ok(None) };
        let Some(crl) = self.issuance.published_crl(&signer, shard)? else { return Ok(None) };
        Ok(Some(Document {
            content_type: CRL,
            max_age: Some(self.left(crl.next_update).min(MAX_AGE)),
            life: Some((crl.this_update, crl.next_update)),
            security_policy: None,
            body: crl.der,
        }))
    }

    fn ocsp(&self, rest: &str, question: &Question<'_>) -> Result<Option<Document>> {
        let (name, encoded) = rest.split_once('/').unwrap_or((rest, ""));
        let Some(identifier) = key_identifier(name) else { return Ok(None) };
        let request = match question.is_post {
            true if !question.content_type.is_some_and(|t| t.eq_ignore_ascii_case(OCSP_REQUEST)) => return Ok(None),
            true => question.body.to_vec(),
            // Slashes of base64 may stand as they are (RFC 5019, 5).
            false if encoded.len() <= LONGEST_GET => from_base64(&percent_decoded(encoded)).unwrap_or_default(),
            false => Vec::new(),
        };
        let reply = self.issuance.answer_ocsp(&identifier, &request, question.address)?;
        Ok(reply.map(|OcspReply { der, life }| Document {
            content_type: OCSP_RESPONSE,
            // A POST is not kept by caches in any case (RFC 5019, 6.2).
            max_age: life.filter(|_| !question.is_post).map(|(_, until)| self.left(until).min(MAX_AGE)),
            life,
            security_policy: None,
            body: der,
        }))
    }

    /// The seconds until then.
    fn left(&self, until: Time) -> u32 {
        u32::try_from(until.since(self.clock.now()).0.max(0)).unwrap_or(u32::MAX)
    }

    fn version(&self, name: &str) -> Result<Option<KeyVersion>> {
        match key_identifier(name) {
            Some(identifier) => self.store.read(|read| read.key_version_by_identifier(&identifier)),
            None => Ok(None),
        }
    }

    /// A key or an issuer by its display id, with the version that signs now.
    fn item(&self, display_id: &str) -> Result<Option<(Item, KeyVersion)>> {
        self.store.read(|read| {
            let Some(item) = read.item_by_display_id(display_id)? else { return Ok(None) };
            let key = match item.kind {
                ItemKind::Key => item.id,
                ItemKind::Issuer => read.issuer(item.id)?.signer_key,
                ItemKind::Certificate => return Ok(None),
            };
            Ok(Some((item, read.key(key)?.current)))
        })
    }
}

/// A certificate in the format that the end of a file's name says.
fn as_file(certificate: &[u8], format: &str) -> Option<Document> {
    let document = |content_type, max_age, body| Document {
        content_type,
        max_age: Some(max_age),
        life: None,
        security_policy: None,
        body,
    };
    match format {
        "cer" => Some(document(CERTIFICATE, 86_400, certificate.to_vec())),
        "pem" => Some(document(PEM, 3_600, to_pem("CERTIFICATE", certificate).into_bytes())),
        _ => None,
    }
}

/// A subject key identifier in lower-case hexadecimal. Ours have 20 bytes; other CAs use other lengths.
fn key_identifier(name: &str) -> Option<Vec<u8>> {
    let is_hex = name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex || !name.len().is_multiple_of(2) || !(2..=128).contains(&name.len()) {
        return None;
    }
    let pairs = name.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Percent-encoding taken off (RFC 3986, 2.1); what is not well formed stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let octet = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(u8::is_ascii);
        match octet {
            Some(octet) => {
                out.push(char::from(octet));
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_in_a_path_may_be_percent_encoded() {
        assert_eq!(percent_decoded("MEUw%2FzB%2b%3D%3d"), "MEUw/zB+==");
        for odd in ["%", "%2", "%zz", "a%é"] {
            assert_eq!(percent_decoded(odd), odd);
        }
    }

    #[test]
    fn a_key_identifier_has_one_spelling() {
        assert_eq!(key_identifier("00ab"), Some(vec![0, 0xab]));
        for odd in ["", "0", "00AB", "0x00", "+0ab", "00é"] {
            assert_eq!(key_identifier(odd), None, "{odd}");
        }
    }
}
