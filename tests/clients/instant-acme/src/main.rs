//! Rust's instant-acme, told what to do as ../drivers/library.rs says.

mod tls_alpn;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use instant_acme::{
    Account, AccountBuilder, AuthorizationStatus, ChallengeType, ExternalAccountKey, Identifier, NewAccount, NewOrder,
    OrderStatus, RetryPolicy, RevocationReason, RevocationRequest,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::env::var;
use std::error::Error;
use std::fs;
use std::process::Command;

type Outcome<T> = Result<T, Box<dyn Error>>;

const ACCOUNT: &str = "account.json";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["register", address, kid, mac_key] => register(address, kid, mac_key).await,
        ["issue", challenge, key, chain, ref names @ ..] => issue(challenge, key, chain, names).await,
        ["revoke", chain] => revoke(chain).await,
        ["contact", address] => Ok(resume().await?.update_contacts(&[&format!("mailto:{address}")]).await?),
        ["new-key"] => {
            let credentials = resume().await?.update_key().await?;
            Ok(fs::write(ACCOUNT, serde_json::to_string(&credentials)?)?)
        }
        ["deactivate"] => Ok(resume().await?.deactivate().await?),
        _ => Err(format!("not an operation: {arguments:?}").into()),
    }
}

async fn register(address: &str, kid: &str, mac_key: &str) -> Outcome<()> {
    let contact = format!("mailto:{address}");
    let account = NewAccount { contact: &[&contact], terms_of_service_agreed: true, only_return_existing: false };
    let binding = ExternalAccountKey::new(kid.to_string(), &BASE64_URL_SAFE_NO_PAD.decode(mac_key)?);
    let (_, credentials) = builder()?.create(&account, var("DIRECTORY")?, Some(&binding)).await?;
    Ok(fs::write(ACCOUNT, serde_json::to_string(&credentials)?)?)
}

async fn issue(wanted: &str, key: &str, chain: &str, names: &[&str]) -> Outcome<()> {
    let account = resume().await?;
    let identifiers: Vec<Identifier> = names.iter().map(|name| Identifier::Dns(name.to_string())).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let kind = match wanted {
            "http-01" => ChallengeType::Http01,
            "dns-01" => ChallengeType::Dns01,
            "tls-alpn-01" => ChallengeType::TlsAlpn01,
            other => return Err(format!("not a challenge: {other}").into()),
        };
        let mut challenge = authorization.challenge(kind).ok_or("the challenge is not offered")?;
        let answer = challenge.key_authorization();
        let Identifier::Dns(name) = challenge.identifier().identifier else { return Err("not a DNS name".into()) };
        match wanted {
            "http-01" => fs::write(format!("{}/{}", var("CHALLENGES")?, challenge.token), answer.as_str())?,
            "dns-01" => {
                let record = format!("_acme-challenge.{name}");
                let status = Command::new(var("TXT_RECORD")?).args(["add", &record, &answer.dns_value()]).status()?;
                assert!(status.success(), "TXT_RECORD: {status}");
            }
            _ => tls_alpn::show(name, answer.digest().as_ref(), &var("TLS_ALPN_01")?)?,
        }
        challenge.set_ready().await?;
    }
    match order.poll_ready(&RetryPolicy::default()).await? {
        OrderStatus::Ready => {}
        other => return Err(format!("the order is {other:?}: {:?}", order.state()).into()),
    }
    order.finalize_csr(&csr(key, names)?).await?;
    Ok(fs::write(chain, order.poll_certificate(&RetryPolicy::default()).await?)?)
}

async fn revoke(chain: &str) -> Outcome<()> {
    let certificate = CertificateDer::from_pem_file(chain)?;
    let request = RevocationRequest { certificate: &certificate, reason: Some(RevocationReason::Superseded) };
    Ok(resume().await?.revoke(&request).await?)
}

fn csr(key: &str, names: &[&str]) -> Outcome<Vec<u8>> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&KeyPair::from_pem(&fs::read_to_string(key)?)?)?.der().to_vec())
}

async fn resume() -> Outcome<Account> {
    let credentials = serde_json::from_str(&fs::read_to_string(ACCOUNT)?)?;
    Ok(builder()?.from_credentials(credentials).await?)
}

fn builder() -> Outcome<AccountBuilder> {
    Ok(Account::builder_with_root(var("ROOT")?)?)
}
