//! Key-encryption keys in fragments: the key is the XOR of all its shares, each kept in a file in a place of its own.
//! Any set of shares short of all is a set of random numbers.

use super::{SecretKey, from_hex, hex, random, sha256, write_private};
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// One share of a key-encryption key.
pub struct Share {
    key: String,
    number: usize,
    of: usize,
    bytes: Zeroizing<[u8; 32]>,
}

impl Share {
    /// Split `kek` into `count` shares; `key` names the key that it seals.
    ///
    /// # Errors
    /// Internal when the system gives no random bytes.
    pub fn split(kek: &SecretKey, key: &str, count: usize) -> Result<Vec<Share>> {
        let mut rest = Zeroizing::new(*kek.bytes());
        let mut shares = Vec::with_capacity(count);
        for number in 1..=count {
            let bytes = if number == count { rest.clone() } else { Zeroizing::new(random::<32>()?) };
            xor(&mut rest, &bytes);
            shares.push(Share { key: key.to_owned(), number, of: count, bytes });
        }
        Ok(shares)
    }

    fn join(shares: &[Share]) -> SecretKey {
        let mut kek = Zeroizing::new([0; 32]);
        for share in shares {
            xor(&mut kek, &share.bytes);
        }
        SecretKey::from_bytes(kek)
    }

    fn to_text(&self) -> Zeroizing<String> {
        let body = Zeroizing::new(format!(
            "certwright key fragment\nkey {}\nfragment {} of {}\nshare {}\n",
            self.key,
            self.number,
            self.of,
            *Zeroizing::new(hex(&self.bytes[..]))
        ));
        Zeroizing::new(format!("{}check {}\n", *body, checksum(&body)))
    }

    /// Why the text is no such fragment, or the share.
    fn from_text(text: &str, key: &str, number: usize, of: usize) -> std::result::Result<Share, &'static str> {
        let (body, check) = text.rsplit_once("check ").ok_or("is not a fragment")?;
        if check.trim_end() != checksum(body) {
            return Err("is damaged");
        }
        let head = format!("certwright key fragment\nkey {key}\nfragment {number} of {of}\nshare ");
        let digits = body.strip_prefix(&head).ok_or("belongs to another key or place")?.trim_end();
        let bytes = from_hex::<32>(digits).map(Zeroizing::new).ok_or("is damaged")?;
        Ok(Share { key: key.to_owned(), number, of, bytes })
    }
}

/// The directories that hold fragments, in turn: the first fragment in the first place, and so on round.
#[derive(Clone, Debug)]
pub struct Places {
    written: Vec<PathBuf>,
    /// Where systemd puts a fragment that is a credential of the service; nothing is written there.
    credentials: Option<PathBuf>,
}

impl Places {
    /// `<state-dir>/fragments`, then the others.
    pub fn new(state_dir: &Path, others: &[PathBuf]) -> Places {
        let mut written = vec![state_dir.join("fragments")];
        written.extend_from_slice(others);
        Places { written, credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.written.len()
    }

    /// Write every share to its place, durably, readable by the daemon alone, and say how long each took.
    ///
    /// # Errors
    /// Unavailable, with the path, when one cannot be written; what was written is taken away again.
    pub fn write(&self, shares: &[Share]) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(shares.len());
        for (done, share) in shares.iter().enumerate() {
            let started = Instant::now();
            let path = self.path(&share.key, share.number, share.of);
            if let Err(e) = write_private(&path, share.to_text().as_bytes()) {
                // The one that failed may be there, with a name that is not durable yet.
                for written in shares.iter().take(done.saturating_add(1)) {
                    let _ = std::fs::remove_file(self.path(&written.key, written.number, written.of));
                }
                return Err(cannot_be_written(&path, &e));
            }
            times.push(started.elapsed());
        }
        Ok(times)
    }

    /// The last fragment of a set, for somebody else to keep: its file name and its text.
    ///
    /// # Errors
    /// Unavailable when it is missing or damaged.
    pub fn last(&self, set: &str, count: usize) -> Result<(String, Zeroizing<String>)> {
        Ok((file_name(set, count, count), self.read(set, count, count)?.to_text()))
    }

    /// All the fragments of a set, or of another whole set of the same key-encryption key: file names and texts.
    ///
    /// # Errors
    /// Unavailable, naming the fragment, when one is missing or damaged.
    pub fn all(&self, set: &str, count: usize) -> Result<Vec<(String, Zeroizing<String>)>> {
        let texts = |set: &str| {
            let read = |number| Ok((file_name(set, number, count), self.read(set, number, count)?.to_text()));
            (1..=count).map(read).collect::<Result<Vec<_>>>()
        };
        let others = self.sets_of(key_part(set));
        texts(set).or_else(|e| others.iter().find_map(|other| texts(other).ok()).ok_or(e))
    }

    /// Whether a file is called as fragments are.
    pub fn is_fragment(name: &str) -> bool {
        parse_name(name).is_some()
    }

    /// Move a fragment that a backup left in the first place to its own, unless there is one of its name or its place is not
    /// there. Where it went, if it was moved.
    ///
    /// # Errors
    /// Unavailable when it cannot be written; it stays where it is then.
    pub fn spread(&self, name: &str) -> Result<Option<PathBuf>> {
        let (Some((set, number, of)), Some(first)) = (parse_name(name), self.written.first()) else { return Ok(None) };
        let (own, here) = (self.path(set, number, of), first.join(name));
        if own == here || own.exists() || !own.parent().is_some_and(Path::is_dir) {
            return Ok(None);
        }
        let failed = |e: std::io::Error| {
            Error::unavailable(format!("the key fragment {} cannot be moved to {}: {e}", here.display(), own.display()))
        };
        let text = std::fs::read(&here).map(Zeroizing::new).map_err(failed)?;
        write_private(&own, &text).map_err(failed)?;
        std::fs::remove_file(&here).map_err(failed)?;
        Ok(Some(own))
    }

    /// Remove the last fragment of a set, which somebody else keeps now.
    pub fn forget_last(&self, set: &str, count: usize) {
        for path in self.paths(set, count, count) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Read and join all the fragments of a set. Where they are not all there another whole set of the same key-encryption
    /// key serves as well: a database from a backup names the set of its day.
    ///
    /// # Errors
    /// Unavailable, naming the fragment, when one is missing or damaged.
    pub fn join(&self, set: &str, count: usize) -> Result<SecretKey> {
        let named = self.join_set(set, count);
        if named.is_ok() {
            return named;
        }
        let others = self.sets_of(key_part(set));
        others.iter().filter(|other| *other != set).find_map(|other| self.join_set(other, count).ok()).map_or(named, Ok)
    }

    fn join_set(&self, set: &str, count: usize) -> Result<SecretKey> {
        let shares = (1..=count).map(|number| self.read(set, number, count)).collect::<Result<Vec<_>>>()?;
        Ok(Share::join(&shares))
    }

    /// Remove the fragments of a key that is deleted, wherever they lie. What is gone already is fine.
    pub fn remove(&self, key: &str, count: usize) {
        for number in 1..=count {
            for path in self.paths(key, number, count) {
                match std::fs::remove_file(&path) {
                    Err(e) if e.kind() != ErrorKind::NotFound => {
                        log::warn!(file:% = path.display(), error:% = e; "a fragment of a deleted key could not be removed");
                    }
                    _ => {}
                }
            }
        }
    }

    /// Remove what is left of earlier sets of a key-encryption key, as long as the current one is whole.
    pub fn remove_other_sets(&self, current: &str, count: usize) {
        if self.join_set(current, count).is_err() {
            return;
        }
        for set in self.sets_of(key_part(current)).iter().filter(|set| *set != current) {
            self.remove(set, count);
        }
    }

    /// Remove what a crash left of fragments that were being written. Other files of a directory, which may serve other
    /// things as well, are nobody's business here.
    pub fn remove_cut_short(&self) {
        for path in files_in(&self.written).filter(|path| is_cut_short(path)) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// The key-encryption keys of which there are fragments.
    pub fn keys_found(&self) -> BTreeSet<String> {
        self.set_names().map(|set| key_part(&set).to_owned()).collect()
    }

    /// The sets of a key-encryption key of which there is any fragment.
    fn sets_of(&self, key: &str) -> BTreeSet<String> {
        self.set_names().filter(|set| key_part(set) == key).collect()
    }

    fn set_names(&self) -> impl Iterator<Item = String> + '_ {
        self.files().filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".fragment")?;
            name.split_once('.').map(|(set, _)| set.to_owned())
        })
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> + '_ {
        files_in(&self.written).chain(files_in(self.credentials.as_slice()))
    }

    /// Read a fragment from its place, or from another: places are added and put into another order, files stay.
    fn read(&self, key: &str, number: usize, of: usize) -> Result<Share> {
        let mut trouble = Vec::new();
        for path in self.paths(key, number, of) {
            match std::fs::read_to_string(&path).map(Zeroizing::new) {
                Ok(text) => match Share::from_text(&text, key, number, of) {
                    Ok(share) => return Ok(share),
                    Err(why) => trouble.push(format!("{} {why}", path.display())),
                },
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => trouble.push(format!("{} cannot be read ({e})", path.display())),
            }
        }
        let why = if trouble.is_empty() {
            let places: Vec<String> = self.written.iter().map(|p| p.display().to_string()).collect();
            format!("{} is missing in {}", file_name(key, number, of), places.join(", "))
        } else {
            trouble.join(", ")
        };
        Err(Error::unavailable(format!("key fragment {number} of {of}: {why}; put it back from its backup")))
    }

    /// Where a fragment may lie: its own place first.
    fn paths(&self, key: &str, number: usize, of: usize) -> Vec<PathBuf> {
        let own = self.path(key, number, of);
        let file = file_name(key, number, of);
        let others =
            self.written.iter().chain(&self.credentials).map(|dir| dir.join(&file)).filter(|path| *path != own);
        std::iter::once(own.clone()).chain(others.collect::<Vec<_>>()).collect()
    }

    fn path(&self, key: &str, number: usize, of: usize) -> PathBuf {
        let place = number.saturating_sub(1).checked_rem(self.written.len()).and_then(|i| self.written.get(i));
        let file = file_name(key, number, of);
        place.map_or_else(|| PathBuf::from(&file), |dir| dir.join(&file))
    }
}

/// The sandbox of a service shows it everything read-only but its own directories.
fn cannot_be_written(path: &Path, e: &std::io::Error) -> Error {
    let (fragment, directory) = (path.display(), path.parent().unwrap_or(Path::new("/")).display());
    Error::unavailable(match e.kind() {
        ErrorKind::ReadOnlyFilesystem => format!(
            "the key fragment {fragment} cannot be written ({e}); if the daemon is a service of systemd, say \
             ReadWritePaths=-{directory} under [Service] (systemctl edit certwright), and restart it"
        ),
        _ => format!(
            "the key fragment {fragment} cannot be written ({e}); make {directory} writable for the daemon's user"
        ),
    })
}

/// The name of a set of fragments is that of their key-encryption key, then that of the set.
pub fn key_part(set: &str) -> &str {
    set.split_once('-').map_or(set, |(key, _)| key)
}

fn files_in(places: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    let read = |dir: &PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    places.iter().flat_map(read)
}

fn file_name(key: &str, number: usize, of: usize) -> String {
    format!("{key}.{number}-of-{of}.fragment")
}

/// The set, the number and the count that the name of a fragment says.
fn parse_name(name: &str) -> Option<(&str, usize, usize)> {
    let (set, place) = name.strip_suffix(".fragment")?.split_once('.')?;
    let (number, of) = place.split_once("-of-")?;
    let (number, of) = (number.parse().ok()?, of.parse().ok()?);
    let is_set = !set.is_empty() && set.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (is_set && (1..=of).contains(&number) && of <= 16 && file_name(set, number, of) == name)
        .then_some((set, number, of))
}

/// Whether a file is a fragment that has not got its name yet: two parts in hexadecimal, the place, and `.new`.
fn is_cut_short(path: &Path) -> bool {
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".new"));
    let parts = name.and_then(|name| name.split_once('.')).and_then(|(set, place)| {
        let ((key, shares), (number, of)) = (set.split_once('-')?, place.split_once("-of-")?);
        Some(is_hex(key, 32) && is_hex(shares, 8) && is_number(number) && is_number(of))
    });
    parts == Some(true)
}

/// A key has 2 to 16 fragments; one alone would be no split at all.
///
/// # Errors
/// Malformed for any other number.
pub fn check_split_level(count: i64) -> Result<usize> {
    usize::try_from(count)
        .ok()
        .filter(|n| (2..=16).contains(n))
        .ok_or_else(|| Error::malformed(format!("--split-level {count} is out of range; a key has 2 to 16 fragments")))
}

fn checksum(text: &str) -> String {
    let [a, b, c, d, e, f, g, h, ..] = sha256(text.as_bytes());
    hex(&[a, b, c, d, e, f, g, h])
}

fn xor(into: &mut [u8; 32], other: &[u8; 32]) {
    for (a, b) in into.iter_mut().zip(other) {
        *a ^= b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_give_the_key_and_any_set_short_of_all_does_not() {
        let kek = SecretKey::generate().unwrap();
        let shares = Share::split(&kek, "k", 4).unwrap();
        assert_eq!(Share::join(&shares).bytes(), kek.bytes());
        for set in 0..15u32 {
            let mut partial = [0u8; 32];
            for share in shares.iter().enumerate().filter(|(i, _)| set & (1 << i) != 0).map(|(_, s)| s) {
                xor(&mut partial, &share.bytes);
            }
            assert_ne!(&partial, kek.bytes(), "set {set:04b}");
        }
    }

    #[test]
    fn fragments_are_found_when_places_were_added_and_are_removed_from_all() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            dir.path().join(name)
        };
        place("fragments");
        let kek = SecretKey::generate().unwrap();
        Places::new(dir.path(), &[]).write(&Share::split(&kek, "k", 3).unwrap()).unwrap();
        let more = Places::new(dir.path(), &[place("a"), place("b")]);
        assert_eq!(more.join("k", 3).unwrap().bytes(), kek.bytes());
        more.remove("k", 3);
        let refusal = more.join("k", 3).err().unwrap();
        assert!(refusal.detail().contains("k.1-of-3.fragment is missing"), "{refusal}");
    }

    #[test]
    fn what_a_crash_cut_short_is_removed_and_the_files_of_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("fragments");
        std::fs::create_dir(&place).unwrap();
        let ours = format!("{}-{}.2-of-3.new", "0a".repeat(16), "1b".repeat(4));
        let others = ["certwright.new", "backup-1.2-of-3.new", "a.b.new", &format!("{ours}er")].map(str::to_owned);
        for name in others.iter().chain([&ours]) {
            std::fs::write(place.join(name), "").unwrap();
        }
        Places::new(dir.path(), &[]).remove_cut_short();
        assert!(!place.join(&ours).exists());
        assert!(others.iter().all(|name| place.join(name).exists()));
    }

    #[test]
    fn a_damaged_or_foreign_fragment_is_told_apart() {
        let shares = Share::split(&SecretKey::generate().unwrap(), "k", 2).unwrap();
        let text = shares[0].to_text();
        assert!(Share::from_text(&text, "k", 1, 2).is_ok());
        assert_eq!(Share::from_text(&text, "j", 1, 2).err(), Some("belongs to another key or place"));
        assert_eq!(Share::from_text(&text, "k", 2, 2).err(), Some("belongs to another key or place"));
        for at in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= 1;
            let read = String::from_utf8(bytes).map(|t| Share::from_text(&t, "k", 1, 2).map(|s| s.bytes));
            assert!(!matches!(read, Ok(Ok(_))) || at == text.len() - 1, "byte {at}");
        }
    }
}
