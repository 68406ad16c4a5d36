//! Moments as standards write them.

use super::Time;
use std::fmt;

/// RFC 3339, UTC, whole seconds: what ACME (RFC 8555, 7.1) and the commands say.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl Time {
    /// In UTC as a pattern of strftime(3) says, of whose conversions these are known: `%a %b %d %H %m %M %S %y %Y`.
    pub fn written(self, pattern: &str) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let name = |names: &[&'static str], at: i64| {
            usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default().bytes()
        };
        let c = self.civil();
        let mut out = Vec::with_capacity(32);
        let mut letters = pattern.bytes();
        while let Some(letter) = letters.next() {
            if letter != b'%' {
                out.push(letter);
                continue;
            }
            match letters.next() {
                // 1970-01-01 was a Thursday.
                Some(b'a') => out.extend(name(&DAYS, self.0.div_euclid(86_400).rem_euclid(7))),
                Some(b'b') => out.extend(name(&MONTHS, c.month.saturating_sub(1))),
                Some(b'd') => push_pair(&mut out, c.day),
                Some(b'H') => push_pair(&mut out, c.hour),
                Some(b'm') => push_pair(&mut out, c.month),
                Some(b'M') => push_pair(&mut out, c.minute),
                Some(b'S') => push_pair(&mut out, c.second),
                Some(b'y') => push_pair(&mut out, c.year.rem_euclid(100)),
                Some(b'Y') if (0..=9_999).contains(&c.year) => {
                    push_pair(&mut out, c.year / 100);
                    push_pair(&mut out, c.year % 100);
                }
                Some(b'Y') => out.extend(format!("{:04}", c.year).bytes()),
                _ => {}
            }
        }
        // Patterns are text, and so is what stands in for a part of one.
        String::from_utf8(out).unwrap_or_default()
    }
}

/// A number below a hundred in two digits.
fn push_pair(out: &mut Vec<u8>, number: i64) {
    out.extend([number / 10, number % 10].map(|digit| b'0' | digit as u8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_are_written_as_they_are_however_long() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (253_402_300_800, "Sat, 01 Jan 10000 00:00:00 GMT"),
            (-62_167_219_201, "Fri, 31 Dec -001 23:59:59 GMT"),
        ] {
            assert_eq!(Time(seconds).written("%a, %d %b %Y %H:%M:%S GMT"), text);
        }
        assert_eq!(Time(951_782_399).written("%y%m%d"), "000228");
    }
}
