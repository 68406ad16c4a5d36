//! Certificates: built as bytes to be signed, linted, signed once.

use super::extension::{self, ExtendedKeyUsage, KeyUsage, Points};
use super::lint;
use super::name::{Attribute, DistinguishedName};
use super::parsed::ParsedCertificate;
use super::signed;
use super::time::time;
use crate::clock::{Span, Time};
use crate::der;
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::keys::{PublicKey, Signer, random};

/// A serial number: 16 octets, the first between 40 and 7f, so that it is positive, never begins with a zero, and
/// carries 126 random bits (RFC 5280, 4.1.2.2, allows 20 octets; the Baseline Requirements ask for 64 random bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serial([u8; 16]);

impl Serial {
    /// A random serial number.
    ///
    /// # Errors
    /// Internal when the system gives no random bytes.
    pub fn generate() -> Result<Serial> {
        let mut octets = random::<16>()?;
        octets[0] = octets[0] & 0x7f | 0x40;
        Ok(Serial(octets))
    }

    /// The octets, big-endian.
    pub fn octets(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The first and the last second of a certificate's life, both included (RFC 5280, 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: Time,
    /// The last second.
    pub not_after: Time,
}

impl Validity {
    /// A life of `lifetime` that begins a little before `now`, for clients whose clocks are behind: an hour or a tenth
    /// of the lifetime, whichever is less. With both ends included, the last second is one second before the sum.
    pub fn starting(now: Time, lifetime: Span) -> Validity {
        let back = Span(Span::HOUR.0.min(lifetime.0 / 10));
        Validity::from(now.minus(back), lifetime)
    }

    /// The same, cut to what the chain above allows: the lifetime counts from the cut beginning.
    pub fn starting_within(now: Time, lifetime: Span, signer: Validity) -> Validity {
        let wished = Validity::starting(now, lifetime);
        let cut = Validity::from(wished.not_before.max(signer.not_before), lifetime);
        Validity { not_after: cut.not_after.min(signer.not_after), ..cut }
    }

    fn from(not_before: Time, lifetime: Span) -> Validity {
        Validity { not_before, not_after: not_before.plus(lifetime).minus(Span(1)) }
    }

    /// Whether `at` lies within it.
    pub fn covers(&self, at: Time) -> bool {
        self.not_before <= at && at <= self.not_after
    }
}

/// What a leaf is made of.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Its serial number.
    pub serial: Serial,
    /// Its life.
    pub validity: Validity,
    /// Subject attributes that the issuer forces in; mostly none.
    pub subject: DistinguishedName,
    /// What it is for; at least one.
    pub identifiers: Vec<Identifier>,
    /// The subscriber's key.
    pub public_key: PublicKey,
    /// What the key may do.
    pub key_usage: Vec<KeyUsage>,
    /// Whether keyUsage is critical.
    pub key_usage_critical: bool,
    /// For what.
    pub extended_key_usage: Vec<ExtendedKeyUsage>,
    /// Whether it names its own key; lean profiles leave that out, as the Baseline Requirements advise.
    pub subject_key_identifier: bool,
    /// Where clients learn more about it.
    pub points: Points,
}

/// What a CA certificate says of its key beyond whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaProfile {
    /// How many CA certificates may follow below it.
    pub path_len: Option<u8>,
    /// What the key may do; keyCertSign among it.
    pub key_usage: Vec<KeyUsage>,
    /// The value of nameConstraints, if it limits its descendants.
    pub name_constraints: Option<Vec<u8>>,
}

/// What a CA certificate is made of.
#[derive(Clone, Debug)]
pub struct CaCertificate {
    /// Its serial number.
    pub serial: Serial,
    /// Its life.
    pub validity: Validity,
    /// The DER of its Name; not empty.
    pub subject: Vec<u8>,
    /// The CA's key.
    pub public_key: PublicKey,
    /// How certificates below call this key.
    pub key_identifier: Vec<u8>,
    /// What it says of the key.
    pub profile: CaProfile,
    /// Where clients learn more about it.
    pub points: Points,
}

/// The certificate of an OCSP responder that answers for a signer (RFC 6960, 4.2.2.2).
#[derive(Clone, Debug)]
pub struct ResponderCertificate {
    /// Its serial number.
    pub serial: Serial,
    /// Its life.
    pub validity: Validity,
    /// Its key.
    pub public_key: PublicKey,
}

/// The issuer's side of a certificate, read from the signer's.
#[derive(Clone, Debug)]
pub(super) struct IssuerNames<'a> {
    pub(super) subject: &'a [u8],
    pub(super) key_identifier: Vec<u8>,
}

impl<'a> IssuerNames<'a> {
    /// The key identifier is the one in the signer's certificate, which another CA may have made in another way.
    pub(super) fn of(certificate: &'a ParsedCertificate, signer: &Signer) -> IssuerNames<'a> {
        let own = || signer.public_key().key_identifier().to_vec();
        let key_identifier = certificate.subject_key_identifier().map_or_else(own, <[u8]>::to_vec);
        IssuerNames { subject: &certificate.subject, key_identifier }
    }
}

/// Bytes that have passed the lints and may be signed once.
#[derive(Debug)]
pub struct Linted {
    tbs: Vec<u8>,
    serial: Serial,
    validity: Validity,
}

/// A finished certificate.
#[derive(Clone, Debug)]
pub struct SignedCertificate {
    /// The certificate.
    pub der: Vec<u8>,
    /// Its serial number.
    pub serial: Serial,
    /// Its life.
    pub validity: Validity,
}

/// Build and lint a leaf under the signer whose certificate is given.
///
/// # Errors
/// Internal when a lint refuses what we built.
pub fn prepare_leaf(leaf: &Leaf, signer: &Signer, signer_certificate: &ParsedCertificate) -> Result<Linted> {
    let issuer = IssuerNames::of(signer_certificate, signer);
    let mut extensions = vec![extension::authority_key_identifier(&issuer.key_identifier)];
    if leaf.subject_key_identifier {
        extensions.push(extension::subject_key_identifier(&leaf.public_key.key_identifier()));
    }
    extensions.extend([
        extension::key_usage(&leaf.key_usage, leaf.key_usage_critical),
        extension::basic_constraints_leaf(),
        extension::extended_key_usage(&leaf.extended_key_usage),
        extension::subject_alt_name(&leaf.identifiers, leaf.subject.is_empty()),
    ]);
    extensions.extend(extension::crl_distribution_points(&leaf.points));
    extensions.extend(extension::authority_info_access(&leaf.points));
    let subject = leaf.subject.to_der();
    let tbs =
        to_be_signed(&leaf.serial, signer, issuer.subject, leaf.validity, &subject, &leaf.public_key, &extensions);
    lint::check_leaf(&tbs, leaf, &issuer, &signer.signature_identifier())?;
    Ok(Linted { tbs, serial: leaf.serial, validity: leaf.validity })
}

/// Build and lint a CA certificate, below the signer whose certificate is given, or self-signed.
///
/// # Errors
/// Malformed when the subject is empty, Internal when a lint refuses what we built.
pub fn prepare_ca(certificate: &CaCertificate, signer: &Signer, above: Option<&ParsedCertificate>) -> Result<Linted> {
    if certificate.subject == DistinguishedName::default().to_der() {
        return Err(Error::malformed(
            "a CA certificate needs a subject; give --certificate-common-name or --conf-file-path",
        ));
    }
    let issuer = above.map(|above| IssuerNames::of(above, signer));
    let mut extensions = vec![
        extension::basic_constraints_ca(certificate.profile.path_len),
        extension::key_usage(&certificate.profile.key_usage, true),
        extension::subject_key_identifier(&certificate.key_identifier),
    ];
    extensions.extend(issuer.iter().map(|i| extension::authority_key_identifier(&i.key_identifier)));
    extensions.extend(certificate.profile.name_constraints.iter().map(|value| extension::name_constraints(value)));
    extensions.extend(extension::crl_distribution_points(&certificate.points));
    extensions.extend(extension::authority_info_access(&certificate.points));
    let tbs = to_be_signed(
        &certificate.serial,
        signer,
        issuer.as_ref().map_or(&certificate.subject, |i| i.subject),
        certificate.validity,
        &certificate.subject,
        &certificate.public_key,
        &extensions,
    );
    lint::check_ca(&tbs, certificate, issuer.as_ref(), &signer.signature_identifier())?;
    Ok(Linted { tbs, serial: certificate.serial, validity: certificate.validity })
}

/// Build and lint the certificate of an OCSP responder under the signer whose certificate is given.
///
/// # Errors
/// Internal when a lint refuses what we built.
pub fn prepare_responder(
    certificate: &ResponderCertificate,
    signer: &Signer,
    signer_certificate: &ParsedCertificate,
) -> Result<Linted> {
    let issuer = IssuerNames::of(signer_certificate, signer);
    let extensions = [
        extension::authority_key_identifier(&issuer.key_identifier),
        extension::subject_key_identifier(&certificate.public_key.key_identifier()),
        extension::key_usage(&[KeyUsage::DigitalSignature], true),
        extension::basic_constraints_leaf(),
        extension::extended_key_usage(&[ExtendedKeyUsage::OcspSigning]),
        extension::ocsp_no_check(),
    ];
    let subject = responder_name()?.to_der();
    let tbs = to_be_signed(
        &certificate.serial,
        signer,
        issuer.subject,
        certificate.validity,
        &subject,
        &certificate.public_key,
        &extensions,
    );
    lint::check_responder(&tbs, certificate, &issuer, &subject, &signer.signature_identifier())?;
    Ok(Linted { tbs, serial: certificate.serial, validity: certificate.validity })
}

fn responder_name() -> Result<DistinguishedName> {
    let mut name = DistinguishedName::default();
    name.add(Attribute::CommonName, "OCSP responder")?;
    Ok(name)
}

impl Linted {
    /// Spend this permission for one signature over exactly the bytes that were linted.
    ///
    /// # Errors
    /// Internal when the signer fails.
    pub fn sign(self, signer: &Signer) -> Result<SignedCertificate> {
        let der = signed::sign(&self.tbs, signer)?;
        Ok(SignedCertificate { der, serial: self.serial, validity: self.validity })
    }
}

fn to_be_signed(
    serial: &Serial,
    signer: &Signer,
    issuer: &[u8],
    validity: Validity,
    subject: &[u8],
    public_key: &PublicKey,
    extensions: &[Vec<u8>],
) -> Vec<u8> {
    der::sequence(&[
        der::constructed(der::context_constructed(0), &[der::small_integer(2)]),
        der::unsigned(&serial.0),
        signer.signature_identifier(),
        issuer.to_vec(),
        der::sequence(&[time(validity.not_before), time(validity.not_after)]),
        subject.to_vec(),
        public_key.to_spki(),
        der::constructed(der::context_constructed(3), &[der::sequence(extensions)]),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_of_ninety_days_is_ninety_days_to_the_second_and_within_the_signers() {
        let now = Time(1_800_000_000);
        let signer = Validity { not_before: now.minus(Span(60)), not_after: now.plus(Span::days(365)) };
        let life = Validity::starting_within(now, Span::days(90), signer);
        assert_eq!(life.not_before, now.minus(Span(60)), "never before the signer's");
        assert_eq!(life.not_after.since(life.not_before), Span(90 * 86_400 - 1));
        let short = Validity::starting(now, Span(600));
        assert_eq!(short.not_before, now.minus(Span(60)), "a tenth of a short life");
        let old_signer = Validity { not_before: Time(0), not_after: now.plus(Span::days(1)) };
        assert_eq!(Validity::starting_within(now, Span::days(90), old_signer).not_after, old_signer.not_after);
    }
}
