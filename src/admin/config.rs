//! config: what the settings are, and who said so.

use super::{Administration, Arguments, Peer};
use crate::error::Result;
use crate::settings::{Origin, Said, Settings};
use serde_json::{Map, Value, json};

pub(super) fn show(admin: &Administration, _: Peer, arguments: &mut Arguments) -> Result<Value> {
    arguments.finish()?;
    Ok(shown_settings(&admin.settings))
}

/// Settings as an object: for each its value and where it comes from.
pub fn shown_settings(settings: &Settings) -> Value {
    let shown = settings.said().into_iter().map(|(flag, said)| {
        let value = match said {
            Said::One(value) => json!(value),
            Said::Many(values) => json!(values),
        };
        let from = match settings.origin(flag) {
            Origin::Default => "default",
            Origin::Flag => "flag",
            Origin::Environment => "environment",
            Origin::Quickstart => "quickstart",
            Origin::Systemd => "systemd",
        };
        (flag.replace('-', "_"), json!({ "value": value, "from": from }))
    });
    Value::Object(shown.collect::<Map<_, _>>())
}
