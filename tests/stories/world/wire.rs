//! HTTP/1.1 over TLS by hand: everything that a client could put on the wire, proper or not.

use certwright::clock::Clock;
use rustix::net::{AddressFamily, SocketType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than the door's deadlines for a request and its reply, so that a reply that never comes fails the story instead
/// of hanging it. A connection between two requests may wait for longer, and a story that wants its end fails here.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How to reach one daemon over verified TLS.
#[derive(Clone)]
pub struct Wire {
    pub address: SocketAddr,
    pub host: String,
    /// Where the client is, if that matters.
    source: Option<Ipv4Addr>,
    config: Arc<ClientConfig>,
    /// Where replies are written down, for a story that looks for what must not be said.
    pub record: Option<Arc<Mutex<String>>>,
}

pub type Connection = StreamOwned<ClientConnection, TcpStream>;

impl Wire {
    /// A client that trusts the certificates of `root_pem` and nothing else.
    pub fn new(address: SocketAddr, host: &str, root_pem: &str) -> Wire {
        Wire::speaking(address, host, root_pem, rustls::DEFAULT_VERSIONS)
    }

    /// One that judges certificates by the clock of the story.
    pub fn at_the_time_of(clock: &Clock, address: SocketAddr, host: &str, root_pem: &str) -> Wire {
        Wire::judging(Arc::new(StoryTime(clock.clone())), address, host, root_pem, rustls::DEFAULT_VERSIONS)
    }

    pub fn speaking(
        address: SocketAddr,
        host: &str,
        root_pem: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Wire {
        Wire::judging(Arc::new(DefaultTimeProvider), address, host, root_pem, versions)
    }

    fn judging(
        time: Arc<dyn TimeProvider>,
        address: SocketAddr,
        host: &str,
        root_pem: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Wire {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots(root_pem))
            .with_no_client_auth();
        Wire { address, host: host.to_string(), source: None, config: Arc::new(config), record: None }
    }

    /// The same client at another address of this machine; 127.0.0.0/8 has plenty.
    pub fn at(&self, source: Ipv4Addr) -> Wire {
        Wire { source: Some(source), ..self.clone() }
    }

    fn reach(&self) -> std::io::Result<TcpStream> {
        let Some(source) = self.source else { return TcpStream::connect(self.address) };
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::net::bind(&socket, &SocketAddr::from((source, 0)))?;
        rustix::net::connect(&socket, &self.address)?;
        Ok(socket.into())
    }

    /// A connection whose handshake is done and whose certificate is verified for the host.
    pub fn connect(&self) -> Connection {
        self.try_connect().unwrap_or_else(|error| panic!("TLS to {} as {}: {error}", self.address, self.host))
    }

    pub fn try_connect(&self) -> std::io::Result<Connection> {
        let stream = self.reach()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        self.over(stream)
    }

    /// The same over a connection that is there already, wherever it comes from.
    pub fn over(&self, mut stream: TcpStream) -> std::io::Result<Connection> {
        let name = ServerName::try_from(self.host.clone()).unwrap();
        let mut session = ClientConnection::new(self.config.clone(), name).unwrap();
        stream.set_nodelay(true)?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(session, stream))
    }

    /// The certificates that the daemon shows, leaf first, and the version spoken.
    pub fn handshake(&self) -> std::io::Result<(Vec<Vec<u8>>, ProtocolVersion)> {
        let connection = self.try_connect()?;
        let chain = connection.conn.peer_certificates().unwrap();
        let version = connection.conn.protocol_version().unwrap();
        Ok((chain.iter().map(|certificate| certificate.to_vec()).collect(), version))
    }

    pub fn request(&self, method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let reply = self.try_request(method, url, headers, body);
        reply.unwrap_or_else(|error| panic!("no reply to {method} {url} from {}: {error}", self.address))
    }

    /// The same of a daemon that may be gone before it answers.
    pub fn try_request(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Reply> {
        let mut head = format!("{method} {} HTTP/1.1\r\nHost: {}:{}\r\n", path(url), self.host, self.address.port());
        if method != "GET" && method != "HEAD" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("Connection: close\r\n\r\n");
        let mut connection = self.try_connect()?;
        let sent = connection.write_all(&[head.as_bytes(), body].concat()).and_then(|()| connection.flush());
        let reply = read_reply(&mut connection, method)
            .map_err(|error| std::io::Error::new(error.kind(), format!("{error} (sending: {sent:?})")))?;
        if let Some(record) = &self.record {
            record.lock().unwrap().push_str(&reply.to_string());
        }
        Ok(reply)
    }

    /// What comes back for these bytes, to the end of the connection.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut connection = self.connect();
        // The daemon may answer and close before it has read everything.
        let _ = connection.write_all(bytes).and_then(|()| connection.flush());
        read_to_close(&mut connection)
    }
}

struct StoryTime(Clock);

impl TimeProvider for StoryTime {
    fn current_time(&self) -> Option<UnixTime> {
        u64::try_from(self.0.now().0).ok().map(|now| UnixTime::since_unix_epoch(Duration::from_secs(now)))
    }
}

impl std::fmt::Debug for StoryTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.now())
    }
}

/// Everything up to the close, clean or not.
pub fn read_to_close(connection: &mut impl Read) -> String {
    let mut everything = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match connection.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => everything.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("the daemon left the connection open"),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&everything).into_owned()
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn required_header(&self, name: &str) -> String {
        self.header(name).unwrap_or_else(|| panic!("no {name} in {self}")).to_string()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self}"))
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// The reply is a problem document of this ACME type; its detail is given back.
    #[track_caller]
    pub fn problem(&self, status: u16, kind: &str) -> String {
        assert_eq!(self.status, status, "{self}");
        self.refused_as(kind)
    }

    /// The same, whichever of its statuses a type comes with.
    #[track_caller]
    pub fn refused_as(&self, kind: &str) -> String {
        let detail = self.refused();
        assert_eq!(self.json()["type"], format!("urn:ietf:params:acme:error:{kind}"), "{self}");
        detail
    }

    /// The client is told that it is at fault, in a problem document of whatever type; its detail is given back.
    #[track_caller]
    pub fn refused(&self) -> String {
        assert!((400..500).contains(&self.status), "{self}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self}");
        let problem = self.json();
        let kind = problem["type"].as_str().unwrap_or_default();
        assert!(kind.starts_with("urn:ietf:params:acme:error:"), "{self}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(!detail.is_empty(), "no detail in {self}");
        detail.to_string()
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}\n{}", self.status, self.headers, self.text())
    }
}

/// Read one reply off a connection that may stay open. A HEAD's reply has no body, whatever its head says.
pub fn read_reply(connection: &mut impl Read, method: &str) -> std::io::Result<Reply> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_string(), value.trim().to_string()))
        .collect();
    let mut reply = Reply { status: status.expect("a status line"), headers, body: Vec::new() };
    if method == "HEAD" || reply.status < 200 || reply.status == 204 {
        return Ok(reply);
    }
    // Boxed replies only: the daemon always knows how long its reply is, so anything else is a fault.
    let length = reply.required_header("content-length").parse().expect("a length");
    reply.body = vec![0; length];
    connection.read_exact(&mut reply.body)?;
    Ok(reply)
}

/// The certificates of a PEM text, to be trusted.
pub fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

/// The path of an https URL; what is none is a path already.
pub fn path(url: &str) -> &str {
    match url.strip_prefix("https://") {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => url,
    }
}
