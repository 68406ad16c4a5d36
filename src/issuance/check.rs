//! Whether everything fits together: what is in the database, what was signed, and the fragments. It asks nothing of the
//! daemon, so that it can be asked of a state whose daemon does not start; a page that cannot be read is one more finding.

use super::vault::{EAB_KEY, open_data_key, open_mac_key, open_signer};
use crate::ca::{CaChain, FormerCrl, ParsedCertificate, RevokedEntry, verify_signature};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::jose::thumbprint;
use crate::keys::{Places, PublicKey, hex};
use crate::policy::IssuerPolicy;
use crate::store::{CaCertificate, CaOrigin, Certificate, CrlShard, KeyVersion, Read};
use std::collections::{HashMap, HashSet};

/// Rows that are read at a time.
const PAGE: usize = 500;
/// More than a person reads; where everything is damaged the first are enough.
const MOST_TOLD: usize = 50;

/// Look at everything.
///
/// # Errors
/// Internal, with what does not fit, one sentence each.
pub fn check(read: &Read<'_>, places: &Places, now: Time) -> Result<()> {
    let findings = findings(read, places, now);
    if findings.is_empty() {
        return Ok(());
    }
    let mut told: Vec<String> = findings.iter().take(MOST_TOLD).map(|e| e.detail().to_owned()).collect();
    let more = findings.len().saturating_sub(MOST_TOLD);
    if more > 0 {
        told.push(format!("and {more} more of the kind"));
    }
    Err(Error::internal(told.join("; ")))
}

fn findings(read: &Read<'_>, places: &Places, now: Time) -> Vec<Error> {
    let mut findings = Findings::default();
    findings.take(read.check_integrity());
    findings.take(read.verify_audit().map(drop));
    findings.0.extend(fragment_findings(read, places));
    findings.part("the settings of issuers", |f| check_issuers(read, f));
    findings.part("the accounts", |f| check_accounts(read, f));
    findings.part("the credentials", |f| check_credentials(read, places, now, f));
    findings.part("the certificates of signers", |f| check_signers(read, f));
    findings.part("the certificates", |f| check_leaves(read, f));
    findings.part("the CRLs", |f| check_crls(read, now, f));
    findings.0
}

/// Keys that their fragments do not open, each named with the fragment.
pub fn fragment_findings(read: &Read<'_>, places: &Places) -> Vec<Error> {
    let mut findings = Findings::default();
    findings.part("the keys", |findings| {
        match read.data_key(EAB_KEY)? {
            Some(stored) => findings.take(open_data_key(places, stored).map(drop).map_err(|e| e.context(DATA_KEY))),
            None => findings.0.push(Error::internal(format!("{DATA_KEY} is not there"))),
        }
        for id in read.key_items()? {
            let (name, key) = (read.item(id)?.name, read.key(id)?);
            for version in read.key_versions(id)? {
                findings.take(open_signer(places, &key, &version).map(drop).map_err(|e| e.context(&name)));
            }
        }
        Ok(())
    });
    findings.0
}

const DATA_KEY: &str = "the key that seals MAC keys";

#[derive(Default)]
struct Findings(Vec<Error>);

impl Findings {
    fn take(&mut self, outcome: Result<()>) {
        self.0.extend(outcome.err());
    }

    /// A part of the check, which may find that it cannot go on.
    fn part(&mut self, what: &str, look: impl FnOnce(&mut Findings) -> Result<()>) {
        if let Err(e) = look(self) {
            self.0.push(Error::internal(format!("{what} cannot all be read: {e}")));
        }
    }
}

fn check_issuers(read: &Read<'_>, findings: &mut Findings) -> Result<()> {
    for issuer in read.issuers()? {
        let name = read.item(issuer.item)?.name;
        findings.take(IssuerPolicy::parse(&issuer).map(drop).map_err(|e| e.context(format!("the settings of {name}"))));
    }
    Ok(())
}

/// An account is found by its key's thumbprint, and believed by its key.
fn check_accounts(read: &Read<'_>, findings: &mut Findings) -> Result<()> {
    let mut last = 0;
    loop {
        let page = read.account_keys_above(last, PAGE)?;
        let Some((newest, ..)) = page.last() else { return Ok(()) };
        last = *newest;
        for (id, spki, said) in &page {
            if !PublicKey::known(spki).is_ok_and(|key| thumbprint(&key) == *said) {
                findings.0.push(Error::internal(format!("the key of account {id} is not the one that it registered")));
            }
        }
    }
}

fn check_credentials(read: &Read<'_>, places: &Places, now: Time, findings: &mut Findings) -> Result<()> {
    let Some(stored) = read.data_key(EAB_KEY)? else { return Ok(()) };
    // That it does not open is said already.
    let Ok(data_key) = open_data_key(places, stored) else { return Ok(()) };
    for issuer in read.issuers()? {
        for eab in read.outstanding_eabs(issuer.item, now)? {
            let opened = open_mac_key(&data_key, &eab.kid, &eab.sealed_mac_key);
            findings.take(opened.map(drop).map_err(|e| e.context(format!("the credential {}", eab.kid))));
        }
    }
    Ok(())
}

/// Every CA certificate there ever was: of its key, and signed by who is said to have signed it.
fn check_signers(read: &Read<'_>, findings: &mut Findings) -> Result<()> {
    for version in read.every_key_version()? {
        for certificate in read.every_ca_certificate(version.id)? {
            let fits = check_signer(read, &version, &certificate);
            findings.take(fits.map_err(|e| {
                Error::internal(format!("the CA certificate {} is not what was signed: {e}", hex(&certificate.serial)))
            }));
        }
    }
    Ok(())
}

fn check_signer(read: &Read<'_>, version: &KeyVersion, certificate: &CaCertificate) -> Result<()> {
    let parsed = ParsedCertificate::parse(&certificate.der)?;
    let life = parsed.life()?;
    if parsed.spki != version.spki || parsed.serial != certificate.serial || life.not_after != certificate.not_after {
        return Err(Error::internal("it is filed as another"));
    }
    match &certificate.origin {
        CaOrigin::SelfSigned => verify_signature(&certificate.der, &PublicKey::known(&version.spki)?),
        CaOrigin::Subordinate(signer) | CaOrigin::Cross(signer) => {
            verify_signature(&certificate.der, &PublicKey::known(&read.key_version(*signer)?.spki)?)
        }
        CaOrigin::Foreign(above) => {
            let chain: Vec<Vec<u8>> = std::iter::once(&certificate.der).chain(above).cloned().collect();
            CaChain::check_signatures(&chain)
        }
    }
}

/// Every certificate that was ever issued: it parses, it verifies under its signer, and it is filed as what it is.
fn check_leaves(read: &Read<'_>, findings: &mut Findings) -> Result<()> {
    let mut last = 0;
    let mut keys: HashMap<i64, PublicKey> = HashMap::new();
    loop {
        let page = read.certificates_above(last, PAGE)?;
        let Some(newest) = page.last() else { return Ok(()) };
        last = newest.id;
        for certificate in &page {
            if !keys.contains_key(&certificate.signer) {
                let version = read.key_version(certificate.signer)?;
                keys.insert(version.id, PublicKey::known(&version.spki)?);
            }
            if !keys.get(&certificate.signer).is_some_and(|key| is_as_signed(certificate, key)) {
                let serial = hex(&certificate.serial);
                findings.0.push(Error::internal(format!("the certificate {serial} is not what was signed")));
            }
        }
    }
}

/// Whether a certificate is the one that was signed, and filed as such.
pub(super) fn is_as_signed(certificate: &Certificate, signer: &PublicKey) -> bool {
    let Ok(parsed) = ParsedCertificate::parse(&certificate.der) else { return false };
    verify_signature(&certificate.der, signer).is_ok()
        && parsed.serial == certificate.serial
        && parsed
            .life()
            .is_ok_and(|life| life.not_before == certificate.not_before && life.not_after == certificate.not_after)
}

/// Every list is what was signed, names what is revoked, and is not overdue.
fn check_crls(read: &Read<'_>, now: Time, findings: &mut Findings) -> Result<()> {
    for (signer, shard, is_up_to_date) in read.crl_places()? {
        let Some(signed) = read.crl(signer, shard)? else { continue };
        let version = read.key_version(signer)?;
        let name = format!("the CRL {} of {}", shown(shard), hex(&version.key_identifier));
        match FormerCrl::parse_own(&signed.der, &PublicKey::known(&version.spki)?) {
            Err(e) => findings.0.push(Error::internal(format!("{name} is not what was signed: {e}"))),
            Ok(list) if list.number != Some(signed.number) || list.next_update != Some(signed.next_update) => {
                findings.0.push(Error::internal(format!("{name} is filed as another")));
            }
            // What was revoked since is on its way.
            Ok(_) if !is_up_to_date => {}
            Ok(list) => {
                let listed: HashSet<RevokedEntry> = list.entries.into_iter().collect();
                for r in read.revocations_on(signer, shard, signed.this_update)? {
                    let serial = hex(&r.serial);
                    let entry =
                        RevokedEntry { serial: r.serial, at: r.at, reason: r.reason, invalid_since: r.invalid_since };
                    if !listed.contains(&entry) {
                        findings.0.push(Error::internal(format!("{name} does not say how {serial} was revoked")));
                    }
                }
            }
        }
    }
    for overdue in read.overdue_crls(now)? {
        findings
            .0
            .push(Error::internal(format!("the CRL {overdue} is overdue; the log says why it could not be signed")));
    }
    Ok(())
}

fn shown(shard: CrlShard) -> String {
    match shard {
        CrlShard::Complete => "of everything".into(),
        CrlShard::CaCertificates => "of CA certificates".into(),
        CrlShard::Leaves(number) => number.to_string(),
    }
}
