//! DNS names that may stand in a certificate.

use super::printable;
use crate::error::{Class, Error, Result};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use std::fmt;

/// A host name in lower case: letters, digits and hyphens (RFC 1123, 2.1), 253 bytes at most, labels of 63 at most,
/// A-labels that are valid IDNA (RFC 5891), no trailing dot, not an IPv4 address; perhaps with `*.` in front.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

impl DnsName {
    /// Parse a name; upper case is folded.
    ///
    /// # Errors
    /// RejectedIdentifier, about the name, when it is not a host name.
    pub fn parse(text: &str) -> Result<DnsName> {
        let name = text.to_ascii_lowercase();
        check(&name).map_err(|why| {
            let shown = printable(text);
            Error::new(Class::RejectedIdentifier, format!("\"{shown}\" is not a host name: {why}")).about(shown)
        })?;
        Ok(DnsName(name))
    }

    /// The name as it is written, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name begins with `*.`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// The name without a leading `*.`.
    pub fn base(&self) -> &str {
        self.0.strip_prefix("*.").unwrap_or(&self.0)
    }

    /// How many labels the name has, a wildcard label included.
    pub fn label_count(&self) -> usize {
        self.0.split('.').count()
    }

    /// Whether the name lies below `parent`, at any depth. No name lies below itself.
    pub fn is_below(&self, parent: &str) -> bool {
        self.0.strip_suffix(parent).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
    }

    /// The name without its left-most label, if there is more than one label.
    pub fn parent(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, parent)| parent)
    }

    /// Whether this name, as an entry in a list, allows `name`: its own, or one label below a `*.` entry.
    pub fn allows(&self, name: &DnsName) -> bool {
        self == name || (self.is_wildcard() && !name.is_wildcard() && name.parent() == Some(self.base()))
    }

    /// Whether the name is `localhost` or lies below it (RFC 6761, 6.3).
    pub fn is_localhost(&self) -> bool {
        self.0 == "localhost" || self.is_below("localhost")
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check(name: &str) -> std::result::Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > 253 {
        return Err("it is longer than 253 bytes");
    }
    if name.ends_with('.') {
        return Err("leave out the trailing dot");
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    if host.contains('*') {
        return Err("a wildcard is the whole left-most label and nothing else");
    }
    for label in host.split('.') {
        check_label(label)?;
    }
    match host.rsplit('.').next() {
        Some(last) if last.bytes().all(|b| b.is_ascii_digit()) => {
            Err("its last label is a number, as in an IP address")
        }
        _ => Ok(()),
    }
}

fn check_label(label: &str) -> std::result::Result<(), &'static str> {
    if label.is_empty() {
        return Err("it has an empty label");
    }
    if label.len() > 63 {
        return Err("one of its labels is longer than 63 bytes");
    }
    if !label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err("only letters, digits and hyphens are allowed; write other scripts as A-labels (xn--…)");
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err("a label neither begins nor ends with a hyphen");
    }
    if label.get(2..4) == Some("--") {
        if !label.starts_with("xn--") {
            return Err("two hyphens in the third and fourth place are reserved for A-labels");
        }
        if !is_valid_a_label(label) {
            return Err("it has an A-label (xn--…) that is not valid IDNA");
        }
    }
    Ok(())
}

/// An A-label is valid when decoding it and encoding the result gives the same label (RFC 5891, 5.4).
fn is_valid_a_label(label: &str) -> bool {
    let uts46 = Uts46::new();
    let (unicode, decoded) = uts46.to_unicode(label.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    if decoded.is_err() || unicode.is_ascii() {
        return false;
    }
    uts46
        .to_ascii(unicode.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .is_ok_and(|ascii| ascii == label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_pass_and_look_alikes_do_not() {
        for name in ["acme.com", "a", "localhost", "*.lan", "xn--bcher-kva.example", "a-b.c-d.e", "3com.com"] {
            assert!(DnsName::parse(name).is_ok(), "{name}");
        }
        let long_label = format!("{}.com", "a".repeat(64));
        let long_name = vec!["a".repeat(60); 5].join(".");
        for name in [
            "",
            ".",
            "a..b",
            "a.",
            ".a",
            "-a.com",
            "a-.com",
            "a_b.com",
            "10.0.0.1",
            "a.1",
            "*",
            "*.*.com",
            "a.*.com",
            "*a.com",
            "xn--a.com",
            "xn--zzzzzz999.com",
            "ab--cd.com",
            "bücher.example",
            "a b.com",
            "a\0.com",
            "a.com:80",
            "[::1]",
            "xn--",
            &long_label,
            &long_name,
        ] {
            assert!(DnsName::parse(name).is_err(), "{name}");
        }
        assert_eq!(DnsName::parse("ACME.com").map(|n| n.to_string()), Ok("acme.com".into()));
    }

    #[test]
    fn below_means_whole_labels() {
        let name = |text: &str| DnsName::parse(text).unwrap();
        assert!(name("a.acme.com").is_below("acme.com"));
        assert!(name("b.a.acme.com").is_below("acme.com"));
        assert!(!name("acme.com").is_below("acme.com"));
        assert!(!name("evilacme.com").is_below("acme.com"));
    }
}
