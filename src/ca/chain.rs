//! The CA certificates above a leaf: whether they hold together (RFC 5280, 6.1), and what they let a signer do.

use super::certificate::{CaProfile, Validity};
use super::constraints::ChainConstraints;
use super::extension::KeyUsage;
use super::parsed::ParsedCertificate;
use super::signed::Signed;
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::keys::PublicKey;

/// CA certificates, the signer's first, the root last.
#[derive(Clone, Debug)]
pub struct CaChain {
    certificates: Vec<(ParsedCertificate, CaProfile)>,
}

impl CaChain {
    /// Read a chain that was verified when it came in.
    ///
    /// # Errors
    /// Malformed when one of them is not a CA certificate.
    pub fn parse(chain: &[Vec<u8>]) -> Result<CaChain> {
        let read = |der: &Vec<u8>| {
            let certificate = ParsedCertificate::parse(der)?;
            let profile = certificate.ca_profile()?;
            Ok((certificate, profile))
        };
        Ok(CaChain { certificates: chain.iter().map(read).collect::<Result<_>>()? })
    }

    /// Whether each certificate of a chain is still signed by the key of the one that follows, and the last by its own.
    ///
    /// # Errors
    /// Malformed, naming the certificate, when one is not.
    pub fn check_signatures(chain: &[Vec<u8>]) -> Result<()> {
        let above = chain.iter().skip(1).chain(chain.last());
        for (number, (der, above)) in (1..).zip(chain.iter().zip(above)) {
            let signed = ParsedCertificate::parse(above)
                .and_then(|above| Signed::parse(der).and_then(|signed| signed.verify(&PublicKey::known(&above.spki)?)));
            signed.map_err(|e| Error::malformed(format!("certificate {number} of the chain is damaged ({e})")))?;
        }
        Ok(())
    }

    /// Read and verify a chain from elsewhere.
    ///
    /// # Errors
    /// Malformed, naming the certificate, when one is not of a CA, has ended, does not belong under the next one, or when
    /// there is no self-signed root at the end.
    pub fn verify(chain: &[Vec<u8>], now: Time) -> Result<CaChain> {
        let read = CaChain::parse(chain)?;
        for (at, ((certificate, profile), der)) in read.certificates.iter().zip(chain).enumerate() {
            let number = at.saturating_add(1);
            let wrong = |why: &str| Error::malformed(format!("certificate {number} of the chain {why}"));
            if !certificate.life()?.covers(now) {
                return Err(wrong("has ended or has not begun"));
            }
            if !profile.key_usage.is_empty() && !profile.key_usage.contains(&KeyUsage::KeyCertSign) {
                return Err(wrong("may not sign certificates (keyUsage without keyCertSign)"));
            }
            let above = match read.certificates.get(number) {
                Some((above, _)) => above,
                None if certificate.is_self_issued() => certificate,
                None => {
                    return Err(wrong("is the last one and not self-signed; give the whole chain, its root included"));
                }
            };
            if above.subject != certificate.issuer {
                return Err(wrong("was issued by another CA than the one that follows it"));
            }
            let signed = Signed::parse(der).and_then(|signed| signed.verify(&PublicKey::known(&above.spki)?));
            signed.map_err(|e| wrong(&format!("does not verify under the one that follows it ({e})")))?;
        }
        if read.room().is_some_and(|room| room < 0) {
            return Err(Error::malformed("a path length in the chain does not allow it to be so long"));
        }
        Ok(read)
    }

    /// The signer's certificate.
    ///
    /// # Errors
    /// Internal when the chain is empty.
    pub fn signer(&self) -> Result<&ParsedCertificate> {
        self.certificates.first().map(|(c, _)| c).ok_or_else(|| Error::internal("a chain without certificates"))
    }

    /// When all of them are valid.
    ///
    /// # Errors
    /// Malformed when a date cannot be read; Internal when the chain is empty.
    pub fn validity(&self) -> Result<Validity> {
        let mut all = self.signer()?.life()?;
        for (certificate, _) in &self.certificates {
            let life = certificate.life()?;
            all.not_before = all.not_before.max(life.not_before);
            all.not_after = all.not_after.min(life.not_after);
        }
        Ok(all)
    }

    /// The names that a leaf below can have.
    ///
    /// # Errors
    /// Malformed when constraints cannot be understood.
    pub fn constraints(&self) -> Result<ChainConstraints> {
        let mut all = ChainConstraints::default();
        for (certificate, _) in &self.certificates {
            all.add(certificate.name_constraints()?);
        }
        Ok(all)
    }

    /// The path length that a CA certificate below the signer must not exceed; `None` where there is no bound.
    ///
    /// # Errors
    /// Conflict when the signer may sign no CA certificate at all.
    pub fn path_len_below(&self) -> Result<Option<u8>> {
        match self.room() {
            None => Ok(None),
            Some(room) => u8::try_from(room.saturating_sub(1)).map(Some).map_err(|_| {
                Error::conflict(
                    "a path length above does not allow another CA certificate below; make a CA with a longer one (pathlen)",
                )
            }),
        }
    }

    /// How many CA certificates may follow below the signer, less than none where the chain is too long already; `None` where
    /// there is no bound.
    fn room(&self) -> Option<i16> {
        let mut below = 0i16;
        let mut rooms = Vec::new();
        for (certificate, profile) in &self.certificates {
            rooms.extend(profile.path_len.map(|length| i16::from(length).saturating_sub(below)));
            // Self-issued certificates do not count (RFC 5280, 6.1.4, l), and a root is the last one anyway.
            below = below.saturating_add(i16::from(!certificate.is_self_issued()));
        }
        rooms.into_iter().min()
    }
}
