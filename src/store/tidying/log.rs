//! The beginning of the audit log, and what stands in it for a month only.

use super::{Past, STEP};
use crate::clock::Time;
use crate::error::Result;
use crate::store::{Read, Write};

impl Read<'_> {
    /// The row up to which the beginning of the log may go, a few hundred rows at most: from before the time that records are
    /// kept for, told to every listener, and not the newest, which the next one follows.
    ///
    /// # Errors
    /// The database's.
    pub fn past_audit(&self, past: &Past) -> Result<Option<i64>> {
        let told =
            self.optional("SELECT min(last) FROM event_cursors", [], |row| row.get::<_, Option<i64>>(0))?.flatten();
        let end = self.last_audit_id()?.min(told.map_or(i64::MAX, |told| told.saturating_add(1)));
        let rows = self.all("SELECT id, at FROM audit ORDER BY id LIMIT ?1", [STEP], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Time>(1)?))
        })?;
        let rows = rows.into_iter().take_while(|(id, _)| *id < end).collect();
        Ok(last_before(rows, past.records, past.now))
    }

    /// Listeners whose unheard rows are older than records are kept for.
    ///
    /// # Errors
    /// The database's.
    pub fn overdue_listeners(&self, past: &Past) -> Result<Vec<String>> {
        self.all(
            "SELECT c.sink FROM event_cursors c
             WHERE (SELECT a.at FROM audit a WHERE a.id > c.last AND a.at <= ?2 ORDER BY a.id LIMIT 1) < ?1",
            (past.records, past.now),
            |row| row.get(0),
        )
    }

    /// The row up to which clients' addresses are due to be blanked, a few hundred rows at most.
    ///
    /// # Errors
    /// The database's.
    pub fn past_addresses(&self, past: &Past) -> Result<Option<i64>> {
        let sql = "SELECT id, at FROM audit WHERE id > (SELECT blanked FROM tidying) ORDER BY id LIMIT ?1";
        let rows = self.all(sql, [STEP], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Time>(1)?)))?;
        Ok(last_before(rows, past.addresses, past.now))
    }
}

/// The last of these rows from before a moment, where all before it are too, but for those that a clock wrote which was ahead:
/// they say nothing about when it was.
fn last_before(rows: Vec<(i64, Time)>, moment: Time, now: Time) -> Option<i64> {
    let past = rows.into_iter().take_while(|(_, at)| *at < moment || *at > now);
    past.filter(|(_, at)| *at < moment).last().map(|(id, _)| id)
}

impl Write<'_> {
    /// Remove the beginning of the log as far as [`Read::past_audit`] says, and keep the hash that the rest begins with. False
    /// when there is nothing to remove.
    ///
    /// # Errors
    /// The database's.
    pub fn remove_audit(&self, past: &Past) -> Result<bool> {
        let Some(last) = self.past_audit(past)? else { return Ok(false) };
        let sql = "UPDATE audit_checkpoint SET last = ?1, hash = (SELECT hash FROM audit WHERE id = ?1)";
        self.execute(sql, [last])?;
        self.execute("DELETE FROM audit WHERE id <= ?1", [last])?;
        Ok(true)
    }

    /// Forget how far a listener was told.
    ///
    /// # Errors
    /// The database's.
    pub fn forget_listener(&self, sink: &str) -> Result<()> {
        self.execute("DELETE FROM event_cursors WHERE sink = ?1", [sink])?;
        Ok(())
    }

    /// Blank clients' addresses as far as [`Read::past_addresses`] says. False when there is none left.
    ///
    /// # Errors
    /// The database's.
    pub fn blank_addresses(&self, past: &Past) -> Result<bool> {
        let Some(last) = self.past_addresses(past)? else { return Ok(false) };
        self.execute(
            "UPDATE audit SET address = NULL
             WHERE id > (SELECT blanked FROM tidying) AND id <= ?1 AND address IS NOT NULL",
            [last],
        )?;
        self.execute("UPDATE tidying SET blanked = ?1", [last])?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_a_clock_wrote_which_was_ahead_hold_nothing_up() {
        let last = |rows: &[(i64, i64)]| {
            last_before(rows.iter().map(|(id, at)| (*id, Time(*at))).collect(), Time(50), Time(200))
        };
        assert_eq!(last(&[(1, 10), (2, 9_999), (3, 20), (4, 100), (5, 30)]), Some(3));
        assert_eq!(last(&[(1, 9_999), (2, 100)]), None, "what is ahead goes with what comes after it only");
        assert_eq!(last(&[]), None);
    }
}
