//! The bytes of a certificate authority: reading requests and csr.conf, building what is to be signed, linting exactly
//! these bytes, and looking at the result as a client would. Knows no store and no HTTP.

mod certificate;
mod conf;
mod csr;
mod extension;
mod lint;
mod name;
mod parsed;
mod verify;

pub use certificate::{
    Leaf, Linted, Serial, SignedCertificate, SignerCertificate, Validity, prepare_leaf, prepare_signer,
};
pub use conf::{ConfFile, parse_conf};
pub use csr::{CertificateRequest, MOST_NAMES};
pub use extension::{ExtendedKeyUsage, KeyUsage, NameConstraints};
pub use name::{Attribute, DistinguishedName};
pub use parsed::ParsedCertificate;
pub use verify::verify_for_names;
