//! The commands and their flags. Help, the pre-pass, and later man pages and completions all read these definitions.

use super::acme_commands::{
    DeactivateAcmeAccount, GenerateAcmeEab, ListAcmeAccounts, ListAcmeEabs, RenewSoon, RevokeAcmeEab, SetLimits,
};
use super::certificate_commands::{GetCertificateValue, ListCertificates, RevokeCertificate};
use super::issuer_commands::{CreatePkiCertIssuer, UpdatePkiCertIssuer};
use super::record_commands::{AcceptClock, Audit, Backup, Check, Restore, Status};
use super::signer_commands::{
    CreateDfcKey, ExportSignerCsr, ImportSigner, ImportSignerCertificate, RefreshKey, RenewSignerCertificate, RotateKey,
};
use argh::{ArgsInfo, EarlyExit, FromArgs};

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
    Audit(Audit),
    Backup(Backup),
    Restore(Restore),
    Check(Check),
    Status(Status),
}

/// A command that the daemon carries out; each has the two flags at the end. argh checks what is required; the request is
/// made of the same flags, so that most fields are never read.
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
            #[argh(option, arg_name = "path")]
            admin_socket: Option<String>,
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
                #[argh(option)]
                description: Option<String>,
                /// a tag; a list
                #[argh(option)]
                tag: Vec<String>,
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
    example = "certwright serve --state-dir /var/lib/certwright --listen '[::]:8000'",
    note = "Each flag is also an environment variable, such as CERTWRIGHT_STATE_DIR; a flag goes before it."
)]
#[allow(dead_code)]
pub(super) struct Serve {
    /// database, keys, fragments (/var/lib/certwright)
    #[argh(option, arg_name = "dir")]
    state_dir: Option<String>,
    /// where to serve ACME over TLS ([::]:8000)
    #[argh(option, arg_name = "addr")]
    listen: Option<String>,
    /// where to serve CRLs, OCSP and CA certificates over plain HTTP ([::]:8080)
    #[argh(option, arg_name = "addr")]
    plain_listen: Option<String>,
    /// where to serve /metrics for Prometheus over plain HTTP, to whoever reaches it (off)
    #[argh(option, arg_name = "addr")]
    metrics_listen: Option<String>,
    /// a network of proxies that end TLS: --listen then speaks plain HTTP, to these only; repeatable
    #[argh(option, arg_name = "cidr")]
    behind_proxy: Vec<String>,
    /// the socket that commands come in by (/run/certwright/admin.sock)
    #[argh(option, arg_name = "path")]
    admin_socket: Option<String>,
    /// a further place for key fragments; repeatable
    #[argh(option, arg_name = "dir")]
    fragment_dir: Vec<String>,
    /// a DNS server for validation, ADDRESS:PORT; repeatable (the system's resolver)
    #[argh(option, arg_name = "addr")]
    dns_server: Vec<String>,
    /// the port that http-01 connects to (80)
    #[argh(option, arg_name = "port")]
    http_01_port: Option<String>,
    /// the port that tls-alpn-01 connects to, and that http-01 may be redirected to (443)
    #[argh(option, arg_name = "port")]
    tls_alpn_01_port: Option<String>,
    /// a network that validation may reach although it is denied by default; repeatable
    #[argh(option, arg_name = "cidr")]
    validation_allow: Vec<String>,
    /// a network that validation may not reach; repeatable
    #[argh(option, arg_name = "cidr")]
    validation_deny: Vec<String>,
    /// how many requests are worked on at a time (32)
    #[argh(option, arg_name = "n")]
    workers: Option<String>,
    /// PEM file with the daemon's own certificate and chain (issued by itself)
    #[argh(option, arg_name = "file")]
    tls_cert: Option<String>,
    /// PEM file with the key of --tls-cert
    #[argh(option, arg_name = "file")]
    tls_key: Option<String>,
    /// file of keys that get nothing: the SHA-256 of a SubjectPublicKeyInfo in hexadecimal, one a line
    #[argh(option, arg_name = "file")]
    blocked_keys: Option<String>,
    /// program that gets each event as a JSON object on its standard input
    #[argh(option, arg_name = "program")]
    event_command: Option<String>,
    /// http URL that each event is posted to as a JSON object
    #[argh(option, arg_name = "url")]
    event_url: Option<String>,
    /// how long orders, challenges and credentials are kept after their end (90d)
    #[argh(option, arg_name = "duration")]
    retain: Option<String>,
    /// how long certificates are kept after their end, and the audit log (730d)
    #[argh(option, arg_name = "duration")]
    retain_records: Option<String>,
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
        name: Option<String>,
        /// its short identifier
        #[argh(option, short = 'd', arg_name = "id")]
        display_id: Option<String>,
        /// its long identifier
        #[argh(option, arg_name = "id")]
        item_id: Option<String>,
    }
}

daemon_command! {
    /// List keys, issuers and certificates.
    #[argh(subcommand, name = "list-items", example = "certwright list-items --path /Home")]
    struct ListItems {
        /// only DFC_KEY, PKI_CERT_ISSUER or CERTIFICATE
        #[argh(option)]
        r#type: Option<String>,
        /// only names that contain this
        #[argh(option, arg_name = "text")]
        filter: Option<String>,
        /// only what lies below this folder
        #[argh(option)]
        path: Option<String>,
    }
}

daemon_command! {
    /// Enable or disable an item; a disabled issuer takes nothing new.
    #[argh(subcommand, name = "set-item-state", example = "certwright set-item-state --name /Home/Issuer --desired-state Disabled")]
    struct SetItemState {
        /// name of the item
        #[argh(option, short = 'n')]
        name: String,
        /// the state, Enabled or Disabled
        #[argh(option, arg_name = "state")]
        desired_state: String,
    }
}

item_command! {
    /// Change the description, tags or protection of an item.
    #[argh(subcommand, name = "update-item", example = "certwright update-item --name /Home/CA --delete-protection true")]
    struct UpdateItem {
        /// name of the item
        #[argh(option, short = 'n')]
        name: String,
    }
}

daemon_command! {
    /// Delete an item; a key can be brought back for seven days.
    #[argh(subcommand, name = "delete-item", example = "certwright delete-item --name /Home/Issuer")]
    struct DeleteItem {
        /// name of the item
        #[argh(option, short = 'n')]
        name: String,
        /// delete a key at once, for good
        #[argh(switch)]
        delete_immediately: bool,
        /// delete it although it has unexpired certificates
        #[argh(switch)]
        force: bool,
    }
}
