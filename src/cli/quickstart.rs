//! `certwright quickstart`: a CA for trying out, complete, in one directory, without root, DNS or port 80.

use super::client::ask;
use super::commands::Quickstart;
use super::serve::{address, serve};
use super::{Failure, quote};
use crate::daemon::Daemon;
use crate::error::{Error, Result};
use crate::identifier::{Identifier, Network};
use crate::logging;
use crate::settings::{Origin, Settings};
use crate::systemd::PassedSockets;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const KEY: &str = "/Quickstart/SignerKey";
const ISSUER: &str = "/Quickstart/Issuer";
const DOMAIN: &str = "localhost";
const EXAMPLE: &str = "demo.localhost";
/// The settings of its daemon that are not the defaults.
const CHOSEN: [&str; 6] = ["state-dir", "listen", "plain-listen", "admin-socket", "http-01-port", "validation-allow"];

pub(super) fn run(command: &Quickstart) -> std::result::Result<(), Failure> {
    let listen = address("listen", &command.listen).map_err(super::usage)?;
    let plain_listen = address("plain-listen", &command.plain_listen).map_err(super::usage)?;
    if listen.ip().is_unspecified() {
        let why = format!("--listen {listen} is every address and none; name one, such as 127.0.0.1:8000");
        return Err(Failure::Usage(why));
    }
    if command.http_01_port == 0 {
        return Err(Failure::Usage("--http-01-port 0 is no port that certbot can answer on; name one".into()));
    }
    let data = absolute(Path::new(&command.data_dir))?;
    logging::start("certwright=info");
    std::fs::create_dir_all(&data).map_err(|e| {
        Error::unavailable(format!("{} cannot be made ({e}); choose another --data-dir", data.display()))
    })?;
    let settings = Settings {
        http_01_port: command.http_01_port,
        // The names of this CA are loopback by definition.
        validation_allow: ["127.0.0.0/8", "::1/128"].into_iter().map(Network::parse).collect::<Result<_>>()?,
        origins: CHOSEN.iter().map(|flag| ((*flag).to_owned(), Origin::Quickstart)).collect(),
        ..Settings::at(data.join("state"), listen, plain_listen, data.join("admin.sock"))
    };
    let mut outcome = Ok(());
    serve(&settings, PassedSockets::default(), |daemon| outcome = introduce(daemon, &settings, &data, command))
        .map_err(|e| {
            // The daemon speaks of its own flags.
            match e.detail().contains("--state-dir") {
                true => {
                    Error::conflict(format!("quickstart is running already on {}; go on with that one", data.display()))
                }
                false => e,
            }
        })?;
    outcome?;
    super::say(&format!("stopped; everything is kept in {}, which you can remove to start afresh", data.display()));
    Ok(())
}

/// Make key and issuer unless an earlier run did, and say how to go on.
fn introduce(daemon: &Daemon, settings: &Settings, data: &Path, command: &Quickstart) -> Result<()> {
    let said = set_up(settings, daemon.settings().listen).and_then(|()| instructions(settings, data, command));
    match said {
        Ok(text) => {
            super::say(&text);
            Ok(())
        }
        Err(e) => {
            // The daemon is running and would go on; end it as a person would.
            log::error!(error:% = e; "quickstart failed");
            let pid = rustix::process::getpid();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            Err(e)
        }
    }
}

fn set_up(settings: &Settings, listen: SocketAddr) -> Result<()> {
    let url = format!("https://{listen}");
    let known = command(settings, json!({ "command": "list-items" }))?;
    let has = |name: &str| {
        known
            .get("items")
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().any(|i| i.get("item_name") == Some(&name.into())))
    };
    if !has(KEY) {
        // Name constraints make the root useless for anything but this machine's own names.
        command(
            settings,
            json!({
                "command": "create-dfc-key",
                "name": KEY,
                "alg": "EC256",
                "generate-self-signed-certificate": true,
                "certificate-ttl": "365",
                "certificate-common-name": "certwright quickstart (for trying out)",
                "permitted-domains": [DOMAIN],
                "permitted-ips": [listen.ip().to_string()],
            }),
        )?;
    }
    if has(ISSUER) {
        let issuer = command(settings, json!({ "command": "describe-item", "name": ISSUER }))?;
        let before = issuer.get("acme_directory_url").and_then(Value::as_str).unwrap_or_default();
        if !before.starts_with(&format!("https://{}:", Identifier::Ip(listen.ip()).url_host())) {
            return Err(Error::conflict(format!(
                "this CA was made for {before}; listen on that address again, or choose another --data-dir"
            )));
        }
        command(settings, json!({ "command": "update-pki-cert-issuer", "name": ISSUER, "gw-cluster-url": url }))?;
    } else {
        command(
            settings,
            json!({
                "command": "create-pki-cert-issuer",
                "name": ISSUER,
                "signer-key-name": KEY,
                "ttl": "90d",
                "enable-acme": true,
                "gw-cluster-url": url,
                "destination-path": "/Quickstart/Certificates",
                "allowed-domains": [DOMAIN],
                "allow-subdomains": true,
            }),
        )?;
    }
    Ok(())
}

fn instructions(settings: &Settings, data: &Path, command_line: &Quickstart) -> Result<String> {
    let text = |value: &Value, name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| Error::internal(format!("{name} is missing in a reply")))
    };
    let key = command(settings, json!({ "command": "describe-item", "name": KEY }))?;
    let issuer = command(settings, json!({ "command": "describe-item", "name": ISSUER }))?;
    let eab = command(settings, json!({ "command": "generate-acme-eab", "cert-issuer-name": ISSUER, "ttl": "7d" }))?;
    let root = data.join("root.pem");
    std::fs::write(&root, text(&key, "certificates")?)
        .map_err(|e| Error::unavailable(format!("{} cannot be written: {e}", root.display())))?;
    let directory = text(&issuer, "acme_directory_url")?;
    let certbot = data.join("certbot");
    let quoted = |path: &Path| quote(&path.display().to_string());
    Ok(format!(
        "certwright is running. This CA is for trying out: it certifies names under .localhost on this machine only.\n\
         \n\
         ACME directory     {directory}\n\
         root certificate   {root}\n\
         \n\
         In a second terminal, get a certificate for {EXAMPLE}:\n\
         \n\
         REQUESTS_CA_BUNDLE={root_quoted} certbot certonly --standalone --non-interactive --agree-tos --register-unsafely-without-email \
         --server {directory} --domain {EXAMPLE} --http-01-address 127.0.0.1 --http-01-port {port} \
         --eab-kid {kid} --eab-hmac-key {mac} \
         --config-dir {certbot} --work-dir {certbot}/work --logs-dir {certbot}/logs\n\
         \n\
         The credential in it (--eab-kid, --eab-hmac-key) makes one account, within seven days; each run prints a new one.\n\
         To renew, run certbot renew with the same REQUESTS_CA_BUNDLE and directories.\n\
         \n\
         For commands in that terminal, such as {program} status:\n\
         \n\
         export CERTWRIGHT_ADMIN_SOCKET={socket}\n\
         \n\
         Its key is in fragments under {fragments}, and one that is lost ends it; to keep everything elsewhere:\n\
         \n\
         {program} backup --to FILE --with-fragments\n\
         \n\
         For the real thing, a CA for your own names run by systemd, follow \"The walk-through\" in README.md.\n\
         Ctrl-C stops it; the same command resumes it.",
        root = root.display(),
        program = std::env::current_exe().map_or_else(|_| "certwright".to_owned(), |path| quoted(&path)),
        root_quoted = quoted(&root),
        port = command_line.http_01_port,
        kid = text(&eab, "kid")?,
        mac = text(&eab, "mac_key")?,
        certbot = quoted(&certbot),
        socket = quoted(&settings.admin_socket),
        fragments = settings.state_dir.join("fragments").display(),
    ))
}

fn command(settings: &Settings, request: Value) -> Result<Value> {
    ask(&settings.admin_socket, &request)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::malformed(format!("--data-dir {}: {e}", path.display())))
}
