//! A root certificate as people look at it: whose it is, until when, and the fingerprint by which two people make sure that
//! they mean the same one.

use super::certificate::Validity;
use super::name::name_to_text;
use super::parsed::ParsedCertificate;
use crate::clock::Time;
use crate::der::{from_pem, to_pem};
use crate::error::{Error, Result};
use crate::keys::sha256;

/// A certificate of a CA that nobody stands above.
#[derive(Clone, Debug)]
pub struct RootCertificate {
    /// The DER.
    pub der: Vec<u8>,
    /// The subject, as people write it (RFC 4514).
    pub subject: String,
    /// Its life.
    pub life: Validity,
}

impl RootCertificate {
    /// Read one from DER.
    ///
    /// # Errors
    /// Malformed when it is no certificate of a CA, or another one stands above it.
    pub fn parse(der: &[u8]) -> Result<RootCertificate> {
        let parsed = ParsedCertificate::parse(der)?;
        parsed.ca_profile()?;
        let subject = name_to_text(&parsed.subject)?;
        if !parsed.is_self_issued() {
            let issuer = name_to_text(&parsed.issuer)?;
            return Err(Error::malformed(format!(
                "the certificate of {subject} is no root: {issuer} signed it; give the certificate of that one"
            )));
        }
        Ok(RootCertificate { der: der.to_vec(), subject, life: parsed.life()? })
    }

    /// Read all of a PEM text.
    ///
    /// # Errors
    /// As [`RootCertificate::parse`].
    pub fn parse_all(pem: &str) -> Result<Vec<RootCertificate>> {
        from_pem("CERTIFICATE", pem)?.iter().map(|der| RootCertificate::parse(der)).collect()
    }

    /// Read the only one of a file, PEM or DER.
    ///
    /// # Errors
    /// As [`RootCertificate::parse`], and when there are several.
    pub fn parse_file(bytes: &[u8]) -> Result<RootCertificate> {
        let text = String::from_utf8_lossy(bytes);
        let blocks = from_pem("CERTIFICATE", &text)?;
        match blocks.as_slice() {
            [] => RootCertificate::parse(bytes),
            [one] => RootCertificate::parse(one),
            several => Err(Error::malformed(format!(
                "it holds {} certificates; give the root alone, so that nothing else comes to be trusted",
                several.len()
            ))),
        }
    }

    /// Whether it is of use.
    ///
    /// # Errors
    /// Conflict when it has ended.
    pub fn check_lives(&self, now: Time) -> Result<()> {
        match now > self.life.not_after {
            true => {
                Err(Error::conflict(format!("the certificate of {} ended on {}", self.subject, self.life.not_after)))
            }
            false => Ok(()),
        }
    }

    /// SHA-256 over the DER, as every tool shows it: pairs of capital digits with colons between.
    pub fn fingerprint(&self) -> String {
        let pairs: Vec<String> = sha256(&self.der).iter().map(|octet| format!("{octet:02X}")).collect();
        pairs.join(":")
    }

    /// The same as PEM.
    pub fn to_pem(&self) -> String {
        to_pem("CERTIFICATE", &self.der)
    }
}
