//! The bytes of a certificate authority: reading requests and csr.conf, building what is to be signed, linting exactly
//! these bytes, and looking at the result as a client would. Knows no store and no HTTP.

mod certificate;
mod chain;
mod conf;
mod constraints;
mod crl;
mod csr;
mod extension;
mod lint;
mod name;
mod ocsp;
mod parsed;
mod root;
mod signed;
mod signer_request;
mod time;
mod verify;

pub use certificate::{
    CaCertificate, CaProfile, Leaf, Linted, ResponderCertificate, Serial, SignedCertificate, Validity, prepare_ca,
    prepare_leaf, prepare_responder,
};
pub use chain::CaChain;
pub use conf::{ConfFile, parse_conf};
pub use constraints::{ChainConstraints, NameConstraints};
#[cfg(fuzzing)]
pub use crl::fuzz_former_crl;
pub use crl::{Crl, CrlScope, FormerCrl, LintedCrl, RevokedEntry, crl_of_file, prepare_crl};
pub use csr::{CertificateRequest, MOST_NAMES};
pub use extension::{ExtendedKeyUsage, KeyUsage, Points};
pub use name::{Attribute, DistinguishedName, next_generation};
pub use ocsp::{CertId, CertIdForm, CertStatus, OcspAnswer, OcspRefusal, OcspRequest, SingleResponse, sign_answer};
pub use parsed::ParsedCertificate;
pub use root::RootCertificate;
pub use signed::verify_signature;
pub use signer_request::signer_request;
pub use verify::verify_for_names;
