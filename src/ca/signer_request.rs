//! A request that another CA should sign our signer's key (PKCS #10, RFC 2986).

use super::certificate::CaProfile;
use super::extension;
use super::signed;
use crate::der::{self, oid};
use crate::error::Result;
use crate::keys::Signer;

/// Build and sign a request for a CA certificate with this subject, the DER of a Name, and these extensions.
///
/// # Errors
/// Internal when the signer fails.
pub fn signer_request(subject: &[u8], profile: &CaProfile, signer: &Signer) -> Result<Vec<u8>> {
    let mut extensions = vec![
        extension::basic_constraints_ca(profile.path_len),
        extension::key_usage(&profile.key_usage, true),
        extension::subject_key_identifier(&signer.public_key().key_identifier()),
    ];
    extensions.extend(profile.name_constraints.iter().map(|value| extension::name_constraints(value)));
    let attribute =
        der::sequence(&[der::object_identifier(oid::EXTENSION_REQUEST), der::set_of(vec![der::sequence(&extensions)])]);
    let content = der::sequence(&[
        der::small_integer(0),
        subject.to_vec(),
        signer.public_key().to_spki(),
        der::constructed(der::context_constructed(0), &[attribute]),
    ]);
    signed::sign(&content, signer)
}
