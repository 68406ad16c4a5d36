//! kill -9 at a hundred random moments of issuing, revoking and rotating. Whatever was said to be done is done afterwards,
//! and nothing is half done.

use crate::world::acme::{Client, Order};
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::{ISSUER, Issuer, SIGNER_KEY, text};
use crate::world::judges::{
    assert_signed_for_webpki, assert_trusted_by_webpki, certificates, judge_ca_certificate, judge_chain, judge_crl,
    judge_ocsp_response, pem,
};
use crate::world::openssl::{ocsp_request, ocsp_status};
use crate::world::outcome::{Outcome, assert_says};
use crate::world::patience::seconds;
use crate::world::plain::PUBLIC_URL;
use crate::world::wire::{Reply, Wire};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const KILLS: usize = 100;
const NAMES: [&str; 3] = ["one.acme.com", "two.acme.com", "three.acme.com"];
const CHECKED: [&str; 4] = ["--public-url", PUBLIC_URL, "--create-private-crl=true", "--create-private-ocsp=true"];

#[test]
fn a_hundred_kills_leave_nothing_half_done() {
    let seed = std::env::var("KILLS_SEED").ok().map_or_else(random_seed, |text| text.parse().unwrap());
    eprintln!("the moments of the kills follow from KILLS_SEED={seed}");
    let mut chance = Chance(seed);
    let mut story = Story::begin();
    for kill in 1..=KILLS {
        let now_and_then = kill % 10 == 0;
        story.work_until_killed(&mut chance);
        if chance.below(4) == 0 {
            story.kill_while_starting(&mut chance);
        }
        eprintln!("kill {kill}, while {:?}", story.journal.lock().unwrap().under_way);
        story.ca.launch();
        story.check(now_and_then);
    }
    story.check_everything();
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
        let ca = Ca::start();
        let issuer = ca.make_issuer_with(&NAMES.join(","), &CHECKED);
        let eab = ca.make_eab_with(&issuer, &["--no-challenge", "--allowed-domains", &NAMES.join(",")]);
        let mut client = issuer.client(crate::world::account_key::AccountKey::es256());
        client.register(&eab).expect(201);
        let mut story = Story {
            client,
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
        *self.killed.get_mut() = false;
        *self.begun.get_mut() = 0;
        let this = &*self;
        std::thread::scope(|scope| {
            for name in NAMES {
                scope.spawn(move || while this.issue(name).is_some() {});
            }
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
                    let (path, body) = &question;
                    let headers = [("Content-Type", "application/ocsp-request")];
                    this.alive(this.ca.try_ask_in_the_clear("POST", path, &headers, body))
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
        let order = Order { url: reply.required_header("location"), body: reply.json() };
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
        (
            format!("/ocsp/{}", self.key_identifiers[version]),
            ocsp_request(&self.ca.place, root, of_version, &["-no_nonce"]),
        )
    }

    fn check(&mut self, thoroughly: bool) {
        *self.killed.get_mut() = false;
        let facts = self.facts();
        self.check_signer(&facts);
        // A client that trusts the first root, or the second once the rotation is finished, and no other.
        self.client.wire = Wire::new(self.ca.listen, "ca.lan", self.trusted());
        self.check_orders();
        self.ca.run(&["check"]).succeeded();
        assert_says(&self.ca.run(&["audit", "--verify"]).succeeded().stdout, &["whole"]);
        let facts = self.facts();
        check_counts(&facts);
        self.check_certificates(&facts);
        self.check_lists(&facts);
        self.check_files(&facts);
        if thoroughly {
            self.check_ocsp();
        }
        self.journal.get_mut().unwrap().under_way = None;
    }

    /// A step that was said to be done is done; one that was not said to be is done whole or not at all.
    fn check_signer(&mut self, facts: &Value) {
        let found = self.look_at_signer(facts);
        let journal = self.journal.get_mut().unwrap();
        let whole = journal.under_way.map(|step| journal.signer.after(step));
        assert!(
            found == journal.signer || Some(found) == whole,
            "{found:?} is neither {:?} nor that after {:?}",
            journal.signer,
            journal.under_way
        );
        journal.signer = found;
    }

    fn look_at_signer(&mut self, facts: &Value) -> Signer {
        let described = self.ca.describe(SIGNER_KEY);
        let mut is_crossed = false;
        for version in described["versions"].as_array().unwrap() {
            let number = version["version"].as_u64().unwrap();
            let of_kind = |kind: &str| {
                let all = version["certificates"].as_array().unwrap();
                all.iter().find(|certificate| certificate["kind"] == kind).map(|c| text(c, "certificate"))
            };
            let root =
                of_kind("self-signed").unwrap_or_else(|| panic!("version {number} has no certificate: {version}"));
            self.roots.entry(number).or_insert(root);
            self.key_identifiers.insert(number, text(version, "key_identifier"));
            if version["in_use"] == true {
                is_crossed = of_kind("cross").is_some();
                assert_eq!(
                    Some(number),
                    described["versions"].as_array().map(|all| all.len() as u64),
                    "the newest signs"
                );
            }
        }
        Signer {
            versions: count(facts, "versions"),
            certificates: count(facts, "ca_certificates"),
            is_crossed,
            refreshed: count(facts, "refreshed"),
        }
    }

    fn trusted(&self) -> &str {
        let signer = self.journal.lock().unwrap().signer;
        &self.roots[&(signer.versions - u64::from(signer.is_crossed))]
    }

    /// No order is stuck, and a new one gets through.
    fn check_orders(&self) {
        let open = self.journal.lock().unwrap().open.clone();
        for (url, name) in open {
            let body = self.post(&url, None).unwrap().expect(200).json();
            assert!(["ready", "valid"].contains(&text(&body, "status").as_str()), "{url} is stuck: {body}");
            self.finish(&Order { url, body }, name).unwrap();
        }
        let before: BTreeSet<String> = self.journal.lock().unwrap().obtained.keys().cloned().collect();
        self.issue(NAMES[0]).unwrap();
        let journal = self.journal.lock().unwrap();
        let (_, fresh) = journal.obtained.iter().find(|(serial, _)| !before.contains(*serial)).unwrap();
        let (newest, signer) = (journal.signer.versions, fresh.clone());
        drop(journal);
        assert_trusted_by_webpki(&signer, self.trusted(), NAMES[0]);
        assert_trusted_by_webpki(&signer, &self.roots[&newest], NAMES[0]);
    }

    /// What was downloaded is what is stored, and the list of certificates knows all of it, and who is revoked.
    fn check_certificates(&mut self, facts: &Value) {
        for row in facts["certificates"].as_array().unwrap() {
            self.last_stored = self.last_stored.max(row[0].as_i64().unwrap());
            self.stored.insert(row[1].as_str().unwrap().to_string(), row[2].as_str().unwrap().to_string());
        }
        let journal = self.journal.lock().unwrap();
        for (serial, chain) in &journal.obtained {
            let stored = self.stored.get(serial).unwrap_or_else(|| panic!("{serial} was given out and is not stored"));
            assert_eq!(*stored, hex(&certificates(chain)[0]), "{serial}");
        }
        let listed = self.ca.run(&["list-certificates", "--limit", "10000", "--json"]).succeeded().json();
        let listed = listed["certificates"].as_array().unwrap();
        let with_status = |status: &str| -> BTreeSet<String> {
            listed.iter().filter(|c| c["status"] == status).map(|c| text(c, "serial_number")).collect()
        };
        let (valid, revoked) = (with_status("Valid"), with_status("Revoked"));
        assert_eq!(valid.len() + revoked.len(), listed.len());
        assert_eq!(valid.union(&revoked).collect::<Vec<_>>(), self.stored.keys().collect::<Vec<_>>());
        let lost: Vec<_> = journal.revoked.difference(&revoked).collect();
        assert!(lost.is_empty(), "said to be revoked, and listed as valid: {lost:?}");
        let surprising: Vec<_> = revoked.difference(&journal.asked_to_revoke).collect();
        assert!(surprising.is_empty(), "revoked, and nobody has asked for it: {surprising:?}");
        let in_database: BTreeSet<String> = rows(facts, "revocations").map(|row| text_at(row, 1)).collect();
        assert_eq!(in_database, revoked);
    }

    /// Every revocation is on the complete list of its signer and on the list that the certificate names. Numbers go up.
    fn check_lists(&mut self, facts: &Value) {
        let mut numbers = self.crl_numbers.clone();
        let mut look = |name: String, der: &[u8], version: u64| {
            assert_signed_for_webpki(der, &self.roots[&version]);
            let number = crl_number(der);
            let before = numbers.insert(name.clone(), number).unwrap_or(0);
            assert!(number >= before, "the CRL number of {name} ran backwards: {before}, then {number}");
        };
        let complete: BTreeMap<u64, Vec<u8>> = rows(facts, "complete_lists")
            .map(|row| (row[0].as_u64().unwrap(), unhex(row[1].as_str().unwrap_or_else(|| panic!("unsigned: {row}")))))
            .collect();
        assert_eq!(complete.len(), self.roots.len(), "a complete list for each version");
        let newest = *self.roots.last_key_value().unwrap().0;
        let served = self.ca.fetch(&format!("/crl/{}", self.display_id)).expect(200).body;
        assert_eq!(served, complete[&newest]);
        for (version, der) in &complete {
            look(format!("version {version}"), der, *version);
        }
        let mut shards: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let journal = self.journal.lock().unwrap();
        for row in rows(facts, "revocations") {
            let (version, serial) = (row[0].as_u64().unwrap(), text_at(row, 1));
            let chain = journal.obtained.get(&serial).unwrap();
            let path = shard_path(chain);
            assert_eq!(path.split('/').nth(2).unwrap(), self.key_identifiers[&version], "{serial} is another signer's");
            let shard = shards.entry(path.clone()).or_insert_with(|| self.ca.fetch(&path).expect(200).body);
            assert!(lists(&complete[&version], &serial), "{serial} is not on the complete list of version {version}");
            assert!(lists(shard, &serial), "{serial} is not on {path}");
        }
        for (path, der) in &shards {
            let identifier = path.split('/').nth(2).unwrap();
            let version = self.key_identifiers.iter().find(|(_, of)| *of == identifier).unwrap().0;
            look(path.clone(), der, *version);
        }
        let good = journal.obtained.keys().filter(|serial| !journal.asked_to_revoke.contains(*serial));
        for serial in good.take(20) {
            assert!(complete.values().chain(shards.values()).all(|list| !lists(list, serial)), "{serial} is listed");
        }
        drop(journal);
        self.crl_numbers = numbers;
    }

    /// The files of keys are those that the database names.
    fn check_files(&mut self, facts: &Value) {
        let mut wanted = BTreeSet::new();
        for row in rows(facts, "fragments") {
            let (set, of) = (text_at(row, 0), row[1].as_u64().unwrap());
            wanted.extend((1..=of).map(|number| format!("{set}.{number}-of-{of}.fragment")));
        }
        wanted.extend(rows(facts, "shown").map(|serial| format!("tls-{}.p8", serial.as_str().unwrap())));
        wanted.extend(rows(facts, "responders").map(|serial| format!("ocsp-{}.key", serial.as_str().unwrap())));
        let names = |directory: &str| {
            let entries = std::fs::read_dir(self.ca.state_dir().join(directory)).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap())
        };
        let found: BTreeSet<String> = names("fragments").chain(names("keys")).collect();
        let missing: Vec<_> = wanted.difference(&found).collect();
        assert!(missing.is_empty(), "missing: {missing:?}");
        let strays: BTreeSet<String> = found.difference(&wanted).cloned().collect();
        let step = self.journal.get_mut().unwrap().under_way;
        let unexplained: Vec<_> = strays.difference(&self.strays).filter(|name| !is_known_to_stray(name)).collect();
        assert!(unexplained.is_empty(), "left behind by a kill during {step:?}: {unexplained:?}");
        self.strays = strays;
    }

    fn check_ocsp(&self) {
        let journal = self.journal.lock().unwrap();
        let good = journal.obtained.keys().find(|serial| !journal.asked_to_revoke.contains(*serial));
        for (serial, word) in journal.revoked.iter().take(2).map(|s| (s, "revoked")).chain(good.map(|s| (s, "good"))) {
            let chain = &journal.obtained[serial];
            let (reply, root) = self.ask_ocsp(chain);
            assert_eq!(ocsp_status(&self.ca.place, &reply, &root, chain, &root, "-sha1"), word, "{serial}");
        }
    }

    /// The key identifier and the root of the version that signed a chain's leaf.
    fn signer_of(&self, chain: &str) -> (String, String) {
        let identifier = shard_path(chain).split('/').nth(2).unwrap().to_string();
        let (version, _) = self.key_identifiers.iter().find(|(_, of)| **of == identifier).unwrap();
        (identifier, self.roots[version].clone())
    }

    /// What OCSP says of a certificate, and the root of the version that signed it.
    fn ask_ocsp(&self, chain: &str) -> (Vec<u8>, String) {
        let (identifier, root) = self.signer_of(chain);
        let request = ocsp_request(&self.ca.place, &root, chain, &["-no_nonce"]);
        let headers = [("Content-Type", "application/ocsp-request")];
        let reply = self.ca.ask_in_the_clear("POST", &format!("/ocsp/{identifier}"), &headers, &request).expect(200);
        (reply.body, root)
    }

    /// Once, at the end: the judges see one of each kind, and every chain is read again.
    fn check_everything(&mut self) {
        self.last_stored = 0;
        self.stored.clear();
        self.check(true);
        let journal = self.journal.get_mut().unwrap();
        let signer = journal.signer;
        eprintln!(
            "{} certificates, {} revoked, {signer:?}; strays: {:#?}",
            journal.obtained.len(),
            journal.revoked.len(),
            self.strays
        );
        // A run in which nothing happened would prove nothing.
        assert!(journal.obtained.len() > KILLS * 3 / 2 && journal.revoked.len() > KILLS / 4, "too little was done");
        assert!(signer.versions > 3 && signer.refreshed > 3, "{signer:?}");
        for (serial, chain) in &journal.obtained {
            let identifier = shard_path(chain).split('/').nth(2).unwrap().to_string();
            let version = self.key_identifiers.iter().find(|(_, of)| **of == identifier).unwrap().0;
            let leaf = pem("CERTIFICATE", &unhex(&self.stored[serial]));
            let name = NAMES.into_iter().find(|name| contains(&certificates(chain)[0], name.as_bytes())).unwrap();
            assert_trusted_by_webpki(&leaf, &self.roots[version], name);
        }
        let (revoked, newest) = (journal.revoked.first().unwrap().clone(), self.roots[&signer.versions].clone());
        let revoked = journal.obtained[&revoked].clone();
        self.issue(NAMES[1]).unwrap();
        let leaf = self.ca.certificate_value(&format!("{}/{}", crate::world::issuer::CERTIFICATES, NAMES[1]));
        judge_chain(&leaf, self.trusted(), &[NAMES[1]]);
        judge_ca_certificate(&newest, "", &newest);
        judge_crl(&self.ca.fetch(&format!("/crl/{}", self.display_id)).expect(200).body, &newest);
        let (reply, root) = self.ask_ocsp(&revoked);
        judge_ocsp_response(&reply, &first_block(&revoked), &root);
        assert_eq!(self.issuer.directory, text(&self.ca.describe(ISSUER), "acme_directory_url"));
    }

    /// The database's own words, read by another SQLite.
    fn facts(&self) -> Value {
        let sql = FACTS.replace("LAST", &self.last_stored.to_string());
        serde_json::from_str(&self.ca.query(&sql)).unwrap()
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

/// Everything in one commit: certificate, order, leaf count and audit row; revocation and audit row; version and audit row.
fn check_counts(facts: &Value) {
    assert_eq!(count(facts, "issued"), count(facts, "finalized"), "certificates and audit rows");
    assert_eq!(count(facts, "half_finalized"), 0, "orders with a CSR and no certificate");
    assert_eq!(rows(facts, "revocations").count() as u64, count(facts, "revoked"), "revocations and audit rows");
    assert_eq!(count(facts, "versions"), 1 + count(facts, "rotated"), "versions and audit rows");
    assert_eq!(count(facts, "miscounted_shards"), 0, "leaves of a shard and its count");
    assert_eq!(count(facts, "uncertified_versions"), 0, "versions without a certificate");
    assert_eq!(count(facts, "unsigned_lists"), 0, "lists that do not know what happened to them");
}

/// What a kill leaves behind for ten minutes: keys of certificates of our own that did not come into the store, TLS or OCSP,
/// and files of theirs that had not got their names yet. Of a signer's fragments nothing stays.
fn is_known_to_stray(name: &str) -> bool {
    (name.starts_with("tls-") || name.starts_with("ocsp-"))
        && [".p8", ".key", ".new"].iter().any(|end| name.ends_with(end))
}

const FACTS: &str = "SELECT json_object(
    'versions', (SELECT count(*) FROM key_versions),
    'rotated', (SELECT count(*) FROM audit WHERE action = 'rotate-key' AND outcome = 'done' AND detail = 'begun'),
    'refreshed', (SELECT count(*) FROM audit WHERE action = 'refresh-key' AND outcome = 'done'),
    'ca_certificates', (SELECT count(*) FROM ca_certificates),
    'uncertified_versions', (SELECT count(*) FROM key_versions WHERE id NOT IN (SELECT version FROM ca_certificates)),
    'issued', (SELECT count(*) FROM certificates WHERE purpose = 'acme'),
    'finalized', (SELECT count(*) FROM audit WHERE action = 'finalize' AND outcome = 'done'),
    'half_finalized', (SELECT count(*) FROM orders o WHERE csr_hash IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM certificates c WHERE c.order_id = o.id)),
    'revoked', (SELECT count(*) FROM audit WHERE action IN ('revokeCert', 'revoke-certificate') AND outcome = 'done'),
    'miscounted_shards', (SELECT count(*) FROM crls l WHERE shard >= 0
        AND leaves <> (SELECT count(*) FROM certificates c WHERE c.signer = l.signer AND c.shard = l.shard)),
    'unsigned_lists', (SELECT count(*) FROM crls WHERE changes <> signed_changes),
    'certificates', (SELECT json_group_array(json_array(id, lower(hex(serial)), lower(hex(certificate))))
        FROM certificates WHERE purpose = 'acme' AND id > LAST),
    'revocations', (SELECT json_group_array(json_array(v.version, lower(hex(r.serial))))
        FROM revocations r JOIN key_versions v ON v.id = r.signer),
    'complete_lists', (SELECT json_group_array(json_array(v.version, lower(hex(l.crl))))
        FROM crls l JOIN key_versions v ON v.id = l.signer WHERE l.shard = -2),
    'fragments', (SELECT json_group_array(json_array(fragments, level)) FROM
        (SELECT v.fragments, k.split_level AS level FROM key_versions v JOIN keys k ON k.item = v.key
         UNION ALL SELECT fragments, split_level FROM data_keys)),
    'shown', (SELECT json_group_array(lower(hex(c.serial)))
        FROM tls_certificates t JOIN certificates c ON c.id = t.certificate),
    'responders', (SELECT json_group_array(lower(hex(serial))) FROM certificates
        WHERE id IN (SELECT max(id) FROM certificates WHERE purpose = 'ocsp' GROUP BY signer)))";

#[track_caller]
fn count(facts: &Value, member: &str) -> u64 {
    facts[member].as_u64().unwrap_or_else(|| panic!("no {member}"))
}

fn rows<'f>(facts: &'f Value, member: &str) -> impl Iterator<Item = &'f Value> {
    facts[member].as_array().unwrap().iter()
}

fn text_at(row: &Value, column: usize) -> String {
    row[column].as_str().unwrap().to_string()
}

/// The path of the list that a leaf names.
fn shard_path(chain: &str) -> String {
    let leaf = &certificates(chain)[0];
    let prefix = format!("{PUBLIC_URL}/crl/");
    let at = leaf.windows(prefix.len()).position(|octets| octets == prefix.as_bytes()).expect("a leaf names its CRL");
    let url: Vec<u8> = leaf[at + PUBLIC_URL.len()..].iter().copied().take_while(u8::is_ascii_graphic).collect();
    let url = String::from_utf8(url).unwrap();
    format!("{}.crl", url.split(".crl").next().unwrap())
}

/// The serial number of the leaf, which is the first INTEGER after the version.
fn serial_of(chain: &str) -> String {
    let leaf = &certificates(chain)[0];
    let [0xa0, 3, 2, 1, 2, 2, length, rest @ ..] = &leaf[8..] else { panic!("not a certificate of version 3") };
    let octets = &rest[..usize::from(*length)];
    hex(octets.strip_prefix(&[0]).unwrap_or(octets))
}

/// A serial number has 16 random octets, so that they stand nowhere else.
fn lists(crl: &[u8], serial: &str) -> bool {
    contains(crl, &unhex(serial))
}

/// CRLNumber (RFC 5280, 5.2.3).
fn crl_number(crl: &[u8]) -> u64 {
    let at = crl.windows(5).rposition(|octets| octets == b"\x06\x03\x55\x1d\x14").expect("a CRL number");
    let [4, _, 2, length, rest @ ..] = &crl[at + 5..] else { panic!("not a number") };
    rest[..usize::from(*length)].iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

fn first_block(chain: &str) -> String {
    crate::world::openssl::blocks(chain)[0].clone()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|octets| octets == part)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
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
