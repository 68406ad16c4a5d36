//! What answers http-01 for all names at once: the key authorization of whoever asked for the name, so that nobody has to
//! say beforehand what will be asked.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, RwLock};

const THREADS: usize = 4;

#[derive(Clone, Default)]
pub struct Responder {
    /// The thumbprint behind each name.
    thumbprints: Arc<RwLock<HashMap<String, String>>>,
}

impl Responder {
    pub fn start(address: SocketAddr) -> Responder {
        let responder = Responder::default();
        let listener = Arc::new(TcpListener::bind(address).unwrap());
        for _ in 0..THREADS {
            let (listener, responder) = (listener.clone(), responder.clone());
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    // Whoever hangs up in between gets no answer.
                    let _ = responder.answer(stream);
                }
            });
        }
        responder
    }

    pub fn serve(&self, name: &str, thumbprint: &str) {
        self.thumbprints.write().unwrap().insert(name.to_owned(), thumbprint.to_owned());
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                count => request.extend_from_slice(&buffer[..count]),
            }
        }
        let body = self.key_authorization(&String::from_utf8_lossy(&request)).unwrap_or_default();
        let length = body.len();
        stream.write_all(
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").as_bytes(),
        )
    }

    fn key_authorization(&self, request: &str) -> Option<String> {
        let mut lines = request.split("\r\n");
        let token = lines.next()?.split(' ').nth(1)?.rsplit('/').next()?;
        let (_, host) = lines.filter_map(|l| l.split_once(": ")).find(|(name, _)| name.eq_ignore_ascii_case("host"))?;
        let thumbprints = self.thumbprints.read().unwrap();
        Some(format!("{token}.{}", thumbprints.get(host.split(':').next()?)?))
    }
}
