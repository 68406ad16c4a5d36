//! What has ended long ago and may go, found and removed in steps so small that nobody waits for one. A step looks at rows in
//! a snapshot and hands those that may go to a change, which looks again at each.

mod certificates;
mod log;
mod orders;

pub use certificates::{EndedShard, UnknownRevocation};

use super::{Read, Write};
use crate::clock::Time;
use crate::error::Result;

/// How many rows one step looks at.
const STEP: usize = 200;
/// How many pages one step of the vacuum moves.
const PAGES: usize = 64;

/// What is past, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// The moment.
    pub now: Time,
    /// Orders, authorizations and credentials that ended before this may go.
    pub orders: Time,
    /// Certificates that ended before this may go, and what the audit log says of the time before it.
    pub records: Time,
    /// Clients' addresses in audit rows from before this are blanked.
    pub addresses: Time,
}

/// A row that a walk met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met<K> {
    /// What it is found by, and where the walk goes on.
    pub key: K,
    /// Whether it may go: something may still need it although its time is over.
    pub may_go: bool,
}

impl Read<'_> {
    /// How many pages of the file hold nothing.
    ///
    /// # Errors
    /// The database's.
    pub fn free_pages(&self) -> Result<usize> {
        Ok(self.optional("PRAGMA freelist_count", [], |row| row.get(0))?.unwrap_or(0))
    }
}

impl Write<'_> {
    /// Begin a round: the horizon moves to what is past now, also back.
    ///
    /// # Errors
    /// The database's.
    pub fn begin_tidying(&self, past: &Past) -> Result<()> {
        self.execute("UPDATE tidying SET at = ?1, ended_before = ?2", (past.now, past.records))?;
        Ok(())
    }

    /// Give some free pages back, so that the file shrinks.
    ///
    /// # Errors
    /// The database's.
    pub fn vacuum_some(&self) -> Result<()> {
        // It moves one page each time it is asked for another row.
        self.all(&format!("PRAGMA incremental_vacuum({PAGES})"), [], |_| Ok(()))?;
        Ok(())
    }
}
