//! Replies as people read them: one line or a table, or JSON where the published output is JSON or --json asks for it.

use super::lists;
use super::terminal::Terminal;
use crate::error::{Error, Result};
use crate::identifier::harmless;
use serde_json::Value;

/// Commands whose output is JSON without any flag, since scripts pipe it into jq.
const ALWAYS_JSON: [&str; 3] = ["describe-item", "generate-acme-eab", "list-acme-accounts"];

pub(super) fn reply(command: &str, reply: &Value, as_json: bool) -> Result<String> {
    if as_json || ALWAYS_JSON.contains(&command) {
        return serde_json::to_string_pretty(reply).map_err(|e| Error::internal(e.to_string()));
    }
    let terminal = Terminal::of_output();
    if let Some(list) = lists::listed(command, reply, terminal) {
        return Ok(list);
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
        "config" => lists::settings(reply, terminal),
        "explain" => explained(reply),
        "check" => "Everything fits together.".into(),
        "status" => super::status::show(reply, terminal),
        _ => reply.to_string(),
    })
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
    // Clients have a say in what stands there.
    harmless(&line)
}

/// Each order with what happened to it, and what to do next.
fn explained(reply: &Value) -> String {
    let all = |name: &str| reply.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut stories = Vec::new();
    for order in all("orders") {
        let text = |name: &str| order.get(name).and_then(Value::as_str);
        let mut lines = Vec::new();
        if let (Some(id), Some(status)) = (text("order_id"), text("status")) {
            let issuer = text("issuer").unwrap_or("an issuer that is gone");
            lines.push(format!("order {id} at {issuer}: {status}"));
        }
        for line in order.get("story").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| line.get(name).and_then(Value::as_str);
            let from = text("address").map_or_else(String::new, |address| format!(" (from {address})"));
            let line = format!("  {}  {}{from}", text("at").unwrap_or_default(), text("what").unwrap_or_default());
            lines.push(harmless(&line));
        }
        lines.push(format!("  next: {}", text("next").unwrap_or_default()));
        stories.push(lines.join("\n"));
    }
    if let refusals @ [_, ..] = all("refusals") {
        let rows: Vec<String> = refusals.iter().map(|row| format!("  {}", audit_row(row))).collect();
        stories.push(format!("There is no order of it, but it was refused:\n{}", rows.join("\n")));
    }
    stories.join("\n\n")
}
