//! Who is next, fairly: addresses take turns, so that whoever comes with a thousand connections waits for himself. Addresses
//! from which somebody has signed something go before strangers, and connections that were answered seldom so far before the
//! others, so that an honest newcomer behind the address of a crowd, or among many crowds, is served at once. Whoever comes
//! after gets what is left, and a part in any case.

use crate::identifier::Peer;
use std::collections::{HashMap, VecDeque};

/// A connection that had fewer answers is young. Getting a certificate takes about fifteen.
const YOUNG: u64 = 32;
/// One in so many is for those who come after.
const PART_OF_THE_OTHERS: u32 = 4;

/// Who goes before whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether it is no stranger: somebody has signed something from the address.
    pub(super) is_known: bool,
    is_young: bool,
}

impl Standing {
    /// Of a connection that was answered so often.
    pub(super) fn new(is_known: bool, answered: u64) -> Standing {
        Standing { is_known, is_young: answered < YOUNG }
    }

    fn rank(self) -> usize {
        match (self.is_known, self.is_young) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        }
    }
}

/// Ranks of whom the address is known; behind them are strangers.
const KNOWN: usize = 2;
const RANKS: usize = 4;

pub(super) struct Turns<T> {
    ranks: [Rank<T>; RANKS],
}

struct Rank<T> {
    lines: Lines<T>,
    /// How many of it went since somebody behind it did.
    went_before: u32,
}

/// A line for each address, in the order of arrival.
struct Lines<T> {
    lines: HashMap<Peer, VecDeque<T>>,
    /// Addresses with somebody in their line, the next one first.
    order: VecDeque<Peer>,
}

impl<T> Default for Turns<T> {
    fn default() -> Turns<T> {
        Turns { ranks: std::array::from_fn(|_| Rank { lines: Lines::default(), went_before: 0 }) }
    }
}

impl<T> Default for Lines<T> {
    fn default() -> Lines<T> {
        Lines { lines: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Turns<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.ranks.iter().all(|rank| rank.lines.order.is_empty())
    }

    pub(super) fn push(&mut self, peer: Peer, standing: Standing, item: T) {
        if let Some(rank) = self.ranks.get_mut(standing.rank()) {
            rank.lines.push(peer, item);
        }
    }

    /// Whether somebody is due whose address is known.
    pub(super) fn has_known(&self) -> bool {
        self.ranks.iter().take(KNOWN).any(|rank| !rank.lines.order.is_empty())
    }

    /// Whoever is next, among those whose address is known only where it is not strangers' turn.
    pub(super) fn pop(&mut self, strangers_too: bool) -> Option<T> {
        let ranks = if strangers_too { RANKS } else { KNOWN };
        next_of(self.ranks.get_mut(..ranks).unwrap_or_default())
    }

    /// The last of the longest line of strangers, or of the longest line where there are none, by this measure of one item.
    pub(super) fn pop_last_of_longest(&mut self, measure: impl Fn(&T) -> usize) -> Option<T> {
        let longest = self.ranks.iter().enumerate().filter_map(|(at, rank)| Some((at, rank.lines.longest(&measure)?)));
        let (at, (_, peer)) = longest.max_by_key(|(at, (length, _))| (*at >= KNOWN, *length))?;
        let lines = &mut self.ranks.get_mut(at)?.lines;
        let last = lines.lines.get_mut(&peer)?.pop_back();
        lines.forget_empty();
        last
    }

    /// Take out all of whom this is true.
    pub(super) fn take_if(&mut self, which: impl Fn(&T) -> bool) -> Vec<T> {
        self.ranks.iter_mut().flat_map(|rank| rank.lines.take_if(&which)).collect()
    }
}

/// The next of the first rank, or every so often of those behind it.
fn next_of<T>(ranks: &mut [Rank<T>]) -> Option<T> {
    let (first, behind) = ranks.split_first_mut()?;
    let others_first = first.went_before.saturating_add(1) >= PART_OF_THE_OTHERS || first.lines.order.is_empty();
    if others_first && let Some(item) = next_of(behind) {
        first.went_before = 0;
        return Some(item);
    }
    first.went_before = first.went_before.saturating_add(1).min(PART_OF_THE_OTHERS);
    first.lines.pop()
}

impl<T> Lines<T> {
    fn push(&mut self, peer: Peer, item: T) {
        let line = self.lines.entry(peer).or_default();
        if line.is_empty() {
            self.order.push_back(peer);
        }
        line.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        let peer = self.order.pop_front()?;
        let line = self.lines.get_mut(&peer)?;
        let item = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&peer);
        } else {
            self.order.push_back(peer);
        }
        item
    }

    fn longest(&self, measure: impl Fn(&T) -> usize) -> Option<(usize, Peer)> {
        let length = |line: &VecDeque<T>| line.iter().map(&measure).sum::<usize>();
        self.lines.iter().map(|(peer, line)| (length(line), *peer)).max_by_key(|(length, _)| *length)
    }

    fn take_if(&mut self, which: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for line in self.lines.values_mut().filter(|line| line.iter().any(&which)) {
            let (gone, stay): (VecDeque<T>, VecDeque<T>) = line.drain(..).partition(&which);
            *line = stay;
            taken.extend(gone);
        }
        if !taken.is_empty() {
            self.forget_empty();
        }
        taken
    }

    fn forget_empty(&mut self) {
        self.lines.retain(|_, line| !line.is_empty());
        let Lines { lines, order } = self;
        order.retain(|peer| lines.contains_key(peer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::of([10, 0, 0, last].into())
    }

    /// A stranger's connection that was answered so often.
    fn stranger(answered: u64) -> Standing {
        Standing::new(false, answered)
    }

    fn filled(items: &[(u8, u64, u32)]) -> Turns<u32> {
        let mut turns = Turns::default();
        items.iter().for_each(|(address, answered, item)| turns.push(peer(*address), stranger(*answered), *item));
        turns
    }

    fn all(turns: &mut Turns<u32>) -> Vec<u32> {
        std::iter::from_fn(|| turns.pop(true)).collect()
    }

    #[test]
    fn addresses_take_turns() {
        let mut turns = filled(&[(1, 0, 10), (1, 0, 11), (1, 0, 12), (2, 0, 20), (3, 0, 30), (3, 0, 31)]);
        assert_eq!(all(&mut turns), [10, 20, 30, 11, 31, 12]);
        assert!(turns.is_empty() && turns.ranks.iter().all(|rank| rank.lines.lines.is_empty()));
    }

    #[test]
    fn newcomers_go_first_and_leave_others_their_part() {
        let mut turns =
            filled(&[(1, YOUNG, 90), (2, YOUNG, 91), (1, 5, 1), (1, 0, 2), (1, 9, 3), (1, 0, 4), (1, 0, 5)]);
        assert_eq!(all(&mut turns), [1, 2, 3, 90, 4, 5, 91]);
    }

    #[test]
    fn whose_address_is_known_goes_before_strangers_who_get_their_part() {
        let mut turns = filled(&[(1, 0, 90), (2, YOUNG, 91), (3, 0, 92)]);
        (1..=5).for_each(|item| turns.push(peer(9), Standing::new(true, 0), item));
        turns.push(peer(9), Standing::new(true, YOUNG), 50);
        assert!(turns.has_known());
        assert_eq!(turns.pop(false), Some(1));
        assert_eq!(all(&mut turns), [2, 3, 50, 4, 5, 90, 92, 91]);
        turns.push(peer(1), stranger(0), 93);
        assert!(!turns.has_known());
        assert_eq!(turns.pop(false), None);
        (1..=5).for_each(|item| turns.push(peer(9), Standing::new(true, 0), item));
        assert_eq!(turns.pop_last_of_longest(|_| 1), Some(93), "strangers give up first");
        assert_eq!(std::iter::from_fn(|| turns.pop(false)).count(), 5);
        assert!(turns.is_empty());
    }

    #[test]
    fn whoever_is_taken_out_loses_the_turn() {
        let mut turns = filled(&[(1, 0, 1), (1, 0, 2), (2, 0, 3), (3, YOUNG, 50)]);
        let mut taken = turns.take_if(|item| matches!(item, 1 | 3));
        taken.sort_unstable();
        assert_eq!(taken, [1, 3]);
        assert_eq!(turns.pop_last_of_longest(|item| *item as usize), Some(50));
        assert_eq!(turns.pop_last_of_longest(|_| 1), Some(2));
        assert_eq!(turns.pop_last_of_longest(|_| 1), None);
        assert!(turns.is_empty());
    }
}
