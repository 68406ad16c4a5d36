//! The front door under attack: whatever hostile clients do, from many addresses and from that of an honest client, the
//! honest client gets its certificates, memory stays within bounds, and afterwards everything is freed.

pub mod field;

use crate::world::account_key::AccountKey;
use crate::world::acme::Client;
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::responder::Responder;
use crate::world::wire::{Connection, path, read_reply, read_to_close};
use field::AtLeast::{Blows, Open};
use field::{Field, Siege};
use rustix::net::sockopt::set_socket_linger;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn five_thousand_idle_connections_are_borne() {
    Siege { name: "idle connections", troops: 2, at_least: Open(4_990) }
        .is_withstood(|field, _| field.hold(2_500, |number| field.connect_by_tls(number), |_| Ok(())));
}

#[test]
fn slow_handshakes_are_borne() {
    Siege { name: "slow handshakes", troops: 2, at_least: Open(900) }.is_withstood(|field, troop| {
        let begun = |number| {
            let mut stream = field.connect(number)?;
            // One in two says nothing at all. The others begin a record that promises more than ever comes.
            if troop == 0 {
                stream.write_all(&[22, 3, 1, 64, 0, 1, 0, 234, 96])?;
            }
            Ok(stream)
        };
        field.hold(500, begun, |stream| if troop == 0 { stream.write_all(b"a") } else { Field::is_open(stream) });
    });
}

#[test]
fn slow_heads_are_borne() {
    Siege { name: "slow heads", troops: 2, at_least: Open(900) }.is_withstood(|field, _| {
        let begun = |number| {
            let mut connection = field.connect_by_tls(number)?;
            connection.write_all(b"GET / HTTP/1.1\r\nHost: ca.lan\r\nX: ")?;
            Ok(connection)
        };
        field.hold(500, begun, |connection| connection.write_all(b"a"));
    });
}

#[test]
fn five_hundred_slow_bodies_are_borne() {
    Siege { name: "slow bodies", troops: 3, at_least: Open(600) }.is_withstood(|field, troop| {
        // Those of the first hold a place only, the others as much memory as they can.
        let so_far = if troop == 0 { 1 } else { 120 * 1024 };
        let begun = |number| {
            let mut connection = field.connect_by_tls(number)?;
            let head = format!(
                "POST {} HTTP/1.1\r\nHost: ca.lan\r\nContent-Type: application/jose+json\r\nContent-Length: 131072\r\n\r\n",
                path(&field.client.url("newOrder"))
            );
            connection.write_all(head.as_bytes())?;
            connection.write_all(&vec![b'{'; so_far])?;
            Ok(connection)
        };
        field.hold(500, begun, |connection| connection.write_all(b"{"));
    });
}

#[test]
fn slow_readers_are_borne() {
    Siege { name: "slow readers", troops: 2, at_least: Open(250) }.is_withstood(|field, _| {
        let asked = |number| {
            let stream = field.connect_to(field.wire().address, number, Some(2_048))?;
            stream.set_write_timeout(Some(Duration::from_millis(20)))?;
            let mut connection = field.wire().over(stream)?;
            let request = format!("GET {} HTTP/1.1\r\nHost: ca.lan\r\n\r\n", path(&field.client.url("newNonce")));
            // As much as the daemon takes without being read from.
            let _ = connection.write_all(request.repeat(1_000).as_bytes());
            Ok(connection)
        };
        field.hold(250, asked, |_| Ok(()));
    });
}

#[test]
fn connections_that_are_half_closed_or_torn_are_borne() {
    Siege { name: "half-closed connections", troops: 3, at_least: Blows(500) }.is_withstood(|field, troop| {
        let words = |connection: &mut Connection| {
            let whole = format!("GET {} HTTP/1.1\r\nHost: ca.lan\r\n\r\n", path(&field.client.url("newNonce")));
            connection.write_all(whole.as_bytes())
        };
        let mut kept = Vec::new();
        field.strike(|number| {
            let mut connection = field.connect_by_tls(number)?;
            match (troop, number % 3) {
                (0, 0) => {}
                (0, 1) => connection.write_all(b"GET / HT")?,
                _ => words(&mut connection)?,
            }
            if troop == 2 {
                // A reset in the middle instead of an end.
                set_socket_linger(&connection.sock, Some(Duration::ZERO))?;
                return Ok(());
            }
            connection.sock.shutdown(Shutdown::Write)?;
            kept.push(connection);
            if kept.len() > 500 {
                kept.clear();
            }
            Ok(())
        });
    });
}

#[test]
fn floods_of_garbage_are_borne() {
    Siege { name: "garbage", troops: 4, at_least: Blows(3_000) }.is_withstood(|field, troop| {
        let mut noise = Noise(troop as u64 + 1);
        field.strike(|number| {
            let garbage = noise.bytes(4 * 1024);
            match troop {
                0 => say(field.connect(number)?, &garbage),
                1 => say(field.connect_to(field.plain_listen, number, None)?, &garbage),
                // What looks like a handshake, and like a record of it.
                2 => say(field.connect(number)?, &[&[22, 3, 1, 16, 0, 1, 0, 15, 252, 3, 3][..], &garbage].concat()),
                _ => say(field.connect_by_tls(number)?, &garbage),
            }
        });
    });
}

#[test]
fn floods_of_bad_signatures_are_borne() {
    Siege { name: "bad signatures", troops: 4, at_least: Blows(4) }.is_withstood(forge);
}

#[test]
fn strangers_come_to_their_turn_beside_a_flood_and_somebody_known() {
    let _alone = field::alone();
    let ca = Ca::start_with(&["--validation-allow", "127.0.0.0/8"]);
    let known = ca.client(&ca.make_issuer("acme.com"));
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let csr = Csr::for_names(&["acme.com"]);
    let field = Field::around(&known, ca.plain_listen);
    std::thread::scope(|scope| {
        let _over = field.over();
        let (field, known, csr, responder) = (&field, &known, &csr, &responder);
        let at_work = scope.spawn(move || field.strike(|_| Ok(known.obtain_by(csr, &["acme.com"], responder))));
        for troop in 0..4 {
            scope.spawn(move || forge(field, troop));
        }
        field.has_in_place(5);
        for host in 1..=20 {
            let stranger = Client { wire: known.wire.at(Ipv4Addr::new(127, 0, 77, host)), ..known.clone() };
            let start = Instant::now();
            stranger.obtain_by(csr, &["acme.com"], responder);
            assert!(start.elapsed() < Duration::from_secs(2), "a stranger waited for {:?}", start.elapsed());
            assert!(!at_work.is_finished());
        }
    });
}

/// Signatures that are not true, as fast as they are answered.
fn forge(field: &Field, troop: usize) {
    let forger = Client { key: AccountKey::es384(), account: None, ..field.client.clone() };
    let url = field.client.url("newAccount");
    let ask = format!("HEAD {} HTTP/1.1\r\nHost: ca.lan\r\n\r\n", path(&field.client.url("newNonce")));
    let mut noise = Noise(troop as u64 + 1);
    // More of them than the daemon lets wait in all, each with the next request as soon as the last is answered.
    let mut forgers: Vec<(Connection, String)> = Vec::new();
    let mut addresses = (1..).step_by(2);
    field.strike(|_| {
        while forgers.len() < 250 {
            // Not from the address of the honest client.
            let mut connection = field.connect_by_tls(addresses.next().unwrap())?;
            connection.write_all(ask.as_bytes())?;
            // There may be no room for the question.
            if let Some(nonce) = read_reply(&mut connection, "HEAD")?.header("replay-nonce") {
                forgers.push((connection, nonce.to_owned()));
            }
        }
        for (connection, nonce) in &mut forgers {
            let mut jws = forger
                .sign(&serde_json::json!({"alg": "ES384", "nonce": nonce, "url": url, "jwk": forger.key.jwk}), b"{}");
            jws.signature = base64url::encode(noise.bytes(96));
            let body = jws.flattened().to_string();
            let head = format!(
                "POST {} HTTP/1.1\r\nHost: ca.lan\r\nContent-Type: application/jose+json\r\nContent-Length: {}\r\n\r\n",
                path(&url),
                body.len()
            );
            connection.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        }
        let mut still = Vec::new();
        for (mut connection, _) in std::mem::take(&mut forgers) {
            if let Ok(reply) = read_reply(&mut connection, "POST")
                && let Some(nonce) = reply.header("replay-nonce")
            {
                still.push((connection, nonce.to_owned()));
            }
        }
        forgers = still;
        Ok(())
    });
}

#[test]
fn huge_heads_and_bodies_are_borne() {
    Siege { name: "huge heads and bodies", troops: 4, at_least: Blows(400) }.is_withstood(|field, troop| {
        let post = format!("POST {} HTTP/1.1\r\nHost: ca.lan\r\n", path(&field.client.url("newOrder")));
        let endless = "a".repeat(1 << 20);
        let huge = match troop {
            0 => format!("{post}Content-Length: 131072\r\n\r\n{endless}"),
            1 => format!(
                "{post}Transfer-Encoding: chunked\r\n\r\n{}",
                format!("8000\r\n{}\r\n", &endless[..0x8000]).repeat(20)
            ),
            2 => format!("GET / HTTP/1.1\r\nHost: ca.lan\r\nX: {endless}\r\n\r\n"),
            _ => format!("GET /{endless} HTTP/1.1\r\nHost: ca.lan\r\n\r\n"),
        };
        field.strike(|number| match number % 2 {
            0 => say(field.connect_by_tls(number)?, huge.as_bytes()),
            // The word alone is huge.
            _ => say(field.connect_by_tls(number)?, format!("{post}Content-Length: 9999999999999\r\n\r\n").as_bytes()),
        });
    });
}

#[test]
fn connections_that_come_and_go_are_borne() {
    Siege { name: "connection churn", troops: 4, at_least: Blows(30_000) }.is_withstood(|field, troop| {
        // Four thousand a second each. As fast as it goes, they would take every moment of the processors that they share with
        // the daemon.
        field.strike_every(Duration::from_micros(250), |number| match troop {
            0 => field.connect(number).map(drop),
            1 => field.connect_by_tls(number).map(drop),
            // A handshake that costs the daemon its part and the attacker nothing.
            2 => {
                let mut stream = field.connect(number)?;
                set_socket_linger(&stream, Some(Duration::ZERO))?;
                stream.write_all(&[22, 3, 1, 0, 5, 1])
            }
            _ => field.connect_to(field.plain_listen, number, None).map(drop),
        });
    });
}

#[test]
fn a_full_house_lets_honest_clients_in() {
    // The daemon keeps some descriptors for itself, and all others are taken.
    Siege { name: "full house", troops: 2, at_least: Open(3_500) }.is_withstood_by(
        with_4096_descriptors,
        |field, _| {
            let by_tls = |number| field.connect_by_tls(number);
            field.hold(2_500, by_tls, |connection| Field::is_open(&connection.sock));
        },
    );
}

#[test]
fn floods_of_requests_within_requests_are_borne() {
    Siege { name: "requests within requests", troops: 4, at_least: Blows(700) }.is_withstood(|field, troop| {
        let url = field.client.url("newOrder");
        let target = path(&url);
        let hidden = "GET /hidden HTTP/1.1\r\nHost: ca.lan\r\n\r\n";
        let length = hidden.len();
        let post = |fields: &str, body: &str| format!("POST {target} HTTP/1.1\r\nHost: ca.lan\r\n{fields}\r\n{body}");
        let chunks = format!("{length:x}\r\n{hidden}\r\n0\r\n\r\n");
        let mut all = Vec::new();
        for fields in [
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
            format!("Content-Length: 0\r\nContent-Length: {length}\r\n"),
            format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"),
            format!("Content-Length: 0, {length}\r\n"),
            format!("Content-Length: {length} 0\r\n"),
            format!("Content-Length: 0x{length:x}\r\n"),
            format!("Content-Length: -{length}\r\n"),
            format!("Content-Length : {length}\r\n"),
            format!("Content-Length: 0\n Content-Length: {length}\r\n"),
            format!("X: a\r\n\tContent-Length: {length}\r\n"),
            format!("X: a\rContent-Length: {length}\r\n"),
            format!("X: a\0Content-Length: {length}\r\n"),
            "Content-Length: 18446744073709551616\r\n".into(),
        ] {
            all.push(post(&fields, hidden));
        }
        for coding in [
            "xchunked",
            "chunked, identity",
            "identity, chunked",
            "chunked, chunked",
            "\"chunked\"",
            "chunked;q=1",
            "\u{b}chunked",
            "\r\n chunked",
            "chunked\r\nTransfer-Encoding: x",
            "x\r\nTransfer-Encoding: chunked",
            "",
        ] {
            all.push(post(&format!("Transfer-Encoding: {coding}\r\n"), &chunks));
        }
        let chunked = |chunks: &str| post("Transfer-Encoding: chunked\r\n", chunks);
        for size in
            ["0x{}", "+{}", "-{}", " {}", "{} ", "{}\t", "1000000000000000{}", "{}\n", "{};a\n", "{}h", "\u{661}", ""]
        {
            all.push(chunked(&format!("{}\r\n{hidden}\r\n0\r\n\r\n", size.replace("{}", &format!("{length:x}")))));
        }
        all.push(chunked(&format!("1\r\nab\r\n0\r\n\r\n{hidden}")));
        all.push(chunked(&format!("1\r\na\n0\r\n\r\n{hidden}")));
        all.push(chunked(&format!("{length:x}\n{hidden}\n0\n\n")));
        all.push(format!("POST {target} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
        all.push(format!("POST {target}\r\n\r\n{hidden}"));
        all.push(format!(
            "POST {target} HTTP/1.1\r\nHost: ca.lan\r\nHost: evil.lan\r\nContent-Length: {length}\r\n\r\n{hidden}"
        ));
        field.strike(|number| {
            let request = &all[(number + troop * all.len() / 4) % all.len()];
            let mut connection = field.connect_by_tls(number)?;
            connection.write_all(request.as_bytes())?;
            let said = read_to_close(&mut connection);
            // One refusal, and nobody has seen what was hidden.
            let refused = said.starts_with("HTTP/1.1 400 ") || said.starts_with("HTTP/1.1 413 ");
            assert!(refused && said.matches("HTTP/1.1 ").count() == 1, "{request:?}: {said}");
            Ok(())
        });
    });
}

/// The same command for a process that gets no more descriptors than this.
fn with_4096_descriptors(command: &mut Command) {
    let mut limited = Command::new("/usr/bin/prlimit");
    limited.arg("--nofile=4096:4096").arg(command.get_program()).args(command.get_args());
    limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    *command = limited;
}

/// Say it, and hear what comes back to its end or for a moment.
fn say<S: Read + Write>(mut to: S, words: &[u8]) -> std::io::Result<()> {
    // It may be cut short, which is as good an answer as any.
    let _ = to.write_all(words).and_then(|()| to.flush());
    let mut buffer = [0; 1024];
    to.read(&mut buffer).map(|_| ())
}

/// Bytes without meaning, the same in every run (xorshift).
struct Noise(u64);

impl Noise {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.extend(self.0.to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}
