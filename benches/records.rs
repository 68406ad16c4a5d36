//! What it costs to look at many certificates, and to revoke one of them: `cargo bench --bench records`.
//!
//! Two stores in one run, each of a daemon of its own: one with 100,000 certificates in 10,000 items, a quarter of them
//! ended, and 10,000 revocations; one with 1,000 certificates and no revocation. Certificates are the first one, really issued,
//! with other serial numbers; their rows are written straight into the file. The audit log and the orders are those of a new
//! store in both.
//!
//! Seen on 2026-11-24, on two cores; medians, the 99th hundredth (of 20 starts the slowest but one), and many over few. A
//! command is a process of its own, of which about 2 ms are the process:
//!
//! | milliseconds                                                 |  few |  p99 |  many |   p99 | ratio |
//! | ------------------------------------------------------------ | ---: | ---: | ----: | ----: | ----: |
//! | start to first 200                                           | 18.7 | 22.9 |  27.9 |  33.5 |   1.5 |
//! | GET shard (383 B, 70412 B)                                   |  0.6 |  0.8 |   0.7 |   0.9 |   1.3 |
//! | GET complete list (289 B, 490296 B)                          |  0.7 |  0.9 |   2.5 |   3.7 |   3.7 |
//! | OCSP POST, first time                                        |  1.2 |  1.7 |   1.3 |   1.5 |   1.0 |
//! | OCSP POST, again                                             |  1.1 |  1.4 |   1.0 |   1.3 |   0.9 |
//! | status                                                       |  2.4 |  3.1 |   4.7 |   7.2 |   2.0 |
//! | list-items                                                   |  4.0 |  4.9 | 190.1 | 213.0 |  47.0 |
//! | list-certificates                                            |  5.0 |  6.2 |   4.4 |   5.0 |   0.9 |
//! | list-certificates --limit 10000                              | 23.7 | 26.6 | 200.9 | 232.5 |   8.5 |
//! | list-certificates --before 200                               |  4.4 |  5.9 |   4.5 |   5.2 |   1.0 |
//! | list-certificates -n host-7.acme.com                         |  2.6 |  3.8 |   5.4 |   6.1 |   2.1 |
//! | list-certificates -n nowhere.acme.com                        |  2.2 |  2.6 |   5.1 |   6.0 |   2.3 |
//! | list-certificates --serial-number SERIAL                     |  2.5 |  3.1 |   2.6 |   3.3 |   1.0 |
//! | list-certificates --status Valid                             |  4.4 |  5.0 |   4.7 |   6.1 |   1.1 |
//! | list-certificates --status About to Expire                   |  5.0 |  6.0 |  36.0 |  42.0 |   7.3 |
//! | list-certificates --status Expired                           |  4.5 |  5.2 |  48.9 |  53.1 |  10.9 |
//! | list-certificates --status Revoked                           |  3.6 |  4.4 |  10.5 |  12.2 |   2.9 |
//! | list-certificates --expires-within 7d                        |  4.6 |  5.3 |  44.8 |  49.3 |   9.8 |
//! | list-certificates --cert-issuer-name /ACME/Server/ACMEIssuer |  4.1 |  5.0 |   4.0 |   4.6 |   1.0 |
//! | revoke-certificate --serial-number SERIAL                    |  5.1 |  7.4 |  37.2 |  46.5 |   7.3 |

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)]
#![allow(clippy::indexing_slicing, clippy::string_slice)]

#[allow(dead_code, unused_imports)]
#[path = "../tests/stories/world/mod.rs"]
mod world;

mod filled;
mod service;

use filled::{Filling, serial, serial_of};
use service::launch;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use world::csr::Csr;
use world::daemon::Ca;
use world::issuer::{ISSUER, SIGNER_KEY, text};
use world::judges::certificates;
use world::openssl::ocsp_request;
use world::plain::{CHECKED, ask};
use world::wire::Reply;

const REQUESTS: usize = 300;
const COMMANDS: usize = 100;
const STARTS: usize = 20;

fn main() {
    println!("filling the stores");
    let mut small = Subject::new(1_000, 0);
    let mut large = Subject::new(100_000, 10_000);
    let mut table = Table(Vec::new());

    let starts = [small.starts(), large.starts()];
    table.add("start to first 200", starts);
    for (what, path) in [("shard", 0), ("complete list", 1)] {
        let sizes = [&small, &large].map(|s| s.get(&s.lists[path]).body.len());
        let name = format!("GET {what} ({} B, {} B)", sizes[0], sizes[1]);
        table.add(&name, [&small, &large].map(|s| times(REQUESTS, |_| drop(s.get(&s.lists[path]).expect(200)))));
    }
    let subjects = [&small, &large];
    table.add("OCSP POST, first time", subjects.map(|s| times(REQUESTS, |n| s.ask_ocsp(n))));
    table.add("OCSP POST, again", subjects.map(|s| times(REQUESTS, |n| s.ask_ocsp(n))));
    let week = ["--expires-within", "7d"];
    let commands: [&[&str]; 14] = [
        &["status"],
        &["list-items"],
        &["list-certificates"],
        &["list-certificates", "--limit", "10000"],
        &["list-certificates", "--before", "200"],
        &["list-certificates", "-n", "host-7.acme.com"],
        &["list-certificates", "-n", "nowhere.acme.com"],
        &["list-certificates", "--serial-number", "SERIAL"],
        &["list-certificates", "--status", "Valid"],
        &["list-certificates", "--status", "About to Expire"],
        &["list-certificates", "--status", "Expired"],
        &["list-certificates", "--status", "Revoked"],
        &["list-certificates", week[0], week[1]],
        &["list-certificates", "--cert-issuer-name", ISSUER],
    ];
    for command in commands {
        table.add(&command.join(" "), subjects.map(|s| times(COMMANDS, |n| s.command(command, n))));
    }
    // Both lists are signed again before it ends.
    let revoke = ["revoke-certificate", "--serial-number", "SERIAL"];
    table.add(&revoke.join(" "), subjects.map(|s| times(COMMANDS, |n| s.command(&revoke, n))));
    for subject in subjects {
        let list = subject.get(&subject.lists[1]).expect(200).body;
        let revoked = |n: usize| list.windows(16).any(|octets| octets == serial(subject.living[n]));
        assert!(revoked(0) && revoked(COMMANDS - 1), "the complete list says what was revoked");
    }
    print!("{}", table.shown());
}

/// A daemon and what it is asked.
struct Subject {
    ca: Ca,
    /// The paths of a shard and of the complete list.
    lists: [String; 2],
    /// Rows whose certificates have not ended and are not revoked.
    living: Vec<i64>,
    key_identifier: String,
    ocsp_request: Vec<u8>,
    /// Where the serial number stands in it.
    serial_at: usize,
}

impl Subject {
    fn new(count: i64, revoked: i64) -> Subject {
        let mut ca = Ca::planned(&[]);
        launch(&mut ca);
        let issuer = ca.make_issuer_with("acme.com", &CHECKED);
        let client = ca.unchallenged_client(&issuer, "acme.com");
        let order = client.order(&["acme.com"]);
        client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
        let chain = client.certificate(&order);
        let leaf = certificates(&chain)[0].to_vec();
        let key = ca.describe(SIGNER_KEY);
        let identifier = text(&key["versions"][0], "key_identifier");
        let request = ocsp_request(&ca.place, &issuer.root_pem, &chain, &["-no_nonce"]);
        let old = serial_of(&leaf);
        let find = |haystack: &[u8]| haystack.windows(16).position(|octets| octets == old).expect("16 octets");

        assert!(ca.stop().success());
        let filling = Filling { leaf: &leaf, certificates: count, revoked, accounts: 0, orders: false };
        let living = filling.write(&ca);
        launch(&mut ca);
        Subject {
            lists: [
                format!("/crl/{identifier}/{}.crl", (count - 1) / 10_000 / 2),
                format!("/crl/{}", text(&key, "display_id")),
            ],
            living,
            key_identifier: identifier,
            serial_at: find(&request),
            ocsp_request: request,
            ca,
        }
    }

    fn get(&self, path: &str) -> Reply {
        self.ca.fetch(path)
    }

    fn ask_ocsp(&self, number: usize) {
        let mut request = self.ocsp_request.clone();
        // From the far end, where nobody revokes.
        let row = self.living[self.living.len() - 1 - number];
        request[self.serial_at..self.serial_at + 16].copy_from_slice(&serial(row));
        let reply = self.ca.ask_ocsp(&self.key_identifier, &request).expect(200);
        assert!(reply.body.len() > 200, "an answer, not a refusal");
    }

    fn command(&self, arguments: &[&str], number: usize) {
        let serial: String = serial(self.living[number]).iter().map(|octet| format!("{octet:02x}")).collect();
        let arguments = arguments.iter().map(|word| if *word == "SERIAL" { serial.as_str() } else { word });
        let arguments: Vec<&str> = arguments.chain(["--json"]).collect();
        self.ca.run(&arguments).succeeded();
    }

    /// From the start of the process to the first answer to a client.
    fn starts(&mut self) -> Vec<Duration> {
        let (address, path) = (self.ca.plain_listen, self.lists[0].clone());
        let start = |_| {
            assert!(self.ca.stop().success());
            let start = Instant::now();
            let path = path.clone();
            let first = std::thread::spawn(move || {
                while try_get(address, &path).is_none() {
                    std::thread::sleep(Duration::from_micros(500));
                }
                start.elapsed()
            });
            launch(&mut self.ca);
            first.join().unwrap()
        };
        (0..STARTS).map(start).collect()
    }
}

fn try_get(address: SocketAddr, path: &str) -> Option<()> {
    ask(address, "GET", path, &[], b"").ok().filter(|reply| reply.status == 200).map(drop)
}

fn times(count: usize, mut act: impl FnMut(usize)) -> Vec<Duration> {
    (0..count)
        .map(|number| {
            let start = Instant::now();
            act(number);
            start.elapsed()
        })
        .collect()
}

struct Table(Vec<String>);

impl Table {
    fn add(&mut self, what: &str, [mut small, mut large]: [Vec<Duration>; 2]) {
        small.sort_unstable();
        large.sort_unstable();
        let at =
            |sorted: &[Duration], hundredths: usize| sorted[(sorted.len() - 1) * hundredths / 100].as_secs_f64() * 1e3;
        let (few, many) = (at(&small, 50), at(&large, 50));
        let row = format!(
            "| {what:<62} | {few:>7.1} | {:>7.1} | {many:>7.1} | {:>7.1} | {:>5.1} |",
            at(&small, 99),
            at(&large, 99),
            many / few
        );
        eprintln!("{row}");
        self.0.push(row);
    }

    fn shown(&self) -> String {
        let head = format!(
            "| {:<62} | {:>7} | {:>7} | {:>7} | {:>7} | {:>5} |",
            "milliseconds", "few", "p99", "many", "p99", "ratio"
        );
        format!("{head}\n{}\n", self.0.join("\n"))
    }
}
