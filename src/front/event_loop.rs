//! The event loop: drives clients as their sockets become ready, moves requests and replies, watches deadlines.

mod newcomers;

use super::backend::{Backends, Outcome};
use super::clients::{ClientId, Clients};
use super::connection::{Client, Verdict};
use super::known::KnownAddresses;
use super::listen::Listener;
use super::pace::Pace;
use super::proxies::Proxies;
use super::tls::TlsConfigs;
use super::turns::Turns;
use super::{FrontSettings, Waker};
use crate::clock::{Seldom, later};
use crate::http::Door;
use crate::metrics::{self, Eviction};
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

const WAKER: Token = Token(0);
const FIRST_LISTENER: usize = 1;
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How long clients are driven before that.
const DRIVEN_PER_TURN: Duration = Duration::from_millis(1);
/// The same for strangers: a handshake takes about as long, and somebody known may have just come.
const STRANGERS_DRIVEN_PER_TURN: Duration = Duration::from_micros(200);
/// What all clients together may make us hold.
const MOST_HELD: usize = 64 << 20;
/// How long requests that run may take after the daemon was told to stop.
const STOPPING: Duration = Duration::from_secs(4);
/// The same for those who have connected and not asked anything yet: the next daemon does not hear of them.
const NEWCOMERS: Duration = Duration::from_secs(1);

/// Counts the turns of the loop. It turns four times a second at least.
#[derive(Clone, Default)]
pub struct LoopTurns(Arc<AtomicU64>);

impl LoopTurns {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(super) struct EventLoop {
    poll: Poll,
    waker: Arc<Waker>,
    listeners: Vec<(Token, Door, TcpListener)>,
    /// Listeners that may have more to accept.
    accepting: Vec<Token>,
    tls: TlsConfigs,
    backends: Backends,
    /// Tokens below are listeners'.
    first_backend: usize,
    first_client: usize,
    clients: Clients,
    known: KnownAddresses,
    /// Of driving clients.
    pace: Pace,
    /// Clients that made room in memory and were not told of yet.
    let_go: usize,
    /// Clients that can go on.
    due: Turns<ClientId>,
    /// That there is no room for clients.
    no_room: Seldom,
    proxies: Arc<Proxies>,
    /// That somebody came by no proxy.
    no_proxy: Seldom,
    settings: FrontSettings,
    stopping: Arc<AtomicBool>,
    turns: LoopTurns,
    tell_ready: Option<SyncSender<()>>,
}

impl EventLoop {
    pub(super) fn new(
        doors: Vec<(Door, Listener)>,
        tls: TlsConfigs,
        settings: FrontSettings,
        stopping: Arc<AtomicBool>,
        tell_ready: SyncSender<()>,
    ) -> std::io::Result<EventLoop> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut listeners = Vec::new();
        for (token, (door, listener)) in (FIRST_LISTENER..).map(Token).zip(doors) {
            let mut socket = TcpListener::from_std(listener.socket);
            poll.registry().register(&mut socket, token, Interest::READABLE)?;
            listeners.push((token, door, socket));
        }
        let now = Instant::now();
        let processors =
            std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
        let first_backend = FIRST_LISTENER.saturating_add(listeners.len());
        let backends = Backends::new(
            settings.application.clone(),
            settings.connections,
            first_backend,
            Arc::clone(&settings.passage),
            settings.renewal.clone(),
            Pace::new(now, processors),
        );
        settings.passage.tell(Arc::clone(&waker));
        Ok(EventLoop {
            poll,
            waker,
            listeners,
            accepting: Vec::new(),
            tls,
            backends,
            first_backend,
            first_client: first_backend.saturating_add(settings.connections),
            clients: Clients::default(),
            known: KnownAddresses::new(now),
            // The loop is busy on one processor at a time.
            pace: Pace::new(now, 1),
            let_go: 0,
            due: Turns::default(),
            no_room: Seldom::default(),
            proxies: Arc::new(Proxies::new(settings.behind_proxy.clone())),
            no_proxy: Seldom::default(),
            settings,
            stopping,
            turns: LoopTurns::default(),
            tell_ready: Some(tell_ready),
        })
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    pub(super) fn turns(&self) -> LoopTurns {
        self.turns.clone()
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut next_tick = Instant::now();
        let mut stop_at = None;
        // Nobody waits for an answer yet.
        self.backends.open_next(self.poll.registry(), &mut Vec::new());
        loop {
            let now = Instant::now();
            self.known.now = now;
            if now >= next_tick {
                self.tick(now);
                next_tick = later(now, TICK);
            }
            if self.stopping.load(Ordering::SeqCst) && self.may_stop(now, &mut stop_at) {
                return;
            }
            self.hand_on(now);
            let patience = self.patience(now).min(next_tick.saturating_duration_since(now));
            if let Err(e) = self.poll.poll(&mut events, Some(patience)) {
                if e.kind() != ErrorKind::Interrupted {
                    log::error!(error:% = e; "the event loop cannot wait for events");
                    std::thread::sleep(TICK);
                }
                continue;
            }
            for event in &events {
                self.handle(event);
            }
            self.take_replies();
            self.drive_some();
            self.accept_some();
            self.turns.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests that wait go to workers as it is their turn.
    fn hand_on(&mut self, now: Instant) {
        let mut outcomes = Vec::new();
        self.backends.hand_on(self.poll.registry(), &mut outcomes);
        self.backends.call(now, self.poll.registry(), &mut outcomes);
        self.deliver(outcomes);
    }

    fn take_replies(&mut self) {
        let mut outcomes = Vec::new();
        self.backends.take_replies(self.poll.registry(), &mut outcomes);
        self.deliver(outcomes);
    }

    /// How long to wait for events, where none come.
    fn patience(&self, now: Instant) -> Duration {
        if self.due.has_known() || !self.accepting.is_empty() {
            return Duration::ZERO;
        }
        let until_due = if self.due.is_empty() { Duration::MAX } else { self.pace.rest(now) };
        until_due.min(self.backends.patience(now))
    }

    fn handle(&mut self, event: &Event) {
        let token = event.token();
        if token == WAKER {
            return;
        }
        if token.0 < self.first_backend {
            if !self.accepting.contains(&token) {
                self.accepting.push(token);
            }
        } else if self.backends.owns(token) {
            let mut outcomes = Vec::new();
            self.backends.ready(token, self.poll.registry(), &mut outcomes);
            self.deliver(outcomes);
            if self.backends.is_ready()
                && let Some(ready) = self.tell_ready.take()
            {
                self.backends.renew_from_now_on();
                let _ = ready.send(());
            }
        } else {
            let slot = token.0.saturating_sub(self.first_client);
            if event.is_error() {
                // Reset by the client: nobody is there to be told anything.
                return self.remove(slot);
            }
            if let Some(client) = self.clients.at(slot) {
                client.may_read(event.is_read_closed());
            }
            self.line_up(slot);
        }
    }

    /// A client can go on when its turn comes. A stranger who has left without a word needs none.
    fn line_up(&mut self, slot: usize) {
        let Some(client) = self.clients.at(slot) else { return };
        let standing = client.standing(&self.known);
        if !standing.is_known && client.has_left() {
            self.remove(slot);
        } else if !client.is_due {
            client.is_due = true;
            self.due.push(client.peer, standing, client.id);
        }
    }

    fn drive_some(&mut self) {
        let start = Instant::now();
        let (until, mut now) = (later(start, DRIVEN_PER_TURN), start);
        let mut for_strangers = Duration::ZERO;
        while now < until {
            let strangers_too = for_strangers < STRANGERS_DRIVEN_PER_TURN && self.pace.lets_strangers(now);
            let Some(id) = self.due.pop(strangers_too) else { break };
            let Some(client) = self.clients.of(id) else { continue };
            client.is_due = false;
            let (is_known, is_proxied) = (client.standing(&self.known).is_known, client.is_proxied());
            self.drive(id.slot);
            let before = std::mem::replace(&mut now, Instant::now());
            match (is_known, is_proxied) {
                (false, _) => for_strangers = for_strangers.saturating_add(now.saturating_duration_since(before)),
                (true, false) => self.pace.serves_known(now),
                // Nobody knows yet for whom.
                (true, true) => {}
            }
        }
        if !for_strangers.is_zero() {
            self.pace.took(now, for_strangers);
        }
    }

    /// Let a client go on, and do what it needs.
    fn drive(&mut self, slot: usize) {
        match self.clients.run(slot, |client| client.drive(&self.known)) {
            None | Some(Verdict::Keep) => {}
            Some(Verdict::Again) => self.line_up(slot),
            Some(Verdict::Close) => self.remove(slot),
            Some(Verdict::Submit(pending)) => {
                let mut outcomes = Vec::new();
                self.backends.submit(pending, self.poll.registry(), &mut outcomes);
                self.deliver(outcomes);
            }
        }
        if self.clients.held() > MOST_HELD {
            self.evict_for_memory();
        }
    }

    /// Replies go to their clients, which may have gone, or may have the next request ready already.
    fn deliver(&mut self, outcomes: Vec<Outcome>) {
        for (id, outcome) in outcomes {
            if self.clients.has(id) {
                if let Some(Some(peer)) = self.clients.run(id.slot, |client| client.answer(outcome)) {
                    self.known.add(peer);
                }
                self.drive(id.slot);
            }
        }
    }

    fn remove(&mut self, slot: usize) {
        if let Some(mut client) = self.clients.take(slot) {
            let _ = self.poll.registry().deregister(client.socket());
            count_present(client.door, -1);
            self.backends.forget(client.id);
        }
    }

    fn evict_for_memory(&mut self) {
        if let Some(slot) = self.clients.least_worth_its_memory() {
            self.let_go = self.let_go.saturating_add(1);
            metrics::count(&metrics::EVICTED, Eviction::Memory as usize);
            self.remove(slot);
        }
    }

    fn tick(&mut self, now: Instant) {
        // Once a tick, so that whoever is let go and comes again does not fill the log.
        if self.let_go > 0 {
            log::warn!(clients = std::mem::take(&mut self.let_go); "clients held too much memory, and some were let go");
        }
        let mut outcomes = Vec::new();
        self.backends.tick(now, self.poll.registry(), &mut outcomes);
        self.deliver(outcomes);
        for slot in self.clients.slots() {
            // Whoever is due waits for us.
            let is_late = self.clients.at(slot).is_some_and(|client| now >= client.deadline && !client.is_due);
            if is_late && let Some(Verdict::Close) = self.clients.run(slot, Client::overdue) {
                self.remove(slot);
            }
        }
        self.due.take_if(|id| !self.clients.has(*id));
        if !self.stopping.load(Ordering::SeqCst) {
            // One that could not be accepted for want of descriptors gives no new event.
            self.accepting = self.listeners.iter().map(|(token, _, _)| *token).collect();
        }
    }

    /// After being told to stop: no new clients, idle ones go at once, the others when they are answered or time is up.
    fn may_stop(&mut self, now: Instant, stop_at: &mut Option<Instant>) -> bool {
        let deadline = *stop_at.get_or_insert(later(now, STOPPING));
        let newcomers_too = deadline.saturating_duration_since(now).saturating_add(NEWCOMERS) <= STOPPING;
        for (_, _, mut listener) in self.listeners.drain(..) {
            let _ = self.poll.registry().deregister(&mut listener);
        }
        self.accepting.clear();
        for slot in self.clients.slots() {
            let idle = self.clients.at(slot).filter(|c| c.is_idle() && !c.is_due && (newcomers_too || c.answered > 0));
            if let Some(client) = idle {
                client.close_politely();
                self.remove(slot);
            }
        }
        self.clients.is_empty() || now >= deadline
    }
}

/// One more client of this door is there, or one fewer.
fn count_present(door: Door, change: i64) {
    if let Some(open) = metrics::CONNECTIONS.get(door.listener() as usize) {
        open.add(change);
    }
}
