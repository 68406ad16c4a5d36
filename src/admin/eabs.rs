//! generate-acme-eab.

use super::{Administration, Arguments, Peer, done, items};
use crate::clock::Span;
use crate::error::{Error, Result};
use crate::jose::base64url;
use crate::keys::random;
use crate::store::{Eab, ItemKind};
use serde_json::{Value, json};
use zeroize::Zeroizing;

const DEFAULT_TTL: Span = Span::HOUR;
const LONGEST_TTL: Span = Span::days(7);

pub(super) fn generate(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let issuer =
        items::item_of_kind(admin, "cert-issuer-name", &arguments.required("cert-issuer-name")?, ItemKind::Issuer)?;
    let ttl = arguments.duration("ttl")?.unwrap_or(DEFAULT_TTL);
    arguments.finish()?;
    if ttl < Span(1) || ttl > LONGEST_TTL {
        return Err(Error::malformed(format!("--ttl {ttl} is out of range; a credential lives from 1s to 7d")));
    }
    if !admin.store.read(|read| read.issuer(issuer.id))?.acme_enabled {
        return Err(Error::conflict(format!(
            "{} does not speak ACME; switch it on with update-pki-cert-issuer --enable-acme true",
            issuer.name
        )));
    }
    let kid = base64url::encode(&drawn::<16>()?[..]);
    let mac_key = drawn::<32>()?;
    let sealed_mac_key = admin.issuance.seal_mac_key(&kid, &mac_key[..])?;
    let now = admin.now();
    let expires = now.plus(ttl);
    let eab = Eab { kid: kid.clone(), issuer: issuer.id, sealed_mac_key, expires, uses: 1, used: 0 };
    let entry = done(peer, "generate-acme-eab", &issuer.name, format!("EAB {kid} until {expires}"));
    admin.store.change(move |write| {
        write.insert_eab(&eab, now)?;
        write.append_audit(now, &entry)
    })?;
    Ok(json!({ "kid": kid, "mac_key": base64url::encode(&mac_key[..]), "expires_at": expires.to_string() }))
}

/// Random bytes whose base64url does not begin with `-`, which certbot 2.1 would take for an option: not the 62nd of 64
/// values of the first six bits.
fn drawn<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    loop {
        let bytes = Zeroizing::new(random::<N>()?);
        if !base64url::encode(&bytes[..1]).starts_with('-') {
            return Ok(bytes);
        }
    }
}
