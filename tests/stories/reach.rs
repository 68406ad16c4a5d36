//! Where a validation will not go, whatever a client writes into its DNS, its redirects and its orders.

use crate::world::acme::{Client, Order};
use crate::world::daemon::Ca;
use crate::world::dns::Record;
use crate::world::issuer::text;
use crate::world::outcome::assert_says;
use crate::world::place::Place;
use crate::world::responder::{Answer, Responder};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const CHALLENGES: [&str; 2] = ["http-01", "tls-alpn-01"];

#[test]
fn a_name_leads_into_no_denied_network_in_any_disguise() {
    let scene = Scene::new();
    for kind in CHALLENGES {
        for address in disguises(scene.inside.address) {
            scene.ca.dns.point("acme.com", address);
            assert_denied(&scene.fails(kind), address);
        }
        // An allowed address beside it, where nobody answers, makes no difference.
        let all = [scene.ca.place.address, scene.inside.address].map(|address| Record::Address(address.into()));
        scene.ca.dns.set("acme.com", all.to_vec());
        scene.fails(kind);
    }
    assert_eq!(scene.callers_inside(), 0);
}

#[test]
fn a_redirect_leads_into_no_denied_network_in_any_disguise() {
    let scene = Scene::new();
    let responder = Responder::start(scene.ca.place.address, scene.ca.http_01_port);
    let octets = scene.inside.address.octets();
    let number = u32::from(scene.inside.address);
    let [a, b, c, d] = octets;
    let mut hosts: Vec<String> = vec![
        // What some libraries of C take for the same address.
        number.to_string(),
        format!("0x{number:x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a}.{b}.{}", u32::from(c) << 8 | u32::from(d)),
        format!("{}.", scene.inside.address),
        "inside.lan".into(),
        "inside.lan.".into(),
        format!("acme.com@{}", scene.inside.address),
    ];
    scene.ca.dns.point("inside.lan", scene.inside.address);
    for (at, address) in disguises(scene.inside.address).into_iter().enumerate() {
        let name = format!("inside{at}.lan");
        scene.ca.dns.point(&name, address);
        hosts.extend([name, if address.is_ipv6() { format!("[{address}]") } else { address.to_string() }]);
    }
    for host in hosts {
        for (scheme, port) in [("http", scene.ca.http_01_port), ("https", scene.ca.tls_alpn_01_port)] {
            responder.answer_with(Answer::Redirect(format!("{scheme}://{host}:{port}/{{token}}")));
            let detail = text(&scene.fails("http-01"), "detail");
            // Either it is no host at all, or its address was judged.
            let judged = detail.contains("--validation-deny");
            assert!(judged || detail.contains("it redirects to") || detail.contains("DNS"), "{host}: {detail}");
        }
    }
    assert_eq!(scene.callers_inside(), 0);
}

#[test]
fn a_name_that_changes_its_address_between_check_and_connection_gains_nothing() {
    let scene = Scene::new();
    let outside = Bell::hang(scene.ca.place.address, scene.ca.http_01_port);
    let outside_tls = Bell::hang(scene.ca.place.address, scene.ca.tls_alpn_01_port);
    for (kind, bell) in CHALLENGES.into_iter().zip([&outside, &outside_tls]) {
        scene.ca.dns.rebind("acme.com", scene.ca.place.address, scene.inside.address);
        let asked = scene.times_asked();
        // Whoever was checked is connected to and hangs up; the next attempt asks anew and is told the other address, which is
        // checked in its turn.
        let error = scene.fails(kind);
        assert_denied(&error, scene.inside.address.into());
        assert_eq!((bell.rung(), scene.times_asked() - asked), (1, 2), "{kind}: one question for each attempt");
    }
    assert_eq!(scene.callers_inside(), 0);
}

#[test]
fn an_address_that_is_ordered_is_no_way_into_a_denied_network() {
    let scene = Scene::new();
    for address in disguises(scene.inside.address) {
        let identifiers = json!({"identifiers": [{"type": "ip", "value": address.to_string()}]});
        for kind in CHALLENGES {
            let reply = scene.client.post(&scene.client.url("newOrder"), &identifiers);
            // An IPv4 address in IPv6 clothes is not a name that anybody has.
            if reply.status == 201 {
                assert_denied(&scene.fails_for(&reply.into(), kind), address);
            } else {
                assert!(address.is_ipv6(), "{reply}");
                reply.refused();
            }
        }
    }
    assert_eq!(scene.callers_inside(), 0);
}

/// An address as it is, and as it stands in IPv6 addresses (RFC 4291, 2.5.5; RFC 6052; RFC 8215; RFC 3056).
fn disguises(address: Ipv4Addr) -> Vec<IpAddr> {
    let [a, b, c, d] = address.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    vec![
        address.into(),
        address.to_ipv6_mapped().into(),
        Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low).into(),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low).into(),
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low).into(),
        Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1).into(),
    ]
}

#[track_caller]
fn assert_denied(error: &Value, address: IpAddr) {
    let shown = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    assert_says(&text(error, "detail"), &[&shown, "not connected to", "--validation-deny"]);
}

/// A daemon that may validate anywhere but in one place, where somebody counts who calls.
struct Scene {
    ca: Ca,
    client: Client,
    inside: Place,
    bells: Vec<Bell>,
}

impl Scene {
    fn new() -> Scene {
        let inside = Place::new();
        // As an administrator writes it: the network itself, and nothing about its disguises.
        let deny = format!("{}/32", inside.address);
        let ca = Ca::start_with(&["--validation-allow", "127.0.0.0/8,::/0", "--validation-deny", &deny]);
        let issuer = ca.make_issuer_with("acme.com", &["--allowed-ip-sans", "127.0.0.0/8,::/0"]);
        let client = ca.client(&issuer);
        let bells =
            [ca.http_01_port, ca.tls_alpn_01_port].into_iter().map(|port| Bell::hang(inside.address, port)).collect();
        Scene { ca, client, inside, bells }
    }

    /// The error of a validation that must fail.
    #[track_caller]
    fn fails(&self, kind: &str) -> Value {
        self.fails_for(&self.client.order(&["acme.com"]), kind)
    }

    #[track_caller]
    fn fails_for(&self, order: &Order, kind: &str) -> Value {
        let authorization = &order.authorizations()[0];
        self.client.post(&text(&self.challenge(authorization, kind), "url"), &json!({})).expect(200);
        assert_eq!(self.client.settled(&order.url, &["pending"])["status"], "invalid");
        self.challenge(authorization, kind)["error"].clone()
    }

    fn challenge(&self, authorization: &str, kind: &str) -> Value {
        let authorization = self.client.fetch(authorization).expect(200).json();
        let challenges = authorization["challenges"].as_array().unwrap();
        challenges.iter().find(|challenge| challenge["type"] == kind).unwrap().clone()
    }

    fn callers_inside(&self) -> usize {
        self.bells.iter().map(Bell::rung).sum()
    }

    fn times_asked(&self) -> usize {
        self.ca.dns.asked().iter().filter(|asked| asked.name == "acme.com" && asked.kind == "A").count()
    }
}

/// Counts who comes to a port, and hangs up.
struct Bell(Arc<AtomicUsize>);

impl Bell {
    fn hang(address: Ipv4Addr, port: u16) -> Bell {
        let listener = TcpListener::bind((address, port)).unwrap();
        let bell = Bell(Arc::default());
        let rung = bell.0.clone();
        std::thread::spawn(move || {
            for _ in listener.incoming().flatten() {
                rung.fetch_add(1, Ordering::SeqCst);
            }
        });
        bell
    }

    fn rung(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
