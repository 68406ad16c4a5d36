//! The commands about issued certificates.

use super::commands::{Text, daemon_command};
use argh::{ArgsInfo, FromArgs};

daemon_command! {
    /// Print an issued certificate with its chain.
    #[argh(subcommand, name = "get-certificate-value", example = "certwright get-certificate-value --name /Home/Certificates/www.home.arpa")]
    struct GetCertificateValue {
        /// name of the certificate
        #[argh(option, short = 'n')]
        name: Text,
        /// which version (the newest)
        #[argh(option, arg_name = "n")]
        version: Option<Text>,
    }
}

daemon_command! {
    /// List issued certificates, the newest first.
    #[argh(subcommand, name = "list-certificates", example = "certwright list-certificates --expires-within 14d")]
    struct ListCertificates {
        /// only those whose name contains this
        #[argh(option, short = 'n', arg_name = "text")]
        name: Option<Text>,
        /// only the one with this serial number, hexadecimal or decimal
        #[argh(option, arg_name = "number")]
        serial_number: Option<Text>,
        /// only those of this status
        #[argh(option, arg_name = "Valid|About-to-Expire|Expired|Revoked")]
        status: Option<Text>,
        /// only those that end within this time, and have not ended
        #[argh(option, arg_name = "duration")]
        expires_within: Option<Text>,
        /// only those of this issuer
        #[argh(option, arg_name = "name")]
        cert_issuer_name: Option<Text>,
        /// how many at most (100)
        #[argh(option, arg_name = "n")]
        limit: Option<Text>,
        /// only those before this one, as the end of a list names it
        #[argh(option, arg_name = "n")]
        before: Option<Text>,
    }
}

daemon_command! {
    /// Revoke a certificate, all of an account or issuer, or an intermediate that we signed.
    #[argh(subcommand, name = "revoke-certificate",
        example = "certwright revoke-certificate --name /Home/Certificates/www.home.arpa --reason keyCompromise")]
    struct RevokeCertificate {
        /// name of the certificate, or of the key of an intermediate
        #[argh(option, short = 'n')]
        name: Option<Text>,
        /// which version (the newest)
        #[argh(option, arg_name = "n")]
        version: Option<Text>,
        /// the serial number, hexadecimal or decimal
        #[argh(option, arg_name = "number")]
        serial_number: Option<Text>,
        /// why, as RFC 5280 names it (unspecified)
        #[argh(
            option,
            arg_name = "unspecified|keyCompromise|cACompromise|affiliationChanged|superseded|cessationOfOperation|privilegeWithdrawn|aACompromise"
        )]
        reason: Option<Text>,
        /// since when it must not be trusted, where that is earlier, such as 2026-01-31T12:00:00Z
        #[argh(option, arg_name = "time")]
        invalidity_date: Option<Text>,
        /// all certificates that this account ordered
        #[argh(option, arg_name = "id")]
        all_of_account: Option<Text>,
        /// all certificates of this issuer
        #[argh(option, arg_name = "name")]
        all_of_issuer: Option<Text>,
        /// do not ask back
        #[argh(switch)]
        yes: bool,
        /// the key that signed a serial number that is not known here, since a backup was restored
        #[argh(option, arg_name = "name")]
        signer_key_name: Option<Text>,
        /// the end of that certificate, such as 2030-01-31T12:00:00Z
        #[argh(option, arg_name = "time")]
        not_after: Option<Text>,
    }
}
