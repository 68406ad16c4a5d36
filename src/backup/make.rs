//! Making a backup: the daemon gathers what belongs into it and streams it to whoever asked.

use super::archive::{self, ArchiveWriter};
use super::{ABOUT, DATABASE, FRAGMENTS, KEYS, LAYOUT};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::issuance::Issuance;
use crate::keys::hex;
use crate::store::{DatabaseCopy, Store};
use ring::digest::{Context, SHA256};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// No key file of ours is larger; whatever is, is none.
const LARGEST_KEY: u64 = 64 * 1024;

/// Everything that belongs into a backup, as it was at one moment.
pub struct Backup {
    made: Time,
    database: DatabaseCopy,
    /// Members that are small, with their content.
    small: Vec<(String, Zeroizing<Vec<u8>>)>,
    with_fragments: bool,
}

impl Backup {
    /// Gather it.
    ///
    /// # Errors
    /// Conflict while another one is made; Unavailable when there is no room, or when a fragment that was asked for is
    /// missing.
    pub fn gather(store: &Store, issuance: &Issuance, with_fragments: bool, now: Time) -> Result<Backup> {
        let database = store.copy()?;
        let mut small = Vec::new();
        if with_fragments {
            for (name, content) in key_files(issuance.key_directory())? {
                small.push((format!("{KEYS}/{name}"), content));
            }
            // Those that the copy names: the keys may have others in a moment.
            for needed in &database.needs {
                let set = issuance.fragments(&needed.fragments, needed.split_level).map_err(|e| {
                    e.context(format!(
                        "the fragments of {} are not all there, so that no backup can hold them; make one without \
                         --with-fragments until they are",
                        needed.name
                    ))
                })?;
                small.extend(
                    set.into_iter()
                        .map(|(name, text)| (format!("{FRAGMENTS}/{name}"), Zeroizing::new(text.as_bytes().to_vec()))),
                );
            }
        }
        let mut backup = Backup { made: now, database, small, with_fragments };
        let about = format!("{:#}\n", backup.about()).into_bytes();
        // First, so that whoever looks into an archive sees it first.
        backup.small.insert(0, (ABOUT.to_owned(), Zeroizing::new(about)));
        Ok(backup)
    }

    /// How many bytes [`Backup::write_to`] writes.
    pub fn length(&self) -> u64 {
        let small = self.small.iter().map(|(_, content)| content.len() as u64);
        archive::length(small.chain([self.database.length]))
    }

    /// Write it, and give the SHA-256 of all that was written.
    ///
    /// # Errors
    /// The system's.
    pub fn write_to(mut self, to: impl Write) -> std::io::Result<String> {
        let mut hashed = Hashed { to, hash: Context::new(&SHA256) };
        let mut archive = ArchiveWriter::new(&mut hashed);
        for (name, content) in &self.small {
            archive.append(name, self.made.0, content.len() as u64, &mut content.as_slice())?;
        }
        archive.append(DATABASE, self.made.0, self.database.length, &mut self.database.file)?;
        archive.finish(self.made.0)?;
        Ok(hex(hashed.hash.finish().as_ref()))
    }

    /// What it is, in words for programs and people.
    pub fn about(&self) -> Value {
        let needs = self.database.needs.iter();
        let needs: Vec<Value> =
            needs.map(|n| json!({ "key": n.name, "fragments": n.fragments, "split_level": n.split_level })).collect();
        json!({
            "layout": LAYOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "schema": self.database.schema,
            "made": self.made.to_string(),
            "holds_fragments": self.with_fragments,
            "needs": needs,
        })
    }

    /// What SQLite found that is damaged in the database.
    pub fn damage(&self) -> Option<&Error> {
        self.database.damage.as_ref()
    }
}

/// The keys of the daemon's TLS certificates and OCSP responders. One that goes just now is made again after a restore.
fn key_files(directory: &Path) -> Result<Vec<(String, Zeroizing<Vec<u8>>)>> {
    let failed = |e: std::io::Error| Error::unavailable(format!("{} cannot be read: {e}", directory.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| is_key_file(name)) else {
            continue;
        };
        let mut content = Zeroizing::new(Vec::new());
        let read = File::open(&path).and_then(|file| file.take(LARGEST_KEY).read_to_end(&mut content));
        match read {
            Ok(_) => found.push((name.to_owned(), content)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// Whether a file is called as keys are: `tls-<serial>.p8`, `ocsp-<serial>.key`.
pub(super) fn is_key_file(name: &str) -> bool {
    let serial = name.strip_prefix("tls-").and_then(|rest| rest.strip_suffix(".p8"));
    let serial = serial.or_else(|| name.strip_prefix("ocsp-").and_then(|rest| rest.strip_suffix(".key")));
    serial.is_some_and(|serial| !serial.is_empty() && serial.bytes().all(|b| b.is_ascii_hexdigit()))
}

struct Hashed<W> {
    to: W,
    hash: Context,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}
