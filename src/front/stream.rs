//! The bytes of one client: what was read and not used, what is to be written, and TLS between them and the socket where there
//! is any. Nothing here waits.

use mio::net::TcpStream;
use rustls::ServerConnection;
use std::io::{ErrorKind, Read, Write};

/// What is read before it is looked at.
const MOST_INPUT: usize = 32 * 1024;
/// What a client may send before its handshake is done; there are no client certificates here.
const LARGEST_HANDSHAKE: usize = 16 * 1024;
/// What rustls may hold for a slow reader; the rest waits in our own buffer.
const TLS_BUFFER: usize = 64 * 1024;

pub(super) struct Stream {
    pub(super) socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    /// Read and not used.
    pub(super) input: Vec<u8>,
    /// To be written.
    pub(super) output: Vec<u8>,
    /// How much of that was.
    written: usize,
    ended: bool,
    /// Whether there is nothing to read until an event tells of more.
    is_drained: bool,
    /// Whether the other side has said that nothing more comes, of which no further event tells.
    is_last: bool,
    /// Read since the last request, or the beginning, and perhaps still with rustls.
    pub(super) unread: usize,
}

/// What reading brought.
pub(super) enum Fill {
    Some,
    Blocked,
    Ended,
}

/// A socket and whether the last read left room, after which there is nothing more (epoll(7)): asking again would cost as much.
struct Measured<'a> {
    socket: &'a mut TcpStream,
    is_short: bool,
}

impl Read for Measured<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.socket.read(buffer)?;
        self.is_short = count < buffer.len();
        Ok(count)
    }
}

fn read_into(input: &mut Vec<u8>, socket: &mut impl Read) -> std::io::Result<usize> {
    let mut buffer = [0; 16 * 1024];
    let count = socket.read(&mut buffer)?;
    input.extend_from_slice(buffer.get(..count).unwrap_or_default());
    Ok(count)
}

/// Whether the other side has gone and left nothing to read.
pub(super) fn has_ended(socket: &TcpStream) -> bool {
    match socket.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}

impl Stream {
    pub(super) fn new(socket: TcpStream, tls: Option<ServerConnection>) -> Stream {
        let tls = tls.map(|mut tls| {
            tls.set_buffer_limit(Some(TLS_BUFFER));
            Box::new(tls)
        });
        Stream {
            socket,
            tls,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            ended: false,
            is_drained: false,
            is_last: false,
            unread: 0,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// The bytes that it makes us hold.
    pub(super) fn held(&self) -> usize {
        self.input.capacity().saturating_add(self.output.capacity()).saturating_add(self.unread)
    }

    /// Write this and nothing else.
    pub(super) fn send(&mut self, bytes: Vec<u8>) {
        self.output = bytes;
        self.written = 0;
    }

    pub(super) fn send_close_notify(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
    }

    /// There is something to read, perhaps the last.
    pub(super) fn may_read(&mut self, is_last: bool) {
        self.is_drained = false;
        self.is_last |= is_last;
    }

    /// Read what there is, a bounded amount, into `input`.
    pub(super) fn fill(&mut self) -> std::io::Result<Fill> {
        if self.ended {
            return Ok(Fill::Ended);
        }
        if self.is_drained {
            return Ok(Fill::Blocked);
        }
        let mut socket = Measured { socket: &mut self.socket, is_short: false };
        let read = match &mut self.tls {
            Some(tls) => tls.read_tls(&mut socket),
            None => read_into(&mut self.input, &mut socket),
        };
        self.is_drained = socket.is_short && !self.is_last;
        let count = match read {
            Ok(0) => return Ok(Fill::Ended),
            Ok(count) => count,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Fill::Blocked),
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(Fill::Some),
            Err(e) => return Err(e),
        };
        self.unread = self.unread.saturating_add(count);
        let Some(tls) = &mut self.tls else { return Ok(Fill::Some) };
        let state = tls.process_new_packets().map_err(std::io::Error::other)?;
        if tls.is_handshaking() && self.unread > LARGEST_HANDSHAKE {
            return Err(std::io::Error::other("the handshake is too long"));
        }
        let available = state.plaintext_bytes_to_read();
        let before = self.input.len();
        self.input.resize(before.saturating_add(available.min(MOST_INPUT)), 0);
        if let Some(space) = self.input.get_mut(before..).filter(|s| !s.is_empty()) {
            tls.reader().read_exact(space)?;
        }
        self.ended = state.peer_has_closed() && available == 0;
        Ok(Fill::Some)
    }

    /// Write what is to be written; true when nothing is left.
    pub(super) fn flush(&mut self) -> std::io::Result<bool> {
        loop {
            while let Some(rest) = self.output.get(self.written..).filter(|rest| !rest.is_empty()) {
                let wrote = match &mut self.tls {
                    Some(tls) => tls.writer().write(rest),
                    None => self.socket.write(rest),
                };
                match wrote {
                    // rustls's buffer is full.
                    Ok(0) => break,
                    Ok(count) => self.written = self.written.saturating_add(count),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            let all = self.written == self.output.len();
            if all && !self.output.is_empty() {
                self.output = Vec::new();
                self.written = 0;
            }
            let Some(tls) = &mut self.tls else { return Ok(all) };
            while tls.wants_write() {
                match tls.write_tls(&mut self.socket) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            if all {
                return Ok(true);
            }
        }
    }
}
