//! What is tried again: trouble on the network. It takes seven seconds until the last attempt, so all cases are tried at
//! once, before the first test looks at its own.

use crate::nameserver::{Answer, caa, text as txt};
use crate::proof::{Steps, assert_valid, error_of, error_type, only};
use crate::scene::scene;
use crate::tls_responder::{Certificate, Shown};
use crate::world::acme::Client;
use crate::world::issuer::text;
use crate::world::place::Place;
use crate::world::responder;
use serde_json::Value;
use simple_dns::{RCODE, TYPE};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

const DOMAIN: &str = "retried.test";

/// The authorization of a case, once it is decided.
fn outcome(case: &str) -> Value {
    static OUTCOMES: OnceLock<HashMap<&'static str, Value>> = OnceLock::new();
    OUTCOMES.get_or_init(all_outcomes)[case].clone()
}

fn name(case: &str) -> String {
    format!("{case}.{DOMAIN}")
}

fn all_outcomes() -> HashMap<&'static str, Value> {
    let plain = ["--allow-subdomains"];
    let with_caa = ["--allow-subdomains", "--caa-identity", "ca.test"];
    let old = Place::new().address;
    let mut old_server = start_tls_1_1(old);
    let (dns, web, caa) = (
        scene().client_with(DOMAIN, &plain),
        scene().client_with(DOMAIN, &plain),
        scene().client_with(DOMAIN, &with_caa),
    );
    let outcomes = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        let mut run = |case: &'static str, client: Client, prepare: fn(&Client, &str, &str), kind: &'static str| {
            threads.push(scope.spawn(move || {
                let authorization = only(&client.order(&[&name(case)]));
                prepare(&client, case, &authorization);
                (case, client.attempt(&authorization, kind))
            }));
        };
        for case in ["servfail-once", "servfail", "refused", "cut", "other", "garbage"] {
            run(case, dns.clone(), prepare_dns, "dns-01");
        }
        for case in ["closed-once", "closed", "nobody"] {
            run(case, web.clone(), prepare_web, "http-01");
        }
        scene().names.point(&name("tls11"), old);
        for case in ["tls11", "no-alpn", "http-alpn", "wrong-key", "no-certificate"] {
            run(case, web.clone(), prepare_tls, "tls-alpn-01");
        }
        for case in ["caa-servfail-once", "caa-servfail", "caa-cut", "caa-refused"] {
            run(case, caa.clone(), prepare_caa, "http-01");
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    old_server.kill().unwrap();
    old_server.wait().unwrap();
    outcomes
}

fn prepare_dns(client: &Client, case: &str, authorization: &str) {
    let right = vec![txt(&client.dns_value(&client.challenge(authorization, "dns-01")))];
    let answer = match case {
        "servfail-once" => Answer::Failing(1, RCODE::ServerFailure, right),
        "servfail" => Answer::Code(RCODE::ServerFailure),
        "refused" => Answer::Code(RCODE::Refused),
        "cut" => Answer::AlwaysTruncated(right),
        "other" => Answer::OtherQuestion,
        _ => Answer::Garbage,
    };
    scene().names.answer_with(&format!("_acme-challenge.{}", name(case)), TYPE::TXT, answer);
}

fn prepare_web(client: &Client, case: &str, authorization: &str) {
    if case == "nobody" {
        scene().names.point(&name(case), Place::new().address);
        return;
    }
    let server = scene().web_server_of(&name(case));
    let token = text(&client.challenge(authorization, "http-01"), "token");
    server.serve(&token, &client.key_authorization(&token));
    server.answer_with(responder::Answer::Close);
    if case == "closed-once" {
        std::thread::spawn(move || {
            crate::world::patience::eventually("a first attempt", crate::world::patience::seconds(20), || {
                (!server.hits().is_empty()).then_some(())
            });
            server.answer_with(responder::Answer::Truth);
        });
    }
}

fn prepare_tls(client: &Client, case: &str, authorization: &str) {
    let name = name(case);
    let token = text(&client.challenge(authorization, "tls-alpn-01"), "token");
    let mut shown = Shown::new(Certificate::of_challenge(&name, &client.key_authorization(&token)));
    match case {
        "no-alpn" => shown.protocols = vec![],
        "http-alpn" => shown.protocols = vec![b"http/1.1".to_vec()],
        "wrong-key" => shown.certificate.key = Certificate::of_challenge(&name, "another").key,
        _ => return,
    }
    scene().tls.show(&name, shown);
}

fn prepare_caa(client: &Client, case: &str, authorization: &str) {
    let token = text(&client.challenge(authorization, "http-01"), "token");
    scene().http.serve(&token, &client.key_authorization(&token));
    let permit = vec![caa(0, "issue", "ca.test")];
    let answer = match case {
        "caa-servfail-once" => Answer::Failing(1, RCODE::ServerFailure, permit),
        "caa-cut" => Answer::AlwaysTruncated(permit),
        "caa-refused" => Answer::Code(RCODE::Refused),
        _ => Answer::Code(RCODE::ServerFailure),
    };
    scene().names.answer_with(&name(case), TYPE::CAA, answer);
}

/// A server that speaks TLS 1.1 and nothing newer, on the port of tls-alpn-01.
fn start_tls_1_1(address: Ipv4Addr) -> Child {
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::of_challenge(&name("tls11"), "nobody gets as far as that");
    let (cert, key) = (directory.path().join("cert.der"), directory.path().join("key.der"));
    std::fs::write(&cert, certificate.der).unwrap();
    std::fs::write(&key, certificate.key).unwrap();
    let accept = format!("{address}:{}", scene().ca.tls_alpn_01_port);
    let child = Command::new("/usr/bin/setpriv")
        .args(["--pdeathsig", "KILL", "--", "/usr/bin/openssl", "s_server", "-quiet", "-accept", &accept])
        .args(["-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-alpn", "acme-tls/1", "-certform", "DER", "-keyform", "DER"])
        .arg("-cert")
        .arg(&cert)
        .arg("-key")
        .arg(&key)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    crate::world::patience::eventually("the old server listens", crate::world::patience::seconds(10), || {
        std::net::TcpStream::connect((address, scene().ca.tls_alpn_01_port)).ok()
    });
    child
}

/// A DNS server that fails is asked again.
#[test]
fn rfc8555_s8_4_servfail_is_asked_again() {
    assert_valid(&outcome("servfail-once"));
}

/// Three times at most; then the error is `dns` and says what was asked.
#[test]
fn rfc8555_s8_4_servfail_that_stays_fails() {
    let authorization = outcome("servfail");
    assert_eq!(error_type(&authorization), "dns");
    assert!(text(&error_of(&authorization), "detail").contains("_acme-challenge.servfail.retried.test"));
    assert_eq!(scene().names.asked("_acme-challenge.servfail.retried.test", TYPE::TXT).len(), 3);
}

/// REFUSED, an answer to another question, and no DNS message at all are no answers.
#[test]
fn rfc8555_s8_4_what_is_no_answer_fails() {
    for case in ["refused", "other", "garbage"] {
        assert_eq!(error_type(&outcome(case)), "dns", "{case}");
    }
}

/// An answer that is truncated over TCP too may lack anything, so it counts for nothing.
#[test]
fn rfc8555_s8_4_an_answer_that_stays_truncated_fails() {
    assert_eq!(error_type(&outcome("cut")), "dns");
}

/// A web server that closes the connection is asked again.
#[test]
fn rfc8555_s8_3_a_closed_connection_is_tried_again() {
    assert_valid(&outcome("closed-once"));
}

/// A server that never answers, or is not there, is `connection`, and the address that was tried is told.
#[test]
fn rfc8555_s8_3_a_server_that_cannot_be_reached_is_a_connection_error() {
    for case in ["closed", "nobody"] {
        let authorization = outcome(case);
        assert_eq!(error_type(&authorization), "connection", "{case}");
        assert!(text(&error_of(&authorization), "detail").contains("127."), "{authorization}");
    }
}

/// TLS 1.2 is the oldest that is spoken.
#[test]
fn rfc8737_s4_tls_1_1_is_not_spoken() {
    assert_eq!(error_type(&outcome("tls11")), "tls");
}

/// A server that does not choose `acme-tls/1` has not been set up for this, whatever certificate it shows.
#[test]
fn rfc8737_s3_a_server_that_does_not_choose_the_protocol_fails() {
    for case in ["no-alpn", "http-alpn"] {
        assert_eq!(error_type(&outcome(case)), "tls", "{case}");
        assert!(!scene().tls.greetings(&name(case)).is_empty());
    }
}

/// The certificate's own key signs the handshake; whoever merely shows a certificate proves nothing.
#[test]
fn rfc8737_s3_a_certificate_without_its_key_fails() {
    assert_eq!(error_type(&outcome("wrong-key")), "tls");
}

#[test]
fn rfc8737_s3_a_server_without_a_certificate_fails() {
    assert!(["tls", "connection"].contains(&error_type(&outcome("no-certificate")).as_str()));
}

/// CAA that cannot be asked is asked again.
#[test]
fn rfc8659_s3_caa_that_fails_once_is_asked_again() {
    assert_valid(&outcome("caa-servfail-once"));
}

/// CAA that cannot be had is no permission: SERVFAIL, REFUSED, an answer that stays truncated although it permits.
#[test]
fn rfc8659_s3_caa_that_cannot_be_had_is_no_permission() {
    for case in ["caa-servfail", "caa-refused", "caa-cut"] {
        let kind = error_type(&outcome(case));
        assert!(["caa", "dns"].contains(&kind.as_str()), "{case}: {kind}");
    }
}
