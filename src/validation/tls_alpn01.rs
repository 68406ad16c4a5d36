//! tls-alpn-01 (RFC 8737, and RFC 8738, 6, for addresses): a certificate that carries the hash of the key authorization,
//! shown to whoever asks for the protocol acme-tls/1. Nobody vouches for that certificate; its own key signs the handshake.

use super::dns::remaining;
use super::probe::{Failure, Subject};
use crate::ca::ParsedCertificate;
use crate::der::{self, Reader, oid};
use crate::error::Class;
use crate::identifier::{Identifier, printable};
use crate::keys::sha256;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring as provider};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

const PROTOCOL: &[u8] = b"acme-tls/1";

pub(super) fn validate(subject: &Subject<'_>, deadline: Instant) -> Result<(), Failure> {
    let port = subject.prober.tls_alpn_01_port;
    let name = server_name(&subject.identifier)
        .ok_or_else(|| Failure::last(Class::Tls, format!("{} cannot be asked for by TLS", subject.identifier)))?;
    let identifier = &subject.identifier;
    let (stream, target) =
        subject.prober.reach(identifier, port, subject.job.account, deadline, |target, time, _| {
            TcpStream::connect_timeout(&target, time).map(|stream| (stream, target)).map_err(|e| {
                let why = format!("{identifier} at {target}: the connection failed ({e})");
                Failure::of_system(Class::Connection, &e, why)
            })
        })?;
    let shown = handshake(&stream, &name, deadline).map_err(|why| {
        let why = format!("{identifier} at {target}, asked for acme-tls/1 as {name:?}: {why}");
        Failure::passing(Class::Tls, why)
    })?;
    let expected = sha256(subject.key_authorization().as_bytes());
    check_certificate(&shown, identifier, &expected).map_err(|why| {
        Failure::last(Class::IncorrectResponse, format!("{identifier} at {target}: the certificate {why}"))
    })
}

/// Addresses are asked for by their name in the reverse DNS (RFC 8738, 6).
fn server_name(identifier: &Identifier) -> Option<ServerName<'static>> {
    let name = match identifier {
        Identifier::Dns(name) => name.to_string(),
        Identifier::Ip(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Identifier::Ip(IpAddr::V6(address)) => {
            let nibbles = address.octets().into_iter().rev().map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4));
            format!("{}ip6.arpa", nibbles.collect::<String>())
        }
    };
    ServerName::try_from(name).ok()
}

/// The certificate that the server shows, after a handshake that its key signed.
fn handshake(mut stream: &TcpStream, name: &ServerName<'static>, deadline: Instant) -> Result<Vec<u8>, String> {
    let provider = Arc::new(provider::default_provider());
    let verifier = Arc::new(OwnKey { algorithms: provider.signature_verification_algorithms });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    let mut tls = ClientConnection::new(Arc::new(config), name.clone()).map_err(|e| e.to_string())?;
    while tls.is_handshaking() {
        let time = remaining(deadline).map_err(|_| "it did not answer in time".to_owned())?;
        stream
            .set_read_timeout(Some(time))
            .and_then(|()| stream.set_write_timeout(Some(time)))
            .map_err(|e| e.to_string())?;
        while tls.wants_write() {
            tls.write_tls(&mut stream).map_err(|e| e.to_string())?;
        }
        if tls.is_handshaking() {
            match tls.read_tls(&mut stream) {
                Ok(0) => return Err("it ended the connection".into()),
                Ok(_) => {}
                Err(e) => return Err(e.to_string()),
            }
            tls.process_new_packets().map_err(|e| printable(&e.to_string()))?;
        }
    }
    if tls.alpn_protocol() != Some(PROTOCOL) {
        return Err("it does not speak acme-tls/1".into());
    }
    let shown = tls.peer_certificates().and_then(|all| all.first()).ok_or("it showed no certificate")?;
    Ok(shown.to_vec())
}

/// RFC 8737, 3: exactly this one name, and the hash in a critical extension.
fn check_certificate(certificate: &[u8], identifier: &Identifier, expected: &[u8]) -> Result<(), String> {
    let parsed = ParsedCertificate::parse(certificate).map_err(|e| format!("cannot be read: {e}"))?;
    let names = parsed.subject_alt_names().map_err(|e| format!("has odd names: {e}"))?;
    if names != [identifier.clone()] {
        return Err("is not for this name alone".into());
    }
    let (critical, value) = parsed.extension(oid::ACME_IDENTIFIER).ok_or("has no acmeIdentifier")?;
    if !critical {
        return Err("has an acmeIdentifier that is not critical".into());
    }
    let mut outer = Reader::new(value);
    let hash = outer.read(der::OCTET_STRING).ok().filter(|_| outer.is_empty());
    if hash == Some(expected) { Ok(()) } else { Err("carries another hash than that of the key authorization".into()) }
}

/// Trusts whatever certificate comes, and checks that its key signed the handshake. webpki refuses certificates with a
/// critical acmeIdentifier, so the key is taken out and used as a raw one.
#[derive(Debug)]
struct OwnKey {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for OwnKey {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let wrong = || rustls::Error::General("the handshake is not signed by the certificate's key".into());
        let spki = spki(certificate)?;
        let key = webpki::RawPublicKeyEntity::try_from(&spki).map_err(|_| wrong())?;
        let candidates = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let (_, candidates) = candidates.ok_or_else(wrong)?;
        let verified = candidates.iter().any(|a| key.verify_signature(*a, message, signed.signature()).is_ok());
        if verified { Ok(HandshakeSignatureValid::assertion()) } else { Err(wrong()) }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &spki(certificate)?, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn spki(certificate: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, rustls::Error> {
    let parsed = ParsedCertificate::parse(certificate)
        .map_err(|e| rustls::Error::General(format!("the certificate cannot be read: {e}")))?;
    Ok(SubjectPublicKeyInfoDer::from(parsed.spki))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_names_in_the_reverse_dns() {
        let name = |text: &str| server_name(&Identifier::parse_host(text).unwrap()).unwrap().to_str().into_owned();
        assert_eq!(name("10.1.2.3"), "3.2.1.10.in-addr.arpa");
        assert_eq!(name("2001:db8::1"), "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    }
}
