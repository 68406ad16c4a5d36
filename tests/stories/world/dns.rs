//! A DNS server on loopback: answers from a table that a story can change, and remembers what it was asked.

use simple_dns::rdata::{A, AAAA, CAA, RData, TXT};
use simple_dns::{CLASS, CharacterString, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub struct Dns {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// One record of the table.
#[derive(Clone, Debug)]
pub enum Record {
    Address(IpAddr),
    Text(String),
    Caa { flag: u8, tag: String, value: String },
}

/// How the server treats questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Answering,
    /// Questions vanish.
    Silent,
    /// SERVFAIL to everything.
    Failing,
    /// Over UDP nothing but the truncation bit; over TCP the whole answer.
    Truncating,
    /// The same, and questions for AAAA vanish, as some boxes in between have it.
    TruncatingAndDeaf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub name: String,
    pub kind: String,
    pub over_tcp: bool,
}

#[derive(Default)]
struct State {
    table: HashMap<String, Vec<Record>>,
    mood: Mood,
    asked: Vec<Asked>,
    /// Questions about these vanish.
    deaf: HashSet<String>,
    /// Where names are said to be by whoever answers before the server, by chance and from elsewhere.
    lie: Option<Ipv4Addr>,
    delay: Duration,
}

impl Dns {
    pub fn start() -> Dns {
        let (udp, tcp) = pair();
        let address = udp.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || serve_udp(&udp, &shared));
        let shared = state.clone();
        std::thread::spawn(move || serve_tcp(&tcp, &shared));
        Dns { address, state }
    }

    /// The name has these records from now on, and no others.
    pub fn set(&self, name: &str, records: Vec<Record>) {
        self.state().table.insert(name.to_lowercase(), records);
    }

    pub fn point(&self, name: &str, address: impl Into<IpAddr>) {
        self.set(name, vec![Record::Address(address.into())]);
    }

    pub fn be(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// Questions about this name vanish from now on.
    pub fn be_deaf_to(&self, name: &str) {
        self.state().deaf.insert(name.to_lowercase());
    }

    /// Before each answer come a hundred whose ids are guesses, and one with the right id from another address; all say
    /// that the name is at this one.
    pub fn be_forged(&self, address: Ipv4Addr) {
        self.state().lie = Some(address);
    }

    /// Answer later from now on.
    pub fn be_slow(&self, delay: Duration) {
        self.state().delay = delay;
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// UDP and TCP on one and the same free port.
fn pair() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

fn serve_udp(socket: &UdpSocket, state: &Arc<Mutex<State>>) {
    let mut question = [0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut question) {
        let Some(reply) = answer(&question[..length], state, false) else { continue };
        let (lie, delay) = {
            let state = state.lock().unwrap();
            (state.lie, state.delay)
        };
        if let Some(lie) = lie.and_then(|lie| forged(&question[..length], lie)) {
            for guess in 1..=100 {
                let id = u16::from_be_bytes([lie[0], lie[1]]).wrapping_add(guess * 7).to_be_bytes();
                let _ = socket.send_to(&[&id[..], &lie[2..]].concat(), peer);
            }
            let elsewhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let _ = elsewhere.send_to(&lie, peer);
        }
        let socket = socket.try_clone().unwrap();
        std::thread::spawn(move || {
            std::thread::sleep(delay);
            let _ = socket.send_to(&reply, peer);
        });
    }
}

/// An answer of somebody who has seen the question.
fn forged(question: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let query = Packet::parse(question).ok()?;
    let asked = query.questions.first()?.clone();
    let mut reply = Packet::new_reply(query.id());
    let record = Record::Address(address.into());
    if record.is(asked.qtype) {
        reply.answers.push(ResourceRecord::new(asked.qname.clone(), CLASS::IN, 1, record.data()));
    }
    reply.questions.push(asked);
    reply.build_bytes_vec().ok()
}

fn serve_tcp(listener: &TcpListener, state: &Arc<Mutex<State>>) {
    for stream in listener.incoming().flatten() {
        let state = state.clone();
        std::thread::spawn(move || converse(stream, &state));
    }
}

fn converse(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question).ok()?;
        let reply = answer(&question, state, true)?;
        let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length[..], &reply].concat()).ok()?;
    }
}

fn answer(question: &[u8], state: &Mutex<State>, over_tcp: bool) -> Option<Vec<u8>> {
    let query = Packet::parse(question).ok()?;
    let asked = query.questions.first()?.clone();
    let name = asked.qname.to_string().to_lowercase();
    let mut state = state.lock().unwrap();
    let kind = match asked.qtype {
        QTYPE::TYPE(kind) => format!("{kind:?}"),
        other => format!("{other:?}"),
    };
    state.asked.push(Asked { name: name.clone(), kind, over_tcp });
    if state.deaf.contains(&name) {
        return None;
    }
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE);
    reply.questions.push(asked.clone());
    match state.mood {
        Mood::Silent => return None,
        Mood::TruncatingAndDeaf if Record::Address(Ipv6Addr::LOCALHOST.into()).is(asked.qtype) => return None,
        Mood::Failing => *reply.rcode_mut() = RCODE::ServerFailure,
        Mood::Truncating | Mood::TruncatingAndDeaf if !over_tcp => reply.set_flags(PacketFlag::TRUNCATION),
        Mood::Answering | Mood::Truncating | Mood::TruncatingAndDeaf => match state.table.get(&name) {
            None => *reply.rcode_mut() = RCODE::NameError,
            Some(records) => reply.answers.extend(
                records
                    .iter()
                    .filter(|record| record.is(asked.qtype))
                    .map(|record| ResourceRecord::new(asked.qname.clone(), CLASS::IN, 1, record.data())),
            ),
        },
    }
    Some(reply.build_bytes_vec().unwrap())
}

impl Record {
    fn is(&self, asked: QTYPE) -> bool {
        let own = match self {
            Record::Address(IpAddr::V4(_)) => TYPE::A,
            Record::Address(IpAddr::V6(_)) => TYPE::AAAA,
            Record::Text(_) => TYPE::TXT,
            Record::Caa { .. } => TYPE::CAA,
        };
        asked == QTYPE::TYPE(own)
    }

    fn data(&self) -> RData<'static> {
        match self {
            Record::Address(IpAddr::V4(address)) => RData::A(A::from(*address)),
            Record::Address(IpAddr::V6(address)) => RData::AAAA(AAAA::from(*address)),
            Record::Text(text) => RData::TXT(TXT::new().with_string(text).unwrap().into_owned()),
            Record::Caa { flag, tag, value } => RData::CAA(CAA {
                flag: *flag,
                tag: CharacterString::new(tag.as_bytes()).unwrap().into_owned(),
                value: value.clone().into_bytes().into(),
            }),
        }
    }
}

/// The table's names are absolute already; this only proves that they can be asked for.
#[test]
fn the_dns_server_answers_what_its_table_says() {
    let dns = Dns::start();
    dns.point("a.lan", Ipv4Addr::new(127, 9, 9, 9));
    let caa = Record::Caa { flag: 0, tag: "issue".into(), value: "ca.lan".into() };
    dns.set("t.lan", vec![Record::Text("hello".into()), caa]);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let ask = |name: &'static str, kind| {
        let mut query = Packet::new_query(7);
        query.questions.push(simple_dns::Question::new(
            Name::new(name).unwrap(),
            QTYPE::TYPE(kind),
            simple_dns::QCLASS::CLASS(CLASS::IN),
            false,
        ));
        socket.send_to(&query.build_bytes_vec().unwrap(), dns.address).unwrap();
        let mut reply = [0; 512];
        let length = socket.recv(&mut reply).unwrap();
        let reply = Packet::parse(&reply[..length]).unwrap();
        (reply.rcode(), reply.answers.into_iter().map(|record| record.rdata.into_owned()).collect::<Vec<_>>())
    };
    assert_eq!(ask("A.lan", TYPE::A).1, [RData::A(A::from(Ipv4Addr::new(127, 9, 9, 9)))]);
    assert_eq!(ask("a.lan", TYPE::AAAA), (RCODE::NoError, vec![]));
    assert_eq!(ask("b.lan", TYPE::A).0, RCODE::NameError);
    assert_eq!(ask("t.lan", TYPE::TXT).1.len(), 1);
    assert!(matches!(&ask("t.lan", TYPE::CAA).1[..], [RData::CAA(caa)] if *caa.value == *b"ca.lan"));
    dns.be(Mood::Failing);
    assert_eq!(ask("a.lan", TYPE::A).0, RCODE::ServerFailure);
    assert_eq!(dns.asked().len(), 6);
}
