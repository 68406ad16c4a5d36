//! Who is next, fairly: addresses take turns, so that whoever comes with a thousand connections waits for himself. Connections
//! that were answered seldom so far go before the others, so that an honest newcomer behind the address of a crowd, or
//! among many crowds, is served at once; the others get what is left, and a part in any case.

use crate::identifier::Peer;
use std::collections::{HashMap, VecDeque};

/// A connection that had fewer answers is young. Getting a certificate takes about fifteen.
const YOUNG: u64 = 32;
/// One in so many is for the others.
const PART_OF_THE_OTHERS: u32 = 4;

pub(super) struct Turns<T> {
    young: Lines<T>,
    others: Lines<T>,
    /// How many young ones went before since one of the others did.
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
        Turns { young: Lines::default(), others: Lines::default(), went_before: 0 }
    }
}

impl<T> Default for Lines<T> {
    fn default() -> Lines<T> {
        Lines { lines: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Turns<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.young.order.is_empty() && self.others.order.is_empty()
    }

    /// `answered` is how often the connection was answered before.
    pub(super) fn push(&mut self, peer: Peer, answered: u64, item: T) {
        if answered < YOUNG { &mut self.young } else { &mut self.others }.push(peer, item);
    }

    /// Whoever is next.
    pub(super) fn pop(&mut self) -> Option<T> {
        let others_first = self.went_before.saturating_add(1) >= PART_OF_THE_OTHERS || self.young.order.is_empty();
        if others_first && let Some(item) = self.others.pop() {
            self.went_before = 0;
            return Some(item);
        }
        self.went_before = self.went_before.saturating_add(1).min(PART_OF_THE_OTHERS);
        self.young.pop()
    }

    /// The last of the longest line, by this measure of one item.
    pub(super) fn pop_last_of_longest(&mut self, measure: impl Fn(&T) -> usize) -> Option<T> {
        let longest = |lines: &Lines<T>| lines.longest(&measure);
        let (lines, longest) = match (longest(&self.young), longest(&self.others)) {
            (Some((of_young, peer)), Some((of_others, _))) if of_young > of_others => (&mut self.young, peer),
            (_, Some((_, peer))) => (&mut self.others, peer),
            (Some((_, peer)), None) => (&mut self.young, peer),
            (None, None) => return None,
        };
        let last = lines.lines.get_mut(&longest)?.pop_back();
        lines.forget_empty();
        last
    }

    /// Take out all of whom this is true.
    pub(super) fn take_if(&mut self, which: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = self.young.take_if(&which);
        taken.extend(self.others.take_if(&which));
        taken
    }
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

    fn filled(items: &[(u8, u64, u32)]) -> Turns<u32> {
        let mut turns = Turns::default();
        items.iter().for_each(|(address, answered, item)| turns.push(peer(*address), *answered, *item));
        turns
    }

    fn all(turns: &mut Turns<u32>) -> Vec<u32> {
        std::iter::from_fn(|| turns.pop()).collect()
    }

    #[test]
    fn addresses_take_turns() {
        let mut turns = filled(&[(1, 0, 10), (1, 0, 11), (1, 0, 12), (2, 0, 20), (3, 0, 30), (3, 0, 31)]);
        assert_eq!(all(&mut turns), [10, 20, 30, 11, 31, 12]);
        assert!(turns.is_empty() && turns.young.lines.is_empty());
    }

    #[test]
    fn newcomers_go_first_and_leave_others_their_part() {
        let mut turns =
            filled(&[(1, YOUNG, 90), (2, YOUNG, 91), (1, 5, 1), (1, 0, 2), (1, 9, 3), (1, 0, 4), (1, 0, 5)]);
        assert_eq!(all(&mut turns), [1, 2, 3, 90, 4, 5, 91]);
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
