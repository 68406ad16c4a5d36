//! Asking the workers whether they answer.

use super::passage::Passage;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// tiny_http now and then serves a connection never, so another one is tried.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to the workers beside those of the front door, so that nobody else's requests are in its way.
pub struct Probe {
    socket: PathBuf,
    request: Vec<u8>,
    stream: Option<UnixStream>,
}

impl Probe {
    /// Of the workers that listen there.
    pub fn new(socket: PathBuf, passage: &Passage) -> Probe {
        Probe { socket, request: passage.probe(), stream: None }
    }

    /// Whether a worker answers within five seconds.
    pub fn is_answered(&mut self) -> bool {
        // One that failed is never used again: its answer may come yet.
        let asked = self.stream.take().map_or_else(|| self.connect(), Ok).and_then(|stream| self.ask(stream));
        self.stream = asked.inspect_err(|e| log::debug!(error:% = e; "the HTTP workers did not answer")).ok();
        self.stream.is_some()
    }

    fn connect(&self) -> std::io::Result<UnixStream> {
        let stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn ask(&self, mut stream: UnixStream) -> std::io::Result<UnixStream> {
        stream.write_all(&self.request)?;
        let mut reply = Vec::new();
        // The answer to a probe is a head and nothing else.
        while !reply.ends_with(b"\r\n\r\n") {
            let mut some = [0; 512];
            let length = stream.read(&mut some)?;
            if length == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            reply.extend_from_slice(some.get(..length).unwrap_or_default());
        }
        if reply.starts_with(b"HTTP/1.1 204 ") { Ok(stream) } else { Err(std::io::ErrorKind::InvalidData.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn whoever_answers_late_or_otherwise_does_not_count_and_the_next_connection_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let answers: [&[u8]; 3] =
            [b"HTTP/1.1 503 No\r\n\r\n", b"HTTP/1.1 2", b"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n"];
        let worker = std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                assert!(stream.read(&mut [0; 256]).unwrap() > 0);
                stream.write_all(answer).unwrap();
            }
        });
        let mut probe = Probe::new(path, &Passage::new("secret".into()));
        assert_eq!([(); 3].map(|()| probe.is_answered()), [false, false, true]);
        worker.join().unwrap();
        // The connection that was kept has ended, and nobody is there any more.
        assert_eq!([(); 2].map(|()| probe.is_answered()), [false, false]);
    }
}
