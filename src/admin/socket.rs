//! The admin socket: one JSON object a line, and an archive after the reply to `backup`. Its mode and group decide who may
//! connect; the peer's uid is logged.

use super::{Administration, Answer, Peer};
use crate::clock::Seldom;
use crate::error::{Error, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Gid, Mode};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// sun_path has 108 bytes, the last of which ends it.
const LONGEST_PATH: usize = 107;
/// A former CRL may be large.
const LONGEST_LINE: u64 = 16 << 20;
/// How many connections may wait for a request.
const MOST_IDLE: usize = 64;
const IDLE: Duration = Duration::from_secs(30);
/// The same while nobody else can be served meanwhile.
const IDLE_ALONE: Duration = Duration::from_secs(1);
/// How long a stop waits for commands that were begun.
const LAST_WORDS: Duration = Duration::from_millis(500);
const GROUP: &str = "certwright-admin";

/// The listening socket; one that was not passed goes when this is dropped.
pub struct AdminSocket {
    own: Option<SocketFile>,
    /// Closed to end the thread.
    stopping: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl AdminSocket {
    /// Check a path before anything is made.
    ///
    /// # Errors
    /// Malformed when it is too long for a socket.
    pub fn check_path(path: &Path) -> Result<()> {
        let length = path.as_os_str().as_bytes().len();
        if length > LONGEST_PATH {
            return Err(Error::malformed(format!(
                "--admin-socket {} has {length} bytes, and a socket's path has {LONGEST_PATH} at most; choose a shorter one",
                path.display()
            )));
        }
        Ok(())
    }

    /// Listen, on a socket that was passed or else at the path, and carry out commands until dropped. A socket file that nobody
    /// listens on any more is removed.
    ///
    /// # Errors
    /// Conflict when another daemon listens there; Unavailable when the socket cannot be made.
    pub fn start(
        path: &Path,
        passed: Option<UnixListener>,
        administration: Arc<Administration>,
    ) -> Result<AdminSocket> {
        let failed = |e| cannot_be_made(path, e);
        let (listener, own) = match passed {
            // Its mode, its group and its end are those of whoever made it.
            Some(listener) => (listener, None),
            None => SocketFile::listen(path).map(|(listener, file)| (listener, Some(file)))?,
        };
        listener.set_nonblocking(true).map_err(failed)?;
        let (stopping, stop) = UnixStream::pair().map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("admin".into())
            .spawn(move || accept(&listener, &administration, &stop))
            .map_err(failed)?;
        Ok(AdminSocket { own, stopping: Some(stopping), thread: Some(thread) })
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.stopping = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.own = None;
    }
}

/// A socket file of our own making, which goes with it.
struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

impl SocketFile {
    fn listen(path: &Path) -> Result<(UnixListener, SocketFile)> {
        AdminSocket::check_path(path)?;
        let failed = |e| cannot_be_made(path, e);
        remove_stale(path)?;
        let listener = bind_privately(path).map_err(failed)?;
        let file = SocketFile { path: path.to_owned(), identity: Identity::of(path).map_err(failed)? };
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP;
        rustix::fs::chmod(path, mode).map_err(|e| failed(e.into()))?;
        if let Some(group) = group_id(GROUP)
            && let Err(e) = rustix::fs::chown(path, None, Some(group))
        {
            log::warn!(group = GROUP, error:% = e; "the admin socket could not be given to its group; only its owner can use it");
        }
        Ok((listener, file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another daemon's socket may stand there by now.
        if Identity::of(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn cannot_be_made(path: &Path, e: std::io::Error) -> Error {
    Error::unavailable(format!(
        "the admin socket {} cannot be made ({e}); name another place with --admin-socket, or start as the service's user",
        path.display()
    ))
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> std::io::Result<Identity> {
        let found = std::fs::symlink_metadata(path)?;
        Ok(Identity { device: found.dev(), inode: found.ino() })
    }
}

/// Bind with a mode that lets nobody but owner and group in, not even for a moment.
fn bind_privately(path: &Path) -> std::io::Result<UnixListener> {
    let others = Mode::XUSR | Mode::XGRP | Mode::RWXO;
    let before = rustix::process::umask(others);
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    bound
}

fn remove_stale(path: &Path) -> Result<()> {
    match UnixStream::connect(path) {
        Ok(_) => Err(Error::conflict(format!(
            "another certwright listens on {}; stop it, or choose another --admin-socket",
            path.display()
        ))),
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => {
            // Other files refuse connections too, and are not ours to remove.
            let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
            if !is_socket {
                let path = path.display();
                return Err(Error::conflict(format!(
                    "--admin-socket {path} is a file, not a socket; choose another path"
                )));
            }
            std::fs::remove_file(path)
                .map_err(|e| Error::unavailable(format!("{} cannot be removed: {e}", path.display())))
        }
        Err(_) => Ok(()),
    }
}

/// The id of a group, from /etc/group; groups that only a directory service knows are set by the unit file instead.
fn group_id(name: &str) -> Option<Gid> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    let fields = groups.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|f| f.first() == Some(&name))?;
    fields.get(2)?.parse().ok().map(Gid::from_raw)
}

/// Connections that wait for a request, oldest first; they make room when there are too many.
type Idle = Arc<Mutex<VecDeque<(u64, UnixStream)>>>;

/// Until the other end of `stop` is closed. Whoever has connected by then and was not accepted is the next daemon's, if it gets
/// the same socket.
fn accept(listener: &UnixListener, administration: &Arc<Administration>, stop: &UnixStream) {
    let idle = Idle::default();
    let open = Arc::new(());
    let mut number = 0u64;
    let no_room = Seldom::default();
    loop {
        let mut events = [PollFd::new(listener, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        // It only fails when a signal comes in between.
        let _ = poll(&mut events, None);
        let [_, stopped] = events;
        if !stopped.revents().is_empty() {
            let begun = Instant::now();
            while Arc::strong_count(&open) > 1 && begun.elapsed() < LAST_WORDS {
                std::thread::sleep(Duration::from_millis(5));
            }
            return;
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
            Err(e) => {
                // Out of descriptors, most likely: some connection will end.
                if no_room.is_due() {
                    log::error!(error:% = e; "admin connections cannot be accepted");
                }
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        let (Ok(kept), Ok(waiting)) = (stream.try_clone(), stream.try_clone()) else { continue };
        number = number.saturating_add(1);
        // Here and not in its thread, which may begin after many more have come.
        wait_idle(&idle, number, waiting);
        let serve = |stream, longest| {
            let (administration, idle, guard) = (Arc::clone(administration), Arc::clone(&idle), Arc::clone(&open));
            move || {
                if let Err(e) = converse(number, stream, longest, &administration, &idle) {
                    log::debug!(error:% = e; "an admin connection ended");
                }
                no_longer_idle(&idle, number);
                drop(guard);
            }
        };
        let spawned = std::thread::Builder::new().name("admin-connection".into()).spawn(serve(stream, IDLE));
        if let Err(e) = spawned {
            // An administrator is needed most when something is short: one after the other, then.
            log::warn!(error:% = e; "an admin connection is served without a thread of its own");
            serve(kept, IDLE_ALONE)();
        }
    }
}

/// One more waits for a request, and those that have waited longest make room.
fn wait_idle(idle: &Idle, number: u64, stream: UnixStream) {
    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
    while idle.len() >= MOST_IDLE
        && let Some((_, oldest)) = idle.pop_front()
    {
        let _ = oldest.shutdown(Shutdown::Both);
    }
    idle.push_back((number, stream));
}

fn no_longer_idle(idle: &Idle, number: u64) {
    idle.lock().unwrap_or_else(PoisonError::into_inner).retain(|(n, _)| *n != number);
}

fn converse(
    number: u64,
    stream: UnixStream,
    longest: Duration,
    administration: &Administration,
    idle: &Idle,
) -> std::io::Result<()> {
    let credentials = rustix::net::sockopt::socket_peercred(&stream)?;
    let peer = Peer { uid: credentials.uid.as_raw() };
    stream.set_read_timeout(Some(longest))?;
    stream.set_write_timeout(Some(longest))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream.try_clone()?;
    loop {
        let line = read_line(&mut reader);
        no_longer_idle(idle, number);
        let answer = match line? {
            Line::End => return Ok(()),
            Line::TooLong => {
                writer.write_all(b"{\"error\":\"the request is longer than 16 MiB\"}\n")?;
                return Ok(());
            }
            Line::Whole(line) => administration.answer(peer, &line),
        };
        match answer {
            Answer::Line(reply) => writer.write_all(format!("{reply}\n").as_bytes())?,
            Answer::Backup(sending) => sending.write_to(&mut writer)?,
        }
        wait_idle(idle, number, stream.try_clone()?);
    }
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
    End,
}

fn read_line(reader: &mut BufReader<UnixStream>) -> std::io::Result<Line> {
    let mut line = Vec::new();
    reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(Line::Whole(line)),
        Some(_) if (line.len() as u64).saturating_add(1) == LONGEST_LINE => Ok(Line::TooLong),
        // A request that is not ended was not meant to be carried out.
        _ => Ok(Line::End),
    }
}
