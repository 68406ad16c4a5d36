//! HTTP/1.1 over TLS, as cheap as a client can have it: the load generator shares two cores with what it measures.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Where a server is, and how to trust it.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub host: String,
    config: Arc<ClientConfig>,
}

pub struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// Read and not used.
    buffer: Vec<u8>,
}

pub struct Reply {
    pub status: u16,
    pub nonce: Option<String>,
    pub location: Option<String>,
    pub body: Vec<u8>,
}

impl Target {
    pub fn new(address: SocketAddr, host: &str, roots: RootCertStore) -> Target {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Each handshake is a whole one, as those of short-lived clients are.
        config.resumption = rustls::client::Resumption::disabled();
        Target { address, host: host.to_string(), config: Arc::new(config) }
    }

    /// A connection whose handshake is done.
    pub fn connect(&self) -> std::io::Result<Connection> {
        let name = ServerName::try_from(self.host.clone()).unwrap();
        let mut session = ClientConnection::new(self.config.clone(), name).unwrap();
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(Connection { stream: StreamOwned::new(session, stream), buffer: Vec::new() })
    }
}

impl Connection {
    /// One request, its body within the same write, and its reply.
    pub fn ask(&mut self, method: &str, path: &str, host: &str, body: &str, close: bool) -> std::io::Result<Reply> {
        let connection = if close { "Connection: close\r\n" } else { "" };
        let fields = match method {
            "POST" => format!("Content-Type: application/jose+json\r\nContent-Length: {}\r\n", body.len()),
            _ => String::new(),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: certwright-load\r\n{fields}{connection}\r\n{body}"
        );
        self.stream.write_all(request.as_bytes())?;
        self.stream.flush()?;
        self.read_reply(method)
    }

    fn read_reply(&mut self, method: &str) -> std::io::Result<Reply> {
        let head_end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let (mut length, mut chunked) = (0, false);
        let mut reply = Reply { status: status.expect("a status"), nonce: None, location: None, body: Vec::new() };
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().expect("a length"),
                "transfer-encoding" => chunked = true,
                "replay-nonce" => reply.nonce = Some(value.to_owned()),
                "location" => reply.location = Some(value.to_owned()),
                _ => {}
            }
        }
        self.buffer.drain(..head_end);
        if method == "HEAD" {
            return Ok(reply);
        }
        if chunked {
            reply.body = self.read_chunks()?;
        } else {
            reply.body = self.take(length)?;
        }
        Ok(reply)
    }

    fn read_chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                    break at;
                }
                self.read_more()?;
            };
            let size = usize::from_str_radix(&String::from_utf8_lossy(&self.buffer[..end]), 16).expect("a chunk");
            self.buffer.drain(..end + 2);
            body.extend(self.take(size)?);
            self.take(2)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn take(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.read_more()?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    fn read_more(&mut self) -> std::io::Result<()> {
        let mut space = [0; 16 * 1024];
        match self.stream.read(&mut space)? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.buffer.extend_from_slice(&space[..count]);
                Ok(())
            }
        }
    }
}
