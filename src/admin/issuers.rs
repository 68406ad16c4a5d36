//! create-pki-cert-issuer, update-pki-cert-issuer, and what describe-item says of an issuer.

use super::{Administration, Arguments, Peer, done, item_path, items, keys};
use crate::clock::Span;
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::policy::{ChallengeType, DEFAULT_OCSP_TTL, IssuerPolicy, Profile, SUBJECT_LISTS, acme_url};
use crate::store::{Issuer, Item, ItemKind, Read};
use serde_json::{Map, Value, json};

const DEFAULT_KEY_USAGE: [&str; 3] = ["DigitalSignature", "KeyAgreement", "KeyEncipherment"];

pub(super) fn create(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let name = item_path::parse_new("name", &arguments.required("name")?)?;
    let ttl = arguments.duration("ttl")?.ok_or_else(|| Error::malformed("--ttl is missing"))?;
    let signer_key = signer_key(admin, &arguments.required("signer-key-name")?)?;
    let blank = Issuer {
        item: 0,
        signer_key,
        ttl,
        acme_enabled: false,
        gw_cluster_url: None,
        destination_path: None,
        allowed_domains: Vec::new(),
        allow_subdomains: false,
        disable_wildcards: false,
        allow_any_name: false,
        client_flag: false,
        key_usage: DEFAULT_KEY_USAGE.map(str::to_owned).to_vec(),
        critical_key_usage: true,
        not_require_cn: false,
        subject: Vec::new(),
        challenges: ChallengeType::DEFAULT.map(|c| c.name().to_owned()).to_vec(),
        allowed_ip_sans: Vec::new(),
        profiles: vec![Profile::Classic.name().to_owned()],
        caa_identities: Vec::new(),
        renew_before: None,
        require_eab: true,
        tls_issuer: false,
        reuse_authorizations: Span(0),
        terms_of_service: None,
        website: None,
        create_private_crl: false,
        create_private_ocsp: false,
        ocsp_ttl: DEFAULT_OCSP_TTL,
        ocsp_nonce: false,
        public_url: None,
    };
    let wants_crl = arguments.names("create-private-crl");
    let settings = with_flags(blank, arguments)?;
    let item = items::new_item(name.clone(), ItemKind::Issuer, arguments)?;
    let expiry_warnings = keys::expiry_warnings(arguments)?.unwrap_or_default();
    arguments.finish()?;
    items::check_free(admin, &name)?;
    let (mut settings, policy) = canonical(settings)?;
    let (can_sign_crls, is_reachable) =
        (admin.issuance.can_sign_crls(signer_key)?, admin.issuance.public_url(&policy).is_some());
    if !wants_crl {
        settings.create_private_crl = can_sign_crls && is_reachable;
    }
    let (settings, policy) = canonical(settings)?;
    check_points(admin, &policy)?;

    check_domains_carried(admin, &policy)?;
    let can_certify = !policy.names.allowed.is_empty() || policy.names.any_name || !policy.names.networks.is_empty();

    // The daemon's own certificate comes with the issuer, or the issuer does not come.
    let tls = admin.issuance.prepare_tls(&policy)?;
    let insert_tls = tls.as_ref().map(|tls| tls.insert());
    let now = admin.now();
    let entry = done(peer, "create-pki-cert-issuer", &name, format!("ttl {}", settings.ttl));
    admin.store.change(move |write| {
        check_signer_key(write, settings.signer_key)?;
        let id = write.insert_item(&item, now)?;
        write.put_issuer(&Issuer { item: id, ..settings }, now)?;
        write.set_expiry_warnings(id, &expiry_warnings)?;
        if let Some(insert) = insert_tls {
            insert(write, id, now)?;
        }
        write.append_audit(now, &entry)
    })?;
    if let Some(tls) = tls {
        tls.kept();
    }
    admin.issuance.refresh_tls()?;
    let mut warnings = Vec::new();
    if !can_certify {
        warnings.push("the issuer allows no name yet; give it some with update-pki-cert-issuer --allowed-domains");
    }
    if !wants_crl && can_sign_crls && policy.acme.is_some() && !is_reachable {
        warnings.push(
            "certificates name no CRL, since where clients reach --plain-listen is not known (its port changes with every start, or \
             it is behind a proxy); say --public-url and --create-private-crl true where clients are to check revocation",
        );
    }
    let mut reply = json!({ "name": name });
    if let (false, Some(members)) = (warnings.is_empty(), reply.as_object_mut()) {
        members.insert("warnings".into(), json!(warnings));
    }
    Ok(reply)
}

pub(super) fn update(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let item = items::item_of_kind(admin, "name", &arguments.required("name")?, ItemKind::Issuer)?;
    let signer_key = match arguments.text("signer-key-name")? {
        None => None,
        Some(name) => Some(signer_key(admin, &name)?),
    };
    let (description, protection) = (arguments.text("description")?, arguments.boolean("delete-protection")?);
    let tags = arguments.list("tag")?;
    let expiry_warnings = keys::expiry_warnings(arguments)?;

    if !arguments.is_any_left()
        && signer_key.is_none()
        && description.is_none()
        && protection.is_none()
        && tags.is_none()
        && expiry_warnings.is_none()
    {
        return Err(Error::malformed("nothing to change; certwright update-pki-cert-issuer --help shows what can be"));
    }

    // Once to see whether it can be, and once on what the settings are when the change is made.
    let mut tried = arguments.clone();
    let current = admin.store.read(|read| read.issuer(item.id))?;
    let (_, policy) = changed(current, signer_key, &mut tried)?;
    tried.finish()?;
    admin.issuance.check_own_host(&policy)?;
    check_domains_carried(admin, &policy)?;
    check_points(admin, &policy)?;
    let mut flags = arguments.clone();
    let now = admin.now();
    let entry = done(peer, "update-pki-cert-issuer", &item.name, "");
    let name = item.name.clone();
    admin.store.change(move |write| {
        let (settings, _) = changed(write.issuer(item.id)?, signer_key, &mut flags)?;
        check_signer_key(write, settings.signer_key)?;
        write.put_issuer(&settings, now)?;
        write.update_item(item.id, now, protection, description.as_deref(), tags.as_deref())?;
        if let Some(days) = &expiry_warnings {
            write.set_expiry_warnings(item.id, days)?;
        }
        write.append_audit(now, &entry)
    })?;
    admin.issuance.refresh_tls()?;
    Ok(json!({ "name": name }))
}

fn changed(mut settings: Issuer, signer_key: Option<i64>, flags: &mut Arguments) -> Result<(Issuer, IssuerPolicy)> {
    if let Some(ttl) = flags.duration("ttl")? {
        settings.ttl = ttl;
    }
    if let Some(key) = signer_key {
        settings.signer_key = key;
    }
    canonical(with_flags(settings, flags)?)
}

/// A domain that the chain can never carry would only be found out by clients.
fn check_domains_carried(admin: &Administration, policy: &IssuerPolicy) -> Result<()> {
    let constraints = admin.issuance.name_constraints(policy)?;
    for domain in &policy.names.allowed {
        let carried = constraints.check(&Identifier::Dns(domain.clone()));
        carried.map_err(|e| Error::malformed(format!("--allowed-domains {e}")))?;
    }
    Ok(())
}

/// What certificates name must be there, and reachable at the same place for as long as they live.
fn check_points(admin: &Administration, policy: &IssuerPolicy) -> Result<()> {
    let wished = match (policy.create_private_crl, policy.create_private_ocsp) {
        (true, _) => "--create-private-crl",
        (false, true) => "--create-private-ocsp",
        (false, false) => return Ok(()),
    };
    if admin.issuance.public_url(policy).is_none() {
        return Err(Error::malformed(format!(
            "{wished} needs --public-url, the http URL at which clients reach --plain-listen: without --gw-cluster-url, or with \
             a port that changes with every start, it cannot be told"
        )));
    }
    if policy.create_private_crl && !admin.issuance.can_sign_crls(policy.signer_key)? {
        return Err(Error::conflict(
            "--create-private-crl cannot be: the signer's certificate does not let it sign CRLs (keyUsage without cRLSign)",
        ));
    }
    Ok(())
}

/// The key may have been deleted or disabled since its name was looked up.
fn check_signer_key(read: &Read<'_>, key: i64) -> Result<()> {
    if read.is_usable(key)? {
        Ok(())
    } else {
        Err(Error::conflict("the signer key is disabled or deleted; enable it with set-item-state first"))
    }
}

/// What describe-item says of an issuer beyond what all items have.
pub(super) fn describe(admin: &Administration, item: &Item, members: &mut Map<String, Value>) -> Result<()> {
    let issuer = admin.store.read(|read| read.issuer(item.id))?;
    let signer = admin.store.read(|read| read.item(issuer.signer_key))?;
    members.insert("cert_issuer_signer_key_name".into(), signer.name.into());
    let subject: Map<String, Value> = SUBJECT_LISTS
        .iter()
        .map(|(list, _)| {
            let values: Vec<&str> = issuer.subject.iter().filter(|(l, _)| l == list).map(|(_, v)| v.as_str()).collect();
            (list.replace('-', "_"), json!(values))
        })
        .collect();
    let mut details = json!({
        "acme_enabled": issuer.acme_enabled,
        "allowed_domains_list": issuer.allowed_domains,
        "allowed_ip_sans_list": issuer.allowed_ip_sans,
        "allow_subdomains": issuer.allow_subdomains,
        "allow_any_name": issuer.allow_any_name,
        "disable_wildcards": issuer.disable_wildcards,
        "destination_path": issuer.destination_path,
        "gw_cluster_url": issuer.gw_cluster_url,
        "server_flag": true,
        "client_flag": issuer.client_flag,
        "key_usage_list": issuer.key_usage,
        "critical_key_usage": issuer.critical_key_usage,
        "not_require_cn": issuer.not_require_cn,
        "challenges": issuer.challenges,
        "profiles": issuer.profiles,
        "caa_identities": issuer.caa_identities,
        "require_eab": issuer.require_eab,
        "tls_issuer": issuer.tls_issuer,
        "reuse_authorizations": issuer.reuse_authorizations.0,
        "terms_of_service": issuer.terms_of_service,
        "website": issuer.website,
        "create_private_crl": issuer.create_private_crl,
        "create_private_ocsp": issuer.create_private_ocsp,
        "ocsp_ttl": issuer.ocsp_ttl.0,
        "ocsp_nonce": issuer.ocsp_nonce,
        "public_url": issuer.public_url,
    });
    if let Some(details) = details.as_object_mut() {
        details.extend(subject);
    }
    members.insert(
        "certificate_issue_details".into(),
        json!({ "max_ttl": issuer.ttl.0, "pki_cert_issuer_details": details }),
    );
    members.insert("certificates".into(), chain_pem(admin, issuer.signer_key)?.into());
    if let Some(url) = directory_url(&issuer, item) {
        members.insert("acme_directory_url".into(), url.into());
    }
    members.insert("root_certificates".into(), pem(&admin.issuance.roots_of_key(issuer.signer_key)?).into());
    // Who reaches the directory over TLS needs these; they are not known where the daemon was given a certificate.
    if let Some(roots) = admin.issuance.roots_of_door(&IssuerPolicy::parse(&issuer)?)? {
        members.insert("directory_root_certificates".into(), pem(&roots).into());
    }
    Ok(())
}

/// Where clients find the ACME directory of an issuer.
pub(super) fn directory_url(issuer: &Issuer, item: &Item) -> Option<String> {
    let url = issuer.gw_cluster_url.as_ref().filter(|_| issuer.acme_enabled)?;
    Some(acme_url(url, &item.display_id, "directory"))
}

fn chain_pem(admin: &Administration, key: i64) -> Result<String> {
    Ok(pem(&admin.issuance.chain_of_key(key)?))
}

pub(super) fn pem(certificates: &[Vec<u8>]) -> String {
    certificates.iter().map(|der| crate::der::to_pem("CERTIFICATE", der)).collect()
}

/// A key that can sign certificates.
fn signer_key(admin: &Administration, name: &str) -> Result<i64> {
    let item = items::item_of_kind(admin, "signer-key-name", name, ItemKind::Key)?;
    if item.delete_at.is_some() || !item.enabled {
        return Err(Error::conflict(format!("{} is {}; enable it with set-item-state first", item.name, item.state())));
    }
    admin.issuance.chain_of_key(item.id).map_err(|e| e.context(&item.name))?;
    Ok(item.id)
}

/// The settings with what the flags change; what no flag names stays.
fn with_flags(mut issuer: Issuer, arguments: &mut Arguments) -> Result<Issuer> {
    for (flag, setting) in [
        ("enable-acme", &mut issuer.acme_enabled),
        ("allow-subdomains", &mut issuer.allow_subdomains),
        ("disable-wildcards", &mut issuer.disable_wildcards),
        ("allow-any-name", &mut issuer.allow_any_name),
        ("client-flag", &mut issuer.client_flag),
        ("critical-key-usage", &mut issuer.critical_key_usage),
        ("not-require-cn", &mut issuer.not_require_cn),
        ("require-eab", &mut issuer.require_eab),
        ("tls-issuer", &mut issuer.tls_issuer),
        ("create-private-crl", &mut issuer.create_private_crl),
        ("create-private-ocsp", &mut issuer.create_private_ocsp),
        ("ocsp-nonce", &mut issuer.ocsp_nonce),
    ] {
        if let Some(value) = arguments.boolean(flag)? {
            *setting = value;
        }
    }
    if arguments.boolean("server-flag")? == Some(false) {
        return Err(Error::malformed("--server-flag=false cannot be: certificates by ACME are for TLS servers"));
    }
    for (flag, setting) in [
        ("gw-cluster-url", &mut issuer.gw_cluster_url),
        ("terms-of-service", &mut issuer.terms_of_service),
        ("website", &mut issuer.website),
        ("public-url", &mut issuer.public_url),
    ] {
        if let Some(value) = arguments.text(flag)? {
            *setting = Some(value).filter(|v| !v.is_empty());
        }
    }
    if let Some(path) = arguments.text("destination-path")? {
        issuer.destination_path = match path.as_str() {
            "" => None,
            path => Some(item_path::parse_destination("destination-path", path)?),
        };
    }
    for (flag, setting) in [
        ("allowed-domains", &mut issuer.allowed_domains),
        ("allowed-ip-sans", &mut issuer.allowed_ip_sans),
        ("profiles", &mut issuer.profiles),
        ("caa-identity", &mut issuer.caa_identities),
        ("key-usage", &mut issuer.key_usage),
        ("challenges", &mut issuer.challenges),
    ] {
        if let Some(values) = arguments.list(flag)? {
            *setting = values;
        }
    }
    for (list, _) in SUBJECT_LISTS {
        if let Some(values) = arguments.list(list)? {
            issuer.subject.retain(|(l, _)| l != list);
            issuer.subject.extend(values.into_iter().map(|v| (list.to_owned(), v)));
        }
    }
    if let Some(ttl) = arguments.duration("ocsp-ttl")? {
        issuer.ocsp_ttl = ttl;
    }
    if let Some(reuse) = arguments.duration("reuse-authorizations")? {
        if reuse > Span::days(30) {
            return Err(Error::malformed("--reuse-authorizations is 30d at most; control of a name changes hands"));
        }
        issuer.reuse_authorizations = reuse;
    }
    Ok(issuer)
}

/// The settings as they are kept, if they make sense, with what they mean.
fn canonical(mut issuer: Issuer) -> Result<(Issuer, IssuerPolicy)> {
    let policy = IssuerPolicy::parse(&issuer)?;
    if let Some(url) = &policy.acme {
        issuer.gw_cluster_url = Some(url.to_string());
    }
    issuer.allowed_domains = policy.names.allowed.iter().map(ToString::to_string).collect();
    issuer.public_url.clone_from(&policy.public_url);
    Ok((issuer, policy))
}
