//! Replies as people read them: one line, or JSON where the published output is JSON or --json asks for it.

use crate::error::{Error, Result};
use serde_json::Value;

/// Commands whose output is JSON without any flag, since scripts pipe it into jq.
const ALWAYS_JSON: [&str; 4] = ["describe-item", "generate-acme-eab", "list-acme-accounts", "list-acme-eabs"];

pub(super) fn reply(command: &str, reply: &Value, as_json: bool) -> Result<String> {
    if as_json || ALWAYS_JSON.contains(&command) {
        return serde_json::to_string_pretty(reply).map_err(|e| Error::internal(e.to_string()));
    }
    let text = |name: &str| reply.get(name).and_then(Value::as_str).unwrap_or_default();
    Ok(match command {
        "create-dfc-key" => {
            let fragments = reply.get("fragment_results").and_then(Value::as_array).map_or(0, Vec::len);
            format!("The key was created, in {fragments} fragments.")
        }
        "create-pki-cert-issuer" => format!(
            "The issuer {} was created; status shows its ACME directory, generate-acme-eab makes a credential.",
            text("name")
        ),
        "update-pki-cert-issuer" => format!("The issuer {} was changed.", text("name")),
        "set-item-state" | "update-item" => "The item was changed.".into(),
        "delete-item" => match reply.get("deletion_date").and_then(Value::as_str) {
            Some(at) => format!(
                "{} will be deleted at {at}; set-item-state --desired-state Enabled keeps it.",
                text("item_name")
            ),
            None => format!("{} was deleted.", text("item_name")),
        },
        "revoke-acme-eab" => "The credential was taken back.".into(),
        "set-limits" => "The limits were changed.".into(),
        "renew-soon" => format!(
            "Clients that ask for renewal information will renew {} certificate(s) soon.",
            reply.get("certificates").and_then(Value::as_i64).unwrap_or(0)
        ),
        "deactivate-acme-account" => "The account is deactivated; clients that use it can no longer renew.".into(),
        "get-certificate-value" => text("certificate_pem").trim_end().to_owned(),
        "list-items" => items(reply),
        "list-certificates" => certificates(reply),
        "revoke-certificate" => revoked(reply),
        "export-signer-csr" => text("csr").trim_end().to_owned(),
        "import-signer-certificate" => format!("{} signs with its new certificate from now on.", text("name")),
        "import-signer" => "The signer was taken over; what it revoked stays revoked.".into(),
        "rotate-key" if text("rotation") == "finished" => {
            format!("Chains of {} end in its own root from now on.", text("name"))
        }
        "rotate-key" => format!("{} has a new key ({}): {}.", text("name"), text("rotation"), text("next")),
        "renew-signer-certificate" => format!("{} has a certificate with a later end.", text("name")),
        "refresh-key" => match reply.get("fragment_files").and_then(Value::as_array) {
            Some(files) => {
                let files: Vec<&str> = files.iter().filter_map(Value::as_str).collect();
                format!(
                    "The fragments of {} were changed, and without what was handed out it cannot be opened after the next \
                     start: {}.",
                    text("name"),
                    files.join("; ")
                )
            }
            None => format!("The fragments of {} were changed.", text("name")),
        },
        "accept-clock" => format!("The clock is taken to be right: {}.", text("clock")),
        "audit" => match reply.get("verified").and_then(Value::as_i64) {
            Some(rows) => format!("The audit log is whole: {rows} rows, each fitting to the one before."),
            None => {
                let rows = reply.get("rows").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                rows.iter().map(audit_row).collect::<Vec<_>>().join("\n")
            }
        },
        "check" => "Everything fits together.".into(),
        "status" => super::status::show(reply),
        _ => reply.to_string(),
    })
}

fn items(reply: &Value) -> String {
    let items = reply.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        return "There are no such items.".into();
    }
    let cell = |item: &Value, name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows: Vec<[String; 4]> = items
        .iter()
        .map(|i| ["item_name", "item_type", "item_state", "creation_date"].map(|name| cell(i, name)))
        .collect();
    table(["NAME", "TYPE", "STATE", "CREATED"], &rows)
}

fn revoked(reply: &Value) -> String {
    let count = |name: &str| reply.get(name).and_then(Value::as_u64).unwrap_or(0);
    let mut said = format!("{} certificate(s) revoked", count("revoked"));
    if count("keys_blocked_only") > 0 {
        said.push_str(&format!("; {} were revoked before, and their keys are blocked now", count("keys_blocked_only")));
    }
    said.push_str(if reply.get("warnings").is_none() { "; CRLs and OCSP say so." } else { "." });
    said
}

fn certificates(reply: &Value) -> String {
    let found = reply.get("certificates").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if found.is_empty() {
        return "There are no such certificates.".into();
    }
    let cell = |certificate: &Value, name: &str| match certificate.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => "-".to_owned(),
    };
    let rows: Vec<[String; 5]> = found
        .iter()
        .map(|c| ["name", "version", "status", "not_after", "serial_number"].map(|name| cell(c, name)))
        .collect();
    let mut shown = table(["NAME", "VERSION", "STATUS", "NOT AFTER", "SERIAL NUMBER"], &rows);
    if let Some(next) = reply.get("next").and_then(Value::as_i64) {
        shown.push_str(&format!("\nThere are more: --before {next}"));
    }
    shown
}

/// One row of the audit log as one line.
pub(super) fn audit_row(row: &Value) -> String {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut line = format!("{} {} {} {}", text("at"), text("actor"), text("outcome"), text("action"));
    for part in [text("object"), text("detail")].into_iter().filter(|part| !part.is_empty()) {
        line.push_str(": ");
        line.push_str(part);
    }
    if !text("address").is_empty() {
        line.push_str(&format!(" (from {})", text("address")));
    }
    line
}

/// Columns as wide as their widest cell.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|h| h.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(head)];
    lines.extend(rows.iter().map(|row| line(row.each_ref().map(String::as_str))));
    lines.join("\n")
}
