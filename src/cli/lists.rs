//! What list commands reply, as tables.

use super::environment::variable_of;
use super::table::table;
use super::terminal::Terminal;
use serde_json::Value;

/// What a command lists: the member of its reply, a heading and a member for each column, and what is said where there is
/// nothing.
struct List {
    command: &'static str,
    member: &'static str,
    columns: &'static [(&'static str, &'static str)],
    nothing: &'static str,
}

const LISTS: [List; 3] = [
    List {
        command: "list-items",
        member: "items",
        columns: &[("NAME", "item_name"), ("TYPE", "item_type"), ("STATE", "item_state"), ("CREATED", "creation_date")],
        nothing: "There are no such items.",
    },
    List {
        command: "list-certificates",
        member: "certificates",
        columns: &[
            ("NAME", "name"),
            ("VERSION", "version"),
            ("STATUS", "status"),
            ("NOT AFTER", "not_after"),
            ("SERIAL NUMBER", "serial_number"),
        ],
        nothing: "There are no such certificates.",
    },
    List {
        command: "list-acme-eabs",
        member: "eabs",
        columns: &[
            ("KID", "kid"),
            ("EXPIRES", "expires_at"),
            ("USES", "uses"),
            ("USED", "used"),
            ("DOMAINS", "allowed_domains"),
            ("NO CHALLENGE", "no_challenge"),
            ("UNTIL", "authorized_until"),
            ("NOTE", "contact_note"),
        ],
        nothing: "There are no such credentials.",
    },
];

/// The reply of a list command as a table; None for other commands.
pub(super) fn listed(command: &str, reply: &Value, terminal: Terminal) -> Option<String> {
    let list = LISTS.iter().find(|list| list.command == command)?;
    let found = reply.get(list.member)?.as_array()?;
    if found.is_empty() {
        return Some(list.nothing.to_owned());
    }
    let heading: Vec<&str> = list.columns.iter().map(|(title, _)| *title).collect();
    let row = |item: &Value| list.columns.iter().map(|(_, member)| cell(item.get(member))).collect();
    let mut shown = table(&heading, &found.iter().map(row).collect::<Vec<_>>(), terminal);
    if let Some(next) = reply.get("next").and_then(Value::as_i64) {
        shown.push_str(&format!("\nThere are more: --before {next}"));
    }
    Some(shown)
}

/// The reply of config: a row for each setting.
pub(super) fn settings(reply: &Value, terminal: Terminal) -> String {
    let settings = reply.as_object().into_iter().flatten().map(|(name, said)| {
        let flag = name.replace('_', "-");
        let from = match said.get("from").and_then(Value::as_str).unwrap_or_default() {
            "flag" => format!("--{flag}"),
            "environment" => variable_of(&flag),
            other => other.to_owned(),
        };
        vec![flag, cell(said.get("value")), from]
    });
    table(&["SETTING", "VALUE", "FROM"], &settings.collect::<Vec<_>>(), terminal)
}

fn cell(value: Option<&Value>) -> String {
    let text = match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(is_so)) => if *is_so { "yes" } else { "no" }.to_owned(),
        Some(Value::Array(values)) => values.iter().map(|value| cell(Some(value))).collect::<Vec<_>>().join(","),
        _ => String::new(),
    };
    if text.is_empty() { "-".to_owned() } else { text }
}
