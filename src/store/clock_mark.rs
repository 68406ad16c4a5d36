//! When the clock was last known to be right.

use super::{Read, Write};
use crate::clock::Time;
use crate::error::Result;

impl Read<'_> {
    /// The last moment at which the clock was right, as noted or as a certificate that was signed since then says. `None`
    /// before the first note.
    ///
    /// # Errors
    /// The database's.
    pub fn clock_mark(&self) -> Result<Option<Time>> {
        self.optional(
            "SELECT max(at, coalesce((SELECT c.issued FROM certificates c WHERE c.id > m.certificate
             ORDER BY c.id DESC LIMIT 1), at)) FROM clock_mark m WHERE m.id = 1",
            [],
            |row| row.get(0),
        )
    }
}

impl Write<'_> {
    /// Note that the clock is right, whatever was signed before.
    ///
    /// # Errors
    /// The database's.
    pub fn put_clock_mark(&self, now: Time) -> Result<()> {
        self.execute(
            "INSERT INTO clock_mark (id, at, certificate) VALUES (1, ?1, (SELECT coalesce(max(id), 0) FROM certificates))
             ON CONFLICT (id) DO UPDATE SET at = excluded.at, certificate = excluded.certificate",
            [now],
        )?;
        Ok(())
    }
}
