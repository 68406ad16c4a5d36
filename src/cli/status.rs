//! `status` in one screen.

use super::table::table;
use super::terminal::Terminal;
use crate::clock::{Span, Time};
use crate::identifier::harmless;
use serde_json::Value;

pub(super) fn show(reply: &Value, terminal: Terminal) -> String {
    let text = |name: &str| reply.get(name).and_then(Value::as_str).unwrap_or("-");
    let number = |name: &str| reply.get(name).and_then(Value::as_u64);
    let now = Time::parse(text("clock")).unwrap_or(Time(0));
    let trusted = reply.get("clock_trusted").and_then(Value::as_bool).unwrap_or_default();
    let uptime = Span(reply.get("uptime_seconds").and_then(Value::as_i64).unwrap_or_default());
    let facts = [
        ("version", format!("{}, up for {} since {}", text("version"), coarse(uptime), text("started"))),
        match reply.get("behind_proxy").and_then(Value::as_bool) {
            Some(true) => ("ACME over HTTP", format!("{}, behind a proxy", text("listen"))),
            _ => ("ACME over TLS", text("listen").to_owned()),
        },
        ("plain HTTP", text("plain_listen").to_owned()),
        ("metrics", text("metrics_listen").replace('-', "off")),
        ("certificates", certificates(reply)),
        ("clock", format!("{}{}", text("clock"), if trusted { "" } else { ", which is not believed" })),
        ("disk", disk(number("disk_free_bytes"), number("disk_size_bytes"), number("database_bytes"))),
        ("last backup", ago(reply.get("last_backup"), now).unwrap_or_else(|| "none".into())),
        ("last error", last_error(reply, now)),
    ];
    let of_issuer = |issuer: &Value| {
        let text = |name: &str| issuer.get(name).and_then(Value::as_str).unwrap_or("no ACME");
        ("issuer", format!("{} ({}): {}", text("name"), text("state"), text("acme_directory_url")))
    };
    let facts = facts.into_iter().chain(list(reply, "issuers").iter().map(of_issuer));
    // Names from before they were looked at may turn the direction of what follows.
    let mut out: Vec<String> = facts.map(|(name, fact)| format!("{name:<14} {}", harmless(&fact))).collect();
    let mut ends = Vec::new();
    for (what, name) in [("signer", "next_signers_to_end"), ("certificate", "next_certificates_to_end")] {
        for end in list(reply, name) {
            let text = |name: &str| end.get(name).and_then(Value::as_str).unwrap_or_default();
            let left = Time::parse(text("not_after")).map_or(Span(0), |at| at.since(now));
            ends.push(vec![what.to_owned(), text("name").to_owned(), text("not_after").to_owned(), coarse(left)]);
        }
    }
    if !ends.is_empty() {
        out.push(format!("\n{}", table(&["ENDS NEXT", "NAME", "AT", "LEFT"], &ends, terminal)));
    }
    let warnings = list(reply, "warnings").iter().filter_map(Value::as_str);
    let begun = |at: usize| if at == 0 { "\n" } else { "" };
    out.extend(warnings.enumerate().map(|(at, w)| format!("{}warning: {}", begun(at), harmless(w))));
    out.join("\n")
}

fn list<'r>(reply: &'r Value, name: &str) -> &'r [Value] {
    reply.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn certificates(reply: &Value) -> String {
    let Some(states) = reply.get("certificates").and_then(Value::as_object) else { return "being counted".into() };
    // In the order in which a certificate comes by them.
    let count = |state: &str| format!("{} {state}", states.get(state).and_then(Value::as_u64).unwrap_or_default());
    ["Valid", "About to Expire", "Expired", "Revoked"].map(count).join(", ")
}

fn disk(free: Option<u64>, all: Option<u64>, database: Option<u64>) -> String {
    let size = |bytes: Option<u64>| bytes.map_or("?".into(), size);
    format!("{} of {} free, the database has {}", size(free), size(all), size(database))
}

fn last_error(reply: &Value, now: Time) -> String {
    let Some(error) = reply.get("last_error") else { return "none since the start".into() };
    match (ago(error.get("at"), now), error.get("line").and_then(Value::as_str)) {
        (Some(at), Some(line)) => format!("{at}: {line}"),
        _ => "none since the start".into(),
    }
}

fn ago(at: Option<&Value>, now: Time) -> Option<String> {
    let text = at?.as_str()?;
    Some(format!("{text}, {} ago", coarse(now.since(Time::parse(text).ok()?))))
}

fn size(bytes: u64) -> String {
    let units: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let Some((unit_bytes, unit)) = units.into_iter().find(|(unit_bytes, _)| bytes >= *unit_bytes) else {
        return format!("{bytes} B");
    };
    let tenths = bytes.saturating_mul(10).div_euclid(unit_bytes);
    if tenths < 100 { format!("{}.{} {unit}", tenths / 10, tenths % 10) } else { format!("{} {unit}", tenths / 10) }
}

/// As exact as people want it: days, or hours and minutes, or seconds.
fn coarse(span: Span) -> String {
    let unit = [86_400, 3_600, 60].into_iter().find(|unit| span.0.div_euclid(*unit) >= 2).unwrap_or(1);
    Span(span.0.div_euclid(unit).saturating_mul(unit)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_name_steers_the_terminal() {
        let name = "/a\u{202e}b\u{1b}[2K";
        let reply = json!({"issuers": [{"name": name, "state": "enabled"}], "warnings": [name],
            "next_signers_to_end": [{"name": name, "not_after": "2030-01-01T00:00:00Z"}]});
        let shown = show(&reply, Terminal { width: None, has_colours: false });
        assert_eq!(shown.matches("/a\u{fffd}b").count(), 3, "{shown}");
        assert!(!shown.contains(['\u{202e}', '\u{1b}']), "{shown:?}");
    }

    #[test]
    fn sizes_and_times_are_as_people_say_them() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (20 << 20, "20 MiB"), (3 << 40, "3.0 TiB")]
        {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in
            [(-5, "-5s"), (0, "0s"), (119, "1m59s"), (7_199, "1h59m"), (90_000, "1d1h"), (200_000, "2d")]
        {
            assert_eq!(coarse(Span(seconds)), text);
        }
    }
}
