//! A backup is put over a state that is there: what was taken back since stays taken back, as far as that state can be read.

use super::*;
use crate::world::base64url;
use crate::world::wire::Reply;

#[test]
fn over_a_later_state_what_was_taken_back_since_stays_taken_back() {
    let mut scene = Scene::new();
    let new_client = || scene.ca.unchallenged_client(&scene.issuer, "acme.com");
    let (deactivated, deleted, mut changed, kept) = (new_client(), new_client(), new_client(), new_client());
    let blocked = new_client();
    let early = scene.issue(&kept);
    let unused = scene.ca.make_eab(&scene.issuer);
    scene.backup(&[]);

    let (late, late_unrevoked) = (scene.issue(&kept), scene.issue(&kept));
    scene.revoke(&early);
    scene.revoke(&late);
    let own = ["deactivate-acme-account", "--cert-issuer-name", ISSUER, "--acme-account-id"];
    scene.ca.run(&[&own[..], &[&id_of(&deactivated)]].concat()).succeeded();
    scene.ca.run(&[&own[..], &[&id_of(&deleted), "--delete-account"]].concat()).succeeded();
    let new_key = AccountKey::es256();
    change_key(&changed, &new_key).expect(200);
    let compromised = Csr::for_names(&["acme.com"]);
    let order = blocked.order(&["acme.com"]);
    blocked.finalize(&order, &compromised).expect(200);
    let chain = blocked.certificate(&order);
    let reason = ["--reason", "keyCompromise"];
    let serial = format!("0x{}", serial_of(&chain));
    scene.ca.run(&[&["revoke-certificate", "--serial-number", &serial][..], &reason].concat()).succeeded();
    let lost = scene.ca.client(&scene.issuer);
    let shown = lost.wire.handshake().unwrap().0;
    let number = crl_number(&scene.complete_crl());
    scene.ca.make_signer_key("/Late/Key");
    let rows = scene.ca.query("SELECT count(*) FROM audit");

    // What happened last stands in the WAL.
    scene.ca.kill();
    let told = scene.restore(&[]).succeeded().json();
    // The fragments and the daemon's TLS keys are those of the replaced state.
    let [told_of] = told["warnings"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_says(&told_of.to_string(), &["the signer /Late/Key, version 1, was made since the backup"]);
    assert_eq!((&told["accounts"], &told["withdrawn_eabs"]), (&json!([]), &json!(1)));
    let merged = &told["from_replaced"];
    let count = |what: &str| merged["taken_over"][what].as_u64().unwrap_or(0);
    assert_eq!((count("revocations"), count("blocked_keys"), count("changed_keys_of_accounts")), (3, 1, 1), "{told}");
    assert_eq!((count("deactivations_of_accounts"), count("deletions_of_accounts")), (2, 1), "{told}");
    let unknown = merged["unknown_certificates"].as_array().unwrap();
    assert_eq!(unknown.len(), 1, "{told}");
    assert_eq!(text(&unknown[0], "serial_number"), serial_of(&late_unrevoked));
    assert_eq!(merged["unknown_accounts"][0]["id"], id_of(&lost));
    let replaced = PathBuf::from(text(&told, "replaced"));
    assert!(replaced.join("certwright.db").exists() && replaced.join("fragments").is_dir(), "it is kept");

    scene.ca.launch();
    scene.ca.run(&["check"]).succeeded();
    assert_eq!(lost.wire.handshake().unwrap().0, shown);
    // The log of the replaced state goes on in the restored one.
    let rows_after: u64 = scene.ca.query("SELECT count(*) FROM audit").parse().unwrap();
    assert!(rows_after > rows.parse().unwrap(), "{rows_after} after {rows}");
    let crl = scene.complete_crl();
    assert!(crl_number(&crl) > number, "{} after {number}", crl_number(&crl));
    let shard = scene.ca.fetch(&shard_path(&early)).expect(200).body;
    for revoked in [&early, &late, &chain] {
        assert!(lists(&crl, &serial_of(revoked)) && lists(&shard, &serial_of(revoked)));
    }
    assert!(!lists(&crl, &serial_of(&late_unrevoked)));

    deactivated.ask_for(&["acme.com"]).problem(401, "unauthorized");
    deleted.ask_for(&["acme.com"]).refused();
    changed.ask_for(&["acme.com"]).refused();
    changed.key = new_key;
    scene.issue(&changed);
    scene.issue(&kept);
    let order = kept.order(&["acme.com"]);
    kept.finalize(&order, &compromised).problem(400, "badPublicKey");
    scene.issuer.client(AccountKey::es256()).register(&unused).refused();
    // The one that nobody revoked is revoked as the command says.
    let serial = format!("0x{}", serial_of(&late_unrevoked));
    let until = text(&unknown[0], "not_after");
    let flags = ["--signer-key-name", SIGNER_KEY, "--not-after", &until];
    scene.ca.run(&[&["revoke-certificate", "--serial-number", &serial][..], &flags].concat()).succeeded();
    assert!(lists(&scene.complete_crl(), &serial_of(&late_unrevoked)));
}

#[test]
fn what_an_administrator_ended_since_stays_ended() {
    let mut scene = Scene::new();
    let client = scene.ca.client(&scene.issuer);
    let authorization = client.order(&["acme.com"]).authorizations()[0].clone();
    let eab = scene.ca.make_eab_with(&scene.issuer, &["--no-challenge", "--allowed-domains", "acme.com"]);
    let mut trusted = scene.issuer.client(AccountKey::es256());
    trusted.register(&eab).expect(201);
    scene.ca.make_signer_key("/Gone");
    scene.ca.make_issuer_named("/Stopped", SIGNER_KEY, "stopped.lan", "acme.com", &CHECKED);
    scene.ca.make_issuer_named("/Resumed", SIGNER_KEY, "resumed.lan", "acme.com", &CHECKED);
    scene.ca.run(&["set-item-state", "--name", "/Resumed", "--desired-state", "Disabled"]).succeeded();
    let limit = |ca: &Ca, limits: &[&str]| {
        ca.run(&[&["set-limits", "--cert-issuer-name", ISSUER], limits].concat()).succeeded();
    };
    limit(&scene.ca, &["--pending-authorizations", "20", "--failed-validations", "20"]);
    scene.ca.make_signer_key("/Kept");
    scene.ca.run(&["delete-item", "--name", "/Kept"]).succeeded();
    scene.backup(&[]);

    client.post(&authorization, &json!({"status": "deactivated"})).expect(200);
    scene.ca.run(&["revoke-acme-eab", "--kid", &eab.kid]).succeeded();
    scene.ca.run(&["delete-item", "--name", "/Gone", "--delete-immediately", "--force"]).succeeded();
    scene.ca.run(&["set-item-state", "--name", "/Stopped", "--desired-state", "Disabled"]).succeeded();
    scene.ca.run(&["set-item-state", "--name", "/Resumed", "--desired-state", "Enabled"]).succeeded();
    scene.ca.run(&["set-item-state", "--name", "/Kept", "--desired-state", "Enabled"]).succeeded();
    limit(&scene.ca, &["--pending-orders", "30", "--pending-authorizations", "10", "--failed-validations", "40"]);
    scene.ca.make_signer_key("/New");
    scene.ca.make_issuer_named("/NewIssuer", "/New", "new.lan", "acme.com", &CHECKED);
    let stopped = scene.ca.describe("/Stopped")["item_state"].clone();
    assert!(scene.ca.stop().success());
    let told = scene.restore(&[]).succeeded().json()["warnings"].to_string();
    let ended = ["/Gone was deleted since", "/Stopped was disabled since", "/Kept is deleted in seven days"];
    assert_says(&told, &ended);
    assert_says(&told, &["the signer /New, version 1, was made since", "the issuer /NewIssuer was made since"]);
    scene.ca.launch();
    assert_eq!(scene.ca.describe("/Resumed")["item_state"], stopped, "a state that is replaced enables nothing");
    assert_eq!(scene.ca.describe("/Kept")["item_state"], "PendingDeletion");
    let limits = "SELECT group_concat(kind || ' ' || value, ', ') FROM (SELECT * FROM limits ORDER BY kind)";
    assert_eq!(
        scene.ca.query(limits),
        "failed-validations 20, pending-authorizations 10, pending-orders 30",
        "the lower ones"
    );
    scene.ca.run(&["check"]).succeeded();
    assert_eq!(client.fetch(&authorization).expect(200).json()["status"], "deactivated");
    assert_eq!(trusted.order(&["acme.com"]).body["status"], "pending", "it needs a challenge now");
    assert!(!scene.ca.item_names("/").contains(&"/Gone".to_string()));
    assert_eq!(scene.ca.describe("/Stopped")["item_state"], stopped);
}

/// What a crash left of a database that is gone is not brought into another one.
#[test]
fn a_wal_without_its_database_is_not_restored_over() {
    let mut scene = Scene::new();
    scene.backup(&[]);
    scene.ca.kill();
    let database = scene.ca.state_dir().join("certwright.db");
    std::fs::rename(&database, scene.ca.place.file("aside")).unwrap();
    assert_says(&scene.restore(&[]).refused(), &["certwright.db-wal", "without its database", "move it away"]);
    std::fs::rename(scene.ca.place.file("aside"), &database).unwrap();
    scene.restore(&[]).succeeded();
    scene.ca.launch();
    scene.ca.run(&["check"]).succeeded();
}

/// A backup that is put over what another one became: what is older there is not believed.
#[test]
fn an_older_state_gives_no_account_its_former_key_back() {
    let mut scene = Scene::new();
    let mut client = scene.ca.unchallenged_client(&scene.issuer, "acme.com");
    let leaked = client.clone();
    scene.ca.run(&["backup", "--to", "old.tar", "--with-fragments"]).succeeded();
    let new_key = AccountKey::es256();
    change_key(&client, &new_key).expect(200);
    client.key = new_key;
    scene.backup(&["--with-fragments"]);
    scene.lose_machine();
    let state = scene.ca.state_dir();
    scene.ca.run(&["restore", "--from", "old.tar", "--state-dir", state.to_str().unwrap()]).succeeded();
    scene.ca.launch();
    scene.issue(&leaked);
    assert!(scene.ca.stop().success());
    let told = scene.restore(&[]).succeeded().json();
    assert_says(&told["warnings"].to_string(), &["not what became of this backup", "keys"]);
    scene.ca.launch();
    leaked.ask_for(&["acme.com"]).refused();
    scene.issue(&client);
    scene.ca.run(&["check"]).succeeded();
    assert_says(&scene.ca.run(&["audit", "--verify"]).succeeded().stdout, &["whole"]);
}

/// The replaced state is damaged: what can be read of it is taken over, the rest is told.
#[test]
fn a_replaced_state_that_cannot_be_read_is_kept_and_told_of() {
    let mut scene = Scene::new();
    let client = scene.ca.unchallenged_client(&scene.issuer, "acme.com");
    scene.backup(&[]);
    assert!(scene.ca.stop().success());
    let damaged = "these are not the pages";
    std::fs::write(scene.ca.state_dir().join("certwright.db"), damaged).unwrap();
    let told = scene.restore(&[]).succeeded().json();
    assert_says(&told["warnings"].to_string(), &["nothing could be taken over"]);
    assert_eq!(told["accounts"][0]["id"], id_of(&client));
    let replaced = PathBuf::from(text(&told, "replaced"));
    assert_eq!(std::fs::read_to_string(replaced.join("certwright.db")).unwrap(), damaged);
    scene.ca.launch();
    scene.issue(&client);
}

/// One page of it is noise, that of the accounts: the revocations are taken over all the same.
#[test]
fn of_a_replaced_state_that_is_damaged_what_can_be_read_is_taken_over() {
    let (mut scene, client, chain) = Scene::of_a_certificate_revoked_since_the_backup();
    let page: usize = scene.ca.query("SELECT rootpage FROM sqlite_schema WHERE name = 'accounts'").parse().unwrap();
    let path = scene.ca.state_dir().join("certwright.db");
    let mut pages = std::fs::read(&path).unwrap();
    let size: usize = scene.ca.query("PRAGMA page_size").parse().unwrap();
    pages[(page - 1) * size..page * size].fill(0x5a);
    std::fs::write(&path, pages).unwrap();
    let told = scene.restore(&[]).succeeded().json();
    assert_eq!(told["from_replaced"]["taken_over"]["revocations"], 1, "{told}");
    assert_says(&told["warnings"].to_string(), &["malformed"]);
    assert_eq!(told["accounts"][0]["id"], id_of(&client), "nothing tells what became of it");
    scene.ca.launch();
    scene.ca.run(&["check"]).succeeded();
    assert!(lists(&scene.complete_crl(), &serial_of(&chain)));
    scene.issue(&client);
}

/// Somebody changed its audit log: the chain of the restored one is not spoiled by it.
#[test]
fn rows_of_a_log_that_does_not_hold_together_are_not_taken_over() {
    let (mut scene, ..) = Scene::of_a_certificate_revoked_since_the_backup();
    scene.ca.tamper(
        "DROP TRIGGER audit_is_never_changed; UPDATE audit SET actor = 'nobody' WHERE id = (SELECT max(id) FROM audit)",
    );
    let told = scene.restore(&[]).succeeded().json();
    assert_says(&told["warnings"].to_string(), &["rest of the audit log could not be taken over", "changed or"]);
    assert_eq!(told["from_replaced"]["taken_over"]["revocations"], 1, "{told}");
    scene.ca.launch();
    scene.ca.run(&["check"]).succeeded();
    assert_says(&scene.ca.run(&["audit", "--verify"]).succeeded().stdout, &["whole"]);
}

/// The directory is the service's and root restores: a link in it leads root nowhere.
#[test]
fn root_is_not_led_elsewhere_by_links_in_the_state() {
    let mut scene = Scene::new();
    scene.backup(&["--with-fragments"]);
    assert!(scene.ca.stop().success());
    let secret = scene.ca.place.write("of-root", "for root alone");
    let lock = scene.ca.state_dir().join("lock");
    std::fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink(&secret, &lock).unwrap();
    assert_says(&scene.restore(&[]).refused(), &["lock", "cannot be locked"]);
    assert_eq!(std::fs::metadata(&secret).unwrap().uid(), rustix::process::getuid().as_raw());
    std::fs::remove_file(&lock).unwrap();
    let name = format!("{}.1-of-2.fragment", "ab".repeat(16));
    std::os::unix::fs::symlink(&secret, scene.ca.state_dir().join("fragments").join(&name)).unwrap();
    assert_says(&scene.restore(&[]).refused(), &[&name]);
    std::fs::remove_file(scene.ca.state_dir().join("fragments").join(&name)).unwrap();
    scene.restore(&[]).succeeded();
}

/// RFC 8555, 7.3.5.
fn change_key(client: &Client, new_key: &AccountKey) -> Reply {
    let url = client.url("keyChange");
    let header = json!({"alg": new_key.algorithm, "jwk": new_key.jwk, "url": url});
    let payload = json!({"account": client.account, "oldKey": client.key.jwk});
    let (protected, payload) = (base64url::encode(header.to_string()), base64url::encode(payload.to_string()));
    let signature = base64url::encode(new_key.sign(format!("{protected}.{payload}").as_bytes()));
    client.post(&url, &json!({"protected": protected, "payload": payload, "signature": signature}))
}
