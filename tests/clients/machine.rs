//! A machine of a client's own, as far as an administrator's lines change it: /etc, /var and the place of local roots are its
//! own, and what it does not have (systemd) is noted. Everything else is this machine's.

use crate::stage::Stage;
use crate::world::mounted;
use crate::world::outcome::Outcome;
use crate::world::place::running_as_root;
use std::path::PathBuf;
use std::process::Command;

/// What root would write to.
const OWN: [&str; 4] = ["/etc", "/var/lib", "/var/log", "/usr/local/share/ca-certificates"];

pub struct Machine<'a> {
    stage: &'a Stage,
}

impl Machine<'_> {
    pub fn new(stage: &Stage) -> Machine<'_> {
        let machine = Machine { stage };
        mounted::lay_out(&machine.file("/"), &OWN);
        for place in ["/etc/cron.daily", "/var/lib/dehydrated"] {
            std::fs::create_dir_all(machine.file(place)).unwrap();
        }
        let said = stage.home.join("systemctl.said");
        stage.script("systemctl", &format!("#!/bin/sh\necho \"$@\" >> {}\n", said.display()));
        machine
    }

    /// A file of this machine, from where the test stands.
    pub fn file(&self, path: &str) -> PathBuf {
        self.stage.home.join("machine").join(path.trim_start_matches('/'))
    }

    /// A program that root runs on it.
    pub fn command(&self, program: &str) -> Command {
        self.inside(&[], program)
    }

    /// A program that nobody runs on it, for servers that do not serve as root.
    pub fn command_of_nobody(&self, program: &str) -> Command {
        match running_as_root() {
            // It loses what kills it with its test when it becomes somebody else, so it is told again.
            true => self.inside(
                &["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig=KILL"],
                program,
            ),
            false => self.inside(&["/usr/bin/unshare", "--user", "--map-user=65534", "--map-group=65534"], program),
        }
    }

    /// What root pastes into a shell.
    #[track_caller]
    pub fn paste(&self, lines: &str) -> Outcome {
        self.paste_with("", lines)
    }

    /// The same, with a directory that comes first in PATH.
    #[track_caller]
    pub fn paste_with(&self, path: &str, lines: &str) -> Outcome {
        let mut command = self.command("/bin/bash");
        let directories = self.stage.ca.place.path().display();
        command
            .env("PATH", format!("{directories}:{path}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
        // A shell that is pasted into goes on after an error; this one tells.
        command.args(["-euc", lines]);
        self.stage.finish(lines, command).succeeded()
    }

    /// What systemctl was called with.
    pub fn systemctl(&self) -> String {
        std::fs::read_to_string(self.stage.home.join("systemctl.said")).unwrap_or_default()
    }

    fn inside(&self, becoming: &[&str], program: &str) -> Command {
        let mut command = Command::new("/usr/bin/timeout");
        let mounted = mounted::over(&self.file("/"), &OWN);
        command.args(crate::stage::LIMIT).arg(mounted.get_program()).args(mounted.get_args());
        command.args(becoming).arg(program);
        self.stage.surround(&mut command);
        command
    }
}
