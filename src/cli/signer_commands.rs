//! The commands about signer keys.

use super::commands::{Text, daemon_command, item_command};
use argh::{ArgsInfo, FromArgs};

item_command! {
    /// Make a signer key, kept in fragments, with a self-signed CA certificate or without.
    #[argh(subcommand, name = "create-dfc-key",
        example = "certwright create-dfc-key --name /Home/CA --alg EC256 --generate-self-signed-certificate true --certificate-ttl 3650 --certificate-common-name 'Home CA' --permitted-domains home.arpa")]
    struct CreateDfcKey {
        /// name of the key, a slash path
        #[argh(option, short = 'n')]
        name: Text,
        /// what kind of key it is
        #[argh(option, short = 'a', arg_name = "RSA2048|RSA3072|RSA4096|EC256|EC384|ED25519")]
        alg: Text,
        /// make the key's self-signed CA certificate
        #[argh(switch)]
        generate_self_signed_certificate: bool,
        /// have the CA certificate signed by this other key of ours, as an intermediate
        #[argh(option, arg_name = "name")]
        signed_by: Option<Text>,
        /// how many days the certificate lasts
        #[argh(option, arg_name = "days")]
        certificate_ttl: Option<Text>,
        /// how the certificate is shown (pem)
        #[argh(option, arg_name = "pem|der")]
        certificate_format: Option<Text>,
        /// csr.conf with subject and extensions
        #[argh(option, arg_name = "file")]
        conf_file_path: Option<Text>,
        /// common name of the CA
        #[argh(option, arg_name = "text")]
        certificate_common_name: Option<Text>,
        /// organization of the CA
        #[argh(option, arg_name = "text")]
        certificate_organization: Option<Text>,
        /// country of the CA, two letters
        #[argh(option, arg_name = "code")]
        certificate_country: Option<Text>,
        /// locality of the CA
        #[argh(option, arg_name = "text")]
        certificate_locality: Option<Text>,
        /// state or province of the CA
        #[argh(option, arg_name = "text")]
        certificate_province: Option<Text>,
        /// domains that the CA can certify names in, and no others; a list
        #[argh(option, arg_name = "domain")]
        permitted_domains: Vec<Text>,
        /// networks that the CA can certify addresses in, and no others; a list
        #[argh(option, arg_name = "cidr")]
        permitted_ips: Vec<Text>,
        /// the hash that is signed, for RSA keys (SHA256)
        #[argh(option, arg_name = "SHA256|SHA384|SHA512")]
        hash_algorithm: Option<Text>,
        /// how many fragments the key is kept in (3)
        #[argh(option, short = 's', arg_name = "n")]
        split_level: Option<Text>,
        /// warn so many days before the CA certificate ends; repeatable (90, 30, 7 and 1)
        #[argh(option, short = 'e', arg_name = "days")]
        expiration_event_in: Vec<Text>,
    }
}

daemon_command! {
    /// Print the request by which another CA can sign a key, in PEM.
    #[argh(subcommand, name = "export-signer-csr", example = "certwright export-signer-csr --name /Home/Intermediate")]
    struct ExportSignerCsr {
        /// name of the key
        #[argh(option, short = 'n')]
        name: Text,
    }
}

daemon_command! {
    /// Bring the certificate that another CA signed; the key signs from then on.
    #[argh(subcommand, name = "import-signer-certificate",
        example = "certwright import-signer-certificate --name /Home/Intermediate --chain-file chain.pem")]
    struct ImportSignerCertificate {
        /// name of the key
        #[argh(option, short = 'n')]
        name: Text,
        /// PEM file with the key's certificate and all above it, the root last
        #[argh(option, arg_name = "file")]
        chain_file: Text,
    }
}

item_command! {
    /// Take over the key of another CA, with its chain and what it revoked.
    #[argh(subcommand, name = "import-signer",
        example = "certwright import-signer --name /Home/OldCA --key-file ca.key --chain-file ca.pem --crl ca.crl")]
    struct ImportSigner {
        /// name of the key, a slash path
        #[argh(option, short = 'n')]
        name: Text,
        /// PEM file with its private key, not encrypted
        #[argh(option, arg_name = "file")]
        key_file: Text,
        /// PEM file with its certificate and all above it, the root last
        #[argh(option, arg_name = "file")]
        chain_file: Text,
        /// the CRL that it published last, in PEM or DER
        #[argh(option, arg_name = "file")]
        crl: Option<Text>,
        /// it never published a CRL
        #[argh(switch)]
        no_former_crl: bool,
        /// how many fragments the key is kept in (3)
        #[argh(option, short = 's', arg_name = "n")]
        split_level: Option<Text>,
        /// warn so many days before the CA certificate ends; repeatable (90, 30, 7 and 1)
        #[argh(option, short = 'e', arg_name = "days")]
        expiration_event_in: Vec<Text>,
    }
}

daemon_command! {
    /// Make the next key of a signer; a root's is signed by the old one too, until --finish.
    #[argh(subcommand, name = "rotate-key", example = "certwright rotate-key --name /Home/CA")]
    struct RotateKey {
        /// name of the key
        #[argh(option, short = 'n')]
        name: Text,
        /// let chains end in the new root, now that clients trust it
        #[argh(switch)]
        finish: bool,
    }
}

daemon_command! {
    /// Give a signer another certificate, with the same key and name and a later end.
    #[argh(subcommand, name = "renew-signer-certificate",
        example = "certwright renew-signer-certificate --name /Home/CA --certificate-ttl 7300")]
    struct RenewSignerCertificate {
        /// name of the key
        #[argh(option, short = 'n')]
        name: Text,
        /// how many days the certificate lasts
        #[argh(option, arg_name = "days")]
        certificate_ttl: Text,
    }
}

daemon_command! {
    /// Change the fragments of a key and keep the key: what somebody may have seen of the old ones is useless.
    #[argh(subcommand, name = "refresh-key", example = "certwright refresh-key --name /Home/CA")]
    struct RefreshKey {
        /// name of the key
        #[argh(option, short = 'n')]
        name: Text,
        /// let the new fragments open no earlier backup either
        #[argh(switch)]
        new_kek: bool,
        /// write the last fragment here and forget it, for a safe or for systemd's LoadCredential
        #[argh(option, arg_name = "file")]
        export_fragment: Option<Text>,
    }
}

daemon_command! {
    /// Have this machine trust a root, or tell how browsers, Java and other systems come to trust it.
    #[argh(
        subcommand,
        name = "trust",
        example = "certwright trust --cert-issuer-name /Home/Issuer",
        note = "Knows the ways of Debian (update-ca-certificates) and of Red Hat (update-ca-trust).",
        note = "No daemon is needed with --root and --url. What comes by --url comes in the clear, so compare the fingerprint."
    )]
    struct Trust {
        /// the root: a file, PEM or DER
        #[argh(option, arg_name = "file")]
        root: Option<String>,
        /// the root: an http URL, as the page /ca of a daemon names it
        #[argh(option, arg_name = "url")]
        url: Option<String>,
        /// the root of this issuer
        #[argh(option, short = 'n', arg_name = "name")]
        cert_issuer_name: Option<String>,
        /// refuse any other root than the one with this SHA-256 fingerprint
        #[argh(option, arg_name = "sha256")]
        fingerprint: Option<String>,
        /// change nothing, and tell how to do it by hand, in browsers, in Java, on other systems
        #[argh(switch)]
        print: bool,
        /// have this machine trust it no more
        #[argh(switch)]
        remove: bool,
    }
}
