//! kill -9 at a hundred random moments of registering, issuing, revoking and rotating, half of the times with a power cut that
//! takes everything that was not synced. Whatever was said to be done is done afterwards, and nothing is half done.

mod invariants;
mod reading;
mod registering;

use crate::world::acme::{Client, Order};
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::faults::Faults;
use crate::world::issuer::{ISSUER, Issuer, SIGNER_KEY, text};
use crate::world::judges::{
    assert_signed_for_webpki, assert_trusted_by_webpki, certificates, judge_ca_certificate, judge_chain, judge_crl,
    judge_ocsp_response, pem,
};
use crate::world::openssl::{ocsp_request, ocsp_status};
use crate::world::outcome::{Outcome, assert_says};
use crate::world::patience::seconds;
use crate::world::plain::{CHECKED, ask_ocsp};
use crate::world::wire::{Reply, Wire};
use reading::{serial_of, shard_path};
use registering::{Registered, USES};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// As long as KILLS does not ask for more.
const KILLS: usize = 100;
const NAMES: [&str; 3] = ["one.acme.com", "two.acme.com", "three.acme.com"];

#[test]
fn a_hundred_kills_leave_nothing_half_done() {
    let seed = std::env::var("KILLS_SEED").ok().map_or_else(random_seed, |text| text.parse().unwrap());
    eprintln!("the moments of the kills follow from KILLS_SEED={seed}");
    let mut chance = Chance(seed);
    let kills = std::env::var("KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let mut story = Story::begin();
    for kill in 1..=kills {
        let now_and_then = kill % 10 == 0;
        story.work_until_killed(&mut chance);
        story.cut_power_perhaps(&mut chance);
        if chance.below(4) == 0 {
            story.kill_while_starting(&mut chance);
        }
        eprintln!("kill {kill}, while {:?}", story.journal.lock().unwrap().under_way);
        story.ca.launch();
        story.check(now_and_then);
    }
    story.check_everything(kills);
}

/// What clients and administrators were told, by which the daemon is measured.
#[derive(Default)]
struct Journal {
    /// Chains that were downloaded, by the serial number of their leaf.
    obtained: BTreeMap<String, String>,
    /// Orders that were made and whose certificate was not downloaded.
    open: BTreeMap<String, &'static str>,
    /// Serial numbers that somebody asked to revoke.
    asked_to_revoke: BTreeSet<String>,
    /// Those of them that were said to be revoked.
    revoked: BTreeSet<String>,
    /// Accounts of this round.
    registered: Vec<Registered>,
    signer: Signer,
    /// What the administrator was doing to the signer when the daemon was killed.
    under_way: Option<Step>,
}

/// How far a signer has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Signer {
    versions: u64,
    certificates: u64,
    /// A rotation that is not finished.
    is_crossed: bool,
    refreshed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Rotate,
    Finish,
    Renew,
    Refresh,
    RefreshKek,
}

struct Story {
    ca: Ca,
    faults: Faults,
    /// Bytes that power cuts have taken.
    lost: usize,
    issuer: Issuer,
    client: Client,
    csrs: BTreeMap<&'static str, Csr>,
    journal: Mutex<Journal>,
    killed: AtomicBool,
    /// How many steps of this round the administrator has begun.
    begun: AtomicU64,
    /// The first self-signed certificate of each version: what a client was given to trust.
    roots: BTreeMap<u64, String>,
    key_identifiers: BTreeMap<u64, String>,
    display_id: String,
    /// Every certificate that the store ever showed.
    stored: BTreeMap<String, String>,
    last_stored: i64,
    crl_numbers: BTreeMap<String, u64>,
    strays: BTreeSet<String>,
    renewals: AtomicU32,
}

impl Story {
    fn begin() -> Story {
        let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
        let faults = Faults::of(&mut ca);
        // As long as a disk takes, so that kills meet what is on its way there.
        faults.order("slow 2");
        ca.launch();
        let issuer = ca.make_issuer_with(&NAMES.join(","), &CHECKED);
        let mut story = Story {
            faults,
            lost: 0,
            client: ca.unchallenged_client(&issuer, &NAMES.join(",")),
            csrs: NAMES.iter().map(|name| (*name, Csr::for_names(&[name]))).collect(),
            journal: Mutex::default(),
            killed: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            roots: BTreeMap::new(),
            key_identifiers: BTreeMap::new(),
            display_id: text(&ca.describe(SIGNER_KEY), "display_id"),
            stored: BTreeMap::new(),
            last_stored: 0,
            crl_numbers: BTreeMap::new(),
            strays: BTreeSet::new(),
            renewals: AtomicU32::new(400),
            ca,
            issuer,
        };
        story.journal.get_mut().unwrap().signer = story.look_at_signer(&story.facts());
        story.check(false);
        story
    }

    /// Everybody works at once until the daemon is killed in the middle of it.
    fn work_until_killed(&mut self, chance: &mut Chance) {
        // Every client trusts the roots that there are; what a step of this round makes is cross-signed by one of them.
        self.client.wire =
            Wire::new(self.ca.listen, "ca.lan", &self.roots.values().map(String::as_str).collect::<String>());
        let steps = self.steps(chance);
        // Half of the kills come whenever they come, the others soon after a step of the administrator's begins, however
        // slow the machine is.
        let (awaited, delay) = match chance.below(2) {
            0 => (0, 5_000 + chance.below(145_000)),
            _ => (1 + chance.below(steps.len() as u64), chance.below(25_000)),
        };
        let seeds = [chance.next(), chance.next()];
        let question = self.question();
        let eab = self.ca.make_eab_with(&self.issuer, &["--uses", &USES.to_string()]);
        *self.killed.get_mut() = false;
        *self.begun.get_mut() = 0;
        let this = &*self;
        std::thread::scope(|scope| {
            for name in NAMES {
                scope.spawn(move || while this.issue(name).is_some() {});
            }
            scope.spawn(|| this.register_until_killed(&eab));
            scope.spawn(move || this.revoke_until_killed(Chance(seeds[0]), Story::revoke_by_acme));
            scope.spawn(move || this.revoke_until_killed(Chance(seeds[1]), Story::revoke_by_command));
            scope.spawn(move || {
                for step in steps {
                    if this.change_signer(step).is_none() {
                        break;
                    }
                }
            });
            scope.spawn(move || {
                let ask = || {
                    let (key_identifier, request) = &question;
                    this.alive(ask_ocsp(this.ca.plain_listen, key_identifier, request))
                };
                while let Some(reply) = ask() {
                    reply.expect(200);
                }
            });
            // A step that was refused has failed the story, which ends with the kill.
            let start = Instant::now();
            while this.begun.load(Ordering::SeqCst) < awaited && start.elapsed() < seconds(30) {
                std::thread::yield_now();
            }
            // The one moment of a story that nothing but chance may choose.
            std::thread::sleep(Duration::from_micros(delay));
            this.killed.store(true, Ordering::SeqCst);
            this.ca.signal(Signal::KILL);
        });
        self.ca.kill();
    }

    /// Every other time the power fails as well. Of what was not synced the disk has nothing, or some of it.
    fn cut_power_perhaps(&mut self, chance: &mut Chance) {
        match chance.below(4) {
            0 => self.lost += self.faults.cut_power(|| false),
            1 => self.lost += self.faults.cut_power(|| chance.below(2) == 0),
            _ => {}
        }
    }

    /// What a start puts right must bear being interrupted as well.
    fn kill_while_starting(&self, chance: &mut Chance) {
        let mut command = self.ca.serve_command();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(chance.below(40_000)));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What the administrator does in a round, in whatever order there is a sense in.
    fn steps(&self, chance: &mut Chance) -> Vec<Step> {
        let is_crossed = self.journal.lock().unwrap().signer.is_crossed;
        let refresh = if chance.below(2) == 0 { Step::Refresh } else { Step::RefreshKek };
        // A root whose rotation is not finished has nothing to renew. What is rotated now another round finishes, since
        // clients have to be told of the new root before.
        let mut steps = if is_crossed { vec![Step::Finish, Step::Renew] } else { vec![Step::Renew, Step::Rotate] };
        let at = chance.below(3) as usize;
        steps.insert(at, refresh);
        steps
    }

    /// What came back, unless the daemon was killed meanwhile. It may leave nobody without an answer for another reason.
    fn alive<T>(&self, result: std::io::Result<T>) -> Option<T> {
        match result {
            Ok(reply) => Some(reply),
            Err(error) => {
                assert!(self.killed.load(Ordering::SeqCst), "no answer from a daemon that nobody has killed: {error}");
                None
            }
        }
    }

    fn post(&self, url: &str, payload: Option<&Value>) -> Option<Reply> {
        self.alive(self.client.try_post(url, payload))
    }

    /// Order, finalize, download.
    fn issue(&self, name: &'static str) -> Option<()> {
        let wanted = json!({"identifiers": [{"type": "dns", "value": name}]});
        let reply = self.post(&self.client.url("newOrder"), Some(&wanted))?.expect(201);
        let order = Order::from(reply);
        assert_eq!(order.body["status"], "ready", "{}", order.body);
        self.journal.lock().unwrap().open.insert(order.url.clone(), name);
        self.finish(&order, name)
    }

    /// From an order that is ready, or valid, to its certificate.
    fn finish(&self, order: &Order, name: &str) -> Option<()> {
        let csr = json!({"csr": base64url::encode(&self.csrs[name].der)});
        let body = self.post(&text(&order.body, "finalize"), Some(&csr))?.expect(200).json();
        assert_eq!(body["status"], "valid", "{body}");
        let chain = self.post(&text(&body, "certificate"), None)?.expect(200).text();
        let mut journal = self.journal.lock().unwrap();
        assert_eq!(journal.obtained.insert(serial_of(&chain), chain), None, "one order, one certificate");
        journal.open.remove(&order.url);
        Some(())
    }

    fn revoke_until_killed(&self, mut chance: Chance, revoke: impl Fn(&Story, &str, &str) -> Option<()>) {
        while !self.killed.load(Ordering::SeqCst) {
            // Every fifth certificate stays good.
            let found = {
                let mut journal = self.journal.lock().unwrap();
                let good = journal.obtained.iter().filter(|(serial, _)| {
                    !journal.asked_to_revoke.contains(*serial) && u8::from_str_radix(&serial[2..4], 16).unwrap() % 5 > 0
                });
                let good: Vec<_> = good.map(|(serial, chain)| (serial.clone(), chain.clone())).collect();
                let found = good.get(chance.below(good.len().max(1) as u64) as usize).cloned();
                if let Some((serial, _)) = &found {
                    journal.asked_to_revoke.insert(serial.clone());
                }
                found
            };
            match found {
                None if self.issue(NAMES[0]).is_some() => {}
                None => return,
                Some((serial, chain)) => match revoke(self, &serial, &chain) {
                    Some(()) => drop(self.journal.lock().unwrap().revoked.insert(serial)),
                    None => return,
                },
            }
        }
    }

    fn revoke_by_acme(&self, _: &str, chain: &str) -> Option<()> {
        let payload = json!({"certificate": base64url::encode(&certificates(chain)[0])});
        self.post(&self.client.url("revokeCert"), Some(&payload))?.expect(200);
        Some(())
    }

    fn revoke_by_command(&self, serial: &str, _: &str) -> Option<()> {
        self.command(&["revoke-certificate", "--serial-number", serial]).map(drop)
    }

    fn command(&self, arguments: &[&str]) -> Option<Outcome> {
        let outcome = self.ca.run(arguments);
        if outcome.status == Some(0) {
            return Some(outcome);
        }
        assert!(self.killed.load(Ordering::SeqCst), "{}: {}", outcome.what, outcome.seen());
        assert_eq!(outcome.status, Some(1), "{}", outcome.seen());
        None
    }

    fn change_signer(&self, step: Step) -> Option<()> {
        self.journal.lock().unwrap().under_way = Some(step);
        self.begun.fetch_add(1, Ordering::SeqCst);
        let days = self.renewals.fetch_add(1, Ordering::SeqCst).to_string();
        let arguments: &[&str] = match step {
            Step::Rotate => &["rotate-key", "-n", SIGNER_KEY],
            Step::Finish => &["rotate-key", "-n", SIGNER_KEY, "--finish"],
            Step::Renew => &["renew-signer-certificate", "-n", SIGNER_KEY, "--certificate-ttl", &days],
            Step::Refresh => &["refresh-key", "-n", SIGNER_KEY],
            Step::RefreshKek => &["refresh-key", "-n", SIGNER_KEY, "--new-kek"],
        };
        self.command(arguments)?;
        let mut journal = self.journal.lock().unwrap();
        journal.signer = journal.signer.after(step);
        journal.under_way = None;
        Some(())
    }

    /// A question about a certificate of the version that signs now, and where to ask it.
    fn question(&self) -> (String, Vec<u8>) {
        let journal = self.journal.lock().unwrap();
        let (version, root) = self.roots.last_key_value().unwrap();
        let mut downloaded = self.stored.keys().filter_map(|serial| journal.obtained.get(serial));
        let point = format!("/{}/", self.key_identifiers[version]);
        let of_version = downloaded.find(|chain| shard_path(chain).contains(&point)).unwrap();
        let request = ocsp_request(&self.ca.place, root, of_version, &["-no_nonce"]);
        (self.key_identifiers[version].clone(), request)
    }
}

impl Signer {
    fn after(self, step: Step) -> Signer {
        match step {
            Step::Rotate => {
                Signer { versions: self.versions + 1, certificates: self.certificates + 2, is_crossed: true, ..self }
            }
            Step::Finish => Signer { is_crossed: false, ..self },
            Step::Renew => Signer { certificates: self.certificates + 1, ..self },
            Step::Refresh | Step::RefreshKek => Signer { refreshed: self.refreshed + 1, ..self },
        }
    }
}

fn random_seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos().into()
}

/// SplitMix64: the same moments for the same seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
