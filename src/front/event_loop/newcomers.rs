//! Who comes: accepted a few at a time, let go where they have left already, and given the place of others where there is none.

use super::{EventLoop, count_present};
use crate::front::connection::Client;
use crate::front::stream::has_ended;
use crate::http::Door;
use crate::metrics::{self, Eviction};
use mio::net::TcpStream;
use mio::{Interest, Token};
use rustls::ServerConnection;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// New clients of each listener before the loop looks who else has come.
const ACCEPTS_PER_TURN: usize = 16;

impl EventLoop {
    pub(super) fn accept_some(&mut self) {
        for token in std::mem::take(&mut self.accepting) {
            // There may be more than one turn takes, of which no event tells.
            let (mut more, mut made_room) = (true, false);
            for _ in 0..ACCEPTS_PER_TURN {
                let Some((_, door, listener)) = self.listeners.iter().find(|(t, _, _)| *t == token) else { break };
                let door = *door;
                match listener.accept() {
                    Ok((socket, address)) => {
                        made_room = false;
                        self.welcome(socket, address, door);
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        more = false;
                        break;
                    }
                    Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                    Err(e) => {
                        // Out of descriptors or memory: somebody makes room, or it is tried again at the next tick.
                        if self.no_room.is_due() {
                            log::warn!(error:% = e; "clients can be accepted only when others go");
                        }
                        if made_room || !self.evict(Eviction::Descriptors) {
                            more = false;
                            break;
                        }
                        made_room = true;
                    }
                }
            }
            if more && !self.listeners.is_empty() {
                self.accepting.push(token);
            }
        }
    }

    fn welcome(&mut self, mut socket: TcpStream, address: SocketAddr, door: Door) {
        let is_proxied = door == Door::Tls && self.proxies.are_there();
        if is_proxied && !self.proxies.contain(address.ip()) {
            let level = if self.no_proxy.is_due() { log::Level::Warn } else { log::Level::Debug };
            return log::log!(level, address:% = address.ip(); "turned away: --listen is for --behind-proxy only");
        }
        count_accepted(door);
        // Many of those who come and go have gone before anybody looks.
        if has_ended(&socket) {
            // With a reset, which leaves nothing behind that takes a minute to go.
            let _ = rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
            return;
        }
        if self.clients.count() >= self.settings.most_clients {
            self.evict(Eviction::Places);
        }
        let _ = socket.set_nodelay(true);
        let tls = match door {
            Door::Tls if is_proxied || self.tls.is_empty() => None,
            Door::Tls => {
                let Ok(local) = socket.local_addr() else { return };
                match ServerConnection::new(self.tls.for_local(local.ip())) {
                    Ok(tls) => Some(tls),
                    Err(e) => return log::error!(error:% = e; "TLS could not be begun"),
                }
            }
            Door::Plain | Door::Metrics => None,
        };
        let id = self.clients.next_id();
        let token = Token(self.first_client.saturating_add(id.slot));
        if let Err(e) = self.poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE) {
            self.clients.give_back(id);
            return log::error!(error:% = e; "a client could not be watched");
        }
        self.clients.put(match (door, tls) {
            (Door::Tls, None) if !is_proxied => Client::without_certificate(id, socket, address),
            (_, tls) => Client::new(id, socket, address, door, tls, is_proxied.then(|| Arc::clone(&self.proxies))),
        });
        count_present(door, 1);
    }

    /// Close connections that are least worth keeping. False when there is none.
    fn evict(&mut self, why: Eviction) -> bool {
        let least_worth = self.clients.least_worth();
        for slot in &least_worth {
            metrics::count(&metrics::EVICTED, why as usize);
            self.remove(*slot);
        }
        !least_worth.is_empty()
    }
}

fn count_accepted(door: Door) {
    metrics::count(&metrics::ACCEPTED, door.listener() as usize);
}
