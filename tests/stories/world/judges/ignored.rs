//! What some judges say and are not listened to, each with its reason. Nothing is here for a fault of ours.

use super::Complaint;

struct Ignored {
    /// The program of pkilint's.
    linter: &'static str,
    code: &'static str,
    /// Ignored only where this stands in what it says.
    says: &'static str,
    /// Read by whoever wonders why.
    _reason: &'static str,
}

const PKIX: &str = "lint_pkix_cert";
/// The Baseline Requirements are for CAs that browsers trust. They are asked since most of what they say is good for
/// everybody.
const CABF: &str = "lint_cabf_serverauth_cert";

const PKILINT: &[Ignored] = &[
    ignored(
        PKIX,
        "pkix.invalid_domain_name_syntax",
        "dNSName: Invalid domain name syntax: \"*.",
        "RFC 5280 leaves wildcards to others, which are RFC 6125, 6.4.3, and RFC 8555, 7.1.3",
    ),
    ignored(
        PKIX,
        "pkix.invalid_domain_name_syntax",
        "base.dNSName: Invalid domain name syntax: \"lan\"",
        "it takes a domain of one label, such as lan, for none; a LAN has those",
    ),
    ignored(
        PKIX,
        "pkix.certificate_skid_end_entity_missing",
        "",
        "RFC 5280, 4.2.1.2, says SHOULD; the lean profiles are without, as the Baseline Requirements recommend",
    ),
    ignored(CABF, "cabf.internal_domain_name", "", "names of a LAN are what this CA is for"),
    ignored(CABF, "cabf.internal_ip_address", "", "addresses of a LAN are what this CA is for"),
    ignored(
        CABF,
        "cabf.serverauth.subscriber.certificate_policies_extension_absent",
        "",
        "the policies are those of public CAs; RFC 5280, 4.2.1.4, asks for none",
    ),
    ignored(
        CABF,
        "cabf.serverauth.subscriber.authority_info_access_extension_absent",
        "",
        "where there is no URL to name there is no extension; RFC 5280, 4.2.2.1, asks for none",
    ),
    ignored(
        CABF,
        "cabf.serverauth.subscriber.revocation_information_absent",
        "",
        "where there is no URL to name there is no extension; RFC 5280, 4.2.1.13, asks for none",
    ),
    ignored(CABF, "msft.end_entity.revocation_information_absent", "", "the same, in Microsoft's root programme"),
    ignored(
        CABF,
        "cabf.serverauth.subscriber.subject_key_identifier_extension_present",
        "",
        "RFC 5280, 4.2.1.2, says it should be there; the lean profiles omit it",
    ),
    ignored(
        CABF,
        "cabf.serverauth.subscriber_rsa_digitalsignature_and_keyencipherment_present",
        "",
        "the classic profile is for RSA key exchange of TLS 1.2 too; the lean ones have digitalSignature alone",
    ),
    ignored(
        CABF,
        "cabf.serverauth.subscriber_discouraged_ku_present",
        "Discouraged KU present: keyAgreement",
        "RFC 5480, 3, allows it for EC keys; the lean profiles have digitalSignature alone",
    ),
    ignored(
        CABF,
        "cabf.serverauth.prohibited_signature_algorithm_encoding",
        "300506032b6570",
        "Ed25519 is for those who choose it; browsers do not know it yet",
    ),
    ignored(
        CABF,
        "cabf.serverauth.prohibited_subject_public_key_algorithm_encoding",
        "300506032b6570",
        "Ed25519 is for those who choose it; browsers do not know it yet",
    ),
    ignored(
        CABF,
        "cabf.serverauth.dv.unknown_attribute_present",
        "",
        "an administrator vouches for the subject that is forced in; the certificate is no domain-validated one then",
    ),
    ignored(
        CABF,
        "cabf.serverauth.prohibited_duplicate_attribute_type",
        "2.5.4.10",
        "an administrator may name two organizations; X.501 lets a name have them, in RDNs of their own",
    ),
    ignored(
        CABF,
        "cabf.serverauth.invalid_rdn_order",
        "2.5.4.17 follows 2.5.4.9",
        "RFC 5280 has no order of attributes",
    ),
];

const fn ignored(linter: &'static str, code: &'static str, says: &'static str, reason: &'static str) -> Ignored {
    Ignored { linter, code, says, _reason: reason }
}

pub(super) fn is_ignored(linter: &str, code: &str, says: &str) -> bool {
    PKILINT.iter().any(|entry| entry.linter == linter && entry.code == code && says.contains(entry.says))
}

/// GnuTLS takes the common name of a certificate without names for a DNS name, and holds it against the name constraints
/// above (and of the root itself, when that is judged alone). It does so with the last certificate of a chain only, which
/// a CA's is nowhere but before these judges.
pub(super) fn is_about_a_common_name(complaint: &Complaint, constraining: &[&[u8]]) -> bool {
    let is_constrained = constraining.iter().any(|der| der.windows(5).any(|octets| octets == b"\x06\x03\x55\x1d\x1e"));
    let verdict = "Chain verification output: Not verified. The certificate is NOT trusted. \
                   The certificate chain violates the signer's constraints. \n";
    is_constrained && complaint.says.contains(verdict)
}
