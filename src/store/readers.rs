//! A small pool of connections that only read.

use super::{Read, schema};
use crate::error::{Error, Result};
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

const CONNECTIONS: usize = 4;

pub(super) struct Readers {
    pool: Mutex<Pool>,
    returned: Condvar,
}

struct Pool {
    idle: Vec<Connection>,
    /// How many wait for one: a condition variable makes a system call for each notice, whether anybody waits or not.
    waiting: usize,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Readers> {
        let idle = (0..CONNECTIONS).map(|_| schema::open_for_reading(path)).collect::<Result<Vec<_>>>()?;
        Ok(Readers { pool: Mutex::new(Pool { idle, waiting: 0 }), returned: Condvar::new() })
    }

    pub(super) fn read<T>(&self, work: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
        let lent = self.lend()?;
        lent.connection()?.prepare_cached("BEGIN")?.execute([])?;
        let result = work(&Read { db: lent.connection()? });
        lent.connection()?.prepare_cached("COMMIT")?.execute([])?;
        result
    }

    fn lend(&self) -> Result<Lent<'_>> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = pool.idle.pop() {
                return Ok(Lent { readers: self, connection: Some(connection) });
            }
            pool.waiting = pool.waiting.saturating_add(1);
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
            pool.waiting = pool.waiting.saturating_sub(1);
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
            let mut pool = self.readers.pool.lock().unwrap_or_else(PoisonError::into_inner);
            pool.idle.push(connection);
            if pool.waiting > 0 {
                self.readers.returned.notify_one();
            }
        }
    }
}
