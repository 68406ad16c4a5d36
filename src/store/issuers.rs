//! Issuers and their settings, as they were given. What they mean is `policy`'s to say.

use super::{Read, Write};
use crate::clock::{Span, Time};
use crate::error::{Error, Result};
use rusqlite::{Row, params};

/// The settings of an issuer.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Issuer {
    /// The item's row id.
    pub item: i64,
    /// The row id of the signer key's item.
    pub signer_key: i64,
    /// The longest lifetime of a certificate.
    pub ttl: Span,
    pub acme_enabled: bool,
    /// Without a trailing slash.
    pub gw_cluster_url: Option<String>,
    pub destination_path: Option<String>,
    pub allowed_domains: Vec<String>,
    pub allowed_ip_sans: Vec<String>,
    pub profiles: Vec<String>,
    pub caa_identities: Vec<String>,
    pub allow_subdomains: bool,
    pub disable_wildcards: bool,
    pub allow_any_name: bool,
    pub client_flag: bool,
    pub key_usage: Vec<String>,
    pub critical_key_usage: bool,
    pub not_require_cn: bool,
    /// Attribute name and value, in order.
    pub subject: Vec<(String, String)>,
    pub challenges: Vec<String>,
    pub require_eab: bool,
    pub tls_issuer: bool,
    pub reuse_authorizations: Span,
    pub terms_of_service: Option<String>,
    pub website: Option<String>,
    /// Certificates issued before this moment are to be renewed at once (RFC 9773).
    pub renew_before: Option<Time>,
    /// Whether its certificates name a CRL.
    pub create_private_crl: bool,
    /// Whether its certificates name an OCSP responder.
    pub create_private_ocsp: bool,
    /// How long an OCSP answer is good for.
    pub ocsp_ttl: Span,
    /// Whether a request's nonce is answered, by a signature of its own.
    pub ocsp_nonce: bool,
    /// What the URLs of CRLs, OCSP and CA certificates begin with, where it does not follow from the others.
    pub public_url: Option<String>,
}

const COLUMNS: &str = "item, signer_key, ttl, acme_enabled, gw_cluster_url, destination_path, allow_subdomains,
    disable_wildcards, allow_any_name, client_flag, critical_key_usage, not_require_cn, require_eab, tls_issuer,
    reuse_authorizations, terms_of_service, website, renew_before,
    create_private_crl, create_private_ocsp, ocsp_ttl, ocsp_nonce, public_url";

impl Read<'_> {
    /// The settings of the issuer with this item.
    ///
    /// # Errors
    /// The database's; Internal when there is none.
    pub fn issuer(&self, item: i64) -> Result<Issuer> {
        let sql = format!("SELECT {COLUMNS} FROM issuers WHERE item = ?1");
        let issuer = self.optional(&sql, [item], issuer_from)?;
        self.with_lists(issuer.ok_or_else(|| Error::internal(format!("issuer {item} is gone")))?)
    }

    /// All issuers that are not deleted, the oldest first.
    ///
    /// # Errors
    /// The database's.
    pub fn issuers(&self) -> Result<Vec<Issuer>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM issuers WHERE EXISTS (SELECT 1 FROM items i WHERE i.id = issuers.item AND i.deleted IS NULL) ORDER BY item"
        );
        self.all(&sql, [], issuer_from)?.into_iter().map(|issuer| self.with_lists(issuer)).collect()
    }

    /// All issuers that use a signer key, deleted ones too, the oldest first.
    ///
    /// # Errors
    /// The database's.
    pub fn issuers_of_key(&self, key: i64) -> Result<Vec<Issuer>> {
        let sql = format!("SELECT {COLUMNS} FROM issuers WHERE signer_key = ?1 ORDER BY item");
        self.all(&sql, [key], issuer_from)?.into_iter().map(|issuer| self.with_lists(issuer)).collect()
    }

    /// The names of the issuers, not deleted, that use a signer key.
    ///
    /// # Errors
    /// The database's.
    pub fn issuers_using_key(&self, key: i64) -> Result<Vec<String>> {
        self.all(
            "SELECT i.name FROM issuers s JOIN items i ON i.id = s.item WHERE s.signer_key = ?1 AND i.deleted IS NULL",
            [key],
            |row| row.get(0),
        )
    }

    /// Every gw-cluster-url that the issuer ever had.
    ///
    /// # Errors
    /// The database's.
    pub fn issuer_urls(&self, item: i64) -> Result<Vec<String>> {
        self.all("SELECT url FROM issuer_urls WHERE issuer = ?1 ORDER BY since DESC", [item], |row| row.get(0))
    }

    /// Every gw-cluster-url that any issuer ever had.
    ///
    /// # Errors
    /// The database's.
    pub fn all_issuer_urls(&self) -> Result<Vec<String>> {
        self.all("SELECT DISTINCT url FROM issuer_urls", [], |row| row.get(0))
    }

    fn with_lists(&self, mut issuer: Issuer) -> Result<Issuer> {
        let values: Vec<(String, String)> = self.all(
            "SELECT list, value FROM issuer_values WHERE issuer = ?1 ORDER BY list, position",
            [issuer.item],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        for (list, value) in values {
            match list.as_str() {
                "allowed-domains" => issuer.allowed_domains.push(value),
                "allowed-ip-sans" => issuer.allowed_ip_sans.push(value),
                "profiles" => issuer.profiles.push(value),
                "caa-identity" => issuer.caa_identities.push(value),
                "key-usage" => issuer.key_usage.push(value),
                "challenges" => issuer.challenges.push(value),
                _ => issuer.subject.push((list, value)),
            }
        }
        Ok(issuer)
    }
}

impl Write<'_> {
    /// Make the settings of an issuer, or change them.
    ///
    /// # Errors
    /// The database's.
    pub fn put_issuer(&self, issuer: &Issuer, now: Time) -> Result<()> {
        self.execute(
            "INSERT INTO issuers (item, signer_key, ttl, acme_enabled, gw_cluster_url, destination_path, allow_subdomains,
             disable_wildcards, allow_any_name, client_flag, critical_key_usage, not_require_cn, require_eab, tls_issuer,
             reuse_authorizations, terms_of_service, website, create_private_crl, create_private_ocsp, ocsp_ttl,
             ocsp_nonce, public_url)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)
             ON CONFLICT (item) DO UPDATE SET signer_key = ?2, ttl = ?3, acme_enabled = ?4, gw_cluster_url = ?5,
             destination_path = ?6, allow_subdomains = ?7, disable_wildcards = ?8, allow_any_name = ?9, client_flag = ?10,
             critical_key_usage = ?11, not_require_cn = ?12, require_eab = ?13, tls_issuer = ?14,
             reuse_authorizations = ?15, terms_of_service = ?16, website = ?17, create_private_crl = ?18,
             create_private_ocsp = ?19, ocsp_ttl = ?20, ocsp_nonce = ?21, public_url = ?22",
            params![
                issuer.item,
                issuer.signer_key,
                issuer.ttl,
                issuer.acme_enabled,
                issuer.gw_cluster_url,
                issuer.destination_path,
                issuer.allow_subdomains,
                issuer.disable_wildcards,
                issuer.allow_any_name,
                issuer.client_flag,
                issuer.critical_key_usage,
                issuer.not_require_cn,
                issuer.require_eab,
                issuer.tls_issuer,
                issuer.reuse_authorizations,
                issuer.terms_of_service,
                issuer.website,
                issuer.create_private_crl,
                issuer.create_private_ocsp,
                issuer.ocsp_ttl,
                issuer.ocsp_nonce,
                issuer.public_url,
            ],
        )?;
        self.execute("DELETE FROM issuer_values WHERE issuer = ?1", [issuer.item])?;
        let named = |list: &'static str, values: &[String]| {
            values.iter().map(|v| (list.to_owned(), v.clone())).collect::<Vec<_>>()
        };
        let values = [
            named("allowed-domains", &issuer.allowed_domains),
            named("allowed-ip-sans", &issuer.allowed_ip_sans),
            named("profiles", &issuer.profiles),
            named("caa-identity", &issuer.caa_identities),
            named("key-usage", &issuer.key_usage),
            named("challenges", &issuer.challenges),
            issuer.subject.clone(),
        ]
        .concat();
        for (position, (list, value)) in values.iter().enumerate() {
            self.execute(
                "INSERT INTO issuer_values (issuer, list, position, value) VALUES (?1, ?2, ?3, ?4)",
                (issuer.item, list, position, value),
            )?;
        }
        if let Some(url) = &issuer.gw_cluster_url {
            self.execute(
                "INSERT OR IGNORE INTO issuer_urls (issuer, url, since) VALUES (?1, ?2, ?3)",
                (issuer.item, url, now),
            )?;
        }
        Ok(())
    }

    /// Ask the clients of an issuer to renew everything that was issued before now (RFC 9773).
    ///
    /// # Errors
    /// The database's.
    pub fn renew_soon(&self, issuer: i64, now: Time) -> Result<()> {
        self.execute("UPDATE issuers SET renew_before = ?2 WHERE item = ?1", (issuer, now))?;
        Ok(())
    }
}

fn issuer_from(row: &Row<'_>) -> rusqlite::Result<Issuer> {
    Ok(Issuer {
        item: row.get(0)?,
        signer_key: row.get(1)?,
        ttl: row.get(2)?,
        acme_enabled: row.get(3)?,
        gw_cluster_url: row.get(4)?,
        destination_path: row.get(5)?,
        allowed_domains: Vec::new(),
        allowed_ip_sans: Vec::new(),
        profiles: Vec::new(),
        caa_identities: Vec::new(),
        allow_subdomains: row.get(6)?,
        disable_wildcards: row.get(7)?,
        allow_any_name: row.get(8)?,
        client_flag: row.get(9)?,
        key_usage: Vec::new(),
        critical_key_usage: row.get(10)?,
        not_require_cn: row.get(11)?,
        subject: Vec::new(),
        challenges: Vec::new(),
        require_eab: row.get(12)?,
        tls_issuer: row.get(13)?,
        reuse_authorizations: row.get(14)?,
        terms_of_service: row.get(15)?,
        website: row.get(16)?,
        renew_before: row.get(17)?,
        create_private_crl: row.get(18)?,
        create_private_ocsp: row.get(19)?,
        ocsp_ttl: row.get(20)?,
        ocsp_nonce: row.get(21)?,
        public_url: row.get(22)?,
    })
}
