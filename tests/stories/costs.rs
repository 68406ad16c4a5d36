//! What a request may cost us: at most one signature while we do not know whose it is, and none at all where too many came.

use crate::world::account_key::AccountKey;
use crate::world::acme::{Client, Jws};
use crate::world::base64url;
use crate::world::daemon::Ca;
use crate::world::issuer::{Eab, Issuer, text};
use crate::world::patience::{eventually, seconds};
use crate::world::wire::{Connection, Reply, path, read_reply};
use serde_json::{Value, json};
use std::io::Write;
use std::net::Ipv4Addr;

const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

#[test]
fn a_request_costs_at_most_one_signature_and_what_is_cheap_is_looked_at_first() {
    let (ca, issuer) = ca(&[]);
    let member = ca.client(&issuer);
    let stranger = issuer.client(AccountKey::es256());
    let with_rsa = issuer.client(AccountKey::rsa(2048));
    let eab = Eab { mac_key: base64url::encode([7; 32]), ..ca.make_eab(&issuer) };
    let new_account = stranger.url("newAccount");
    let ask = |client: &Client, spoil: &dyn Fn(&mut Value)| {
        let mut header = client.header(&new_account);
        spoil(&mut header);
        client.send(&new_account, &client.sign(&header, b"{}"))
    };
    let badly_signed = |client: &Client, url: &str, payload: &[u8]| {
        let jws = client.sign(&client.header(url), payload);
        client.send(url, &Jws { signature: client.sign(&client.header(url), b"else").signature, ..jws })
    };
    let wrong_nonce: &dyn Fn(&mut Value) = &|header| header["nonce"] = base64url::encode([1; 16]).into();
    let wrong_url: &dyn Fn(&mut Value) = &|header| header["url"] = "https://ca.lan/elsewhere".into();

    let none = Cost { signatures: 0, judged_keys: 0 };
    let one = Cost { signatures: 1, judged_keys: 0 };
    let one_and_key = Cost { signatures: 1, judged_keys: 1 };
    let cost = |what: &str, expected: Cost, kind: &str, request: &dyn Fn() -> Reply| {
        let before = Cost::so_far(&ca);
        let reply = request();
        assert!(reply.status >= 400, "{what}: {reply}");
        assert_eq!(text(&reply.json(), "type").rsplit(':').next(), Some(kind), "{what}: {reply}");
        assert_eq!(Cost::so_far(&ca).since(before), expected, "{what}: {reply}");
    };
    for client in [&stranger, &with_rsa] {
        cost("a nonce of somebody else's", none, "badNonce", &|| ask(client, wrong_nonce));
        cost("another URL", none, "unauthorized", &|| ask(client, wrong_url));
        cost("a wrong signature", one, "malformed", &|| badly_signed(client, &new_account, b"{}"));
    }
    let huge = base64url::encode([&[0xc5; 1023][..], &[0x35]].concat());
    let jwk = |n: &str, e: &str| json!({"kty": "RSA", "n": n, "e": e});
    for jwk in [jwk(&huge, "AQAB"), jwk(with_rsa.key.jwk["n"].as_str().unwrap(), &huge)] {
        let show = |header: &mut Value| header["jwk"] = jwk.clone();
        cost("an RSA key with a huge number", none, "badPublicKey", &|| ask(&with_rsa, &show));
    }
    cost("a key that divides by three", one, "malformed", &|| {
        let n = base64url::encode([&[0xff; 255][..], &[0xff]].concat());
        ask(&with_rsa, &|header| header["jwk"] = jwk(&n, "AQAB"))
    });
    cost("no external account", one, "externalAccountRequired", &|| ask(&stranger, &|_| ()));
    cost("an external account with a wrong MAC", one_and_key, "unauthorized", &|| {
        let binding = with_rsa.binding(&eab, "HS256", &ring::hmac::HMAC_SHA256);
        with_rsa.post(&new_account, &json!({"externalAccountBinding": binding}))
    });

    let mut nobody = stranger.clone();
    nobody.account = member.account.as_ref().map(|url| format!("{url}999999"));
    let mut impostor = stranger.clone();
    impostor.account.clone_from(&member.account);
    let new_order = member.url("newOrder");
    cost("an account that is not there", none, "accountDoesNotExist", &|| nobody.ask_for(&["acme.com"]));
    cost("an impostor", one, "malformed", &|| impostor.ask_for(&["acme.com"]));
    let late = |header: &Value| member.send(&new_order, &member.sign(header, b"{}"));
    let mut header = member.header(&new_order);
    wrong_nonce(&mut header);
    cost("an account's request with a wrong nonce", none, "badNonce", &|| late(&header));

    let key_change = member.url("keyChange");
    let inner = json!({"alg": "RS256", "jwk": with_rsa.key.jwk, "url": key_change});
    let payload = json!({"account": member.account, "oldKey": member.key.jwk}).to_string();
    let inner = with_rsa.sign(&inner, payload.as_bytes()).flattened();
    cost("a change of somebody else's key", one, "malformed", &|| impostor.post(&key_change, &inner));

    let revoke = stranger.url("revokeCert");
    let unknown = json!({"certificate": base64url::encode([0x30; 300])});
    cost("a revocation of no certificate", one, "malformed", &|| stranger.post(&revoke, &unknown));
    cost("a revocation by a wrong signature", one, "malformed", &|| {
        badly_signed(&with_rsa, &revoke, unknown.to_string().as_bytes())
    });
}

#[test]
fn strangers_at_one_address_wait_before_their_signatures_are_looked_at_and_nobody_else_does() {
    let (ca, issuer) = ca(&["--require-eab=false"]);
    let member = at(ATTACKER, &ca.client(&issuer));
    let stranger = at(ATTACKER, &issuer.client(AccountKey::es256()));
    let new_account = stranger.url("newAccount");
    let mut flood = Flood::by(&stranger);
    let wrong = |header: &Value| Jws {
        signature: base64url::encode([7; 64]),
        protected: base64url::encode(header.to_string()),
        payload: "e30".into(),
    };
    let told_to_wait = (0..20_000).find_map(|_| {
        let reply = flood.send(&new_account, &wrong);
        (reply.status != 400).then_some(reply)
    });
    let reply = told_to_wait.expect("the flood ends");
    reply.problem(429, "rateLimited");
    let wait: u64 = reply.required_header("retry-after").parse().unwrap();
    assert!((1..=5).contains(&wait), "{reply}");

    assert_wait_without_being_looked_at(&ca, || flood.send(&new_account, &wrong));

    member.ask_for(&["acme.com"]).expect(201);
    let register = |client: &Client| client.clone().register_with(&json!({"termsOfServiceAgreed": true})).status;
    assert_eq!(register(&at(ELSEWHERE, &stranger)), 201, "a newcomer at another address");
    let late = at(ATTACKER, &issuer.client(AccountKey::es256()));
    eventually("the address may register again", seconds(30), || (register(&late) == 201).then_some(()));
}

#[test]
fn impostors_wait_before_their_signatures_are_looked_at_and_the_accounts_that_were_there_before_do_not() {
    let (ca, issuer) = ca(&[]);
    let (member, neighbour) = (at(ATTACKER, &ca.client(&issuer)), ca.client(&issuer));
    member.ask_for(&["acme.com"]).expect(201);
    // One that has only just registered there.
    let mut newcomer = at(ATTACKER, &issuer.client(AccountKey::es256()));
    newcomer.register(&ca.make_eab(&issuer)).expect(201);
    let mut impostor = at(ATTACKER, &issuer.client(AccountKey::es256()));
    impostor.account.clone_from(&neighbour.account);
    let mut flood = Flood::by(&impostor);
    let url = impostor.url("newOrder");
    let sign = |header: &Value| impostor.sign(header, b"{}");
    let tried = (0..20_000).take_while(|_| flood.send(&url, &sign).status == 400).count();
    assert!((600..20_000).contains(&tried), "{tried} tries");

    assert_wait_without_being_looked_at(&ca, || flood.send(&url, &sign));

    // From where they are.
    member.ask_for(&["acme.com"]).expect(201);
    newcomer.ask_for(&["acme.com"]).expect(201);
    at(ELSEWHERE, &neighbour).ask_for(&["acme.com"]).expect(201);
}

#[test]
fn an_account_in_a_loop_is_slowed_down_and_no_other() {
    let (mut ca, issuer) = ca(&[]);
    // What it says of each request takes longer than the request.
    assert!(ca.stop().success());
    ca.launch_with(|command| _ = command.env("RUST_LOG", "warn"));
    let (looping, other) = (ca.client(&issuer), ca.client(&issuer));
    let url = issuer.directory.clone();
    let told_to_wait = |client: &Client| {
        let mut flood = Flood::by(client);
        let sign = |header: &Value| client.sign(header, b"");
        (0..60_000).find_map(|_| Some(flood.send(&url, &sign)).filter(|reply| reply.status != 200))
    };
    std::thread::scope(|scope| {
        let loops: Vec<_> = (0..3).map(|_| scope.spawn(|| told_to_wait(&looping))).collect();
        for reply in loops {
            reply.join().unwrap().expect("the loop ends").problem(429, "rateLimited");
        }
    });
    other.ask_for(&["acme.com"]).expect(201);
    eventually("the account may go on", seconds(30), || (looping.fetch(&url).status == 200).then_some(()));
}

#[test]
fn an_account_whose_requests_are_all_refused_does_not_fill_the_audit_log() {
    let (ca, issuer) = ca(&[]);
    let member = ca.client(&issuer);
    let mut flood = Flood::by(&member);
    let url = member.url("newOrder");
    for _ in 0..200 {
        flood.send(&url, &|header| member.sign(header, b"{}")).problem(400, "malformed");
    }
    let rows: usize = ca.query("SELECT count(*) FROM audit WHERE outcome = 'refused'").parse().unwrap();
    assert!((100..150).contains(&rows), "{rows} rows for 200 refusals");
    let lines = ca.log().lines().filter(|line| line.contains(" refused ") && line.contains("/new-order ")).count();
    assert_eq!(lines, 200, "all of them are in the log");
}

#[test]
fn a_credential_that_is_used_up_does_not_fill_the_audit_log() {
    let (ca, issuer) = ca(&[]);
    let eab = ca.make_eab(&issuer);
    issuer.client(AccountKey::es256()).register(&eab).expect(201);
    let late = issuer.client(AccountKey::es256());
    let binding = late.binding(&eab, "HS256", &ring::hmac::HMAC_SHA256);
    let payload = json!({"termsOfServiceAgreed": true, "externalAccountBinding": binding}).to_string();
    let mut flood = Flood::by(&late);
    for _ in 0..200 {
        flood.send(&late.url("newAccount"), &|header| late.sign(header, payload.as_bytes())).refused();
    }
    let rows: usize = ca.query("SELECT count(*) FROM audit WHERE outcome = 'refused'").parse().unwrap();
    assert!((100..150).contains(&rows), "{rows} rows for 200 refusals");
}

/// A place comes free in a hundredth of a second; what is sent meanwhile is not looked at.
fn assert_wait_without_being_looked_at(ca: &Ca, mut send: impl FnMut() -> Reply) {
    let before = Cost::so_far(ca);
    let refused = (0..200).filter(|_| send().status == 429).count();
    let looked_at = Cost::so_far(ca).since(before).signatures;
    assert_eq!(refused + looked_at, 200);
    assert!(refused > 0, "nobody waits");
}

fn ca(flags: &[&str]) -> (Ca, Issuer) {
    let ca = Ca::start();
    let issuer = ca.make_issuer_with("acme.com", flags);
    (ca, issuer)
}

/// The same client elsewhere.
fn at(address: Ipv4Addr, client: &Client) -> Client {
    Client { wire: client.wire.at(address), ..client.clone() }
}

/// What the daemon has done that is worth counting, by its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    signatures: usize,
    judged_keys: usize,
}

impl Cost {
    fn so_far(ca: &Ca) -> Cost {
        let log = ca.log();
        let count = |what: &str| log.lines().filter(|line| line.contains(what)).count();
        Cost {
            signatures: count("keys::public_key: a signature is verified"),
            judged_keys: count("keys::public_key: an RSA key is looked at for weaknesses"),
        }
    }

    fn since(self, before: Cost) -> Cost {
        Cost { signatures: self.signatures - before.signatures, judged_keys: self.judged_keys - before.judged_keys }
    }
}

/// Requests over one connection, each with the nonce of the reply before.
struct Flood<'c> {
    client: &'c Client,
    connection: Connection,
    nonce: String,
}

impl Flood<'_> {
    fn by(client: &Client) -> Flood<'_> {
        Flood { client, connection: client.wire.connect(), nonce: client.nonce() }
    }

    fn send(&mut self, url: &str, sign: &dyn Fn(&Value) -> Jws) -> Reply {
        let mut header = json!({"alg": self.client.key.algorithm, "nonce": self.nonce, "url": url});
        match &self.client.account {
            Some(account) => header["kid"] = account.as_str().into(),
            None => header["jwk"] = self.client.key.jwk.clone(),
        }
        let body = sign(&header).flattened().to_string();
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/jose+json\r\nContent-Length: {}\r\n\r\n{body}",
            path(url),
            self.client.wire.host,
            body.len()
        );
        self.connection.write_all(request.as_bytes()).and_then(|()| self.connection.flush()).unwrap();
        let reply = read_reply(&mut self.connection, "POST").unwrap();
        self.nonce = reply.required_header("replay-nonce");
        reply
    }
}
