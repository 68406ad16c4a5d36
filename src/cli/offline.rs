//! What works while no daemon does: `certwright restore`, `certwright check --offline` and `certwright config --offline`.

use super::Failure;
use super::environment::{PREFIX, list};
use super::flags::{Given, is_set, text};
use super::progress::Progress;
use crate::admin::shown_settings;
use crate::backup::{Restore, Restored};
use crate::ca::crl_of_file;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::identifier::printable;
use crate::issuance;
use crate::keys::{Places, hex};
use crate::store::{ListedAccount, OfflineDatabase, StateLock};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LARGEST_CRL: u64 = 64 << 20;
const LONGEST_FETCH: Duration = Duration::from_secs(30);

pub(super) fn restore(given: &[Given]) -> std::result::Result<(), Failure> {
    crate::logging::start("warn");
    let (state_dir, fragment_dirs) = directories(given);
    let archive = PathBuf::from(text(given, "from").unwrap_or_default());
    let crls = list(given, "crl").into_iter().map(|name| Ok((name.to_owned(), published(name)?)));
    let progress = Progress::of("restore");
    let restored = crate::backup::restore(&Restore {
        archive: &archive,
        state_dir: &state_dir,
        fragment_dirs: &fragment_dirs,
        crls: crls.collect::<Result<_>>()?,
        suspend_accounts: is_set(given, "suspend-accounts"),
        actor: format!("uid {}", rustix::process::getuid().as_raw()),
        now: Clock::system().now(),
    })?;
    drop(progress);
    if is_set(given, "json") {
        super::say(&super::show::reply("restore", &as_json(&restored), true)?);
    } else {
        for warning in &restored.warnings {
            eprintln!("certwright: note: {warning}");
        }
        super::say(&as_text(&restored, &state_dir));
    }
    Ok(())
}

pub(super) fn check(given: &[Given]) -> std::result::Result<(), Failure> {
    let (state_dir, fragment_dirs) = directories(given);
    let path = state_dir.join("certwright.db");
    if !path.exists() {
        let path = path.display();
        return Err(Error::not_found(format!("{path} is not there; say --state-dir where the state is")).into());
    }
    // It may be shared, but not with a daemon, which has a check of its own.
    let _lock = StateLock::share(&state_dir)
        .map_err(|e| Error::conflict(format!("{e}; while the daemon runs, check without --offline asks it")))?;
    let places = Places::new(&state_dir, &fragment_dirs);
    let now = Clock::system().now();
    let database = OfflineDatabase::open(&path)
        .map_err(|e| Error::internal(format!("the database is damaged ({e}); restore it from a backup")))?;
    let progress = Progress::of("check");
    database.read(|read| issuance::check(read, &places, now))?;
    drop(progress);
    let as_json = is_set(given, "json");
    super::say(&super::show::reply("check", &json!({ "findings": [] }), as_json)?);
    Ok(())
}

/// What `serve` would make of this environment.
pub(super) fn config(given: &[Given]) -> std::result::Result<(), Failure> {
    let settings = super::serve::settings_of(&[])?;
    super::say(&super::show::reply("config", &shown_settings(&settings), is_set(given, "json"))?);
    Ok(())
}

/// State and further places of fragments: from flags, else from the daemon's own variables.
fn directories(given: &[Given]) -> (PathBuf, Vec<PathBuf>) {
    let variable = |name: &str| std::env::var(format!("{PREFIX}{name}")).ok().filter(|value| !value.is_empty());
    let state = text(given, "state-dir").map(str::to_owned).or_else(|| variable("STATE_DIR"));
    let state = state.map_or_else(|| PathBuf::from("/var/lib/certwright"), PathBuf::from);
    let mut fragments: Vec<PathBuf> = list(given, "fragment-dir").into_iter().map(PathBuf::from).collect();
    if fragments.is_empty() {
        let said = variable("FRAGMENT_DIR").unwrap_or_default();
        fragments.extend(said.split(',').map(str::trim).filter(|dir| !dir.is_empty()).map(PathBuf::from));
    }
    (state, fragments)
}

/// A list from a file or from where it is published.
fn published(name: &str) -> Result<Vec<u8>> {
    let failed = |e: &dyn std::fmt::Display| Error::malformed(format!("--crl {name} cannot be read: {e}"));
    let bytes = if name.starts_with("http://") {
        fetched(name, LARGEST_CRL).map_err(|e| failed(&e))?
    } else {
        std::fs::read(name).map_err(|e| failed(&e))?
    };
    crl_of_file(&bytes).map_err(|e| e.context(format!("--crl {name}")))
}

/// What lies at an http URL, which is no larger than this.
pub(super) fn fetched(url: &str, limit: u64) -> std::result::Result<Vec<u8>, ureq::Error> {
    let config = ureq::config::Config::builder().proxy(None).timeout_global(Some(LONGEST_FETCH)).build();
    let mut reply = ureq::Agent::new_with_config(config).get(url).call()?;
    reply.body_mut().with_config().limit(limit).read_to_vec()
}

fn as_json(restored: &Restored) -> Value {
    let account = |a: &ListedAccount| json!({ "id": a.id.to_string(), "issuer": a.issuer, "contacts": a.contacts });
    let accounts = |all: &[ListedAccount]| all.iter().map(account).collect::<Vec<_>>();
    let merged = restored.merged.as_ref().map(|merged| {
        let taken_over = merged.taken_over.iter().map(|(what, count)| (what.replace(' ', "_"), json!(count)));
        let lost = merged.lost_certificates.iter().map(|lost| {
            json!({
                "serial_number": hex(&lost.serial),
                "not_after": lost.not_after.to_string(),
                "signer_key_name": lost.signer,
                "name": lost.name,
            })
        });
        json!({
            "taken_over": taken_over.collect::<serde_json::Map<_, _>>(),
            "unknown_certificates": lost.collect::<Vec<_>>(),
            "unknown_accounts": accounts(&merged.lost_accounts),
        })
    });
    json!({
        "made": restored.made,
        "replaced": restored.replaced.as_ref().map(|path| path.display().to_string()),
        "from_replaced": merged,
        "listed_revocations": restored.listed_revocations,
        "withdrawn_eabs": restored.withdrawn_eabs,
        "held_accounts": restored.held_accounts,
        "accounts": accounts(&restored.accounts),
        "warnings": restored.warnings,
    })
}

fn as_text(restored: &Restored, state_dir: &Path) -> String {
    let made = &restored.made;
    let mut lines = vec![format!("{} is as it was at {made}.", state_dir.display())];
    if let Some(replaced) = &restored.replaced {
        lines.push(format!("What was there is kept in {}; remove it when it is of no more use.", replaced.display()));
    }
    if let Some(merged) = &restored.merged {
        let taken: Vec<String> = merged.taken_over.iter().map(|(what, count)| format!("{count} {what}")).collect();
        let taken = if taken.is_empty() { "nothing, since nothing had changed".into() } else { taken.join(", ") };
        lines.push(format!("Taken over from it: {taken}."));
    }
    if restored.listed_revocations > 0 {
        lines.push(format!("Taken over from published CRLs: {} revocations.", restored.listed_revocations));
    }
    lines.push(format!(
        "Withdrawn: {} credentials that had not been used; generate-acme-eab makes new ones.",
        restored.withdrawn_eabs
    ));
    lines.extend(about_certificates(restored));
    lines.extend(about_accounts(restored));
    lines.push(format!(
        "Settings of issuers, limits and tags are those of {made}; what was changed since is to be changed again."
    ));
    lines.join("\n")
}

fn about_certificates(restored: &Restored) -> Vec<String> {
    let made = &restored.made;
    let lost = restored.merged.iter().flat_map(|merged| &merged.lost_certificates);
    let mut lines: Vec<String> = lost
        .map(|lost| {
            format!(
                "Issued since, and unknown now: {} {}; to revoke it: certwright revoke-certificate --serial-number 0x{} \
                 --signer-key-name {} --not-after {}",
                lost.name,
                hex(&lost.serial),
                hex(&lost.serial),
                lost.signer,
                lost.not_after
            )
        })
        .collect();
    if !restored.is_all_known {
        lines.push(format!(
            "Not known: certificates that were issued after {made}, which verify all the same; to revoke one: certwright \
             revoke-certificate --serial-number 0x… --signer-key-name … --not-after …"
        ));
        if restored.listed_revocations == 0 {
            lines.push(format!(
                "Not known: what was revoked after {made}; say --crl with the complete list that was published last."
            ));
        }
    }
    lines
}

fn about_accounts(restored: &Restored) -> Vec<String> {
    let line = |account: &ListedAccount| {
        let contacts =
            if account.contacts.is_empty() { "no contact".into() } else { printable(&account.contacts.join(", ")) };
        format!("  account {} of {} ({contacts})", account.id, account.issuer)
    };
    let mut lines = Vec::new();
    let lost = restored.merged.as_ref().map(|merged| merged.lost_accounts.as_slice()).unwrap_or_default();
    if !lost.is_empty() {
        lines
            .push("Made since, and unknown now, so that they have to register again with a new credential:".to_owned());
        lines.extend(lost.iter().map(line));
    }
    if !restored.accounts.is_empty() {
        lines.push(
            "Nothing tells which of these accounts were deactivated, deleted or given another key since; \
             deactivate-acme-account ends one:"
                .to_owned(),
        );
        lines.extend(restored.accounts.iter().map(line));
    }
    if let Some(held) = restored.held_accounts {
        lines.push(format!(
            "Held: {held} accounts, which can order nothing; certwright set-limits --cert-issuer-name … --acme-account-id … \
             --pending-orders 0 --pending-authorizations 0 --certificates-per-week 0 lets one go on."
        ));
    } else if !restored.accounts.is_empty() {
        lines.push("They can order; restore with --suspend-accounts holds them until you let each go on.".to_owned());
    }
    lines
}
