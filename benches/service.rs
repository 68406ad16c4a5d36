//! The daemon as a service runs it: it does not tell everything that it does.

use crate::world::daemon::Ca;

pub fn launch(ca: &mut Ca) {
    ca.launch_with(|command| {
        command.env("RUST_LOG", "info");
    });
}
