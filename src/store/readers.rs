//! A small pool of connections that only read.

use super::{Read, schema};
use crate::error::{Error, Result};
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

const CONNECTIONS: usize = 4;

pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Readers> {
        let idle = (0..CONNECTIONS).map(|_| schema::open_for_reading(path)).collect::<Result<Vec<_>>>()?;
        Ok(Readers { idle: Mutex::new(idle), returned: Condvar::new() })
    }

    pub(super) fn read<T>(&self, work: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
        let lent = self.lend()?;
        lent.connection()?.prepare_cached("BEGIN")?.execute([])?;
        let result = work(&Read { db: lent.connection()? });
        lent.connection()?.prepare_cached("COMMIT")?.execute([])?;
        result
    }

    fn lend(&self) -> Result<Lent<'_>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = idle.pop() {
                return Ok(Lent { readers: self, connection: Some(connection) });
            }
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A connection that goes back to the pool however its user ends.
struct Lent<'p> {
    readers: &'p Readers,
    connection: Option<Connection>,
}

impl Lent<'_> {
    fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().ok_or_else(|| Error::internal("a reader lost its connection"))
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
            self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            self.readers.returned.notify_one();
        }
    }
}
