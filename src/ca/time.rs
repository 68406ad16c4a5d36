//! Times in DER (RFC 5280, 4.1.2.5).

use crate::clock::{Civil, Time};
use crate::der::{self, Reader};
use crate::error::{Error, Result};

/// UTCTime through 2049, GeneralizedTime from then on.
pub(super) fn time(at: Time) -> Vec<u8> {
    match (1950..2050).contains(&at.civil().year) {
        true => der::element(der::UTC_TIME, at.written("%y%m%d%H%M%SZ").as_bytes()),
        false => generalized_time(at),
    }
}

/// GeneralizedTime whatever the year, as OCSP has it (RFC 6960, 4.2.2.1).
pub(super) fn generalized_time(at: Time) -> Vec<u8> {
    der::element(der::GENERALIZED_TIME, at.written("%Y%m%d%H%M%SZ").as_bytes())
}

/// Read a whole Time element.
///
/// # Errors
/// Malformed when it is neither of the two forms, in UTC and with seconds, or no moment of the calendar.
pub(super) fn parse_time(element: &[u8]) -> Result<Time> {
    let wrong = || Error::malformed("a time is not one of RFC 5280");
    let (tag, text, _) = Reader::new(element).any()?;
    let text = std::str::from_utf8(text).map_err(|_| wrong())?.strip_suffix('Z').ok_or_else(wrong)?;
    let (year, rest) = match tag {
        der::UTC_TIME => text.split_at_checked(2),
        der::GENERALIZED_TIME => text.split_at_checked(4),
        _ => None,
    }
    .ok_or_else(wrong)?;
    if rest.len() != 10 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let number = |digits: Option<&str>| digits.and_then(|d| d.parse::<i64>().ok()).ok_or_else(wrong);
    let pair = |at: usize| number(rest.get(at..at.saturating_add(2)));
    let year = match (tag, number(Some(year))?) {
        (der::UTC_TIME, short @ 0..50) => short.saturating_add(2_000),
        (der::UTC_TIME, short) => short.saturating_add(1_900),
        (_, year) => year,
    };
    let civil = Civil { year, month: pair(0)?, day: pair(2)?, hour: pair(4)?, minute: pair(6)?, second: pair(8)? };
    Time::from_civil(civil).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Span;

    #[test]
    fn times_are_read_as_they_are_written() {
        for text in ["1950-01-01T00:00:00Z", "2026-11-24T12:34:56Z", "2049-12-31T23:59:59Z", "2050-01-01T00:00:00Z"] {
            let at = Time::parse(text).unwrap();
            assert_eq!(parse_time(&time(at)).unwrap(), at);
            assert_eq!(parse_time(&generalized_time(at)).unwrap(), at);
        }
        let last = Time::parse("2049-12-31T23:59:59Z").unwrap();
        assert_eq!(time(last), [&[0x17, 13][..], b"491231235959Z"].concat());
        assert_eq!(time(last.plus(Span(1))), [&[0x18, 15][..], b"20500101000000Z"].concat());
        for (tag, text) in [
            (der::UTC_TIME, "2611241234Z"),
            (der::UTC_TIME, "261124123456+0000"),
            (der::UTC_TIME, "261324123456Z"),
            (der::GENERALIZED_TIME, "20261124123456.5Z"),
            (der::GENERALIZED_TIME, "2026é1124123456Z"),
            (der::UTF8_STRING, "261124123456Z"),
        ] {
            assert!(parse_time(&der::element(tag, text.as_bytes())).is_err(), "{text}");
        }
    }
}
