//! The commands about what happened and how things stand.

use super::commands::{Text, daemon_command};
use argh::{ArgsInfo, FromArgs};

daemon_command! {
    /// Show the audit log: what was done or refused, by whom, over what.
    #[argh(subcommand, name = "audit", example = "certwright audit --action finalize --since 1d")]
    struct Audit {
        /// only by this one, such as "uid 0" or "account 7"
        #[argh(option, arg_name = "text")]
        actor: Option<Text>,
        /// only this action, such as finalize or create-dfc-key
        #[argh(option, arg_name = "text")]
        action: Option<Text>,
        /// only over what contains this
        #[argh(option, arg_name = "text")]
        object: Option<Text>,
        /// only what was done, or refused
        #[argh(option, arg_name = "done|refused")]
        outcome: Option<Text>,
        /// only from this moment on, or for so long
        #[argh(option, arg_name = "time")]
        since: Option<Text>,
        /// how many rows at most (100)
        #[argh(option, arg_name = "n")]
        limit: Option<Text>,
        /// only rows after this one
        #[argh(option, arg_name = "n")]
        after: Option<Text>,
        /// go on showing new rows until interrupted
        #[argh(switch)]
        follow: bool,
        /// follow the chain of hashes instead, and say whether the log is whole
        #[argh(switch)]
        verify: bool,
    }
}

daemon_command! {
    /// Tell the story of an issuance: who ordered what, what was asked of which address, what came of it, what to do next.
    #[argh(subcommand, name = "explain", example = "certwright explain --domain www.home.arpa")]
    struct Explain {
        /// the order, as the last part of its URL names it
        #[argh(option, arg_name = "id")]
        order: Option<String>,
        /// the newest orders of this name
        #[argh(option, arg_name = "name")]
        domain: Option<String>,
        /// the certificate, by its name or serial number
        #[argh(option, arg_name = "name")]
        certificate: Option<String>,
    }
}

daemon_command! {
    /// Say that the clock is right, after it was set or stood still for long; until then nothing is signed.
    #[argh(subcommand, name = "accept-clock", example = "certwright accept-clock")]
    struct AcceptClock {}
}

daemon_command! {
    /// Look whether everything fits together: database, audit log, fragments, certificates, CRLs.
    #[argh(
        subcommand,
        name = "check",
        example = "certwright check",
        note = "With --offline no daemon is needed, and nothing is written: for a state whose daemon does not start."
    )]
    struct Check {
        /// look without the daemon, which must not run
        #[argh(switch)]
        offline: bool,
        /// with --offline: the state to look at (else CERTWRIGHT_STATE_DIR, else /var/lib/certwright)
        #[argh(option, arg_name = "dir")]
        state_dir: Option<Text>,
        /// with --offline: a further place of key fragments; repeatable (else CERTWRIGHT_FRAGMENT_DIR)
        #[argh(option, arg_name = "dir")]
        fragment_dir: Vec<Text>,
    }
}

daemon_command! {
    /// Show the daemon's version, addresses, issuers and warnings.
    #[argh(subcommand, name = "status", example = "certwright status --json")]
    struct Status {}
}

daemon_command! {
    /// Show the settings that the daemon runs with, and where each comes from: a flag, the environment, a socket of systemd, or nobody (the default).
    #[argh(
        subcommand,
        name = "config",
        example = "certwright config",
        example = "certwright config --offline",
        note = "systemd reads the service's environment from /etc/default/certwright; before a restart, see what that file \
                would do with: set -a; . /etc/default/certwright; certwright config --offline"
    )]
    struct Config {
        /// show what serve would make of the environment of this command instead; no daemon is needed
        #[argh(switch)]
        offline: bool,
    }
}

daemon_command! {
    /// Write everything that a daemon needs to go on into one file, while it runs.
    #[argh(
        subcommand,
        name = "backup",
        example = "certwright backup --to certwright-backup.tar --with-fragments",
        note = "The file is a tar archive. Without the fragments there is no private key in it that can be used, so keep them \
                elsewhere; what the daemon's own TLS certificates need is made anew.",
        note = "restore puts it back."
    )]
    struct Backup {
        /// the file to write
        #[argh(option, arg_name = "file")]
        to: Text,
        /// put the key fragments and the daemon's TLS keys into it as well, for root and the daemon's user only; who has the file then has the keys
        #[argh(switch)]
        with_fragments: bool,
        /// replace the file if there is one
        #[argh(switch)]
        force: bool,
    }
}

/// Put a backup in the place of a state directory, while no daemon runs. What was there is kept beside it, and what was
/// revoked, deactivated, deleted or blocked since is taken over from it.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "restore",
    example = "certwright restore --from certwright-backup.tar",
    note = "No daemon is needed; start it afterwards as before."
)]
#[allow(dead_code)]
pub(super) struct Restore {
    /// the backup
    #[argh(option, arg_name = "file")]
    from: Text,
    /// where the state is to be (else CERTWRIGHT_STATE_DIR, else /var/lib/certwright)
    #[argh(option, arg_name = "dir")]
    state_dir: Option<Text>,
    /// a further place of key fragments; repeatable (else CERTWRIGHT_FRAGMENT_DIR)
    #[argh(option, arg_name = "dir")]
    fragment_dir: Vec<Text>,
    /// a complete CRL that was published, whose revocations are taken over: a file or an http URL; repeatable
    #[argh(option, arg_name = "file")]
    crl: Vec<Text>,
    /// hold every account until its limits are lifted with set-limits
    #[argh(switch)]
    suspend_accounts: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
}
