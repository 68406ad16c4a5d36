//! Where one client plays: a daemon with an issuer of its own, a home, names that lead to the client, and ways to put
//! answers to challenges where the daemon looks for them.

use crate::txt_records::TxtRecords;
use crate::web_root::WebRoot;
use crate::world::daemon::Ca;
use crate::world::issuer::{Eab, ISSUER, Issuer, SIGNER_KEY};
use crate::world::outcome::Outcome;
use crate::world::patience::{eventually, seconds};
use crate::world::place::{NOBODY, running_as_root};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

/// All names are this one or below it.
pub const DOMAIN: &str = "site.lan";
pub const FIRST_CONTACT: &str = "first@site.lan";
pub const SECOND_CONTACT: &str = "second@site.lan";

/// How long a client may run, for timeout: seconds until it is killed, and seconds until it is told to end.
pub const LIMIT: [&str; 2] = ["--kill-after=5", "240"];

pub struct Stage {
    pub ca: Arc<Ca>,
    pub issuer: Issuer,
    /// A directory that the client may write to, and works in.
    pub home: PathBuf,
    /// The root certificate of the issuer, for the client to trust.
    pub root: PathBuf,
    txt_records: TxtRecords,
}

impl Stage {
    pub fn new() -> Stage {
        Stage::with(&[])
    }

    /// `flags` are those of create-pki-cert-issuer.
    pub fn with(flags: &[&str]) -> Stage {
        let ca = Arc::new(Ca::start());
        ca.make_signer_key(SIGNER_KEY);
        // An IP address, since clients resolve the daemon's own name with whatever the machine has. They send no SNI then.
        let host = ca.place.address.to_string();
        let flags = [&["--allow-subdomains", "true"], flags].concat();
        let issuer = ca.make_issuer_named(ISSUER, SIGNER_KEY, &host, DOMAIN, &flags);
        let stage = Stage {
            home: ca.place.make_directory("home"),
            root: ca.place.write("root.pem", &issuer.root_pem),
            txt_records: TxtRecords::start(&ca),
            issuer,
            ca,
        };
        stage.ca.dns.point(DOMAIN, stage.ca.place.address);
        stage
    }

    /// A name whose address is the client's.
    pub fn host(&self, label: &str) -> String {
        let name = format!("{label}.{DOMAIN}");
        self.ca.dns.point(&name, self.ca.place.address);
        name
    }

    pub fn eab(&self) -> Eab {
        self.ca.make_eab(&self.issuer)
    }

    /// Where the daemon asks for http-01, for a client to listen at.
    pub fn http_01(&self) -> SocketAddr {
        (self.ca.place.address, self.ca.http_01_port).into()
    }

    /// Where the daemon asks for tls-alpn-01.
    pub fn tls_alpn_01(&self) -> SocketAddr {
        (self.ca.place.address, self.ca.tls_alpn_01_port).into()
    }

    /// A web server for http-01, for clients that only write files.
    pub fn start_web_root(&self) -> WebRoot {
        let directory = self.ca.place.make_directory("web");
        self.ca.place.make_directory("web/.well-known");
        self.ca.place.make_directory("web/.well-known/acme-challenge");
        WebRoot::start(directory, self.http_01())
    }

    /// A program in the client's home that anybody may run.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.ca.place.write(name, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A file that the client may read.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        self.ca.place.write(name, text)
    }

    /// A program under an unprivileged uid, in its home, with an empty environment but for what hooks need. It ends with
    /// this thread, and when it takes too long.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("/usr/bin/timeout");
        command.args(LIMIT).arg("/usr/bin/setpriv").args(privileges()).arg("--").arg(program);
        self.surround(&mut command);
        command
    }

    /// A client that reads the machine's trust store and no other: it gets a mount namespace in which the store holds the
    /// issuer's root and nothing else.
    pub fn command_trusting_by_store(&self, program: &str) -> Command {
        const SCRIPT: &str = r#"mount --bind "$1" "$2" && shift 2 && exec /usr/bin/setpriv "$@""#;
        let mut command = Command::new("/usr/bin/timeout");
        command.args(LIMIT).args(["/usr/bin/unshare", "--mount"]);
        if !running_as_root() {
            command.arg("--map-root-user");
        }
        command.args(["--", "/bin/sh", "-c", SCRIPT, "sh"]).arg(&self.root).arg("/etc/ssl/certs/ca-certificates.crt");
        command.args(privileges()).arg("--").arg(program);
        self.surround(&mut command);
        command
    }

    pub fn finish(&self, what: &str, mut command: Command) -> Outcome {
        Outcome::new(what, command.output().unwrap())
    }

    /// A server: what it says goes to a file of that name.
    pub fn launch(&self, name: &str, mut command: Command) -> Server {
        let log = self.ca.place.file(&format!("{name}.log"));
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Server { name: name.to_string(), log, child: command.spawn().unwrap() }
    }

    /// What the daemon said at last, for a person who looks for a reason.
    pub fn end_of_the_log(&self) -> String {
        let log = self.ca.log();
        let is_telling = |line: &&str| !line.starts_with("TRACE") && !line.starts_with("DEBUG ureq");
        let lines: Vec<&str> = log.lines().filter(is_telling).collect();
        format!("--- the daemon's log, its end ---\n{}", lines[lines.len().saturating_sub(60)..].join("\n"))
    }

    /// An empty environment but for what every client and its hooks need.
    pub fn surround(&self, command: &mut Command) {
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8");
        command.env("HOME", &self.home).current_dir(&self.home).stdin(Stdio::null());
        command
            .env("TXT_RECORD", self.txt_records.script(self))
            .env("TXT_RECORDS", self.txt_records.address.to_string());
    }
}

/// A client that runs until it is told to stop, or until its stage is left.
pub struct Server {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Server {
    /// Wait for a condition, and no longer than the server lives.
    pub fn awaits<T>(&mut self, what: &str, limit: u64, look: impl FnMut() -> Option<T>) -> T {
        let log = self.log.clone();
        self.awaits_or_shows(what, limit, look, || String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned())
    }

    /// The same, for a server with a log of its own.
    pub fn awaits_or_shows<T>(
        &mut self,
        what: &str,
        limit: u64,
        mut look: impl FnMut() -> Option<T>,
        log: impl FnOnce() -> String,
    ) -> T {
        let start = std::time::Instant::now();
        let found = eventually(what, seconds(limit + 5), || {
            let ended = self.child.try_wait().unwrap();
            if let Some(found) = look() {
                return Some(Ok(found));
            }
            (ended.is_some() || start.elapsed() > seconds(limit)).then(|| Err(ended))
        });
        found.unwrap_or_else(|ended| {
            let state = ended.map_or("still runs".to_string(), |status| format!("has ended: {status}"));
            panic!("{what}: not so, and {} {state}; what it said:\n{}", self.name, log())
        })
    }

    /// Wait until it has said these words, in its log.
    pub fn awaits_words(&mut self, words: &str, limit: u64) {
        let log = self.log.clone();
        let what = format!("{} says \"{words}\"", self.name);
        self.awaits(&what, limit, || std::fs::read_to_string(&log).unwrap().contains(words).then_some(()));
    }

    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            // `timeout` hands it on.
            kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
            self.child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where `tests/clients/install` put what is in no Debian package.
pub fn installed(path: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/install");
        let output = Command::new(script).arg("--where").output().unwrap();
        Outcome::new("tests/clients/install --where", output).succeeded().stdout.trim().into()
    });
    directory.join(path)
}

/// Arguments for setpriv.
fn privileges() -> Vec<String> {
    let mut arguments = vec!["--pdeathsig".to_string(), "KILL".to_string()];
    if running_as_root() {
        let nobody = NOBODY.to_string();
        arguments.extend(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"].map(String::from));
    }
    arguments
}
