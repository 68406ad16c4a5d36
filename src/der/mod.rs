//! Distinguished Encoding Rules (X.690): building and reading the few types that X.509 needs.

pub mod base64;
pub mod oid;
mod pem;
mod read;
mod write;

pub use base64::{from_base64, to_base64};
pub use pem::{from_pem, to_pem};
pub use read::Reader;
pub use write::*;

/// An identifier octet (X.690, 8.1.2).
pub type Tag = u8;

/// BOOLEAN
pub const BOOLEAN: Tag = 0x01;
/// INTEGER
pub const INTEGER: Tag = 0x02;
/// BIT STRING
pub const BIT_STRING: Tag = 0x03;
/// OCTET STRING
pub const OCTET_STRING: Tag = 0x04;
/// NULL
pub const NULL: Tag = 0x05;
/// OBJECT IDENTIFIER
pub const OID: Tag = 0x06;
/// ENUMERATED
pub const ENUMERATED: Tag = 0x0a;
/// UTF8String
pub const UTF8_STRING: Tag = 0x0c;
/// PrintableString
pub const PRINTABLE_STRING: Tag = 0x13;
/// UTCTime
pub const UTC_TIME: Tag = 0x17;
/// GeneralizedTime
pub const GENERALIZED_TIME: Tag = 0x18;
/// SEQUENCE, constructed
pub const SEQUENCE: Tag = 0x30;
/// SET, constructed
pub const SET: Tag = 0x31;

/// A primitive context-specific tag.
pub const fn context(number: u8) -> Tag {
    0x80 | number
}

/// A constructed context-specific tag.
pub const fn context_constructed(number: u8) -> Tag {
    0xa0 | number
}
