//! What is nearly the word that somebody typed, so that an error can propose it.

/// How many names an error proposes.
const MOST_PROPOSED: usize = 3;
/// What must have so many letters to count as a part of something else.
const SHORTEST_PART: usize = 4;

/// The candidate that is a few letters away at most, or that the word is the beginning of; for flags and commands, whose words
/// are joined by hyphens.
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let (letters, within) = (letters(word), within(word.len()));
    let candidates: Vec<&str> = candidates.collect();
    let close = candidates.iter().filter_map(|c| Some((distance(&letters, &self::letters(c), within)?, *c))).min();
    let is_long = word.len() >= SHORTEST_PART;
    let part = candidates.iter().find(|c| is_long && (c.starts_with(word) || c.contains(&format!("-{word}"))));
    let part = part.or_else(|| candidates.iter().find(|c| c.len() >= SHORTEST_PART && word.starts_with(**c)));
    let word_of = candidates.iter().find(|c| is_long && c.split('-').any(|w| w == word));
    close.map(|(_, c)| c).or(part.copied()).or(word_of.copied())
}

/// The names, of however many are looked at, that are nearest to one that is not there: slash paths, or identifiers without a
/// slash.
pub struct NearNames {
    wanted: String,
    letters: Vec<char>,
    last: Vec<char>,
    /// How far away and which, the nearest first.
    found: Vec<(usize, String)>,
}

impl NearNames {
    /// None seen yet that is near to this one.
    pub fn to(wanted: &str) -> NearNames {
        let wanted = wanted.to_lowercase();
        let last = letters(last_part(&wanted));
        NearNames { letters: letters(&wanted), last, wanted, found: Vec::new() }
    }

    /// Look at a name that is there.
    pub fn look_at(&mut self, name: &str) {
        let Some(away) = self.away(&name.to_lowercase()) else { return };
        if self.found.last().is_none_or(|(most, _)| away < *most) || self.found.len() < MOST_PROPOSED {
            let place = self.found.partition_point(|(other, _)| *other <= away);
            self.found.insert(place, (away, name.to_owned()));
            self.found.truncate(MOST_PROPOSED);
        }
    }

    /// What to do, as the end of a sentence: one of the names found, or else what lists them all.
    pub fn hint(self, otherwise: &str) -> String {
        let mut names: Vec<String> = self.found.into_iter().map(|(_, name)| name).collect();
        match (names.pop(), names.is_empty()) {
            (None, _) => otherwise.to_owned(),
            (Some(only), true) => format!("did you mean {only}?"),
            (Some(last), false) => format!("did you mean {} or {last}?", names.join(", ")),
        }
    }

    /// How far away a name is, by its letters, else by those of its last part, which may lie in another folder; None when it
    /// is not near.
    fn away(&self, name: &str) -> Option<usize> {
        if let Some(away) = distance(&self.letters, &letters(name), within(self.wanted.len())) {
            return Some(away);
        }
        let last = last_part(name);
        if let Some(away) = distance(&self.last, &letters(last), within(last.len().min(self.last.len()))) {
            return Some(away.saturating_add(1));
        }
        let wanted = last_part(&self.wanted);
        let is_part = |part: &str, whole: &str| part.len() >= SHORTEST_PART && whole.contains(part);
        (is_part(wanted, last) || is_part(last, wanted)).then_some(usize::MAX)
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

fn letters(word: &str) -> Vec<char> {
    word.chars().collect()
}

/// So many letters may be wrong in a word of this length.
fn within(length: usize) -> usize {
    if length < 4 { 1 } else { (length / 3).clamp(2, 3) }
}

/// How many letters have to be put in, taken out or changed to get from one word to the other, unless that is more than
/// `most`. What both begin and end with costs nothing, and it gives up as soon as it can.
fn distance(a: &[char], b: &[char], most: usize) -> Option<usize> {
    let begin = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (a.get(begin..)?, b.get(begin..)?);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let (a, b) = (a.get(..a.len().saturating_sub(end))?, b.get(..b.len().saturating_sub(end))?);
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let (mut diagonal, mut left) = (i, i.saturating_add(1));
        let (first, rest) = row.split_first_mut()?;
        *first = left;
        let mut least = left;
        for (place, y) in rest.iter_mut().zip(b) {
            let above = *place;
            let changed = diagonal.saturating_add(usize::from(x != y));
            *place = changed.min(left.saturating_add(1)).min(above.saturating_add(1));
            (diagonal, left) = (above, *place);
            least = least.min(left);
        }
        if least > most {
            return None;
        }
    }
    row.last().copied().filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("issuer", "isuer", 1),
            ("aab", "ab", 1),
            ("Zürich", "Zurich", 1),
            ("abcd", "badc", 3),
        ] {
            let (a, b) = (letters(a), letters(b));
            assert_eq!(distance(&a, &b, 9), Some(expected), "{a:?} {b:?}");
            assert_eq!(distance(&b, &a, expected), Some(expected), "{b:?} {a:?}");
            if expected > 0 {
                assert_eq!(distance(&a, &b, expected - 1), None, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn the_nearest_three_names_are_proposed_and_no_others() {
        let hint = |wanted: &str, names: &[&str]| {
            let mut near = NearNames::to(wanted);
            names.iter().for_each(|name| near.look_at(name));
            near.hint("list-items lists them")
        };
        let names = ["/Home/CA", "/Home/Issuer", "/Work/Issuer", "/Old/Issuers/Second", "/Home/Certificates/a.lan"];
        assert_eq!(hint("/Home/Isuer", &names), "did you mean /Home/Issuer or /Work/Issuer?");
        assert_eq!(hint("/home/issuer", &names), "did you mean /Home/Issuer or /Work/Issuer?");
        assert_eq!(hint("/Home/a.lan", &names), "did you mean /Home/Certificates/a.lan?");
        assert_eq!(hint("/Nothing/like/it", &names), "list-items lists them");
        assert_eq!(hint("/x", &["/y", "/a", "/b", "/c"]), "did you mean /y, /a or /b?");
        assert_eq!(hint("/Second", &names), "did you mean /Old/Issuers/Second?");
        assert_eq!(hint("3", &["1", "12", "13"]), "did you mean 1 or 13?");
    }
}
