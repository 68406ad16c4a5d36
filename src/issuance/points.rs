//! The URLs that certificates name: where their CRL is, who answers about them, where their issuer's certificate is.

use super::Issuance;
use super::chains::SignerChain;
use crate::ca::{KeyUsage, ParsedCertificate, Points};
use crate::error::{Error, Result};
use crate::keys::hex;
use crate::policy::IssuerPolicy;

/// The item of an issuer that is being made; its first certificate is the daemon's own.
const NOT_YET_KEPT: i64 = 0;

/// What a leaf of a signer is to say, and the CRL shard that it belongs to.
#[derive(Clone, Debug, Default)]
pub(super) struct LeafPoints {
    pub(super) points: Points,
    pub(super) shard: Option<i64>,
}

impl Issuance {
    /// What the URLs in certificates of an issuer begin with; `None` where there is no telling.
    pub fn public_url(&self, policy: &IssuerPolicy) -> Option<String> {
        policy.public_url.clone().or_else(|| {
            let host = policy.acme.as_ref()?.host().url_host();
            Some(format!("http://{host}:{}", self.plain_port?))
        })
    }

    /// Whether the current certificate of a key lets it sign CRLs (RFC 5280, 4.2.1.3).
    ///
    /// # Errors
    /// The store's; Conflict when the key has no certificate.
    pub fn can_sign_crls(&self, key: i64) -> Result<bool> {
        can_sign_crls(&self.signer_chain(key)?.signer)
    }

    /// The points of one more leaf of a signer; a new shard is begun where the last one is full.
    pub(super) fn leaf_points(&self, policy: &IssuerPolicy, signer: &SignerChain) -> Result<LeafPoints> {
        let Some(base) = self.public_url(policy) else {
            // What the issuer's clients rely on is not left out without a word.
            return match policy.create_private_crl || policy.create_private_ocsp {
                false => Ok(LeafPoints::default()),
                true => Err(Error::unavailable(
                    "the URL of CRLs and OCSP is not known, since --plain-listen has a port that changes with every start; \
                     say it with update-pki-cert-issuer --public-url",
                )),
            };
        };
        let version = self.store.read(|read| read.key_version(signer.version))?;
        let ski = hex(&version.key_identifier);
        let shard = match policy.create_private_crl && can_sign_crls(&signer.signer)? {
            false => None,
            true => {
                let (id, base) = (version.id, base.clone());
                Some(match self.store.read(|read| read.open_shard(id, &base))? {
                    Some(shard) => shard,
                    None => {
                        let shard = self.store.change(move |write| write.begin_shard(id, &base))?;
                        // What a certificate names is there before it.
                        self.publish_crls();
                        shard
                    }
                })
            }
        };
        if policy.create_private_ocsp && policy.item != NOT_YET_KEPT {
            // From now on answers are given, whatever becomes of the issuer.
            self.responder(&version, policy, signer.validity.not_after, self.clock.trusted()?)?;
        }
        let points = Points {
            crl: shard.map(|shard| crl_url(&base, &ski, shard)),
            ocsp: policy.create_private_ocsp.then(|| format!("{base}/ocsp/{ski}")),
            issuers: Some(format!("{base}/ca/{ski}.cer")),
        };
        Ok(LeafPoints { points, shard })
    }

    /// The points of one more CA certificate below a version. The list of the CA certificates of a signer has one URL for all
    /// of them: the one that was known when the first was signed, or none.
    pub(super) fn ca_points(&self, signer: &SignerChain) -> Result<Points> {
        if !can_sign_crls(&signer.signer)? {
            return Ok(Points::default());
        }
        let issuers = self.store.read(|read| read.issuers())?;
        let known = issuers.iter().find_map(|issuer| self.public_url(&IssuerPolicy::parse(issuer).ok()?));
        let version = signer.version;
        let base =
            self.store.change(move |write| write.begin_ca_shard(version, known.as_deref().unwrap_or_default()))?;
        if base.is_empty() {
            return Ok(Points::default());
        }
        self.publish_crls();
        let ski = hex(&self.store.read(|read| read.key_version(version))?.key_identifier);
        Ok(Points { crl: Some(ca_crl_url(&base, &ski)), ocsp: None, issuers: Some(format!("{base}/ca/{ski}.cer")) })
    }
}

pub(super) fn ca_crl_url(base: &str, ski: &str) -> String {
    format!("{base}/crl/{ski}/ca.crl")
}

pub(super) fn can_sign_crls(certificate: &ParsedCertificate) -> Result<bool> {
    Ok(certificate.key_usage()?.contains(&KeyUsage::CrlSign))
}

pub(super) fn crl_url(base: &str, ski: &str, shard: i64) -> String {
    format!("{base}/crl/{ski}/{shard}.crl")
}
