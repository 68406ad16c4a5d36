//! Backups: one file with everything that a daemon needs to go on, made while it runs, and put in the place of what is lost.
//!
//! An archive (`archive`) holds `backup.json`, which says what it is, and `certwright.db`; where that was asked for also the key
//! fragments, without which no signer in it can be used, and the keys of the daemon's TLS certificates and OCSP responders,
//! which it makes anew where they are not there.

mod archive;
mod make;
mod place;
mod restore;

pub use make::Backup;
pub use restore::{Restore, Restored, restore};

const ABOUT: &str = "backup.json";
const DATABASE: &str = "certwright.db";
const KEYS: &str = "keys";
const FRAGMENTS: &str = "fragments";
/// The version of the layout.
const LAYOUT: i64 = 1;

/// Read an archive of whoever made it, for fuzzing.
///
/// # Errors
/// Malformed when it is none.
#[cfg(fuzzing)]
pub fn fuzz_archive(bytes: &[u8]) -> crate::error::Result<()> {
    archive::read(bytes, |_, _, _| Ok(()))
}
