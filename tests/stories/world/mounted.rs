//! Places of a host's own, mounted over those of this machine for one program and what that starts. This machine's stay as
//! they are.

use super::place::running_as_root;
use std::path::Path;
use std::process::Command;

/// Its arguments are where the host's own places lie, these places, `run`, and what is run.
const BEGIN: &str = r#"
root=$1
shift
while [ "$1" != run ]; do
    mount --bind "$root$1" "$1"
    shift
done
shift
exec "$@"
"#;

/// Make these places below `root`; the host's /etc is as this machine's.
pub fn lay_out(root: &Path, own: &[&str]) {
    for place in own {
        std::fs::create_dir_all(root.join(place.trim_start_matches('/'))).unwrap();
    }
    // What only root may read is not needed.
    Command::new("/usr/bin/cp").args(["-a", "/etc/."]).arg(root.join("etc")).output().unwrap();
}

/// A command whose further arguments are run, as root, where these places are the host's own. It dies with whoever started it.
pub fn over(root: &Path, own: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--pdeathsig", "KILL", "--", "/usr/bin/unshare", "--mount"]);
    if !running_as_root() {
        command.arg("--map-root-user");
    }
    command.args(["--", "/bin/sh", "-euc", BEGIN, "sh"]).arg(root).args(own).arg("run");
    command
}
