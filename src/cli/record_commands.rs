//! The commands about what happened and how things stand.

use super::commands::daemon_command;
use argh::{ArgsInfo, FromArgs};

daemon_command! {
    /// Show the audit log: what was done or refused, by whom, over what.
    #[argh(subcommand, name = "audit", example = "certwright audit --action finalize --since 1d")]
    struct Audit {
        /// only by this one, such as "uid 0" or "account 7"
        #[argh(option)]
        actor: Option<String>,
        /// only this action, such as finalize or create-dfc-key
        #[argh(option)]
        action: Option<String>,
        /// only over what contains this
        #[argh(option, arg_name = "text")]
        object: Option<String>,
        /// only done or refused
        #[argh(option)]
        outcome: Option<String>,
        /// only from this moment on, or for so long
        #[argh(option, arg_name = "time")]
        since: Option<String>,
        /// how many rows at most (100)
        #[argh(option, arg_name = "n")]
        limit: Option<String>,
        /// only rows after this one
        #[argh(option, arg_name = "n")]
        after: Option<String>,
        /// go on showing new rows until interrupted
        #[argh(switch)]
        follow: bool,
        /// follow the chain of hashes instead, and say whether the log is whole
        #[argh(switch)]
        verify: bool,
    }
}

daemon_command! {
    /// Say that the clock is right, after it was set or stood still for long; until then nothing is signed.
    #[argh(subcommand, name = "accept-clock", example = "certwright accept-clock")]
    struct AcceptClock {}
}

daemon_command! {
    /// Look whether everything fits together: database, audit log, fragments, certificates, CRLs.
    #[argh(subcommand, name = "check", example = "certwright check")]
    struct Check {}
}

daemon_command! {
    /// Show the daemon's version, addresses, issuers and warnings.
    #[argh(subcommand, name = "status", example = "certwright status --json")]
    struct Status {}
}
