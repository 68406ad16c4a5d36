//! The commands about ACME accounts: credentials, lists, limits.

use super::commands::{Text, daemon_command};
use argh::{ArgsInfo, FromArgs};

daemon_command! {
    /// Print what to paste so that an ACME client gets its certificates from an issuer: directory, credential, root.
    #[argh(
        subcommand,
        name = "client-config",
        example = "certwright client-config --cert-issuer-name /Home/Issuer --client certbot --domain www.home.arpa --with-eab",
        note = "Run it with --client help to see which clients are known."
    )]
    struct ClientConfig {
        /// the issuer
        #[argh(option, short = 'n', arg_name = "name")]
        cert_issuer_name: String,
        /// the client
        #[argh(option, arg_name = "client")]
        client: String,
        /// the name that is to be certified (the first that the issuer allows)
        #[argh(option, arg_name = "domain")]
        domain: Option<String>,
        /// where a web server of that name finds its files, for clients that can answer through it
        #[argh(option, arg_name = "dir")]
        webroot: Option<String>,
        /// make a credential for one account and put it in
        #[argh(switch)]
        with_eab: bool,
    }
}

daemon_command! {
    /// Make a credential that binds one ACME account: a kid and a MAC key for --eab-kid and --eab-hmac-key.
    #[argh(subcommand, name = "generate-acme-eab", example = "certwright generate-acme-eab --cert-issuer-name /Home/Issuer")]
    struct GenerateAcmeEab {
        /// the issuer that it is for
        #[argh(option, short = 'n', arg_name = "name")]
        cert_issuer_name: Text,
        /// how long it can be used (1h, at most 7d)
        #[argh(option, short = 't', arg_name = "duration")]
        ttl: Option<Text>,
        /// how many accounts it can make (1, at most 1000)
        #[argh(option, arg_name = "n")]
        uses: Option<Text>,
        /// names that its accounts may ask for, and no others; a list
        #[argh(option, arg_name = "domain")]
        allowed_domains: Vec<Text>,
        /// its account needs no challenge for --allowed-domains, for hosts that nothing can reach
        #[argh(switch)]
        no_challenge: bool,
        /// when --no-challenge ends, such as 2030-01-31T12:00:00Z (with the account, or revoke-acme-eab)
        #[argh(option, arg_name = "time")]
        authorized_until: Option<Text>,
        /// a note on who it is for
        #[argh(option, arg_name = "text")]
        contact_note: Option<Text>,
    }
}

daemon_command! {
    /// List the credentials of an issuer that are outstanding, or whose account needs no challenge.
    #[argh(subcommand, name = "list-acme-eabs", example = "certwright list-acme-eabs --cert-issuer-name /Home/Issuer")]
    struct ListAcmeEabs {
        /// the issuer
        #[argh(option, short = 'n', arg_name = "name")]
        cert_issuer_name: Text,
    }
}

daemon_command! {
    /// Take a credential back; what it authorized without a challenge ends.
    #[argh(subcommand, name = "revoke-acme-eab", example = "certwright revoke-acme-eab --kid ZnF1oWAtFDCOhOra2Upw4A")]
    struct RevokeAcmeEab {
        /// the credential, as list-acme-eabs shows it
        #[argh(option)]
        kid: Text,
    }
}

daemon_command! {
    /// Limit what an issuer, or one of its accounts, may ask for; 0 lifts a limit.
    #[argh(subcommand, name = "set-limits", example = "certwright set-limits --cert-issuer-name /Home/Issuer --certificates-per-week 500")]
    struct SetLimits {
        /// the issuer
        #[argh(option, short = 'n', arg_name = "name")]
        cert_issuer_name: Text,
        /// one account instead of all together
        #[argh(option, arg_name = "id")]
        acme_account_id: Option<Text>,
        /// orders that are not finished
        #[argh(option, arg_name = "n")]
        pending_orders: Option<Text>,
        /// authorizations that are not decided
        #[argh(option, arg_name = "n")]
        pending_authorizations: Option<Text>,
        /// failed validations of one name within an hour
        #[argh(option, arg_name = "n")]
        failed_validations: Option<Text>,
        /// certificates within a week
        #[argh(option, arg_name = "n")]
        certificates_per_week: Option<Text>,
    }
}

daemon_command! {
    /// Ask clients to renew everything that an issuer has issued so far, by ARI (RFC 9773).
    #[argh(subcommand, name = "renew-soon", example = "certwright renew-soon --cert-issuer-name /Home/Issuer")]
    struct RenewSoon {
        /// the issuer
        #[argh(option, short = 'n', arg_name = "name")]
        cert_issuer_name: Text,
    }
}

daemon_command! {
    /// List the ACME accounts of an issuer, as JSON.
    #[argh(subcommand, name = "list-acme-accounts", example = "certwright list-acme-accounts --cert-issuer-name /Home/Issuer")]
    struct ListAcmeAccounts {
        /// the issuer
        #[argh(option, short = 'n', arg_name = "name")]
        cert_issuer_name: Text,
    }
}

daemon_command! {
    /// Deactivate an ACME account, for good: it can no longer renew. Its certificates stay.
    #[argh(subcommand, name = "deactivate-acme-account", example = "certwright deactivate-acme-account --cert-issuer-name /Home/Issuer --acme-account-id 1")]
    struct DeactivateAcmeAccount {
        /// the issuer
        #[argh(option, short = 'n', arg_name = "name")]
        cert_issuer_name: Text,
        /// the account, as list-acme-accounts shows it
        #[argh(option, arg_name = "id")]
        acme_account_id: Text,
        /// take it off the list as well; its key may register again
        #[argh(switch)]
        delete_account: bool,
    }
}
