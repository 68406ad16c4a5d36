//! The commands: one flat JSON object in, one out, over a Unix socket; after the one that `backup` gets follows the archive. A
//! file for each noun.

mod accounts;
mod arguments;
mod audit;
mod backup;
mod certificates;
mod clock;
mod config;
mod eabs;
mod explain;
mod issuers;
mod item_path;
mod items;
mod keys;
mod limits;
mod revocation;
mod signers;
mod socket;
mod status;

pub use config::shown_settings;
pub use socket::AdminSocket;

use crate::clock::{Clock, Time};
use crate::error::{Error, Result};
use crate::health::Health;
use crate::issuance::Issuance;
use crate::jose::json;
use crate::settings::Settings;
use crate::store::{AuditEntry, Store};
use arguments::Arguments;
use serde_json::{Map, Value};
use std::sync::Arc;

/// How much of a refusal is audited, in characters.
const LONGEST_REFUSAL: usize = 1_000;

/// Who carries out commands.
pub struct Administration {
    store: Arc<Store>,
    issuance: Arc<Issuance>,
    health: Arc<Health>,
    clock: Clock,
    settings: Settings,
}

/// Who gave a command.
#[derive(Clone, Copy, Debug)]
struct Peer {
    uid: u32,
}

impl Peer {
    fn actor(self) -> String {
        format!("uid {}", self.uid)
    }
}

/// A command that is carried out; where it says so, one that changes something and is audited.
struct Command {
    name: &'static str,
    audited: bool,
    run: fn(&Administration, Peer, &mut Arguments) -> Result<Value>,
}

const COMMANDS: &[Command] = &[
    Command { name: "create-dfc-key", audited: true, run: keys::create },
    Command { name: "create-pki-cert-issuer", audited: true, run: issuers::create },
    Command { name: "update-pki-cert-issuer", audited: true, run: issuers::update },
    Command { name: "describe-item", audited: false, run: items::describe },
    Command { name: "list-items", audited: false, run: items::list },
    Command { name: "set-item-state", audited: true, run: items::set_state },
    Command { name: "update-item", audited: true, run: items::update },
    Command { name: "delete-item", audited: true, run: items::delete },
    Command { name: "generate-acme-eab", audited: true, run: eabs::generate },
    Command { name: "list-acme-eabs", audited: false, run: eabs::list },
    Command { name: "revoke-acme-eab", audited: true, run: eabs::revoke },
    Command { name: "set-limits", audited: true, run: limits::set },
    Command { name: "renew-soon", audited: true, run: limits::renew_soon },
    Command { name: "list-acme-accounts", audited: false, run: accounts::list },
    Command { name: "deactivate-acme-account", audited: true, run: accounts::deactivate },
    Command { name: "get-certificate-value", audited: false, run: certificates::value },
    Command { name: "list-certificates", audited: false, run: certificates::list },
    Command { name: "revoke-certificate", audited: true, run: revocation::revoke },
    Command { name: "export-signer-csr", audited: false, run: signers::export_csr },
    Command { name: "import-signer-certificate", audited: true, run: signers::import_certificate },
    Command { name: "import-signer", audited: true, run: signers::import },
    Command { name: "rotate-key", audited: true, run: signers::rotate },
    Command { name: "renew-signer-certificate", audited: true, run: signers::renew },
    Command { name: "refresh-key", audited: true, run: signers::refresh },
    Command { name: "accept-clock", audited: true, run: clock::accept },
    Command { name: "explain", audited: false, run: explain::explain },
    Command { name: "audit", audited: false, run: audit::show },
    Command { name: "check", audited: false, run: status::check },
    Command { name: "status", audited: false, run: status::show },
    Command { name: "config", audited: false, run: config::show },
];

/// What a request line is answered with.
enum Answer {
    /// One line, without its end.
    Line(String),
    /// A line, an archive, a line.
    Backup(Box<backup::Sending>),
}

impl From<Result<Value>> for Answer {
    fn from(outcome: Result<Value>) -> Answer {
        Answer::Line(match outcome {
            Ok(reply) => reply.to_string(),
            Err(e) => Value::Object(Map::from_iter([("error".to_owned(), e.detail().into())])).to_string(),
        })
    }
}

impl Administration {
    /// Commands over these; `settings` are those that the daemon runs with.
    pub fn new(
        store: Arc<Store>,
        issuance: Arc<Issuance>,
        health: Arc<Health>,
        clock: Clock,
        settings: Settings,
    ) -> Administration {
        Administration { store, issuance, health, clock, settings }
    }

    /// Carry out one request line.
    fn answer(&self, peer: Peer, line: &[u8]) -> Answer {
        let mut request = match json::parse_command(line) {
            Ok(request) => request,
            Err(e) => return Err(e).into(),
        };
        let name = match request.remove("command") {
            Some(Value::String(name)) => name,
            _ => return Err(Error::malformed("the request has no text member \"command\"")).into(),
        };
        let mut arguments = Arguments::new(request);
        if name == backup::NAME {
            log::info!(command = name, uid = peer.uid; "asked");
            let gathered = backup::gather(self, peer, &mut arguments);
            return match gathered.inspect_err(|e| self.note_refusal(peer, backup::NAME, &arguments, true, e)) {
                Ok(sending) => Answer::Backup(Box::new(sending)),
                Err(e) => Err(e).into(),
            };
        }
        let Some(command) = COMMANDS.iter().find(|c| c.name == name) else {
            let name = crate::identifier::printable(&name);
            return Err(Error::malformed(format!("there is no command \"{name}\""))).into();
        };
        log::info!(command = name, uid = peer.uid; "asked");
        let outcome = (command.run)(self, peer, &mut arguments);
        outcome.inspect_err(|e| self.note_refusal(peer, command.name, &arguments, command.audited, e)).into()
    }

    fn note_refusal(&self, peer: Peer, name: &'static str, arguments: &Arguments, audited: bool, e: &Error) {
        log::info!(command = name, uid = peer.uid, error:% = e; "refused");
        if audited {
            self.audit_refusal(peer, name, arguments.object(), e);
        }
    }

    fn audit_refusal(&self, peer: Peer, action: &'static str, object: String, e: &Error) {
        let now = self.clock.now();
        let mut entry = AuditEntry::done(peer.actor(), action, object).refused(e);
        // A refusal quotes what was given, which may be a megabyte.
        entry.detail = entry.detail.chars().take(LONGEST_REFUSAL).collect();
        if let Err(e) = self.store.change(move |write| write.append_audit(now, &entry)) {
            log::log!(e.level(), error:% = e; "a refusal could not be audited");
        }
    }

    /// The group may administer, and not walk off with the CA's key.
    fn check_privileged(&self, peer: Peer) -> Result<()> {
        let own = rustix::process::getuid().as_raw();
        if peer.uid == 0 || peer.uid == own {
            Ok(())
        } else {
            Err(Error::unauthorized("this is for root and for the daemon's own user; use sudo"))
        }
    }

    fn now(&self) -> Time {
        self.clock.now()
    }
}

/// The audit row of a command that was carried out.
fn done(peer: Peer, action: &'static str, object: impl Into<String>, detail: impl Into<String>) -> AuditEntry {
    AuditEntry::done(peer.actor(), action, object).detail(detail)
}
