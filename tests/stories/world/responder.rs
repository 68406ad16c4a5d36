//! What answers http-01: a web server on a story's own address, honest or not.

use rustix::net::sockopt::set_socket_linger;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

pub struct Responder {
    shared: Arc<Shared>,
}

/// What it does with a request.
#[derive(Clone, Debug, Default)]
pub enum Answer {
    /// The key authorization of the token, 404 for a token that it does not know.
    #[default]
    Truth,
    /// These bytes as they stand, then close.
    Raw(Vec<u8>),
    /// 302 to this place; `{token}` stands for the token asked for.
    Redirect(String),
    /// Nothing until the answer changes; then the new answer.
    Hold,
    /// A body without end.
    Endless,
    /// Close without a word.
    Close,
    /// The same by a reset.
    Reset,
    /// A head that never ends, a byte at a time.
    Drip,
}

#[derive(Clone, Debug)]
pub struct Hit {
    pub path: String,
    pub host: String,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    answer: Answer,
    authorizations: HashMap<String, String>,
    hits: Vec<Hit>,
    poured: usize,
}

impl Responder {
    pub fn start(address: impl Into<IpAddr>, port: u16) -> Responder {
        Responder::on(TcpListener::bind((address.into(), port)).unwrap())
    }

    pub fn on(listener: TcpListener) -> Responder {
        let responder = Responder { shared: Arc::default() };
        let shared = responder.shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        responder
    }

    pub fn serve(&self, token: &str, key_authorization: &str) {
        self.state().authorizations.insert(token.to_string(), key_authorization.to_string());
    }

    pub fn answer_with(&self, answer: Answer) {
        self.state().answer = answer;
        self.shared.changed.notify_all();
    }

    pub fn hits(&self) -> Vec<Hit> {
        self.state().hits.clone()
    }

    /// How many bytes of endless bodies were taken.
    pub fn poured(&self) -> usize {
        self.state().poured
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let path = line(&mut reader)?.split(' ').nth(1)?.to_string();
    let mut host = String::new();
    loop {
        let header = line(&mut reader)?;
        match header.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("host") => host = value.trim().to_string(),
            Some(_) => {}
            None => break,
        }
    }
    let token = path.rsplit('/').next()?.to_string();
    let mut state = shared.state.lock().unwrap();
    state.hits.push(Hit { path, host });
    while matches!(state.answer, Answer::Hold) {
        state = shared.changed.wait(state).unwrap();
    }
    let reply = match state.answer.clone() {
        Answer::Truth => match state.authorizations.get(&token) {
            Some(key_authorization) => whole("200 OK", &[], key_authorization),
            None => whole("404 Not Found", &[], "no such token"),
        },
        Answer::Raw(bytes) => bytes,
        Answer::Redirect(place) => whole("302 Found", &[("Location", &place.replace("{token}", &token))], "elsewhere"),
        Answer::Close | Answer::Hold => Vec::new(),
        Answer::Reset => {
            set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
            return None;
        }
        Answer::Drip => {
            drop(state);
            return drip(&mut stream);
        }
        Answer::Endless => {
            drop(state);
            return pour(&mut stream, shared);
        }
    };
    drop(state);
    stream.write_all(&reply).ok()
}

/// For as long as the other side listens.
fn drip(stream: &mut TcpStream) -> Option<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ").ok()?;
    loop {
        stream.write_all(b"a").ok()?;
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    Some(line.trim_end().to_string())
}

fn whole(status: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// More than anybody should want, until the other side has had enough.
fn pour(stream: &mut TcpStream, shared: &Shared) -> Option<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").ok()?;
    let chunk = [b'a'; 16 * 1024];
    for _ in 0..4096 {
        stream.write_all(&chunk).ok()?;
        shared.state.lock().unwrap().poured += chunk.len();
    }
    Some(())
}
