//! The network of validation when it is at its worst: names whose DNS is dead, slow or forged, hosts that never finish what
//! they say. Whoever asked for them waits and is told; nobody else does.

use crate::world::acme::{Client, Order};
use crate::world::daemon::Ca;
use crate::world::issuer::text;
use crate::world::patience::{eventually, seconds};
use crate::world::place::Place;
use crate::world::responder::{Answer, Responder};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Names that cannot be proved.
const BAD: [&str; 8] =
    ["a.acme.com", "b.acme.com", "c.acme.com", "d.acme.com", "e.acme.com", "f.acme.com", "g.acme.com", "h.acme.com"];

/// For each of them; together they are more than there are validators.
const ORDERS_EACH: usize = 5;

#[test]
fn an_answer_that_was_forged_is_not_believed() {
    let scene = Scene::begin();
    let elsewhere = Place::new();
    let thief = Responder::start(elsewhere.address, scene.ca.http_01_port);
    scene.ca.dns.be_forged(elsewhere.address);
    scene.an_honest_order_does_not_wait();
    assert!(thief.hits().is_empty(), "a forged answer led elsewhere");
}

#[test]
fn names_whose_dns_is_dead_hold_up_nobody_else() {
    let scene = Scene::begin();
    BAD.iter().for_each(|name| scene.ca.dns.be_deaf_to(name));
    let orders = scene.bad_orders("http-01");
    scene.an_honest_order_does_not_wait();
    scene.end_with(&orders, &["dns"]);
}

#[test]
fn dns_that_takes_its_time_is_waited_for() {
    let scene = Scene::begin();
    scene.ca.dns.be_slow(Duration::from_millis(1_500));
    scene.an_honest_order_does_not_wait();
}

#[test]
fn hosts_that_never_answer_hold_up_nobody_else() {
    bad_hosts_hold_up_nobody_else(Answer::Hold);
}

#[test]
fn hosts_that_never_end_their_head_hold_up_nobody_else() {
    bad_hosts_hold_up_nobody_else(Answer::Drip);
}

#[test]
fn hosts_that_never_end_their_body_or_send_in_circles_hold_up_nobody_else() {
    bad_hosts_hold_up_nobody_else(Answer::Endless);
    bad_hosts_hold_up_nobody_else(Answer::Redirect(format!("http://{}:PORT/round/{{token}}", BAD[0])));
}

#[test]
fn hosts_that_hang_up_hold_up_nobody_else() {
    bad_hosts_hold_up_nobody_else(Answer::Reset);
}

fn bad_hosts_hold_up_nobody_else(answer: Answer) {
    let scene = Scene::begin();
    let place = Place::new();
    let host = Responder::start(place.address, scene.ca.http_01_port);
    BAD.iter().for_each(|name| scene.ca.dns.point(name, place.address));
    host.answer_with(match answer {
        Answer::Redirect(to) => Answer::Redirect(to.replace("PORT", &scene.ca.http_01_port.to_string())),
        other => other,
    });
    let orders = scene.bad_orders("http-01");
    scene.an_honest_order_does_not_wait();
    assert!(!host.hits().is_empty());
    scene.end_with(&orders, &["connection", "incorrectResponse"]);
}

#[test]
fn tls_that_never_begins_holds_up_nobody_else() {
    bad_tls_holds_up_nobody_else(&[]);
}

/// A record that says that it is long, a byte at a time.
#[test]
fn tls_that_never_ends_holds_up_nobody_else() {
    bad_tls_holds_up_nobody_else(&[22, 3, 3, 0x40, 0]);
}

fn bad_tls_holds_up_nobody_else(beginning: &'static [u8]) {
    let scene = Scene::begin();
    let place = Place::new();
    let listener = TcpListener::bind((place.address, scene.ca.tls_alpn_01_port)).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.write_all(beginning);
                for _ in 0..600 {
                    std::thread::sleep(Duration::from_millis(100));
                    if !beginning.is_empty() && stream.write_all(&[0]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    BAD.iter().for_each(|name| scene.ca.dns.point(name, place.address));
    let orders = scene.bad_orders("tls-alpn-01");
    scene.an_honest_order_does_not_wait();
    scene.end_with(&orders, &["tls", "connection"]);
}

/// Two accounts: one that asks for a name that cannot be proved, an honest one.
struct Scene {
    ca: Ca,
    bad: Client,
    honest: Client,
    responder: Responder,
}

impl Scene {
    fn begin() -> Scene {
        let ca = Ca::start();
        let issuer =
            ca.make_issuer_with(&format!("acme.com,{}", BAD.join(",")), &["--challenges", "http-01,tls-alpn-01"]);
        let (bad, honest) = (ca.client(&issuer), ca.client(&issuer));
        let responder = Responder::start(ca.place.address, ca.http_01_port);
        Scene { ca, bad, honest, responder }
    }

    fn bad_orders(&self, kind: &str) -> Vec<Order> {
        let order = |name: &&str| {
            let order = self.bad.order(&[name]);
            let challenge = self.challenge(&order, kind);
            self.bad.post(&text(&challenge, "url"), &json!({})).expect(200);
            order
        };
        std::iter::repeat_n(&BAD, ORDERS_EACH).flatten().map(order).collect()
    }

    fn challenge(&self, order: &Order, kind: &str) -> Value {
        let authorization = self.bad.fetch(&order.authorizations()[0]).expect(200).json();
        let challenges = authorization["challenges"].as_array().unwrap();
        challenges.iter().find(|challenge| challenge["type"] == kind).unwrap().clone()
    }

    fn an_honest_order_does_not_wait(&self) {
        let start = Instant::now();
        self.honest.obtain(&["acme.com"], &self.responder);
        assert!(start.elapsed() < seconds(5), "{:?} behind somebody else's hosts", start.elapsed());
    }

    /// The first of them are told in one of these ways, however many come after them.
    fn end_with(&self, orders: &[Order], kinds: &[&str]) {
        for order in &orders[..2] {
            let settled = eventually("a bad order is given up", seconds(150), || {
                let body = self.bad.fetch(&order.url).expect(200).json();
                (body["status"] != "pending").then_some(body)
            });
            assert_eq!(settled["status"], "invalid");
            let authorization = self.bad.fetch(&order.authorizations()[0]).expect(200).json();
            let challenges = authorization["challenges"].as_array().unwrap();
            let error = &challenges.iter().find(|challenge| challenge["error"].is_object()).unwrap()["error"];
            let kind = text(error, "type").rsplit(':').next().unwrap().to_string();
            assert!(kinds.contains(&kind.as_str()), "{error}");
            assert!(error.to_string().len() < 2_000, "{error}");
        }
        self.an_honest_order_does_not_wait();
    }
}
