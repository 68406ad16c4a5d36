//! Files for the daemon alone: key fragments, and the keys of its TLS certificates.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Write a new file for the owner alone, complete and durable before it gets its name.
///
/// # Errors
/// The system's; the file may be there all the same, when only its name could not be made durable.
pub fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    // A bare file name has an empty parent.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = path.with_extension("new");
    let _ = std::fs::remove_file(&temporary);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(&temporary, flags, Mode::RUSR | Mode::WUSR)?);
    let written =
        file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&temporary, path));
    if let Err(e) = written {
        let _ = std::fs::remove_file(&temporary);
        return Err(e);
    }
    File::open(dir)?.sync_all()
}
