//! A DNS server whose answer can be chosen for each name and type, also a wrong or hostile one. It remembers what it was
//! asked. Names that it was told nothing about have the default address and no other record.

use simple_dns::rdata::{A, AAAA, CAA, CNAME, RData, TXT};
use simple_dns::{CLASS, CharacterString, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub struct Nameserver {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug)]
pub enum Answer {
    Records(Vec<RData<'static>>),
    /// A response code and nothing else.
    Code(RCODE),
    /// Over UDP nothing but the truncation bit; over TCP the records.
    Truncated(Vec<RData<'static>>),
    /// The truncation bit over TCP too, with records that look whole.
    AlwaysTruncated(Vec<RData<'static>>),
    /// This code so many times, then the records.
    Failing(usize, RCODE, Vec<RData<'static>>),
    /// A CNAME; the client has to ask again.
    Alias(String),
    /// A CNAME with the records of its target beside it.
    AliasAndRecords(String, Vec<RData<'static>>),
    /// An answer to a question that nobody asked.
    OtherQuestion,
    /// Bytes that are no DNS message, under the right id.
    Garbage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub name: String,
    pub kind: TYPE,
    pub over_tcp: bool,
}

struct State {
    default: Ipv4Addr,
    table: HashMap<(String, u16), Answer>,
    asked: Vec<Asked>,
}

pub fn text(value: &str) -> RData<'static> {
    texts(&[value])
}

/// One TXT record of several strings.
pub fn texts(values: &[&str]) -> RData<'static> {
    let record = values.iter().fold(TXT::new(), |record, value| record.with_string(value).unwrap());
    RData::TXT(record.into_owned())
}

pub fn caa(flag: u8, tag: &str, value: &str) -> RData<'static> {
    let tag = CharacterString::new(tag.as_bytes()).unwrap().into_owned();
    RData::CAA(CAA { flag, tag, value: value.to_owned().into_bytes().into() })
}

impl Nameserver {
    pub fn start(default: Ipv4Addr) -> Nameserver {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { default, table: HashMap::new(), asked: Vec::new() }));
        let shared = state.clone();
        std::thread::spawn(move || {
            let mut question = [0; 4096];
            while let Ok((length, peer)) = udp.recv_from(&mut question) {
                if let Some(reply) = answer(&question[..length], &shared, false) {
                    let _ = udp.send_to(&reply, peer);
                }
            }
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || converse(stream, &shared));
            }
        });
        Nameserver { address, state }
    }

    pub fn answer_with(&self, name: &str, kind: TYPE, answer: Answer) {
        self.state.lock().unwrap().table.insert((name.to_lowercase(), u16::from(kind)), answer);
    }

    pub fn set(&self, name: &str, kind: TYPE, records: Vec<RData<'static>>) {
        self.answer_with(name, kind, Answer::Records(records));
    }

    /// The name has this address and no other, of either family.
    pub fn point(&self, name: &str, address: impl Into<IpAddr>) {
        let (four, six) = match address.into() {
            IpAddr::V4(four) => (vec![RData::A(A::from(four))], vec![]),
            IpAddr::V6(six) => (vec![], vec![RData::AAAA(AAAA::from(six))]),
        };
        self.set(name, TYPE::A, four);
        self.set(name, TYPE::AAAA, six);
    }

    /// TXT records, each of one string.
    pub fn publish(&self, name: &str, values: &[&str]) {
        self.set(name, TYPE::TXT, values.iter().map(|value| text(value)).collect());
    }

    pub fn alias(&self, name: &str, target: &str, kind: TYPE) {
        self.answer_with(name, kind, Answer::Alias(target.to_owned()));
    }

    /// The questions of this type about this name.
    pub fn asked(&self, name: &str, kind: TYPE) -> Vec<Asked> {
        let state = self.state.lock().unwrap();
        state
            .asked
            .iter()
            .filter(|asked| asked.name.eq_ignore_ascii_case(name) && asked.kind == kind)
            .cloned()
            .collect()
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
    let QTYPE::TYPE(kind) = asked.qtype else { return None };
    let name = asked.qname.to_string().to_lowercase();
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE);
    let mut state = state.lock().unwrap();
    state.asked.push(Asked { name: name.clone(), kind, over_tcp });
    let default = match kind {
        TYPE::A => vec![RData::A(A::from(state.default))],
        _ => vec![],
    };
    let entry = state.table.get_mut(&(name.clone(), u16::from(kind)));
    let mut owner = asked.qname.clone();
    let records = match entry {
        None => default,
        Some(Answer::Records(records)) => records.clone(),
        Some(Answer::Code(code)) => {
            *reply.rcode_mut() = *code;
            vec![]
        }
        Some(Answer::Truncated(_)) if !over_tcp => {
            reply.set_flags(PacketFlag::TRUNCATION);
            vec![]
        }
        Some(Answer::Truncated(records)) => records.clone(),
        Some(Answer::AlwaysTruncated(records)) => {
            reply.set_flags(PacketFlag::TRUNCATION);
            records.clone()
        }
        Some(Answer::Failing(0, _, records)) => records.clone(),
        Some(Answer::Failing(left, code, _)) => {
            *left -= 1;
            *reply.rcode_mut() = *code;
            vec![]
        }
        Some(Answer::Alias(target)) => vec![alias(target)],
        Some(Answer::AliasAndRecords(target, records)) => {
            reply.answers.push(ResourceRecord::new(owner, CLASS::IN, 1, alias(target)));
            owner = Name::new(target).unwrap().into_owned();
            records.clone()
        }
        Some(Answer::OtherQuestion) => {
            let other = Name::new("nobody.asked.test").unwrap().into_owned();
            reply.questions.push(simple_dns::Question::new(other, asked.qtype, asked.qclass, false));
            return Some(reply.build_bytes_vec().unwrap());
        }
        Some(Answer::Garbage) => return Some([&question[..2], &[0xff; 30]].concat()),
    };
    reply.questions.push(asked);
    reply.answers.extend(records.into_iter().map(|data| ResourceRecord::new(owner.clone(), CLASS::IN, 1, data)));
    Some(reply.build_bytes_vec().unwrap())
}

fn alias(target: &str) -> RData<'static> {
    RData::CNAME(CNAME(Name::new(target).unwrap().into_owned()))
}
