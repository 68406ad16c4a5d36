//! Time as it is passed in: a point in time with whole seconds, a length of time, and the clock that tests can turn.

mod seldom;
mod watch;
mod written;

pub use seldom::Seldom;

use crate::error::{Error, Result};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use watch::Watch;

/// Where the time comes from, and whether it is to be believed. Clones of a manual clock move together.
#[derive(Clone)]
pub struct Clock {
    source: Source,
    watch: Arc<Watch>,
}

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Clock { source: Source::System, watch: Arc::new(Watch::new(false)) }
    }

    /// A clock that stands still until it is moved, and is called synchronised; for tests.
    pub fn manual(start: Time) -> Self {
        Clock { source: Source::Manual(Arc::new(AtomicI64::new(start.0))), watch: Arc::new(Watch::new(true)) }
    }

    /// The time now.
    pub fn now(&self) -> Time {
        match &self.source {
            Source::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
                Time(i64::try_from(since).unwrap_or(i64::MAX))
            }
            Source::Manual(at) => Time(at.load(Ordering::SeqCst)),
        }
    }

    /// Move a manual clock on by `by`; the machine's clock is left alone.
    pub fn advance(&self, by: Span) {
        if let Source::Manual(at) = &self.source {
            at.fetch_add(by.0, Ordering::SeqCst);
        }
    }

    /// Whether a manual clock is called synchronised; for the machine's clock the system is asked.
    pub fn set_synchronised(&self, synchronised: bool) {
        self.watch.set_synchronised(synchronised);
    }

    /// The time, for what is signed or lasts until a moment.
    ///
    /// # Errors
    /// Unavailable, with what to do, while the clock is not to be believed.
    pub fn trusted(&self) -> Result<Time> {
        self.watch.judge(self.now()).map_err(Error::told)
    }

    /// The same, asking the system whether it vouches for a clock that is far ahead, and telling the log of every change.
    ///
    /// # Errors
    /// As those of `trusted`.
    pub fn look(&self) -> Result<Time> {
        self.watch.look(self.now(), matches!(self.source, Source::System)).map_err(Error::told)
    }

    /// The last moment at which the clock was right.
    pub fn mark(&self) -> Option<Time> {
        self.watch.mark()
    }

    /// From now on the clock was right at this moment, whatever was known before.
    pub fn set_mark(&self, mark: Time) {
        self.watch.set_mark(mark);
    }

    /// The time by which what is kept is judged: the last moment at which the clock was right, while it is wrong.
    pub fn believed(&self) -> Time {
        self.trusted().ok().or(self.mark()).unwrap_or(self.now())
    }

    /// The later of now and the last moment at which the clock was right, for what must not begin to hold again when the
    /// clock steps back.
    pub fn latest(&self) -> Time {
        self.mark().map_or(self.now(), |mark| mark.max(self.now()))
    }
}

/// This much later, for deadlines; at once where that is later than an `Instant` can be.
pub fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by).unwrap_or(now)
}

/// A point in time: seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    /// Later than everything that happens.
    pub const NEVER: Time = Time(i64::MAX);

    /// This much later.
    pub fn plus(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }

    /// This much earlier.
    pub fn minus(self, span: Span) -> Time {
        Time(self.0.saturating_sub(span.0))
    }

    /// How long after `earlier` this is; negative when it is before.
    pub fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// Parse a moment of RFC 3339; fractions of a second are cut, offsets are taken.
    ///
    /// # Errors
    /// Malformed for any other text.
    pub fn parse(text: &str) -> Result<Time> {
        let wrong = || Error::malformed("a time is not written as in RFC 3339, such as 2030-01-31T12:00:00Z");
        let number = |from: usize, to: usize| -> Result<i64> {
            let digits = text.get(from..to).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
            digits.and_then(|d| d.parse().ok()).ok_or_else(wrong)
        };
        let mark = |at: usize, expected: u8| text.as_bytes().get(at).is_some_and(|c| c.eq_ignore_ascii_case(&expected));
        if !(mark(4, b'-') && mark(7, b'-') && mark(10, b't') && mark(13, b':') && mark(16, b':')) {
            return Err(wrong());
        }
        let civil = Civil {
            year: number(0, 4)?,
            month: number(5, 7)?,
            day: number(8, 10)?,
            hour: number(11, 13)?,
            minute: number(14, 16)?,
            second: number(17, 19)?,
        };
        let local = Time::from_civil(civil).ok_or_else(wrong)?;
        let rest = text.get(19..).ok_or_else(wrong)?;
        let zone = match rest.strip_prefix('.') {
            Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
            None => rest,
        };
        if zone.eq_ignore_ascii_case("z") {
            return Ok(local);
        }
        let at = text.len().saturating_sub(zone.len());
        if zone.len() != 6 || !mark(at.saturating_add(3), b':') {
            return Err(wrong());
        }
        let hours = number(at.saturating_add(1), at.saturating_add(3))?;
        let minutes = number(at.saturating_add(4), at.saturating_add(6))?;
        let offset = Span(hours.saturating_mul(3_600).saturating_add(minutes.saturating_mul(60)));
        match zone.as_bytes().first() {
            Some(b'+') => Ok(local.minus(offset)),
            Some(b'-') => Ok(local.plus(offset)),
            _ => Err(wrong()),
        }
    }

    /// Year, month, day, hour, minute, second in UTC (proleptic Gregorian calendar).
    // Seconds of 64 bits make days of 47, and nothing here makes much more of them.
    #[allow(clippy::arithmetic_side_effects)]
    pub fn civil(self) -> Civil {
        let days = self.0.div_euclid(86_400);
        let second_of_day = self.0.rem_euclid(86_400);
        // Days are counted from 0000-03-01, so that a leap day is the last of its year, in eras of 400 years.
        let shifted = days.saturating_add(719_468);
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Civil {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: second_of_day / 3_600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
        }
    }

    /// Seconds since the epoch of a moment in UTC, or `None` when it does not exist in the calendar.
    // Years have four digits, and everything else is less.
    #[allow(clippy::arithmetic_side_effects)]
    pub fn from_civil(c: Civil) -> Option<Time> {
        let in_range = (0..=9_999).contains(&c.year)
            && (1..=12).contains(&c.month)
            && (1..=31).contains(&c.day)
            && (0..24).contains(&c.hour)
            && (0..60).contains(&c.minute)
            && (0..60).contains(&c.second);
        if !in_range {
            return None;
        }
        let year = c.year - i64::from(c.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month_from_march = (c.month + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + c.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let time = Time(days * 86_400 + c.hour * 3_600 + c.minute * 60 + c.second);
        (time.civil() == c).then_some(time)
    }
}

/// A moment of the calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Civil {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
}

/// A length of time in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub i64);

impl Span {
    /// One hour.
    pub const HOUR: Span = Span(3_600);
    /// One day.
    pub const DAY: Span = Span(86_400);

    /// So many days.
    pub const fn days(n: i64) -> Span {
        Span(n.saturating_mul(86_400))
    }

    /// Parse a duration as the commands take it: whole seconds, or numbers with a suffix `s`, `m`, `h`, `d`, one after
    /// the other (`1d12h`).
    ///
    /// # Errors
    /// Malformed when the text is anything else, or too long a time to count.
    pub fn parse(text: &str) -> Result<Span> {
        let wrong = || {
            Error::malformed(format!(
                "\"{text}\" is not a duration; write seconds (3600) or numbers with s, m, h, d (90d, 1d12h)"
            ))
        };
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Span).map_err(|_| wrong());
        }
        let mut total: i64 = 0;
        let mut digits = String::new();
        for c in text.chars() {
            let unit = match c {
                '0'..='9' => {
                    digits.push(c);
                    continue;
                }
                's' => 1,
                'm' => 60,
                'h' => 3_600,
                'd' => 86_400,
                _ => return Err(wrong()),
            };
            let count: i64 = digits.parse().map_err(|_| wrong())?;
            let part = count.checked_mul(unit).ok_or_else(wrong)?;
            total = total.checked_add(part).ok_or_else(wrong)?;
            digits.clear();
        }
        if digits.is_empty() { Ok(Span(total)) } else { Err(wrong()) }
    }
}

/// The shortest spelling that `parse` takes: `90d`, `1d12h`, `0s`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if rest <= 0 {
            return write!(f, "{rest}s");
        }
        for (unit, suffix) in [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')] {
            if rest >= unit {
                write!(f, "{}{suffix}", rest.div_euclid(unit))?;
                rest = rest.rem_euclid(unit);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_goes_both_ways_over_leap_years_and_centuries() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_795_516_261, "2026-11-24T10:31:01Z"),
        ] {
            assert_eq!(Time(seconds).to_string(), text);
            assert_eq!(Time::from_civil(Time(seconds).civil()), Some(Time(seconds)));
        }
        let leap = Civil { year: 2100, month: 2, day: 29, hour: 0, minute: 0, second: 0 };
        assert_eq!(Time::from_civil(leap), None, "2100 has no 29 February");
    }

    #[test]
    fn moments_are_read_as_rfc_3339_writes_them() {
        let noon = Time::parse("2030-01-31T12:00:00Z").unwrap();
        for same in [
            "2030-01-31t12:00:00z",
            "2030-01-31T12:00:00.999Z",
            "2030-01-31T14:30:00+02:30",
            "2030-01-31T11:00:00-01:00",
        ] {
            assert_eq!(Time::parse(same), Ok(noon), "{same}");
        }
        for wrong in [
            "",
            "2030",
            "2030-01-31",
            "2030-02-31T12:00:00Z",
            "2030-01-31 12:00:00Z",
            "2030-01-31T12:00:00",
            "2030-01-31T12:00:00+0230",
            "2030-01-31T12:00:00Zé",
            "+030-01-31T12:00:00Z",
        ] {
            assert!(Time::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_seconds_or_units_and_nothing_else() {
        for (text, seconds) in [("90d", 7_776_000), ("1d12h", 129_600), ("3600", 3_600), ("10m30s", 630), ("0", 0)] {
            assert_eq!(Span::parse(text), Ok(Span(seconds)));
        }
        for text in ["", "d", "90x", "-1", "1d12", "99999999999999999999", "9999999999999999d", "1 d", "1.5h"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
        assert_eq!(Span(129_600).to_string(), "1d12h");
    }
}
