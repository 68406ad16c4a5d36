//! The clients that are connected: each at a place, counted by its address, with the bytes that all of them make us hold.

use super::connection::Client;
use super::peers::{Counts, choose, make_room};

/// Who asked: a place and a number, so that a late answer finds nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientId {
    /// Its place among the clients.
    pub(super) slot: usize,
    /// The number of its connection.
    pub(super) number: u64,
}

#[derive(Default)]
pub(super) struct Clients {
    places: Vec<Option<Client>>,
    free: Vec<usize>,
    counts: Counts,
    /// How many there were so far.
    numbered: u64,
    held: usize,
}

impl Clients {
    pub(super) fn count(&self) -> usize {
        self.places.len().saturating_sub(self.free.len())
    }

    /// The bytes that all of them make us hold.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Places, taken or not.
    pub(super) fn slots(&self) -> std::ops::Range<usize> {
        0..self.places.len()
    }

    /// An empty place and the number of the next client, which is put there or the place given back.
    pub(super) fn next_id(&mut self) -> ClientId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len().saturating_sub(1)
        });
        self.numbered = self.numbered.wrapping_add(1);
        ClientId { slot, number: self.numbered }
    }

    pub(super) fn give_back(&mut self, id: ClientId) {
        self.free.push(id.slot);
    }

    pub(super) fn put(&mut self, client: Client) {
        self.counts.add(client.peer);
        self.held = self.held.saturating_add(client.held());
        if let Some(place) = self.places.get_mut(client.id.slot) {
            *place = Some(client);
        }
    }

    pub(super) fn at(&mut self, slot: usize) -> Option<&mut Client> {
        self.places.get_mut(slot).and_then(Option::as_mut)
    }

    pub(super) fn has(&self, id: ClientId) -> bool {
        matches!(self.places.get(id.slot), Some(Some(client)) if client.id == id)
    }

    pub(super) fn of(&mut self, id: ClientId) -> Option<&mut Client> {
        self.at(id.slot).filter(|client| client.id == id)
    }

    /// Let a client do something, after which it may hold more or less.
    pub(super) fn run<R>(&mut self, slot: usize, step: impl FnOnce(&mut Client) -> R) -> Option<R> {
        let client = self.places.get_mut(slot).and_then(Option::as_mut)?;
        let before = client.held();
        let result = step(client);
        self.held = self.held.saturating_sub(before).saturating_add(client.held());
        Some(result)
    }

    pub(super) fn take(&mut self, slot: usize) -> Option<Client> {
        let client = self.places.get_mut(slot).and_then(Option::take)?;
        self.counts.remove(client.peer);
        self.held = self.held.saturating_sub(client.held());
        self.free.push(slot);
        self.shrink();
        Some(client)
    }

    /// Who is least worth keeping.
    pub(super) fn least_worth(&self) -> Vec<usize> {
        make_room(self.places.iter().flatten().map(Client::as_candidate), &self.counts)
    }

    /// The same among those that hold memory.
    pub(super) fn least_worth_its_memory(&self) -> Option<usize> {
        let holding = self.places.iter().flatten().filter(|client| client.held() > 4096);
        choose(holding.map(Client::as_candidate), &self.counts)
    }

    /// Give up empty places at the end, so that a crowd that has left is not walked over for ever.
    fn shrink(&mut self) {
        let before = self.places.len();
        while let Some(None) = self.places.last() {
            self.places.pop();
        }
        let length = self.places.len();
        match before.saturating_sub(length) {
            0 => {}
            1 if self.free.last() == Some(&length) => drop(self.free.pop()),
            _ => self.free.retain(|slot| *slot < length),
        }
    }
}
