//! RFC 8555, 7.4: requests for certificates that would be dear to look at. Each is refused before it costs anything.

use crate::der::{SET, UTF8, bits, element, integer, oid, sequence};
use crate::proof::Steps;
use crate::request::{COMMON_NAME, Request, SUBJECT_ALT_NAME, dns_name, extension};
use crate::scene::scene;
use crate::session::Session;
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::issuer::text;
use crate::world::outcome::assert_says;
use serde_json::json;
use std::time::{Duration, Instant};

/// Many times what the dearest of them takes without optimisation, and a small part of what any took that was let in.
const QUICK: Duration = Duration::from_millis(60);

/// An A-label of full length, which takes a hundred times as long to look at as another label.
const LONG_LABEL: &str = "xn--90aaaaaaaaaaaaaaacbbbbbbbbbbbbbecccccccccccccfddddddddddddd";

#[test]
fn rfc8555_s7_4_no_request_for_a_certificate_is_dear_to_look_at() {
    let client = scene().client("odd.requests.test");
    let order = client.ready(&["odd.requests.test"]);
    let finalize = text(&order.body, "finalize");
    let mut session = Session::new(client);
    for (what, why, csr) in odd() {
        assert!(csr.der.len() < 70_000, "{what} does not fit into a request");
        let payload = json!({"csr": base64url::encode(&csr.der)}).to_string();
        let mut quickest = Duration::MAX;
        // The machine may have something else to do now and then.
        for _ in 0..10 {
            let start = Instant::now();
            let reply = session.post(&finalize, payload.as_bytes());
            quickest = quickest.min(start.elapsed());
            assert_says(&reply.problem(400, "badCSR"), &[why]);
            if quickest < QUICK {
                break;
            }
        }
        assert!(quickest < QUICK, "{what} took {quickest:?}");
    }
    session.client.finalize(&order, &crate::request::csr(&["odd.requests.test"])).expect(200);
}

/// What is odd, why it is refused, and the request.
fn odd() -> Vec<(&'static str, &'static str, Csr)> {
    let names = |count: usize, name: &dyn Fn(usize) -> String| Request {
        names: (0..count).map(|number| dns_name(&name(number))).collect(),
        ..Request::new(&[])
    };
    let deep = |tag: u8| (0..16_000).fold(vec![5, 0], |inner, _| element(tag, &[&inner]));
    let long = vec![b'a'; 60_000];
    let a_label = |number: usize| format!("h{number}.{LONG_LABEL}.test");
    let mut common_names = Request::new(&["odd.requests.test"]);
    common_names.common_names = (0..700).map(a_label).collect();
    let pair = |value: &[u8]| sequence(&[&oid(COMMON_NAME), &element(UTF8, &[value])]);
    let wide = element(SET, &[&pair(b"odd.requests.test").repeat(2_000)]);
    vec![
        ("RSA-16384", "2048 to 4096 bits", rsa(&[0xc5; 2_048], &[1, 0, 1])),
        ("RSA with a modulus of 480,000 bits", "2048 to 4096 bits", rsa(&[0xc5; 60_000], &[1, 0, 1])),
        ("RSA-4096 with an exponent as long", "exponent", rsa(&[0xc5; 512], &[0xc5; 512])),
        ("an exponent of 480,000 bits", "exponent", rsa(&[0xc5; 256], &[0xc5; 60_000])),
        ("4,000 names", "more names", names(4_000, &|number| format!("h{number}.a.de")).build()),
        ("one name 3,000 times", "more names", names(3_000, &|_| "odd.requests.test".into()).build()),
        ("an A-label 700 times", "more names", names(700, &|_| a_label(0)).build()),
        ("700 A-labels", "DER", names(700, &a_label).build()),
        ("700 common names", "more names", common_names.build()),
        ("a common name 2,000 times", "more names", with_subject(&wide)),
        ("a name of 60,000 bytes", "host name", names(1, &|_| "a".repeat(60_000)).build()),
        ("a name of 30,000 labels", "host name", names(1, &|_| "a.".repeat(30_000)).build()),
        ("a common name of 60,000 bytes", "host name", Request::new(&[]).with_common_name(&"a".repeat(60_000)).build()),
        ("a subject as deep as it is long", "DER", with_subject(&deep(0x30))),
        (
            "a name as deep as it is long",
            "subjectAltName",
            Request::new(&[]).with_name(element(0xa4, &[&deep(0x30)])).build(),
        ),
        (
            "an object identifier of 60,000 bytes",
            "signature",
            with_subject(&element(SET, &[&sequence(&[&element(6, &[&long]), &[5, 0]])])),
        ),
        (
            "4,000 extensions",
            "twice",
            Request { extensions: vec![extension(SUBJECT_ALT_NAME, false, &[0x30, 0]); 4_000], ..Request::new(&[]) }
                .build(),
        ),
        ("a point of 60,000 bytes", "32 bytes", Request::new(&["odd.requests.test"]).build_for(&ec(&long))),
    ]
}

/// A request for an RSA key that nobody has: its signature is as long as one by it would be.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Csr {
    let key = sequence(&[&integer(modulus), &integer(exponent)]);
    let spki = sequence(&[&sequence(&[&oid("1.2.840.113549.1.1.1"), &[5, 0]]), &bits(&key)]);
    let information = information(&sequence(&[]), &spki);
    let algorithm = sequence(&[&oid("1.2.840.113549.1.1.11"), &[5, 0]]);
    let length = modulus.len().min(2_048);
    Csr { der: sequence(&[&information, &algorithm, &bits(&vec![7; length])]) }
}

fn ec(point: &[u8]) -> Vec<u8> {
    sequence(&[&sequence(&[&oid("1.2.840.10045.2.1"), &oid("1.2.840.10045.3.1.7")]), &bits(&[&[4], point].concat())])
}

/// A request with this in its subject, signed by nobody.
fn with_subject(subject: &[u8]) -> Csr {
    let information = information(&sequence(&[subject]), &ec(&[7; 64]));
    let algorithm = sequence(&[&oid("1.2.840.10045.4.3.2")]);
    Csr { der: sequence(&[&information, &algorithm, &bits(&sequence(&[&integer(&[7; 32]), &integer(&[7; 32])]))]) }
}

fn information(subject: &[u8], spki: &[u8]) -> Vec<u8> {
    sequence(&[&integer(&[0]), subject, spki, &element(0xa0, &[])])
}
