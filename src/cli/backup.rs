//! `certwright backup`: the archive comes from the daemon and is written by whoever gave the command, as that person.

use super::Failure;
use super::client;
use super::flags::{Given, is_set, text};
use super::progress::Progress;
use crate::error::{Error, Result};
use crate::keys::{hex, random};
use ring::digest::{Context, SHA256};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, ErrorKind, Write};
use std::path::{Path, PathBuf};

pub(super) fn run(given: &[Given]) -> std::result::Result<(), Failure> {
    let socket = client::socket_path(given)?;
    let path = Path::new(text(given, "to").unwrap_or_default());
    let replace = is_set(given, "force");
    let mut file = NewFile::make(path, replace)?;
    let request = json!({ "command": "backup", "with-fragments": is_set(given, "with-fragments") });
    let progress = Progress::of("backup");
    let (mut reply, mut archive) = client::begin(&socket, &request)?;
    let sha256 = receive(&reply, &mut archive, &mut file, &progress)?;
    file.finish(replace)?;
    drop(progress);
    super::note_warnings(&reply);
    if is_set(given, "json") {
        if let Some(members) = reply.as_object_mut() {
            members.insert("file".into(), path.display().to_string().into());
            members.insert("sha256".into(), sha256.into());
        }
        super::say(&super::show::reply("backup", &reply, true)?);
    } else {
        super::say(&sentence(path, &reply));
    }
    Ok(())
}

/// Take as many bytes as were promised, and the last line, which must say what was received.
fn receive(reply: &Value, from: &mut impl BufRead, file: &mut NewFile, progress: &Progress) -> Result<String> {
    let ended = || Error::unavailable("the daemon ended the connection in the middle of the backup; look at its log");
    let all = reply.get("archive_bytes").and_then(Value::as_u64).ok_or_else(ended)?;
    let mut left = all;
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = from.read(buffer.get_mut(..most).unwrap_or_default()).map_err(|_| ended())?;
        let received = buffer.get(..count).filter(|received| !received.is_empty()).ok_or_else(ended)?;
        hash.update(received);
        file.write(received)?;
        left = left.saturating_sub(count as u64);
        progress.count(all.saturating_sub(left), all);
    }
    let end = client::reply(from).map_err(|_| ended())?;
    let sha256 = hex(hash.finish().as_ref());
    if end.get("sha256").and_then(Value::as_str) != Some(&sha256) {
        return Err(Error::unavailable("what was received is not what the daemon sent; try again"));
    }
    Ok(sha256)
}

fn sentence(path: &Path, reply: &Value) -> String {
    let about = reply.get("backup").unwrap_or(&Value::Null);
    let bytes = reply.get("archive_bytes").and_then(Value::as_u64).unwrap_or(0);
    let path = path.display();
    if about.get("holds_fragments") == Some(&Value::Bool(true)) {
        return format!(
            "{path} holds everything, the key fragments among it ({bytes} bytes): who has it has the CA, so keep it where \
             nobody else can read it."
        );
    }
    let needs = about.get("needs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |need: &Value, name: &str| need.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let needs: Vec<String> =
        needs.iter().map(|need| format!("{} of {}", text(need, "fragments"), text(need, "key"))).collect();
    format!(
        "{path} holds everything but private keys ({bytes} bytes); to be of use it needs the key fragments that are kept \
         elsewhere: {}.",
        needs.join(", ")
    )
}

/// A file that gets its name when it is whole and durable, and goes when it does not come to that.
struct NewFile {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    is_finished: bool,
}

impl NewFile {
    fn make(path: &Path, replace: bool) -> Result<NewFile> {
        let failed =
            |e: &dyn std::fmt::Display| Error::unavailable(format!("--to {} cannot be written: {e}", path.display()));
        let Some(name) = path.file_name() else { return Err(failed(&"it is no file name")) };
        if path.is_dir() {
            return Err(failed(&"it is a directory; name a file in it"));
        }
        if !replace && std::fs::symlink_metadata(path).is_ok() {
            return Err(taken(path));
        }
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}", hex(&random::<4>()?)));
        let temporary = path.with_file_name(temporary);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(&temporary, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|e| failed(&std::io::Error::from(e)))?;
        Ok(NewFile { path: path.to_owned(), temporary, file: File::from(file), is_finished: false })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| self.failed(&e))
    }

    fn finish(mut self, replace: bool) -> Result<()> {
        self.file.sync_all().map_err(|e| self.failed(&e))?;
        let renamed = match replace {
            true => std::fs::rename(&self.temporary, &self.path),
            false => self.rename_to_free_name(),
        };
        match renamed {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(taken(&self.path)),
            renamed => renamed.map_err(|e| self.failed(&e))?,
        }
        self.is_finished = true;
        let directory = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(|e| self.failed(&e))
    }

    /// Somebody else may have made a file of that name meanwhile.
    fn rename_to_free_name(&self) -> std::io::Result<()> {
        match renameat_with(CWD, &self.temporary, CWD, &self.path, RenameFlags::NOREPLACE) {
            // Not every file system can promise it.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => std::fs::rename(&self.temporary, &self.path),
            renamed => Ok(renamed?),
        }
    }

    fn failed(&self, e: &std::io::Error) -> Error {
        Error::unavailable(format!("--to {} cannot be written: {e}", self.path.display()))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

fn taken(path: &Path) -> Error {
    Error::conflict(format!("{} is there already; choose another name, or say --force to replace it", path.display()))
}
