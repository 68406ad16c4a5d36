//! Restoring a backup while no daemon runs. Everything is made ready beside the state directory and put in its place in one
//! step, so that whatever happens there is either what was before or what is wanted; what was before is kept.
//!
//! Nonces need nothing: their key and their count live and end with the process.

use super::archive;
use super::make::is_key_file;
use super::place::{Staging, Target, make_directory, unwritable};
use super::{ABOUT, DATABASE, FRAGMENTS, KEYS, LAYOUT};
use crate::ca::{FormerCrl, ParsedCertificate};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::issuance::fragment_findings;
use crate::keys::{Places, write_private};
use crate::store::{
    AuditEntry, KeyVersion, ListedAccount, Merged, OfflineDatabase, Read as Snapshot, RestoredDatabase,
    RevocationGrounds, RevokedElsewhere, StateLock,
};
use rustix::fs::{Mode, OFlags};
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const LARGEST_SMALL_MEMBER: u64 = 1 << 20;

/// What is wanted.
pub struct Restore<'a> {
    /// The backup.
    pub archive: &'a Path,
    /// Where the state is to be.
    pub state_dir: &'a Path,
    /// Further places for fragments.
    pub fragment_dirs: &'a [PathBuf],
    /// Lists that were published, in DER, with what a person calls them.
    pub crls: Vec<(String, Vec<u8>)>,
    /// Whether every account is to be held.
    pub suspend_accounts: bool,
    /// Who restores.
    pub actor: String,
    /// When.
    pub now: Time,
}

/// What was done, and what a person has to know.
pub struct Restored {
    /// When the backup was made.
    pub made: String,
    /// Where what was before is kept.
    pub replaced: Option<PathBuf>,
    /// What was taken over from it.
    pub merged: Option<Merged>,
    /// How many revocations of published lists were not known.
    pub listed_revocations: usize,
    /// How many credentials were withdrawn.
    pub withdrawn_eabs: usize,
    /// How many accounts are held; `None` when that was not asked for.
    pub held_accounts: Option<usize>,
    /// The accounts that can order, where nothing tells what became of them since the backup.
    pub accounts: Vec<ListedAccount>,
    /// Whether the replaced state told everything that became of the backup.
    pub is_all_known: bool,
    /// Fragments that are missing or do not fit, damage, and what could not be taken over.
    pub warnings: Vec<String>,
}

/// Put a backup in the place of a state directory.
///
/// # Errors
/// Conflict while a daemon runs; Malformed when the backup cannot be used; Unavailable when the directory cannot be written.
/// Nothing was changed then.
pub fn restore(wanted: &Restore<'_>) -> Result<Restored> {
    let target = Target::look(wanted.state_dir)?;
    let staging = Staging::make(&target, wanted.now)?;
    let (about, fragments) = unpack(wanted.archive, &staging.path)?;
    let made = about.get("made").and_then(Value::as_str).unwrap_or("an unknown moment").to_owned();
    let mut restored = settle(wanted, &target, &staging.path, made)?;
    keep_files(FRAGMENTS, &target.path, &staging.path, Places::is_fragment)?;
    keep_files(KEYS, &target.path, &staging.path, is_key_file)?;
    // Held to the end, so that no daemon starts in the middle.
    let _lock = StateLock::take(&staging.path)?;
    target.give_owner(&staging.path)?;
    restored.replaced = target.put(staging)?;

    // It is done; what is still amiss is told.
    restored.warnings.extend(target.leftovers().iter().map(|path| {
        format!("{} is left of a restore that did not come to its end; look into it and remove it", path.display())
    }));
    let places = Places::new(&target.path, wanted.fragment_dirs);
    for fragment in &fragments {
        let moved = places.spread(fragment).and_then(|moved| moved.map_or(Ok(()), |path| target.give_owner(&path)));
        restored.warnings.extend(moved.err().map(|e| e.detail().to_owned()));
    }
    let findings = OfflineDatabase::open(&target.path.join(DATABASE))
        .and_then(|database| database.read(|read| Ok(fragment_findings(read, &places))))
        .unwrap_or_else(|e| vec![e]);
    restored.warnings.extend(findings.iter().map(|e| e.detail().to_owned()));
    Ok(restored)
}

/// Bring the restored database to what is known by now.
fn settle(wanted: &Restore<'_>, target: &Target, staging: &Path, made: String) -> Result<Restored> {
    let now = wanted.now;
    let database = RestoredDatabase::open(&staging.join(DATABASE)).map_err(|e| e.context("the backup"))?;
    let mut warnings = Vec::new();
    if let Err(e) = database.read(|read| read.check_integrity()) {
        warnings.push(format!("the backup holds what was damaged when it was made: {e}"));
    }
    let lists = database.read(|read| published_lists(read, &wanted.crls))?;
    let merged = match &target.state {
        None => None,
        Some(replaced) => match database.merge(&replaced.join(DATABASE), now) {
            Ok(merged) => Some(merged),
            Err(e) => {
                warnings.push(format!("nothing could be taken over from the replaced state: {e}"));
                None
            }
        },
    };
    warnings.extend(merged.iter().flat_map(|merged| merged.trouble.iter().chain(&merged.items).cloned()));
    let is_all_known = merged.as_ref().is_some_and(|merged| merged.trouble.is_empty());
    let mut listed_revocations = 0usize;
    for list in &lists {
        listed_revocations = listed_revocations.saturating_add(database.take_over_list(list)?);
    }
    let name = wanted.archive.file_name().unwrap_or_default().to_string_lossy();
    let entry = AuditEntry::done(wanted.actor.as_str(), "restore", crate::identifier::printable(&name))
        .detail(format!("a backup of {made}, {} a replaced state", if merged.is_some() { "with" } else { "without" }));
    let withdrawn_eabs = database.settle(is_all_known, now, &entry)?;
    warnings.extend(database.pending_deletions()?);
    let held_accounts = if wanted.suspend_accounts { Some(database.hold_accounts()?) } else { None };
    let accounts = if is_all_known { Vec::new() } else { database.living_accounts()? };
    database.close()?;
    Ok(Restored {
        made,
        replaced: None,
        merged,
        listed_revocations,
        withdrawn_eabs,
        held_accounts,
        accounts,
        is_all_known,
        warnings,
    })
}

/// Whose lists they are: each is verified with the certificate of a signer in the backup.
fn published_lists(read: &Snapshot<'_>, crls: &[(String, Vec<u8>)]) -> Result<Vec<RevokedElsewhere>> {
    let mut versions: Vec<KeyVersion> = Vec::new();
    for key in read.key_items()? {
        versions.extend(read.key_versions(key)?);
    }
    crls.iter()
        .map(|(name, list)| published_list(&versions, list).map_err(|e| e.context(format!("--crl {name}"))))
        .collect()
}

fn published_list(versions: &[KeyVersion], list: &[u8]) -> Result<RevokedElsewhere> {
    let mut why = None;
    for (version, der) in versions.iter().filter_map(|v| v.certificate.as_ref().map(|der| (v, der))) {
        let certificate = ParsedCertificate::parse(der)?;
        match FormerCrl::parse(list, &certificate) {
            Ok(crl) => {
                let by = crl.number.map_or_else(|| "a published CRL".to_owned(), |n| format!("the published CRL {n}"));
                let entries = crl.entries.into_iter().map(|entry| {
                    let grounds =
                        RevocationGrounds { reason: entry.reason, invalid_since: entry.invalid_since, by: by.clone() };
                    (entry.serial, entry.at, grounds)
                });
                return Ok(RevokedElsewhere { signer: version.id, number: crl.number, entries: entries.collect() });
            }
            // That it is another signer's says the least.
            Err(e) if why.is_none() || !e.detail().contains("another issuer") => why = Some(e),
            Err(_) => {}
        }
    }
    Err(why.unwrap_or_else(|| Error::malformed("there is no signer in the backup that could have signed it")))
}

/// Unpack an archive into a new state directory, and give back what it says of itself and the names of its fragments. What is
/// unpacked is worth something only once the end of the archive was seen.
fn unpack(archive: &Path, into: &Path) -> Result<(Value, Vec<String>)> {
    let named = |e: Error| e.context(format!("--from {}", archive.display()));
    let file = File::open(archive).map_err(|e| named(Error::malformed(format!("it cannot be read ({e})"))))?;
    for directory in [KEYS, FRAGMENTS] {
        make_directory(&into.join(directory))?;
    }
    let (mut about, mut fragments) = (None, Vec::new());
    archive::read(std::io::BufReader::new(file), |name, length, from| match (name.split_once('/'), &about) {
        (None, None) if name == ABOUT => {
            about = Some(parse_about(&small(name, length, from)?)?);
            Ok(())
        }
        (_, None) => Err(Error::malformed("it is no backup of certwright")),
        (None, Some(_)) if name == DATABASE => write_database(&into.join(DATABASE), from),
        (Some((KEYS, file)), Some(_)) if is_key_file(file) => {
            let path = into.join(KEYS).join(file);
            write_private(&path, &small(name, length, from)?).map_err(|e| unwritable(&path, &e))
        }
        (Some((FRAGMENTS, file)), Some(_)) if Places::is_fragment(file) => {
            fragments.push(file.to_owned());
            let path = into.join(FRAGMENTS).join(file);
            write_private(&path, &small(name, length, from)?).map_err(|e| unwritable(&path, &e))
        }
        _ => Err(Error::malformed(format!(
            "it holds {}, which this certwright does not know; use the certwright that made it",
            crate::identifier::printable(name)
        ))),
    })
    .map_err(named)?;
    if !into.join(DATABASE).exists() {
        return Err(named(Error::malformed("it holds no database")));
    }
    let about = about.ok_or_else(|| named(Error::malformed("it is no backup of certwright")))?;
    Ok((about, fragments))
}

fn parse_about(text: &[u8]) -> Result<Value> {
    let about: Value =
        serde_json::from_slice(text).map_err(|_| Error::malformed("what it says of itself cannot be understood"))?;
    match about.get("layout").and_then(Value::as_i64) {
        Some(1..=LAYOUT) => Ok(about),
        _ => Err(Error::malformed("it was made by a newer certwright; use that one")),
    }
}

fn small(name: &str, length: u64, from: &mut dyn Read) -> Result<Zeroizing<Vec<u8>>> {
    if length > LARGEST_SMALL_MEMBER {
        return Err(Error::malformed(format!("{name} in it is too large")));
    }
    let mut content = Zeroizing::new(Vec::new());
    from.read_to_end(&mut content).map_err(|e| Error::unavailable(format!("it cannot be read ({e})")))?;
    Ok(content)
}

fn write_database(path: &Path, from: &mut dyn Read) -> Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|e| unwritable(path, &e.into()))?;
    let mut file = File::from(file);
    let copied = std::io::copy(from, &mut file).and_then(|_| file.sync_all());
    copied.map_err(|e| unwritable(path, &e))
}

/// The fragments and keys of the replaced state go on being those of the new one. Which fragments fit is looked at in the end;
/// a key without its certificate in the database is removed by the daemon.
fn keep_files(directory: &str, from: &Path, to: &Path, is_ours: impl Fn(&str) -> bool) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(from.join(directory)) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let path = to.join(directory).join(&name);
        if !name.to_str().is_some_and(&is_ours) || path.exists() {
            continue;
        }
        let text = read_own(&entry.path());
        let text = text.map_err(|e| Error::unavailable(format!("{} cannot be read: {e}", entry.path().display())))?;
        write_private(&path, &text).map_err(|e| unwritable(&path, &e))?;
    }
    Ok(())
}

/// Read a small file of a directory that is another's, who must not make root read what is elsewhere.
fn read_own(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut content = Zeroizing::new(Vec::new());
    file.take(LARGEST_SMALL_MEMBER).read_to_end(&mut content)?;
    Ok(content)
}
