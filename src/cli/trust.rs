//! `certwright trust`: have this machine trust a root, the Debian way or the Red Hat way, or tell how others come to.

use super::flags::{Given, is_set, text};
use super::offline::fetched;
use super::{Failure, client, quote, usage};
use crate::ca::RootCertificate;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::keys::{hex, sha256};
use crate::publication::{WayLine, ways_to_trust};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

const LARGEST: u64 = 1 << 20;

/// A system's trust store: where roots of administrators lie, what makes them count, and what makes them count no more.
struct TrustStore {
    directory: &'static str,
    ending: &'static str,
    update: &'static [&'static str],
    update_after_removal: &'static [&'static str],
}

const STORES: [TrustStore; 2] = [
    TrustStore {
        directory: "/usr/local/share/ca-certificates",
        ending: "crt",
        update: &["update-ca-certificates"],
        // Without it the link to the file that is gone stays.
        update_after_removal: &["update-ca-certificates", "--fresh"],
    },
    TrustStore {
        directory: "/etc/pki/ca-trust/source/anchors",
        ending: "pem",
        update: &["update-ca-trust", "extract"],
        update_after_removal: &["update-ca-trust", "extract"],
    },
];

pub(super) fn run(given: &[Given]) -> std::result::Result<(), Failure> {
    let source = Source::said(given)?;
    let (print, remove, as_json) = (is_set(given, "print"), is_set(given, "remove"), is_set(given, "json"));
    let mut replies = Vec::new();
    let roots = meant(source.roots(given)?, text(given, "fingerprint")).map_err(usage)?;
    // What has ended may still have to be removed.
    if !remove {
        let now = Clock::system().now();
        roots.iter().try_for_each(|root| root.check_lives(now))?;
    }
    for root in roots {
        if !as_json {
            super::say(&format!(
                "Root      {}\nSHA-256   {}\nuntil     {}",
                root.subject,
                root.fingerprint(),
                root.life.not_after
            ));
        }
        let file = match (print, remove) {
            (true, _) => None,
            (false, true) => Some(withdraw(&root)?),
            (false, false) => {
                source.confirm(given, &root)?;
                Some(install(&root)?)
            }
        };
        replies.push(json!({
            "subject": root.subject,
            "sha256_fingerprint": root.fingerprint(),
            "not_after": root.life.not_after.to_string(),
            "certificate": root.to_pem(),
            "file": file.as_ref().map(|file| file.display().to_string()),
        }));
        match file {
            _ if as_json => {}
            Some(file) if remove => super::say(&format!("{} is gone; this machine trusts it no more.", file.display())),
            Some(file) => super::say(&format!("It lies in {}; this machine trusts it now.", file.display())),
            None => super::say(&printed(&source, &root)),
        }
    }
    if as_json {
        super::say(&super::show::reply("trust", &json!({ "roots": replies }), true)?);
    } else if !print && !remove {
        super::say("Firefox, Chrome and Java have stores of their own: certwright trust --print tells how.");
    }
    Ok(())
}

/// Where the root comes from.
enum Source<'g> {
    File(&'g str),
    Url(&'g str),
    Issuer(&'g str),
}

impl<'g> Source<'g> {
    fn said(given: &'g [Given]) -> std::result::Result<Source<'g>, Failure> {
        match (text(given, "root"), text(given, "url"), text(given, "cert-issuer-name")) {
            (Some(file), None, None) => Ok(Source::File(file)),
            (None, Some(url), None) if url.starts_with("http://") => Ok(Source::Url(url)),
            (None, Some(url), None) => Err(Failure::Usage(format!(
                "--url {url} is no http URL; roots are fetched in the clear, since nothing is trusted yet"
            ))),
            (None, None, Some(issuer)) => Ok(Source::Issuer(issuer)),
            _ => {
                Err(Failure::Usage("say which root: one of --root FILE, --url URL and --cert-issuer-name NAME".into()))
            }
        }
    }

    fn roots(&self, given: &[Given]) -> std::result::Result<Vec<RootCertificate>, Failure> {
        let one = |bytes: &[u8], named: String| {
            RootCertificate::parse_file(bytes).map(|root| vec![root]).map_err(|e| e.context(named))
        };
        Ok(match self {
            Source::File(path) => {
                let bytes = std::fs::read(path);
                let bytes = bytes.map_err(|e| Error::malformed(format!("--root {path} cannot be read: {e}")))?;
                one(&bytes, format!("--root {path}"))?
            }
            Source::Url(url) => {
                let bytes = fetched(url, LARGEST);
                let bytes = bytes.map_err(|e| Error::unavailable(format!("--url {url} cannot be fetched: {e}")))?;
                one(&bytes, format!("--url {url}"))?
            }
            Source::Issuer(name) => {
                let socket = client::socket_path(given)?;
                let issuer = client::ask(&socket, &json!({ "command": "describe-item", "name": name }))?;
                let pem = issuer.get("root_certificates").and_then(Value::as_str);
                let pem = pem.ok_or_else(|| {
                    Error::malformed(format!("{name} is no issuer; list-items --type PKI_CERT_ISSUER shows them"))
                })?;
                RootCertificate::parse_all(pem)?
            }
        })
    }

    /// What came in the clear might be anybody's.
    fn confirm(&self, given: &[Given], root: &RootCertificate) -> Result<()> {
        if !matches!(self, Source::Url(_)) || text(given, "fingerprint").is_some() {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Error::conflict(
                "what came by --url came in the clear and might be anybody's; say --fingerprint with the SHA-256 that your \
                 administrator gave you",
            ));
        }
        // Standard output may go elsewhere, so the question has what is answered for.
        let question = format!(
            "{}, SHA-256 {}\nIs this the fingerprint that your administrator gave you? [y/N] ",
            root.subject,
            root.fingerprint()
        );
        match super::says_yes(&question) {
            true => Ok(()),
            false => Err(Error::conflict("nothing was changed")),
        }
    }
}

/// Those that --fingerprint says, or all where it says nothing: an issuer has two while its root is rotated.
fn meant(roots: Vec<RootCertificate>, said: Option<&str>) -> Result<Vec<RootCertificate>> {
    let Some(said) = said else { return Ok(roots) };
    let bare = |text: &str| text.replace([':', ' '], "").to_ascii_lowercase();
    let (meant, others): (Vec<_>, Vec<_>) = roots.into_iter().partition(|root| bare(said) == bare(&root.fingerprint()));
    if !meant.is_empty() {
        return Ok(meant);
    }
    let of =
        |root: &RootCertificate| format!("the root of {} has the fingerprint {}", root.subject, root.fingerprint());
    Err(Error::conflict(format!(
        "{}, not the one that --fingerprint says; do not trust it",
        others.iter().map(of).collect::<Vec<_>>().join(", ")
    )))
}

/// Put it where this system looks for roots, and have the system look; all of it or nothing.
fn install(root: &RootCertificate) -> Result<PathBuf> {
    let (store, file) = place(root)?;
    let was_there = file.exists();
    let written = write(&file, &root.to_pem());
    written.map_err(|e| Error::unavailable(format!("{} cannot be written: {e}", file.display())))?;
    update(store.update).map_err(|why| {
        // Else the next update, whoever runs it, would have the machine trust it.
        let is_gone = !was_there && std::fs::remove_file(&file).is_ok();
        let file = file.display();
        Error::unavailable(match is_gone {
            true => format!("{why}; {file} was taken away again, so see to it and repeat the command"),
            false => format!("{why}; {file} is still there, so see to it and repeat the command"),
        })
    })?;
    Ok(file)
}

/// Take it away again.
fn withdraw(root: &RootCertificate) -> Result<PathBuf> {
    let (store, file) = place(root)?;
    std::fs::remove_file(&file).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(format!(
            "{} is not there: this root was not installed by certwright trust on this machine",
            file.display()
        )),
        _ => Error::unavailable(format!("{} cannot be removed: {e}", file.display())),
    })?;
    let updated = update(store.update_after_removal);
    updated.map_err(|why| Error::unavailable(format!("{why}; {} is gone, so run it by hand", file.display())))?;
    Ok(file)
}

/// This machine's store, and the file of this root in it: the same each time, and no other root's.
fn place(root: &RootCertificate) -> Result<(&'static TrustStore, PathBuf)> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::unauthorized(
            "only root may change what this machine trusts; use sudo, or --print to see how it is done",
        ));
    }
    let is_here = |store: &&TrustStore| {
        let program = store.update.first().is_some_and(|name| in_path(name).is_some());
        program && Path::new(store.directory).is_dir()
    };
    let store = STORES.iter().find(is_here).ok_or_else(|| {
        Error::unavailable(
            "neither update-ca-certificates nor update-ca-trust is on this machine; install the package ca-certificates, or \
             see how it is done by hand with --print",
        )
    })?;
    let mark = hex(sha256(&root.der).get(..8).unwrap_or_default());
    Ok((store, Path::new(store.directory).join(format!("certwright-{mark}.{}", store.ending))))
}

/// All of it or nothing, readable for everybody.
fn write(file: &Path, pem: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // What updates the store passes over names with this ending.
    let new = file.with_extension("new");
    std::fs::write(&new, pem)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o644))?;
    std::fs::rename(&new, file)
}

fn update(command: &[&str]) -> std::result::Result<(), String> {
    let Some((name, arguments)) = command.split_first() else { return Ok(()) };
    let failed = |why: String| format!("{} failed ({why})", command.join(" "));
    let program = in_path(name).ok_or_else(|| failed("it is not there".into()))?;
    let output = Command::new(program).args(arguments).output().map_err(|e| failed(e.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("{}; {}", output.status, said.split_whitespace().collect::<Vec<_>>().join(" "))))
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// How it is done by hand, beginning with a file that holds the root.
fn printed(source: &Source<'_>, root: &RootCertificate) -> String {
    let (file, mut out) = match source {
        Source::File(path) => (quote(path), String::new()),
        _ => {
            let begin = format!("\nThe root, as a file:\n\n    cat > root.pem <<'END'\n{}END\n", root.to_pem());
            ("root.pem".to_owned(), begin)
        }
    };
    for way in ways_to_trust(&file) {
        out.push_str(&format!("\n{}\n", way.title));
        for line in way.lines {
            match line {
                WayLine::Words(words) => out.push_str(&format!("  {words}\n")),
                WayLine::Command(command) => out.push_str(&format!("    {command}\n")),
            }
        }
    }
    out.trim_end().to_owned()
}
