//! The commands and their flags. Help, the pre-pass, and later man pages and completions all read these definitions.

use super::acme_commands::{
    ClientConfig, DeactivateAcmeAccount, GenerateAcmeEab, ListAcmeAccounts, ListAcmeEabs, RenewSoon, RevokeAcmeEab,
    SetLimits,
};
use super::certificate_commands::{GetCertificateValue, ListCertificates, RevokeCertificate};
use super::issuer_commands::{CreatePkiCertIssuer, UpdatePkiCertIssuer};
use super::record_commands::{AcceptClock, Audit, Backup, Check, Config, Explain, Restore, Status};
use super::signer_commands::{
    CreateDfcKey, ExportSignerCsr, ImportSigner, ImportSignerCertificate, RefreshKey, RenewSignerCertificate,
    RotateKey, Trust,
};
use argh::{ArgsInfo, EarlyExit, FromArgs};
use std::convert::Infallible;
use std::str::FromStr;

/// A private ACME certificate authority for your network.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    note = "Flags are written --flag VALUE or --flag=VALUE. Lists take commas or the flag again.",
    note = "Exit status: 0 done, 1 refused, 2 wrong usage."
)]
pub(super) struct Certwright {
    #[argh(subcommand)]
    pub(super) command: Command,
}

impl Certwright {
    pub(super) fn parse(argv: &[&str]) -> Result<Certwright, EarlyExit> {
        Certwright::from_args(&["certwright"], argv)
    }
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[allow(dead_code)]
pub(super) enum Command {
    Serve(Serve),
    Quickstart(Quickstart),
    CreateDfcKey(CreateDfcKey),
    CreatePkiCertIssuer(CreatePkiCertIssuer),
    UpdatePkiCertIssuer(UpdatePkiCertIssuer),
    DescribeItem(DescribeItem),
    ListItems(ListItems),
    SetItemState(SetItemState),
    UpdateItem(UpdateItem),
    DeleteItem(DeleteItem),
    ClientConfig(ClientConfig),
    Trust(Trust),
    GenerateAcmeEab(GenerateAcmeEab),
    ListAcmeEabs(ListAcmeEabs),
    RevokeAcmeEab(RevokeAcmeEab),
    SetLimits(SetLimits),
    RenewSoon(RenewSoon),
    ListAcmeAccounts(ListAcmeAccounts),
    DeactivateAcmeAccount(DeactivateAcmeAccount),
    GetCertificateValue(GetCertificateValue),
    ListCertificates(ListCertificates),
    RevokeCertificate(RevokeCertificate),
    ExportSignerCsr(ExportSignerCsr),
    ImportSignerCertificate(ImportSignerCertificate),
    ImportSigner(ImportSigner),
    RotateKey(RotateKey),
    RenewSignerCertificate(RenewSignerCertificate),
    RefreshKey(RefreshKey),
    AcceptClock(AcceptClock),
    Explain(Explain),
    Audit(Audit),
    Backup(Backup),
    Restore(Restore),
    Check(Check),
    Status(Status),
    Config(Config),
}

/// A flag's value, of which argh needs to know only that it is there: the pre-pass has kept it, and the request is made of
/// that. Texts in some two hundred fields would be code that copies and drops them, in a binary that has no room for it.
pub(super) struct Text;

impl FromStr for Text {
    type Err = Infallible;

    fn from_str(_: &str) -> Result<Text, Infallible> {
        Ok(Text)
    }
}

/// A command that the daemon carries out; each has the two flags at the end. argh checks what is required.
macro_rules! daemon_command {
    ($(#[$attribute:meta])* struct $name:ident { $($fields:tt)* }) => {
        #[derive(FromArgs, ArgsInfo)]
        #[allow(dead_code)]
        $(#[$attribute])*
        pub(super) struct $name {
            $($fields)*
            /// print JSON
            #[argh(switch)]
            json: bool,
            /// the daemon's admin socket (else CERTWRIGHT_ADMIN_SOCKET, else /run/certwright/admin.sock)
            #[argh(option, arg_name = "socket")]
            admin_socket: Option<Text>,
        }
    };
}
pub(super) use daemon_command;

/// A command that makes or changes an item, with what all items have.
macro_rules! item_command {
    ($(#[$attribute:meta])* struct $name:ident { $($fields:tt)* }) => {
        daemon_command! {
            $(#[$attribute])*
            struct $name {
                $($fields)*
                /// refuse to delete it
                #[argh(switch)]
                delete_protection: bool,
                /// what it is for
                #[argh(option, arg_name = "text")]
                description: Option<Text>,
                /// a tag; a list
                #[argh(option)]
                tag: Vec<Text>,
            }
        }
    };
}
pub(super) use item_command;

/// Run the daemon.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "serve",
    example = "certwright serve --fragment-dir /mnt/usb/certwright --dns-server 192.168.1.1",
    note = "Each flag is also an environment variable, such as CERTWRIGHT_STATE_DIR; a flag goes before it."
)]
#[allow(dead_code)]
pub(super) struct Serve {
    /// database, keys, fragments (/var/lib/certwright)
    #[argh(option, arg_name = "dir")]
    state_dir: Option<Text>,
    /// where to serve ACME over TLS ([::]:8000)
    #[argh(option, arg_name = "addr")]
    listen: Option<Text>,
    /// where to serve CRLs, OCSP and CA certificates over plain HTTP ([::]:8080)
    #[argh(option, arg_name = "addr")]
    plain_listen: Option<Text>,
    /// where to serve /metrics for Prometheus over plain HTTP, to whoever reaches it (off)
    #[argh(option, arg_name = "addr")]
    metrics_listen: Option<Text>,
    /// a network of proxies that end TLS: --listen then speaks plain HTTP, to these only; repeatable
    #[argh(option, arg_name = "cidr")]
    behind_proxy: Vec<Text>,
    /// the socket that commands come in by (/run/certwright/admin.sock)
    #[argh(option, arg_name = "socket")]
    admin_socket: Option<Text>,
    /// a further place for key fragments; repeatable
    #[argh(option, arg_name = "dir")]
    fragment_dir: Vec<Text>,
    /// a DNS server for validation, ADDRESS:PORT; repeatable (the system's resolver)
    #[argh(option, arg_name = "addr")]
    dns_server: Vec<Text>,
    /// the port that http-01 connects to (80)
    #[argh(option, arg_name = "port")]
    http_01_port: Option<Text>,
    /// the port that tls-alpn-01 connects to, and that http-01 may be redirected to (443)
    #[argh(option, arg_name = "port")]
    tls_alpn_01_port: Option<Text>,
    /// a network that validation may reach although it is denied by default; repeatable
    #[argh(option, arg_name = "cidr")]
    validation_allow: Vec<Text>,
    /// a network that validation may not reach; repeatable
    #[argh(option, arg_name = "cidr")]
    validation_deny: Vec<Text>,
    /// how many requests are worked on at a time (32)
    #[argh(option, arg_name = "n")]
    workers: Option<Text>,
    /// PEM file with the daemon's own certificate and chain (issued by itself)
    #[argh(option, arg_name = "file")]
    tls_cert: Option<Text>,
    /// PEM file with the key of --tls-cert
    #[argh(option, arg_name = "file")]
    tls_key: Option<Text>,
    /// file of keys that get nothing: the SHA-256 of a SubjectPublicKeyInfo in hexadecimal, one a line
    #[argh(option, arg_name = "file")]
    blocked_keys: Option<Text>,
    /// program that gets each event as a JSON object on its standard input
    #[argh(option, arg_name = "program")]
    event_command: Option<Text>,
    /// http URL that each event is posted to as a JSON object
    #[argh(option, arg_name = "url")]
    event_url: Option<Text>,
    /// how long orders, challenges and credentials are kept after their end (90d)
    #[argh(option, arg_name = "duration")]
    retain: Option<Text>,
    /// how long certificates are kept after their end, and the audit log (730d)
    #[argh(option, arg_name = "duration")]
    retain_records: Option<Text>,
}

/// Try certwright out on this machine: a CA, an issuer and a running daemon under ./certwright-data.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "quickstart", example = "certwright quickstart")]
pub(super) struct Quickstart {
    /// where to keep everything (./certwright-data)
    #[argh(option, arg_name = "dir", default = "String::from(\"certwright-data\")")]
    pub(super) data_dir: String,
    /// where to serve ACME (127.0.0.1:8000)
    #[argh(option, arg_name = "addr", default = "String::from(\"127.0.0.1:8000\")")]
    pub(super) listen: String,
    /// where to serve CA certificates (127.0.0.1:8080)
    #[argh(option, arg_name = "addr", default = "String::from(\"127.0.0.1:8080\")")]
    pub(super) plain_listen: String,
    /// the port that certbot answers http-01 on (5002)
    #[argh(option, arg_name = "port", default = "5002")]
    pub(super) http_01_port: u16,
}

daemon_command! {
    /// Show everything about a key, an issuer or a certificate, as JSON.
    #[argh(subcommand, name = "describe-item", example = "certwright describe-item --name /Home/Issuer")]
    struct DescribeItem {
        /// name of the item
        #[argh(option, short = 'n')]
        name: Option<Text>,
        /// its short identifier
        #[argh(option, short = 'd', arg_name = "id")]
        display_id: Option<Text>,
        /// its long identifier
        #[argh(option, arg_name = "id")]
        item_id: Option<Text>,
    }
}

daemon_command! {
    /// List keys, issuers and certificates.
    #[argh(subcommand, name = "list-items", example = "certwright list-items --path /Home")]
    struct ListItems {
        /// only those of this type
        #[argh(option, arg_name = "DFC_KEY|PKI_CERT_ISSUER|CERTIFICATE")]
        r#type: Option<Text>,
        /// only names that contain this
        #[argh(option, arg_name = "text")]
        filter: Option<Text>,
        /// only what lies below this folder
        #[argh(option, arg_name = "folder")]
        path: Option<Text>,
    }
}

daemon_command! {
    /// Enable or disable an item; a disabled issuer takes nothing new.
    #[argh(subcommand, name = "set-item-state", example = "certwright set-item-state --name /Home/Issuer --desired-state Disabled")]
    struct SetItemState {
        /// name of the item
        #[argh(option, short = 'n')]
        name: Text,
        /// the state
        #[argh(option, arg_name = "Enabled|Disabled")]
        desired_state: Text,
    }
}

item_command! {
    /// Change the description, tags or protection of an item.
    #[argh(subcommand, name = "update-item", example = "certwright update-item --name /Home/CA --delete-protection true")]
    struct UpdateItem {
        /// name of the item
        #[argh(option, short = 'n')]
        name: Text,
    }
}

daemon_command! {
    /// Delete an item; a key can be brought back for seven days.
    #[argh(subcommand, name = "delete-item", example = "certwright delete-item --name /Home/OldCA")]
    struct DeleteItem {
        /// name of the item
        #[argh(option, short = 'n')]
        name: Text,
        /// delete a key at once, for good
        #[argh(switch)]
        delete_immediately: bool,
        /// delete it although it has unexpired certificates
        #[argh(switch)]
        force: bool,
    }
}

#[cfg(test)]
mod tests {
    use super::Certwright;
    use crate::cli::definitions;
    use crate::cli::flags::{Parsed, for_argh, parse};
    use std::process::Command;

    #[test]
    fn every_command_has_an_example_and_understands_it() {
        for command in definitions().commands.iter().map(|command| &command.command) {
            assert!(!command.examples.is_empty(), "{} has no example", command.name);
            for example in command.examples.iter().map(|e| e.replace("{command_name}", command.name)) {
                // A shell knows what its words are.
                let output = Command::new("sh").args(["-c", &format!("printf '%s\\0' {example}")]).output().unwrap();
                let words = String::from_utf8(output.stdout).unwrap();
                let words: Vec<String> = words.split_terminator('\0').skip(1).map(str::to_owned).collect();
                let Ok(Parsed::Command(name, given)) = parse(&words) else { panic!("{example} is not understood") };
                assert_eq!(name, command.name, "{example}");
                let argv = for_argh(&name, &given);
                let parsed = Certwright::parse(&argv.iter().map(String::as_str).collect::<Vec<_>>());
                assert!(parsed.is_ok(), "{example}: {:?}", parsed.err().map(|e| e.output));
            }
        }
    }
}
