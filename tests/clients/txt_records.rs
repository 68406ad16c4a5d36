//! How the dns-01 hooks of clients, which are programs of their own, change what the test's DNS server answers.
//!
//! One line a connection, `add NAME VALUE` or `remove NAME VALUE`; the reply is `ok` once it is so.

use crate::stage::Stage;
use crate::world::daemon::Ca;
use crate::world::dns::Record;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

pub struct TxtRecords {
    pub address: SocketAddr,
}

impl TxtRecords {
    pub fn start(ca: &Arc<Ca>) -> TxtRecords {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        // Weak, since the daemon ends when its stage is left, and this thread does not.
        let ca = Arc::downgrade(ca);
        std::thread::spawn(move || {
            let mut records = HashMap::new();
            for stream in listener.incoming().flatten() {
                if converse(stream, &ca, &mut records).is_none() {
                    eprintln!("a hook said something else than add or remove, or the stage is left");
                }
            }
        });
        TxtRecords { address }
    }

    /// A program that says such a line: `$TXT_RECORD add NAME VALUE`.
    pub fn script(&self, stage: &Stage) -> PathBuf {
        let path = stage.ca.place.file("txt-record");
        if path.exists() { path } else { stage.script("txt-record", SCRIPT) }
    }
}

const SCRIPT: &str = r#"#!/bin/bash
set -euo pipefail
exec 3<>"/dev/tcp/${TXT_RECORDS%:*}/${TXT_RECORDS##*:}"
printf '%s %s %s\n' "$1" "${2%.}" "$3" >&3
read -r reply <&3
[[ $reply == ok ]]
"#;

fn converse(mut stream: TcpStream, ca: &Weak<Ca>, records: &mut HashMap<String, Vec<String>>) -> Option<()> {
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).ok()?;
    let [verb, name, value] = line.split_whitespace().collect::<Vec<_>>().try_into().ok()?;
    let name = name.to_lowercase();
    let values = records.entry(name.clone()).or_default();
    match verb {
        "add" => values.push(value.to_string()),
        "remove" => values.retain(|one| one != value),
        _ => return None,
    }
    ca.upgrade()?.dns.set(&name, values.iter().cloned().map(Record::Text).collect());
    stream.write_all(b"ok\n").ok()
}
