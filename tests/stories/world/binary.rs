//! The built binary, where an unprivileged uid may run it.

use super::place::{NOBODY, running_as_root};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A command that runs `certwright` as the person who runs the tests. Its environment is empty but for PATH.
pub fn certwright() -> Command {
    bare(Command::new(path()))
}

/// A command that runs `certwright` under an unprivileged uid when the tests run as root. It dies with the thread
/// that started it, so that no daemon outlives a story, even one that was killed.
///
/// `limits` are flags of prlimit(1).
pub fn unprivileged_certwright(limits: &[String]) -> Command {
    if limits.is_empty() {
        return as_daemon(path());
    }
    let mut command = as_daemon("/usr/bin/prlimit");
    command.args(limits).arg(path());
    command
}

/// A command that runs a program as the user of the daemon.
pub fn as_daemon(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if running_as_root() {
        command.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups"]);
    }
    command.arg("--").arg(program);
    bare(command)
}

/// The directory that holds the binary, for a PATH.
pub fn directory() -> &'static Path {
    path().parent().unwrap()
}

fn bare(mut command: Command) -> Command {
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// The build directory may lie under a home that only its owner may enter, so the binary is linked or copied out.
fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        sweep();
        let home = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir_all(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
        let here = home.join("certwright");
        let built = Path::new(env!("CARGO_BIN_EXE_certwright"));
        let _ = fs::remove_file(&here);
        if fs::hard_link(built, &here).is_err() {
            fs::copy(built, &here).unwrap();
        }
        here
    })
}

const PREFIX: &str = "certwright-tested-";

/// Remove what test processes that have ended left here: a process cannot tidy up behind its own last test.
fn sweep() {
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        if !Path::new("/proc").join(process).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
