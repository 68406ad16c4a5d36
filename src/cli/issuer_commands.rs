//! The flags of an issuer.

use super::commands::{Text, daemon_command, item_command};
use argh::{ArgsInfo, FromArgs};

/// The settings of an issuer, of which create-pki-cert-issuer requires some.
macro_rules! issuer_command {
    ($(#[$attribute:meta])* struct $name:ident { $($fields:tt)* }) => {
        item_command! {
            $(#[$attribute])*
            struct $name {
                $($fields)*
                /// speak ACME
                #[argh(switch)]
                enable_acme: bool,
                /// the https URL at which clients reach this daemon
                #[argh(option, arg_name = "url")]
                gw_cluster_url: Option<Text>,
                /// folder that issued certificates are filed under
                #[argh(option, arg_name = "folder")]
                destination_path: Option<Text>,
                /// names that may be certified; *.NAME allows that wildcard and one label below; a list
                #[argh(option, arg_name = "domain")]
                allowed_domains: Vec<Text>,
                /// networks whose addresses may be certified; a list
                #[argh(option, arg_name = "cidr")]
                allowed_ip_sans: Vec<Text>,
                /// allow any name below an allowed domain
                #[argh(switch)]
                allow_subdomains: bool,
                /// allow no wildcards
                #[argh(switch)]
                disable_wildcards: bool,
                /// allow any DNS name
                #[argh(switch)]
                allow_any_name: bool,
                /// certificates are for TLS servers; they always are
                #[argh(switch)]
                server_flag: bool,
                /// certificates are for TLS clients too
                #[argh(switch)]
                client_flag: bool,
                /// key usages, of which each certificate gets those that fit its key; a list
                #[argh(option, arg_name = "DigitalSignature|ContentCommitment|KeyEncipherment|DataEncipherment|KeyAgreement|EncipherOnly|DecipherOnly")]
                key_usage: Vec<Text>,
                /// mark keyUsage as critical (true)
                #[argh(switch)]
                critical_key_usage: bool,
                /// organization in the subject of certificates; a list
                #[argh(option, arg_name = "text")]
                organizations: Vec<Text>,
                /// organizational unit in the subject of certificates; a list
                #[argh(option, arg_name = "text")]
                organizational_units: Vec<Text>,
                /// country in the subject of certificates, two letters; a list
                #[argh(option, arg_name = "code")]
                country: Vec<Text>,
                /// locality in the subject of certificates; a list
                #[argh(option, arg_name = "text")]
                locality: Vec<Text>,
                /// state or province in the subject of certificates; a list
                #[argh(option, arg_name = "text")]
                province: Vec<Text>,
                /// street address in the subject of certificates; a list
                #[argh(option, arg_name = "text")]
                street_address: Vec<Text>,
                /// postal code in the subject of certificates; a list
                #[argh(option, arg_name = "text")]
                postal_code: Vec<Text>,
                /// a CSR needs no common name; one by ACME never does
                #[argh(switch)]
                not_require_cn: bool,
                /// challenges that are offered; a list (http-01,dns-01,tls-alpn-01)
                #[argh(option, arg_name = "http-01|dns-01|tls-alpn-01|dns-account-01|dns-persist-01")]
                challenges: Vec<Text>,
                /// profiles that are offered; a list (classic)
                #[argh(option, arg_name = "classic|tlsserver|shortlived|mtls")]
                profiles: Vec<Text>,
                /// check CAA, in which records may call this CA so; a list
                #[argh(option, arg_name = "domain")]
                caa_identity: Vec<Text>,
                /// accounts need an external account binding (true)
                #[argh(switch)]
                require_eab: bool,
                /// certify the daemon's own host before older issuers do
                #[argh(switch)]
                tls_issuer: bool,
                /// how long a valid authorization serves new orders (0)
                #[argh(option, arg_name = "duration")]
                reuse_authorizations: Option<Text>,
                /// URL of the terms that accounts have to agree to
                #[argh(option, arg_name = "url")]
                terms_of_service: Option<Text>,
                /// URL shown in the directory
                #[argh(option, arg_name = "url")]
                website: Option<Text>,
                /// name a CRL in certificates (true, where the signer can sign CRLs and --public-url is known)
                #[argh(switch)]
                create_private_crl: bool,
                /// name an OCSP responder in certificates, and answer there
                #[argh(switch)]
                create_private_ocsp: bool,
                /// how long an OCSP answer is good for (1d, at least 10m)
                #[argh(option, arg_name = "duration")]
                ocsp_ttl: Option<Text>,
                /// answer an OCSP request's nonce, by a signature for each request
                #[argh(switch)]
                ocsp_nonce: bool,
                /// the http URL at which clients reach --plain-listen (host of --gw-cluster-url, port of --plain-listen)
                #[argh(option, arg_name = "url")]
                public_url: Option<Text>,
                /// warn so many days before a certificate ends that nothing has replaced; repeatable
                #[argh(option, short = 'e', arg_name = "days")]
                expiration_event_in: Vec<Text>,
            }
        }
    };
}

issuer_command! {
    /// Make an issuer: who may get which certificates from a signer key.
    #[argh(subcommand, name = "create-pki-cert-issuer",
        example = "certwright create-pki-cert-issuer --name /Home/Issuer --signer-key-name /Home/CA --ttl 90d --enable-acme true --gw-cluster-url https://ca.home.arpa:8000 --destination-path /Home/Certificates --allowed-domains home.arpa --allow-subdomains true")]
    struct CreatePkiCertIssuer {
        /// name of the issuer, a slash path
        #[argh(option, short = 'n')]
        name: Text,
        /// the longest lifetime of a certificate, such as 90d
        #[argh(option, short = 't', arg_name = "duration")]
        ttl: Text,
        /// the key that signs
        #[argh(option, short = 's', arg_name = "name")]
        signer_key_name: Text,
    }
}

issuer_command! {
    /// Change the settings of an issuer; what is not named stays.
    #[argh(subcommand, name = "update-pki-cert-issuer",
        example = "certwright update-pki-cert-issuer --name /Home/Issuer --ttl 30d --disable-wildcards true")]
    struct UpdatePkiCertIssuer {
        /// name of the issuer
        #[argh(option, short = 'n')]
        name: Text,
        /// the longest lifetime of a certificate, such as 90d
        #[argh(option, short = 't', arg_name = "duration")]
        ttl: Option<Text>,
        /// the key that signs
        #[argh(option, short = 's', arg_name = "name")]
        signer_key_name: Option<Text>,
    }
}
