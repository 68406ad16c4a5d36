//! Load, attacks, kills and power cuts together: for some seconds, or for as long as `tests/soak` asks for.

use super::*;
use crate::siege::field::Field;
use std::io::Write;

/// Threads that attack.
pub(super) const TROOPS: usize = 4;
/// Connections that one of them holds.
const HELD: usize = 200;
/// As long as SOAK_SECONDS does not ask for more.
const SECONDS: u64 = 20;
/// The longest time between two kills: enough to bring thousands of changes under way, and to meet attackers in place.
const LONGEST: Duration = Duration::from_secs(15);

#[test]
fn load_attacks_kills_and_power_cuts_lose_nothing() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let length = Duration::from_secs(seconds);
    let end = Instant::now() + length;
    let seed = std::env::var("KILLS_SEED").ok().map_or_else(random_seed, |text| text.parse().unwrap());
    eprintln!("{seconds} seconds; the moments of the kills follow from KILLS_SEED={seed}");
    let mut chance = Chance(seed);
    let mut story = Story { longest_round: LONGEST.min(length / 8), is_besieged: true, ..Story::begin() };
    let (mut kills, mut power_cuts) = (0usize, 0usize);
    // A short one may meet no power cut that takes anything; that would show nothing.
    while Instant::now() < end || (power_cuts == 0 && Instant::now() < end + 5 * length) {
        story.work_until_killed(&mut chance);
        kills += 1;
        let lost = story.lost;
        story.cut_power_perhaps(&mut chance);
        power_cuts += usize::from(story.lost > lost);
        if chance.below(4) == 0 {
            story.kill_while_starting(&mut chance);
            kills += 1;
        }
        story.ca.launch();
        story.check(kills % 10 == 0);
        let (certificates, requests) = (story.obtained(), story.answered.load(Ordering::Relaxed));
        eprintln!("{requests} requests, {certificates} certificates, {kills} kills, {power_cuts} power cuts");
    }
    story.check_everything(0);
    // That has issued one more.
    story.check(false);
    let (certificates, requests) = (story.obtained(), story.answered.load(Ordering::Relaxed));
    assert!(power_cuts > 0, "no power cut took anything");
    assert!(certificates as u64 * 60 > 100 * seconds, "too little was done: {certificates} certificates");
    assert!(kills as u64 > 2 + seconds / 60, "too little was done: {kills} kills");
    println!(
        "requests {requests}, certificates {certificates}, faults {} ({kills} kills, {power_cuts} power cuts), lost: {}",
        kills + power_cuts,
        story.missing()
    );
    assert_eq!(story.missing(), 0);
}

impl Story {
    /// Where attackers of this round stand: it ends with the kill.
    pub(super) fn field(&self) -> Field {
        Field::around(&self.client, self.ca.plain_listen)
    }

    fn obtained(&self) -> usize {
        self.journal.lock().unwrap().obtained.len()
    }

    /// Certificates that somebody downloaded and that the store does not have.
    fn missing(&self) -> usize {
        let journal = self.journal.lock().unwrap();
        journal.obtained.keys().filter(|serial| !self.stored.contains_key(*serial)).count()
    }
}

/// What each troop does until the field is left: idle connections, slow heads, garbage, and connections that come and go.
pub(super) fn attack(field: &Field, troop: usize) {
    match troop {
        0 => field.hold(HELD, |number| field.connect_by_tls(number), |_| Ok(())),
        1 => {
            let begun = |number| {
                let mut connection = field.connect_by_tls(number)?;
                connection.write_all(b"GET / HTTP/1.1\r\nHost: ca.lan\r\nX: ")?;
                Ok(connection)
            };
            field.hold(HELD, begun, |connection| connection.write_all(b"a"));
        }
        2 => field.strike(|number| field.connect_by_tls(number)?.write_all(&[b'\r'; 4096])),
        _ => field
            .strike(|number| field.connect_to(field.plain_listen, number, None)?.write_all(b"GET /crl/x HTTP/1.1\r\n")),
    }
}
