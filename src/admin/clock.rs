//! accept-clock: an administrator says that the clock is right, whatever it said before.

use super::{Administration, Arguments, Peer, done};
use crate::error::Result;
use serde_json::{Value, json};

pub(super) fn accept(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    admin.check_privileged(peer)?;
    arguments.finish()?;
    let now = admin.now();
    let before = admin.clock.mark();
    let shown = before.map_or_else(String::new, |mark| format!("it was last known to be right at {mark}"));
    let entry = done(peer, "accept-clock", now.to_string(), shown);
    admin.store.change(move |write| {
        write.put_clock_mark(now)?;
        write.append_audit(now, &entry)
    })?;
    admin.clock.set_mark(now);
    // The log tells of it.
    admin.clock.look()?;
    Ok(json!({ "clock": now.to_string(), "before": before.map(|mark| mark.to_string()) }))
}
