//! http-01 as the daemon does it: what convinces it, what does not, and where it will not go.

use crate::world::acme::{Client, Order};
use crate::world::daemon::Ca;
use crate::world::dns::{Mood, Record};
use crate::world::issuer::{Issuer, text};
use crate::world::outcome::assert_says;
use crate::world::patience::{eventually, seconds};
use crate::world::place::Place;
use crate::world::responder::{Answer, Responder};
use serde_json::Value;
use std::net::{IpAddr, Ipv6Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

#[test]
fn the_right_answer_convinces_even_with_white_space_behind_it() {
    let scene = Scene::new();
    let order = scene.client.order(&["acme.com"]);
    let challenge = scene.client.http_01(&order.authorizations()[0]);
    let token = text(&challenge, "token");
    assert!(token.len() >= 22, "128 bits at least: {token}");
    let answer = format!("{} \r\n\t\n", scene.client.key_authorization(&token));
    scene.responder.serve(&token, &answer);
    scene.client.post(&text(&challenge, "url"), &serde_json::json!({})).expect(200);
    let settled = scene.client.settled(&order.url, &["pending"]);
    assert_eq!(settled["status"], "ready", "{settled}");
    let hits = scene.responder.hits();
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].path, format!("/.well-known/acme-challenge/{token}"));
    assert!(hits[0].host.starts_with("acme.com"), "{}", hits[0].host);
}

#[test]
fn what_is_proved_at_once_is_answered_at_once() {
    let scene = Scene::new();
    let is_answered_valid = || {
        let order = scene.client.order(&["acme.com"]);
        let challenge = scene.asks(&order);
        let order = scene.client.settled(&order.url, &["pending"]);
        assert_eq!(order["status"], "ready", "{order}");
        challenge["status"] == "valid" && challenge["validated"].is_string()
    };
    // A machine under load may take longer now and then; one that does not wait is lucky now and then.
    eventually("challenges are answered with their results", seconds(30), || {
        (0..3).all(|_| is_answered_valid()).then_some(())
    });
    scene.responder.answer_with(raw("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
    eventually("a challenge is answered with its error", seconds(30), || {
        let challenge = scene.asks(&scene.client.order(&["acme.com"]));
        (challenge["status"] == "invalid" && challenge["error"]["detail"].is_string()).then_some(())
    });
}

#[test]
fn whoever_waits_for_a_slow_target_leaves_workers_for_the_others() {
    let scene = Scene::with(&["--validation-allow", "127.0.0.0/8", "--workers", "1"]);
    scene.responder.answer_with(Answer::Hold);
    let orders: Vec<Order> = (0..10).map(|_| scene.client.order(&["acme.com"])).collect();
    let quickest = orders.iter().map(|order| {
        let start = Instant::now();
        assert_eq!(scene.asks(order)["status"], "processing");
        start.elapsed()
    });
    let quickest = quickest.min().unwrap();
    assert!(quickest < Duration::from_millis(100), "the only worker waited {quickest:?}");
}

#[test]
fn a_wrong_answer_is_final_and_told_without_its_content() {
    let scene = Scene::new();
    let secret = "secret-of-an-intranet-page".repeat(20);
    scene.responder.answer_with(raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{secret}", secret.len())));
    let error = scene.fails();
    assert_eq!(kind(&error), "incorrectResponse", "{error}");
    assert!(!error.to_string().contains(&secret[..100]), "a client reads other people's pages: {error}");
    assert_eq!(scene.responder.hits().len(), 1, "a wrong answer is not asked for again");
}

#[test]
fn what_is_no_answer_is_told() {
    for (answer, word) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "500"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "127."),
    ] {
        let scene = Scene::new();
        scene.responder.answer_with(raw(answer));
        let error = scene.fails();
        assert_says(&text(&error, "detail"), &[word]);
    }
}

#[test]
fn a_body_without_end_is_cut_off() {
    let scene = Scene::new();
    scene.responder.answer_with(Answer::Endless);
    let error = scene.fails();
    assert!(error.to_string().len() < 2000, "{error}");
    // 64 KiB are read; the rest is what the sockets between us hold.
    assert!(scene.responder.poured() < 16 * 1024 * 1024, "{} bytes were taken", scene.responder.poured());
}

#[test]
fn a_redirect_to_an_allowed_port_is_followed() {
    let scene = Scene::new();
    let other = Responder::start(scene.ca.place.address, scene.ca.tls_alpn_01_port);
    // As long as some servers make them.
    let deep = "a".repeat(8_000);
    let place = format!("http://acme.com:{}/{deep}/{{token}}", scene.ca.tls_alpn_01_port);
    scene.responder.answer_with(Answer::Redirect(place));
    let order = scene.client.order(&["acme.com"]);
    let token = text(&scene.client.http_01(&order.authorizations()[0]), "token");
    other.serve(&token, &scene.client.key_authorization(&token));
    scene.client.prove(&order, &scene.responder);
    let settled = scene.client.settled(&order.url, &["pending"]);
    assert_eq!(settled["status"], "ready", "{settled}");
    assert_eq!(other.hits()[0].path, format!("/{deep}/{token}"));
}

#[test]
fn a_redirect_to_another_port_is_not_followed() {
    let scene = Scene::new();
    let port = scene.ca.place.free_port();
    let other = Responder::start(scene.ca.place.address, port);
    scene.responder.answer_with(Answer::Redirect(format!("http://acme.com:{port}/{{token}}")));
    let error = scene.fails();
    assert_says(&text(&error, "detail"), &[&port.to_string()]);
    assert!(other.hits().is_empty());
}

#[test]
fn a_redirect_into_a_denied_network_is_not_followed() {
    let inside = Place::new();
    let deny = format!("{}/32", inside.address);
    let scene = Scene::with(&["--validation-allow", "127.0.0.0/8", "--validation-deny", &deny]);
    let port = scene.ca.http_01_port;
    let other = Responder::start(inside.address, port);
    scene.ca.dns.point("inside.lan", inside.address);
    scene.ca.dns.point("mapped.lan", inside.address.to_ipv6_mapped());
    for host in
        [inside.address.to_string(), "inside.lan".into(), "mapped.lan".into(), format!("[::ffff:{}]", inside.address)]
    {
        scene.responder.answer_with(Answer::Redirect(format!("http://{host}:{port}/{{token}}")));
        let error = scene.fails();
        assert_says(&text(&error, "detail"), &[&inside.address.to_string()]);
    }
    assert!(other.hits().is_empty());
}

#[test]
fn redirects_that_do_not_end_or_lead_out_of_http_are_given_up() {
    let scene = Scene::new();
    let port = scene.ca.http_01_port;
    scene.responder.answer_with(Answer::Redirect(format!("http://acme.com:{port}/round/{{token}}")));
    assert_says(&text(&scene.fails(), "detail"), &["redirect"]);
    let hits = scene.responder.hits().len();
    assert!((2..=11).contains(&hits), "{hits} requests, ten redirects at most");
    for place in ["ftp://acme.com/{token}", "file:///etc/passwd", "//", "http://", "gopher://acme.com:80/"] {
        scene.responder.answer_with(Answer::Redirect(place.into()));
        scene.fails();
    }
}

#[test]
fn loopback_is_out_of_reach_unless_allowed() {
    let scene = Scene::with(&[]);
    let error = scene.fails();
    assert_says(&text(&error, "detail"), &[&scene.ca.place.address.to_string(), "loopback"]);
    assert!(scene.responder.hits().is_empty());

    scene.ca.dns.set("acme.com", vec![Record::Address(scene.ca.place.address.to_ipv6_mapped().into())]);
    scene.fails();
    assert!(scene.responder.hits().is_empty(), "an IPv4 address in IPv6 clothes");
}

#[test]
fn ipv6_comes_first_and_ipv4_is_tried_when_it_does_not_answer() {
    let scene = Scene::with(&["--validation-allow", "127.0.0.0/8,::1/128"]);
    let four = IpAddr::from(scene.ca.place.address);
    scene.ca.dns.set("acme.com", vec![Record::Address(four), Record::Address(Ipv6Addr::LOCALHOST.into())]);
    // Nobody listens on ::1 yet.
    let order = scene.proven();
    let settled = scene.client.settled(&order.url, &["pending"]);
    assert_eq!(settled["status"], "ready", "{settled}");
    let over_four = scene.responder.hits().len();
    assert_eq!(over_four, 1);

    let six = Responder::start(Ipv6Addr::LOCALHOST, scene.ca.http_01_port);
    let order = scene.client.order(&["acme.com"]);
    scene.client.prove(&order, &six);
    assert_eq!(scene.client.settled(&order.url, &["pending"])["status"], "ready");
    assert_eq!((six.hits().len(), scene.responder.hits().len()), (1, over_four));
}

#[test]
fn a_slow_first_address_is_given_its_time_before_another_one_decides() {
    let scene = Scene::with(&["--validation-allow", "127.0.0.0/8,::1/128"]);
    let four = IpAddr::from(scene.ca.place.address);
    scene.ca.dns.set("acme.com", vec![Record::Address(Ipv6Addr::LOCALHOST.into()), Record::Address(four)]);
    scene.responder.answer_with(raw("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
    // One who is let in a moment later is let in by his second try, which comes after a second.
    let six = TcpListener::bind((Ipv6Addr::LOCALHOST, scene.ca.http_01_port)).unwrap();
    rustix::net::listen(&six, 0).unwrap();
    let address = six.local_addr().unwrap();
    let patience = Duration::from_millis(100);
    let crowd: Vec<_> = (0..4).map_while(|_| TcpStream::connect_timeout(&address, patience).ok()).collect();
    assert!(crowd.len() < 4, "there is room for more than the few");
    let order = scene.client.order(&["acme.com"]);
    let challenge = scene.client.http_01(&order.authorizations()[0]);
    let token = text(&challenge, "token");
    scene.client.post(&text(&challenge, "url"), &serde_json::json!({})).expect(200);
    let six = Responder::on(six);
    six.serve(&token, &scene.client.key_authorization(&token));
    let settled = scene.client.settled(&order.url, &["pending"]);
    assert_eq!(settled["status"], "ready", "{}", scene.client.http_01(&order.authorizations()[0]));
    assert!(scene.responder.hits().len() <= 1);
}

#[test]
fn trouble_on_the_network_is_tried_again() {
    let scene = Scene::new();
    scene.responder.answer_with(Answer::Close);
    let order = scene.proven();
    eventually("a first attempt", seconds(15), || (!scene.responder.hits().is_empty()).then_some(()));
    scene.responder.answer_with(Answer::Truth);
    let settled = scene.client.settled(&order.url, &["pending"]);
    assert_eq!(settled["status"], "ready", "{settled}");
}

#[test]
fn a_refused_connection_is_tried_three_times_and_then_told() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    // Nobody listens; each attempt looks the name up anew.
    let order = client.order(&["acme.com"]);
    let challenge = client.http_01(&order.authorizations()[0]);
    client.post(&text(&challenge, "url"), &serde_json::json!({})).expect(200);
    let settled = client.settled(&order.url, &["pending"]);
    assert_eq!(settled["status"], "invalid");
    let error = client.http_01(&order.authorizations()[0])["error"].clone();
    assert_eq!(kind(&error), "connection", "{error}");
    assert_says(&text(&error, "detail"), &[&ca.place.address.to_string(), &ca.http_01_port.to_string()]);
    let asked = ca.dns.asked().iter().filter(|asked| asked.name == "acme.com" && asked.kind == "A").count();
    assert_eq!(asked, 3);
}

#[test]
fn dns_that_fails_is_told_and_a_truncated_answer_is_fetched_over_tcp() {
    let scene = Scene::new();
    scene.ca.dns.be(Mood::Truncating);
    let order = scene.proven();
    assert_eq!(scene.client.settled(&order.url, &["pending"])["status"], "ready");
    assert!(scene.ca.dns.asked().iter().any(|asked| asked.over_tcp));

    scene.ca.dns.be(Mood::TruncatingAndDeaf);
    let order = scene.proven();
    assert_eq!(scene.client.settled(&order.url, &["pending"])["status"], "ready", "the other family's time is its own");

    scene.ca.dns.be(Mood::Failing);
    let error = scene.fails();
    assert_eq!(kind(&error), "dns", "{error}");
    assert_says(&text(&error, "detail"), &["acme.com", "serv", "fail"]);

    scene.ca.dns.be(Mood::Silent);
    let error = scene.fails();
    assert_eq!(kind(&error), "dns", "{error}");

    scene.ca.dns.be(Mood::Answering);
    scene.ca.dns.set("acme.com", vec![]);
    let error = scene.fails();
    assert_eq!(kind(&error), "dns", "{error}");
    assert_says(&text(&error, "detail"), &["acme.com", "address"]);
}

#[test]
fn a_slow_responder_keeps_nobody_else_waiting() {
    let scene = Scene::with_domains("acme.com,slow.com", &["--validation-allow", "127.0.0.0/8"]);
    let slow_place = Place::new();
    let slow = Responder::start(slow_place.address, scene.ca.http_01_port);
    slow.answer_with(Answer::Hold);
    scene.ca.dns.point("slow.com", slow_place.address);
    for _ in 0..20 {
        let order = scene.client.order(&["slow.com"]);
        scene.client.prove(&order, &slow);
    }
    let order = scene.proven();
    let start = std::time::Instant::now();
    assert_eq!(scene.client.settled(&order.url, &["pending"])["status"], "ready");
    assert!(start.elapsed() < seconds(10), "{:?} behind somebody else's responder", start.elapsed());
    slow.answer_with(Answer::Truth);
}

/// A daemon, a client with an account, and a responder where acme.com points.
struct Scene {
    ca: Ca,
    client: Client,
    responder: Responder,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(&["--validation-allow", "127.0.0.0/8"])
    }

    fn with(flags: &[&str]) -> Scene {
        Scene::with_domains("acme.com", flags)
    }

    fn with_domains(domains: &str, flags: &[&str]) -> Scene {
        let ca = Ca::start_with(flags);
        let issuer: Issuer = ca.make_issuer(domains);
        let client = ca.client(&issuer);
        let responder = Responder::start(ca.place.address, ca.http_01_port);
        Scene { ca, client, responder }
    }

    /// An order for acme.com whose answer is in place.
    fn proven(&self) -> Order {
        let order = self.client.order(&["acme.com"]);
        self.client.prove(&order, &self.responder);
        order
    }

    /// The challenge of an order as it is answered to whoever asks for its validation.
    fn asks(&self, order: &Order) -> Value {
        let challenge = self.client.http_01(&order.authorizations()[0]);
        let token = text(&challenge, "token");
        self.responder.serve(&token, &self.client.key_authorization(&token));
        self.client.post(&text(&challenge, "url"), &serde_json::json!({})).expect(200).json()
    }

    /// The error of a validation that must fail.
    #[track_caller]
    fn fails(&self) -> Value {
        let order = self.proven();
        let settled = self.client.settled(&order.url, &["pending"]);
        assert_eq!(settled["status"], "invalid", "{settled}");
        let authorization = self.client.fetch(&order.authorizations()[0]).expect(200).json();
        assert_eq!(authorization["status"], "invalid");
        let challenge = self.client.http_01(&order.authorizations()[0]);
        assert_eq!(challenge["status"], "invalid");
        challenge["error"].clone()
    }
}

fn raw(reply: &str) -> Answer {
    Answer::Raw(reply.as_bytes().to_vec())
}

#[track_caller]
fn kind(error: &Value) -> String {
    text(error, "type").rsplit(':').next().unwrap().to_string()
}
