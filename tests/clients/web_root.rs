//! A web server that serves the challenge files of a directory, as anybody's web server does for a client's webroot.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

pub struct WebRoot {
    pub directory: PathBuf,
}

impl WebRoot {
    pub fn start(directory: PathBuf, address: SocketAddr) -> WebRoot {
        let listener = TcpListener::bind(address).unwrap();
        let served = directory.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let directory = served.clone();
                std::thread::spawn(move || serve(stream, &directory));
            }
        });
        WebRoot { directory }
    }

    pub fn challenges(&self) -> PathBuf {
        self.directory.join(".well-known/acme-challenge")
    }
}

fn serve(mut stream: TcpStream, directory: &Path) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut request = String::new();
    reader.read_line(&mut request).ok()?;
    let mut header = String::new();
    while reader.read_line(&mut header).ok()? > 2 {
        header.clear();
    }
    let path = request.split(' ').nth(1)?.trim_start_matches('/').to_string();
    let (status, body) = match std::fs::read(directory.join(path)) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body].concat()).ok()
}
