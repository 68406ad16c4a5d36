//! A command's way to the daemon: one JSON object over the admin socket and one back.

use super::Failure;
use super::flags::{Given, GivenValue, text};
use crate::der::to_base64;
use crate::error::{Error, Result};
use crate::keys::write_private;
use serde_json::{Map, Value};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Flags that name a file, and the members in which their content goes to the daemon.
const FILES: [(&str, &str); 4] = [
    ("conf-file-path", "conf-file-data"),
    ("chain-file", "chain-file-data"),
    ("key-file", "key-file-data"),
    ("crl", "crl-data"),
];

/// Where the daemon listens unless it is told otherwise.
pub(super) const DEFAULT_SOCKET: &str = "/run/certwright/admin.sock";

/// --admin-socket, else CERTWRIGHT_ADMIN_SOCKET, else the default.
pub(super) fn socket_path(given: &[Given]) -> std::result::Result<PathBuf, Failure> {
    let path = match text(given, "admin-socket") {
        Some(path) => PathBuf::from(path),
        None => {
            std::env::var_os("CERTWRIGHT_ADMIN_SOCKET").map_or_else(|| PathBuf::from(DEFAULT_SOCKET), PathBuf::from)
        }
    };
    crate::admin::AdminSocket::check_path(&path).map_err(super::usage)?;
    Ok(path)
}

/// The request of a command: its flags, and the content of files that it names.
pub(super) fn request(command: &str, given: &[Given]) -> Result<Value> {
    let mut members = Map::new();
    members.insert("command".into(), command.into());
    for Given { flag, value, repeatable, .. } in given {
        if matches!(flag.as_str(), "json" | "admin-socket" | "follow" | "offline") {
            continue;
        }
        // Where it is written is this side's business.
        if flag == "export-fragment" {
            members.insert(flag.clone(), Value::Bool(true));
            continue;
        }
        match (value, repeatable) {
            (GivenValue::Boolean(value), _) => {
                members.insert(flag.clone(), Value::Bool(*value));
            }
            (GivenValue::Text(value), false) => {
                members.insert(flag.clone(), Value::String(value.clone()));
            }
            (GivenValue::Text(value), true) => {
                let list = members.entry(flag.clone()).or_insert_with(|| Value::Array(Vec::new()));
                if let Some(list) = list.as_array_mut() {
                    list.push(Value::String(value.clone()));
                }
            }
        }
    }
    // Opened here, as the person who gave the command; the daemon lives in a sandbox.
    for (flag, member) in FILES {
        let Some(path) = text(given, flag) else { continue };
        let content = std::fs::read(path)
            .map(Zeroizing::new)
            .map_err(|e| Error::malformed(format!("--{flag} {path} cannot be read: {e}")))?;
        members.insert(member.into(), Value::String(to_base64(&content)));
    }
    Ok(Value::Object(members))
}

/// Write down the fragments that the daemon handed out, that of the newest version to `path` and those of earlier ones beside
/// it, and only then let the daemon forget them. Their names are shown in their place.
pub(super) fn keep_fragments(socket: &Path, path: &str, request: &Value, reply: &mut Value) -> Result<()> {
    let Some(members) = reply.as_object_mut() else { return Ok(()) };
    let Some(Value::Array(fragments)) = members.remove("fragments") else { return Ok(()) };
    let mut files = Vec::new();
    for (number, fragment) in (0usize..).zip(&fragments) {
        let part = |name: &str| fragment.get(name).and_then(Value::as_str).unwrap_or_default();
        let path = if number == 0 { path.to_owned() } else { format!("{path}.{number}") };
        write_private(Path::new(&path), part("text").as_bytes()).map_err(|e| {
            Error::unavailable(format!(
                "{path} cannot be written ({e}); the fragments were changed, and all of them are still with the daemon"
            ))
        })?;
        files.push(format!("{path} belongs into a --fragment-dir or LoadCredential= as {}", part("file")));
    }
    let name = request.get("name").cloned().unwrap_or_default();
    ask(socket, &serde_json::json!({ "command": "refresh-key", "name": name, "forget-exported": true }))?;
    members.insert("fragment_files".into(), files.into());
    Ok(())
}

/// Send a request and wait for its reply.
pub(super) fn ask(socket: &Path, request: &Value) -> Result<Value> {
    begin(socket, request).map(|(reply, _)| reply)
}

/// Send a request and wait for its reply; what follows on it can be read from the connection.
pub(super) fn begin(socket: &Path, request: &Value) -> Result<(Value, BufReader<UnixStream>)> {
    let mut stream = UnixStream::connect(socket).map_err(|e| unreachable_daemon(socket, &e))?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(|e| lost(&e))?;
    let mut reader = BufReader::new(stream);
    let reply = reply(&mut reader)?;
    Ok((reply, reader))
}

/// The next line from the daemon.
pub(super) fn reply(from: &mut impl BufRead) -> Result<Value> {
    let mut line = String::new();
    from.read_line(&mut line).map_err(|e| lost(&e))?;
    let reply: Value = serde_json::from_str(&line)
        .map_err(|_| Error::unavailable("the daemon ended the connection without an answer; look at its log"))?;
    match reply.get("error").and_then(Value::as_str) {
        Some(why) => Err(Error::conflict(why)),
        None => Ok(reply),
    }
}

fn lost(e: &std::io::Error) -> Error {
    Error::unavailable(format!("the daemon ended the connection: {e}"))
}

fn unreachable_daemon(socket: &Path, e: &std::io::Error) -> Error {
    let path = socket.display();
    Error::unavailable(match e.kind() {
        ErrorKind::ConnectionRefused
            if std::fs::symlink_metadata(socket).is_ok_and(|found| !found.file_type().is_socket()) =>
        {
            format!("{path} is not a socket; say --admin-socket or CERTWRIGHT_ADMIN_SOCKET")
        }
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            format!(
                "no daemon listens on {path}; start it with certwright serve, or say --admin-socket or CERTWRIGHT_ADMIN_SOCKET"
            )
        }
        ErrorKind::PermissionDenied => {
            let group = std::fs::symlink_metadata(socket)
                .map_or_else(|_| "its group".to_owned(), |m| format!("group {}", m.gid()));
            format!(
                "you may not use {path}; become root, or join {group}, which may (certwright-admin where it exists)"
            )
        }
        _ => format!("{path} cannot be reached: {e}"),
    })
}
