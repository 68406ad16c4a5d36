//! Restoring a backup while no daemon runs. Everything is made ready beside the state directory and put in its place in one
//! step, so that whatever happens there is either what was before or what is wanted; what was before is kept.
//!
//! Nonces need nothing: their key and their count live and end with the process.

use super::archive;
use super::make::is_key_file;
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
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};
use serde_json::Value;
use std::fs::{DirBuilder, File};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const LARGEST_SMALL_MEMBER: u64 = 1 << 20;
const RESTORING: &str = "restoring-";
const REPLACED: &str = "replaced-";

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
    keep_fragments(&target.path.join(FRAGMENTS), &staging.path.join(FRAGMENTS))?;
    target.give_owner(&staging.path)?;
    // Held to the end, so that no daemon starts in the middle.
    let _lock = StateLock::take(&staging.path)?;
    target.give_owner(&staging.path)?;
    restored.replaced = target.put(staging)?;

    let places = Places::new(&target.path, wanted.fragment_dirs);
    for fragment in &fragments {
        let moved = places.spread(fragment).and_then(|moved| moved.map_or(Ok(()), |path| target.give_owner(&path)));
        restored.warnings.extend(moved.err().map(|e| e.detail().to_owned()));
    }
    let database = OfflineDatabase::open(&target.path.join(DATABASE))?;
    let findings = database.read(|read| Ok(fragment_findings(read, &places)))?;
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
    warnings.extend(merged.iter().flat_map(|merged| merged.trouble.iter().cloned()));
    let is_all_known = merged.as_ref().is_some_and(|merged| merged.trouble.is_empty());
    let mut listed_revocations = 0usize;
    for list in &lists {
        listed_revocations = listed_revocations.saturating_add(database.take_over_list(list)?);
    }
    let name = wanted.archive.file_name().unwrap_or_default().to_string_lossy();
    let entry = AuditEntry::done(wanted.actor.as_str(), "restore", crate::identifier::printable(&name))
        .detail(format!("a backup of {made}, {} a replaced state", if merged.is_some() { "with" } else { "without" }));
    let withdrawn_eabs = database.settle(is_all_known, now, &entry)?;
    let held_accounts = if wanted.suspend_accounts { Some(database.hold_accounts()?) } else { None };
    let accounts = if is_all_known { Vec::new() } else { database.living_accounts()? };
    database.close()?;
    Ok(Restored { made, replaced: None, merged, listed_revocations, withdrawn_eabs, held_accounts, accounts, warnings })
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

/// The fragments of the replaced state go on being those of the new one; which of them fit is looked at in the end.
fn keep_fragments(from: &Path, to: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(from) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let path = to.join(&name);
        if !name.to_str().is_some_and(Places::is_fragment) || path.exists() {
            continue;
        }
        let text = std::fs::read(entry.path()).map(Zeroizing::new);
        let text = text.map_err(|e| Error::unavailable(format!("{} cannot be read: {e}", entry.path().display())))?;
        write_private(&path, &text).map_err(|e| unwritable(&path, &e))?;
    }
    Ok(())
}

/// The state directory, as it is found.
struct Target {
    path: PathBuf,
    /// Where there is a state in it: the same path.
    state: Option<PathBuf>,
    /// Whose it is.
    owner: Option<(u32, u32)>,
    _lock: Option<StateLock>,
}

impl Target {
    fn look(state_dir: &Path) -> Result<Target> {
        if !state_dir.exists() {
            let path = std::path::absolute(state_dir)
                .map_err(|e| Error::malformed(format!("--state-dir {}: {e}", state_dir.display())))?;
            return Ok(Target { path, state: None, owner: None, _lock: None });
        }
        // Where it really lies, since a link cannot be exchanged for a directory.
        let failed =
            |e: std::io::Error| Error::unavailable(format!("--state-dir {} cannot be read: {e}", state_dir.display()));
        let path = state_dir.canonicalize().map_err(failed)?;
        let lock = StateLock::take(&path)?;
        let found = path.metadata().map_err(failed)?;
        let state = path.join(DATABASE).exists().then(|| path.clone());
        let target = Target { path, state, owner: Some((found.uid(), found.gid())), _lock: Some(lock) };
        // It may be a new file.
        target.give_owner(&StateLock::path(&target.path))?;
        Ok(target)
    }

    /// A path beside it.
    fn beside(&self, what: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{what}"));
        self.path.with_file_name(name)
    }

    /// The daemon that had the old files must be able to use the new ones.
    fn give_owner(&self, path: &Path) -> Result<()> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if own == (uid, gid) {
            return Ok(());
        }
        let failed = |e: std::io::Error| {
            Error::unavailable(format!("{} cannot be given to uid {uid} ({e}); become root", path.display()))
        };
        chown(path, Some(uid), Some(gid)).map_err(failed)?;
        if path.is_dir() {
            for entry in std::fs::read_dir(path).map_err(failed)? {
                self.give_owner(&entry.map_err(failed)?.path())?;
            }
        }
        Ok(())
    }

    /// Put what is ready in its place, and say where what was before is.
    fn put(&self, staging: Staging) -> Result<Option<PathBuf>> {
        let failed = |e: std::io::Error| {
            Error::unavailable(format!(
                "{} cannot be replaced ({e}), so nothing was changed; name another directory with --state-dir, such as one that \
                 is empty where this one is a mount point",
                self.path.display()
            ))
        };
        let kept = match (&self.state, self.owner) {
            (Some(_), _) => {
                let name = staging.path.file_name().unwrap_or_default().to_string_lossy().replace(RESTORING, REPLACED);
                let kept = staging.path.with_file_name(name);
                match renameat_with(CWD, &staging.path, CWD, &self.path, RenameFlags::EXCHANGE) {
                    // Now what was made ready is in its place, and what was before is under the other name.
                    Ok(()) => {
                        let former = staging.keep();
                        Some(std::fs::rename(&former, &kept).map_or(former, |()| kept))
                    }
                    // Not every file system can do it in one step.
                    Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                        std::fs::rename(&self.path, &kept).map_err(failed)?;
                        std::fs::rename(&staging.path, &self.path).map_err(failed)?;
                        staging.keep();
                        Some(kept)
                    }
                    Err(e) => return Err(failed(e.into())),
                }
            }
            // A directory that is there and empty may be a mount point or systemd's: it is filled, the database last.
            (None, Some(_)) => {
                for name in [KEYS, FRAGMENTS] {
                    fill(&staging.path.join(name), &self.path.join(name)).map_err(failed)?;
                }
                std::fs::rename(staging.path.join(DATABASE), self.path.join(DATABASE)).map_err(failed)?;
                None
            }
            (None, None) => {
                std::fs::rename(&staging.path, &self.path).map_err(failed)?;
                staging.keep();
                None
            }
        };
        for directory in [self.path.parent(), Some(&self.path)].into_iter().flatten() {
            let synced = File::open(directory).and_then(|directory| directory.sync_all());
            synced.map_err(|e| Error::unavailable(format!("{} cannot be synced: {e}", directory.display())))?;
        }
        Ok(kept)
    }
}

/// Move the files of a directory into another one, which may be there already.
fn fill(from: &Path, to: &Path) -> std::io::Result<()> {
    if !to.exists() {
        return std::fs::rename(from, to);
    }
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::rename(entry.path(), to.join(entry.file_name()))?;
    }
    File::open(to)?.sync_all()
}

/// A directory beside the state that goes again unless it comes to be the state.
struct Staging {
    path: PathBuf,
    is_kept: bool,
}

impl Staging {
    fn make(target: &Target, now: Time) -> Result<Staging> {
        let path = target.beside(&format!("{RESTORING}{}", now.to_string().replace([':', '-'], "")));
        make_directory(&path)?;
        Ok(Staging { path, is_kept: false })
    }

    fn keep(mut self) -> PathBuf {
        self.is_kept = true;
        self.path.clone()
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).create(path).map_err(|e| unwritable(path, &e))
}

fn unwritable(path: &Path, e: &std::io::Error) -> Error {
    Error::unavailable(format!("{} cannot be written: {e}", path.display()))
}
