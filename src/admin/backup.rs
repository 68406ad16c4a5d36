//! backup: what follows on the reply is the archive itself, as many bytes as the reply says, and then one more line.

use super::{Administration, Arguments, Peer, done};
use crate::backup::Backup;
use crate::error::Result;
use serde_json::{Value, json};
use std::io::Write;

/// The command that is answered with more than a line.
pub(super) const NAME: &str = "backup";

/// A backup on its way to whoever asked for it.
pub(super) struct Sending {
    backup: Backup,
}

/// Gather a backup. The group may have one without a private key in it.
pub(super) fn gather(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Sending> {
    let with_fragments = arguments.boolean("with-fragments")?.unwrap_or(false);
    arguments.finish()?;
    if with_fragments {
        admin.check_privileged(peer)?;
    }
    let now = admin.now();
    let backup = Backup::gather(&admin.store, &admin.issuance, with_fragments, now)?;
    // Before the first byte leaves, since it cannot be taken back.
    let detail = format!("{} bytes, {} fragments", backup.length(), if with_fragments { "with" } else { "without" });
    let entry = done(peer, NAME, "", detail);
    admin.store.change(move |write| write.append_audit(now, &entry))?;
    Ok(Sending { backup })
}

impl Sending {
    /// Write the reply, the archive, and a last line with its SHA-256. Who hangs up in between has nothing whole, and sees
    /// by the length that it is not.
    pub(super) fn write_to(self, to: &mut impl Write) -> std::io::Result<()> {
        let mut warnings: Vec<String> = Vec::new();
        if let Some(damage) = self.backup.damage() {
            warnings.push(format!("{damage}; this backup holds the same damage"));
        }
        let reply = json!({
            "archive_bytes": self.backup.length(),
            "backup": self.backup.about(),
            "warnings": warnings,
        });
        writeln!(to, "{reply}")?;
        let sha256 = self.backup.write_to(&mut *to)?;
        let end: Value = json!({ "sha256": sha256 });
        writeln!(to, "{end}")
    }
}
