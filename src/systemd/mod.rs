//! What systemd hands to the daemon when it starts it, and what the daemon tells systemd. Without systemd neither happens.

mod notify;
mod sockets;

pub use notify::Notifier;
pub use sockets::PassedSockets;
