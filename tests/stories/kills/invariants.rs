//! What must hold after every kill, whatever the daemon was in the middle of.

use super::*;
use crate::world::hex::{hex, unhex};
use crate::world::issuer::CERTIFICATES;
use crate::world::reading::{contains, crl_number, first_block, lists, shard_path};

impl Story {
    pub(super) fn check(&mut self, thoroughly: bool) {
        *self.killed.get_mut() = false;
        let facts = self.facts();
        self.check_signer(&facts);
        // A client that trusts the first root, or the second once the rotation is finished, and no other.
        self.client.wire = Wire::new(self.ca.listen, "ca.lan", self.trusted());
        self.check_accounts();
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

    pub(super) fn look_at_signer(&mut self, facts: &Value) -> Signer {
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
        let listed = self.listed();
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

    /// All certificates, page by page.
    fn listed(&self) -> Vec<Value> {
        let mut listed = Vec::new();
        let mut before: Option<String> = None;
        loop {
            let mut arguments = vec!["list-certificates", "--limit", "10000", "--json"];
            arguments.extend(before.iter().flat_map(|before| ["--before", before]));
            let mut page = self.ca.run(&arguments).succeeded().json();
            listed.append(page["certificates"].as_array_mut().unwrap());
            match &page["next"] {
                Value::Null => return listed,
                next => before = Some(next.to_string()),
            }
        }
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
        (self.ca.ask_ocsp(&identifier, &request).expect(200).body, root)
    }

    /// Once, at the end: the judges see one of each kind, and every chain is read again.
    pub(super) fn check_everything(&mut self, kills: usize) {
        self.last_stored = 0;
        self.stored.clear();
        self.check(true);
        let journal = self.journal.get_mut().unwrap();
        let signer = journal.signer;
        eprintln!(
            "{} certificates, {} revoked, {signer:?}, {} bytes lost; strays: {:#?}",
            journal.obtained.len(),
            journal.revoked.len(),
            self.lost,
            self.strays
        );
        // A run in which nothing happened would prove nothing.
        assert!(journal.obtained.len() > kills * 3 / 2 && journal.revoked.len() > kills / 4, "too little was done");
        assert!(self.lost > 0, "no power cut took anything");
        assert!(signer.versions > kills as u64 / 100 && signer.refreshed > kills as u64 / 30, "{signer:?}");
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
        let leaf = self.ca.certificate_value(&format!("{}/{}", CERTIFICATES, NAMES[1]));
        judge_chain(&leaf, self.trusted(), &[NAMES[1]]);
        judge_ca_certificate(&newest, "", &newest);
        judge_crl(&self.ca.fetch(&format!("/crl/{}", self.display_id)).expect(200).body, &newest);
        let (reply, root) = self.ask_ocsp(&revoked);
        judge_ocsp_response(&reply, &first_block(&revoked), &root);
        assert_eq!(self.issuer.directory, text(&self.ca.describe(ISSUER), "acme_directory_url"));
    }

    /// The database's own words, read by another SQLite.
    pub(super) fn facts(&self) -> Value {
        let sql = FACTS.replace("LAST", &self.last_stored.to_string());
        serde_json::from_str(&self.ca.query(&sql)).unwrap()
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
