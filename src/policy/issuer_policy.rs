//! An issuer's settings, understood.

use super::gateway_url::public_url;
use super::{CAA_LIFETIME, ChallengeType, GatewayUrl, NamePolicy, Profile};
use crate::ca::{Attribute, DistinguishedName, ExtendedKeyUsage, KeyUsage};
use crate::clock::{Span, Time};
use crate::error::{Class, Error, Result};
use crate::identifier::{DnsName, Identifier, Network};
use crate::keys::PublicKey;
use crate::store::Issuer;

/// The longest lifetime that an issuer with ACME may allow.
pub const LONGEST_ACME_TTL: Span = Span::days(90);
const SHORTEST_TTL: Span = Span(600);
/// How long an OCSP answer is good for when nobody says.
pub const DEFAULT_OCSP_TTL: Span = Span::days(1);
const SHORTEST_OCSP_TTL: Span = Span(600);
const LONGEST_OCSP_TTL: Span = Span::days(10);

/// The settings that become attributes of the subject.
pub const SUBJECT_LISTS: [(&str, Attribute); 7] = [
    ("organizations", Attribute::Organization),
    ("organizational-units", Attribute::OrganizationalUnit),
    ("country", Attribute::Country),
    ("locality", Attribute::Locality),
    ("province", Attribute::Province),
    ("street-address", Attribute::StreetAddress),
    ("postal-code", Attribute::PostalCode),
];

/// What an issuer permits and writes into certificates.
#[derive(Clone, Debug)]
pub struct IssuerPolicy {
    /// The issuer's item.
    pub item: i64,
    /// The item of its signer key.
    pub signer_key: i64,
    /// The longest lifetime.
    pub ttl: Span,
    /// Where clients reach it, when it speaks ACME.
    pub acme: Option<GatewayUrl>,
    /// The folder that certificates are filed under, if they are.
    pub destination_path: Option<String>,
    /// The names.
    pub names: NamePolicy,
    /// The challenges that it offers; at least one.
    pub challenges: Vec<ChallengeType>,
    /// Whether an account needs an external account binding.
    pub require_eab: bool,
    /// Whether this one certifies the daemon's own host before older ones.
    pub tls_issuer: bool,
    /// How long a valid authorization serves new orders.
    pub reuse_authorizations: Span,
    /// What accounts have to agree to.
    pub terms_of_service: Option<String>,
    /// Shown in the directory.
    pub website: Option<String>,
    /// The profiles that it offers; at least one.
    pub profiles: Vec<Profile>,
    /// The names by which CAA records and persistent records may call this CA; CAA is asked when there are any.
    pub caa_identities: Vec<DnsName>,
    /// Certificates issued before this moment are to be renewed at once.
    pub renew_before: Option<Time>,
    /// Whether its certificates name a CRL.
    pub create_private_crl: bool,
    /// Whether its certificates name an OCSP responder.
    pub create_private_ocsp: bool,
    /// How long an OCSP answer is good for.
    pub ocsp_ttl: Span,
    /// Whether a request's nonce is answered, by a signature of its own.
    pub ocsp_nonce: bool,
    /// What the URLs of CRLs, OCSP and CA certificates begin with, where it was said.
    pub public_url: Option<String>,
    subject: DistinguishedName,
    key_usage: Vec<KeyUsage>,
    key_usage_critical: bool,
    client_flag: bool,
}

impl IssuerPolicy {
    /// Understand the settings of an issuer.
    ///
    /// # Errors
    /// Malformed, naming the flag, when a setting cannot be or two do not go together.
    pub fn parse(issuer: &Issuer) -> Result<IssuerPolicy> {
        check_ttl(issuer)?;
        let acme = match (&issuer.gw_cluster_url, issuer.acme_enabled) {
            (Some(url), true) => Some(GatewayUrl::parse(url)?),
            (Some(url), false) => GatewayUrl::parse(url).map(|_| None)?,
            (None, true) => {
                return Err(Error::malformed(
                    "--enable-acme needs --gw-cluster-url, the https URL at which clients reach this daemon",
                ));
            }
            (None, false) => None,
        };
        let allowed = issuer
            .allowed_domains
            .iter()
            .map(|domain| DnsName::parse(domain).map_err(|e| e.context("--allowed-domains")))
            .collect::<Result<Vec<_>>>()?;
        let mut challenges = Vec::new();
        for name in &issuer.challenges {
            let kind = ChallengeType::parse(name)?;
            // An authorization has one of each.
            if !challenges.contains(&kind) {
                challenges.push(kind);
            }
        }
        if challenges.is_empty() {
            return Err(Error::malformed("--challenges is empty; name at least one, such as http-01"));
        }
        let profiles = issuer.profiles.iter().map(|p| Profile::parse(p)).collect::<Result<Vec<_>>>()?;
        if profiles.is_empty() {
            return Err(Error::malformed("--profiles is empty; name at least one, such as classic"));
        }
        let networks = issuer
            .allowed_ip_sans
            .iter()
            .map(|network| Network::parse(network).map_err(|e| e.context("--allowed-ip-sans")))
            .collect::<Result<Vec<_>>>()?;
        let caa_identities = issuer
            .caa_identities
            .iter()
            .map(|name| DnsName::parse(name).map_err(|e| e.context("--caa-identity")))
            .collect::<Result<Vec<_>>>()?;
        Ok(IssuerPolicy {
            item: issuer.item,
            signer_key: issuer.signer_key,
            ttl: issuer.ttl,
            names: NamePolicy {
                allowed,
                subdomains: issuer.allow_subdomains,
                no_wildcards: issuer.disable_wildcards,
                any_name: issuer.allow_any_name,
                networks,
            },
            acme,
            destination_path: issuer.destination_path.clone(),
            challenges,
            require_eab: issuer.require_eab,
            tls_issuer: issuer.tls_issuer,
            reuse_authorizations: issuer.reuse_authorizations,
            terms_of_service: issuer
                .terms_of_service
                .as_deref()
                .map(|u| web_url("--terms-of-service", u))
                .transpose()?,
            website: issuer.website.as_deref().map(|u| web_url("--website", u)).transpose()?,
            profiles,
            caa_identities,
            renew_before: issuer.renew_before,
            create_private_crl: issuer.create_private_crl,
            create_private_ocsp: issuer.create_private_ocsp,
            ocsp_ttl: check_ocsp_ttl(issuer.ocsp_ttl)?,
            ocsp_nonce: issuer.ocsp_nonce,
            public_url: issuer.public_url.as_deref().map(public_url).transpose()?,
            subject: subject(&issuer.subject)?,
            key_usage: leaf_key_usage(&issuer.key_usage)?,
            key_usage_critical: issuer.critical_key_usage,
            client_flag: issuer.client_flag,
        })
    }

    /// The challenges that can prove control of a name and are offered.
    ///
    /// # Errors
    /// RejectedIdentifier, about the name, when there is none.
    pub fn challenges_for(&self, identifier: &Identifier) -> Result<Vec<ChallengeType>> {
        let fitting: Vec<ChallengeType> = self
            .challenges
            .iter()
            .copied()
            .filter(|challenge| match identifier {
                Identifier::Dns(name) => !name.is_wildcard() || challenge.is_dns(),
                Identifier::Ip(_) => !challenge.is_dns(),
            })
            .collect();
        if fitting.is_empty() {
            let why = format!("{identifier}: no challenge that this issuer offers can prove control of it");
            return Err(Error::new(Class::RejectedIdentifier, why).about(identifier.to_string()));
        }
        Ok(fitting)
    }

    /// The profile that a client asks for; the first that is offered when it asks for none.
    ///
    /// # Errors
    /// InvalidProfile when it is not offered.
    pub fn profile(&self, asked: Option<&str>) -> Result<Profile> {
        let found = match asked {
            None => self.profiles.first(),
            Some(name) => self.profiles.iter().find(|p| p.name() == name),
        };
        found.copied().ok_or_else(|| {
            let offered: Vec<&str> = self.profiles.iter().map(|p| p.name()).collect();
            let asked = crate::identifier::printable(asked.unwrap_or_default());
            Error::new(
                Class::InvalidProfile,
                format!("the profile \"{asked}\" is not offered here; {} are", offered.join(", ")),
            )
        })
    }

    /// Since when the CAA records of an identifier must have been asked for its authorization to count; `None` where they
    /// are not: addresses have none, and not every issuer asks.
    pub fn caa_since(&self, identifier: &Identifier, now: Time) -> Option<Time> {
        let asks = !self.caa_identities.is_empty() && matches!(identifier, Identifier::Dns(_));
        asks.then(|| now.minus(CAA_LIFETIME))
    }

    /// Whether one authorization can serve a domain with all below it (RFC 9444). Not where CAA is checked, since each name
    /// may have CAA records of its own, which are asked when that name is validated.
    pub fn authorizes_subdomains(&self) -> bool {
        self.names.subdomains && self.caa_identities.is_empty()
    }

    /// The names by which persistent records may call this CA.
    pub fn issuer_domain_names(&self) -> Vec<String> {
        match (self.caa_identities.as_slice(), &self.acme) {
            ([], Some(url)) => vec![url.host().to_string()],
            (identities, _) => identities.iter().map(ToString::to_string).collect(),
        }
    }

    /// The subject that certificates get.
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// The key usages for a leaf with this key: those of the issuer that such a key can have (RFC 5480, 3; RFC 8410, 5).
    ///
    /// # Errors
    /// BadPublicKey when there is none.
    pub fn key_usage_for(&self, key: &PublicKey, profile: Profile) -> Result<Vec<KeyUsage>> {
        let usages: Vec<KeyUsage> = self
            .key_usage
            .iter()
            .copied()
            .filter(|usage| match usage {
                KeyUsage::DigitalSignature | KeyUsage::ContentCommitment => true,
                KeyUsage::KeyEncipherment | KeyUsage::DataEncipherment => key.is_rsa() && !profile.is_lean(),
                KeyUsage::KeyAgreement | KeyUsage::EncipherOnly | KeyUsage::DecipherOnly => {
                    key.is_ec() && !profile.is_lean()
                }
                KeyUsage::KeyCertSign | KeyUsage::CrlSign => false,
            })
            .collect();
        if usages.is_empty() {
            return Err(Error::new(
                Class::BadPublicKey,
                "the issuer allows no key usage that this type of key can have",
            ));
        }
        Ok(usages)
    }

    /// Whether keyUsage is critical.
    pub fn key_usage_critical(&self) -> bool {
        self.key_usage_critical
    }

    /// What leaves are for: always TLS servers, and clients too where the issuer says so.
    pub fn extended_key_usage(&self) -> Vec<ExtendedKeyUsage> {
        let mut usages = vec![ExtendedKeyUsage::ServerAuth];
        if self.client_flag {
            usages.push(ExtendedKeyUsage::ClientAuth);
        }
        usages
    }
}

fn check_ttl(issuer: &Issuer) -> Result<()> {
    if issuer.ttl < SHORTEST_TTL {
        return Err(Error::malformed(format!(
            "--ttl {} is too short; certificates last ten minutes at least (a number alone is in seconds: write 90d)",
            issuer.ttl
        )));
    }
    if issuer.acme_enabled && issuer.ttl > LONGEST_ACME_TTL {
        return Err(Error::malformed(format!(
            "--ttl {} is too long; with --enable-acme certificates last 90d at most",
            issuer.ttl
        )));
    }
    // Certificates end in 9999 at the latest (RFC 5280, 4.1.2.5), and nobody means a century.
    if issuer.ttl > Span::days(36_500) {
        return Err(Error::malformed(format!("--ttl {} is too long; a hundred years are the most", issuer.ttl)));
    }
    Ok(())
}

fn check_ocsp_ttl(ttl: Span) -> Result<Span> {
    if (SHORTEST_OCSP_TTL..=LONGEST_OCSP_TTL).contains(&ttl) {
        Ok(ttl)
    } else {
        Err(Error::malformed(format!("--ocsp-ttl {ttl} is out of range; an answer is good for 10m to 10d")))
    }
}

fn leaf_key_usage(names: &[String]) -> Result<Vec<KeyUsage>> {
    let mut usages = Vec::new();
    for name in names {
        let usage = KeyUsage::parse(name).map_err(|e| e.context("--key-usage"))?;
        if matches!(usage, KeyUsage::KeyCertSign | KeyUsage::CrlSign) {
            return Err(Error::malformed(format!(
                "--key-usage {name} belongs to a CA; this issuer makes certificates for servers"
            )));
        }
        if !usages.contains(&usage) {
            usages.push(usage);
        }
    }
    usages.sort();
    if usages.is_empty() {
        Err(Error::malformed("--key-usage is empty; name at least DigitalSignature"))
    } else {
        Ok(usages)
    }
}

fn subject(pairs: &[(String, String)]) -> Result<DistinguishedName> {
    let mut name = DistinguishedName::default();
    for (flag, value) in pairs {
        let unknown = || Error::malformed(format!("\"{flag}\" is not an attribute of a subject"));
        let (_, attribute) = SUBJECT_LISTS.iter().find(|(list, _)| list == flag).ok_or_else(unknown)?;
        name.add(*attribute, value).map_err(|e| e.context(format!("--{flag}")))?;
    }
    Ok(name)
}

fn web_url(flag: &str, url: &str) -> Result<String> {
    let shaped =
        (url.starts_with("https://") || url.starts_with("http://")) && url.bytes().all(|b| b.is_ascii_graphic());
    if shaped { Ok(url.to_owned()) } else { Err(Error::malformed(format!("{flag} {url} is not an http or https URL"))) }
}
