//! csr.conf: what the subject and the extensions of a signer's certificate are to be.
//!
//! The file that people have is not quite OpenSSL's: its distinguished name stands before any section header, there is
//! no `[req]`, and words differ in case. OpenSSL's own files work too. Whatever is not understood is an error that names
//! file, line and key; nothing is passed over.

use super::constraints::NameConstraints;
use super::extension::KeyUsage;
use super::name::{Attribute, DistinguishedName};
use crate::error::{Error, Result};
use crate::identifier::{DnsName, Network};
use std::net::IpAddr;

/// What a csr.conf says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfFile {
    /// The subject; may be empty.
    pub subject: DistinguishedName,
    /// The path length of basicConstraints.
    pub path_len: Option<u8>,
    /// keyUsage, if the file has one.
    pub key_usage: Option<Vec<KeyUsage>>,
    /// nameConstraints, if the file has them.
    pub name_constraints: NameConstraints,
}

/// Parse a csr.conf; `file` is its name, for errors.
///
/// # Errors
/// Malformed, naming file, line and key.
pub fn parse_conf(file: &str, bytes: &[u8]) -> Result<ConfFile> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::malformed(format!("{file} is not UTF-8 text")))?;
    let lines = entries(file, text.strip_prefix('\u{feff}').unwrap_or(text))?;
    let layout = Layout::of(file, &lines)?;
    let mut conf = ConfFile::default();
    for entry in &lines {
        match layout.role(&entry.section) {
            Role::Request => {}
            Role::DistinguishedName => conf.add_attribute(entry)?,
            Role::Extensions => conf.add_extension(entry)?,
            Role::Unknown => {
                return Err(
                    entry.wrong("its section is referred to by nothing; use [req] to name the sections, or [v3_req]")
                );
            }
        }
    }
    Ok(conf)
}

struct Entry<'a> {
    file: &'a str,
    line: usize,
    section: String,
    /// In lower case.
    key: String,
    value: String,
}

impl Entry<'_> {
    fn wrong(&self, why: impl std::fmt::Display) -> Error {
        Error::malformed(format!("{}, line {}, {}: {why}", self.file, self.line, self.key))
    }
}

fn entries<'a>(file: &'a str, text: &str) -> Result<Vec<Entry<'a>>> {
    let mut section = String::new();
    let mut found: Vec<Entry<'a>> = Vec::new();
    for (at, raw) in (1usize..).zip(text.lines()) {
        let line = without_comment(raw).trim();
        if line.is_empty() {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let name = rest
                .strip_suffix(']')
                .ok_or_else(|| Error::malformed(format!("{file}, line {at}: the section header has no ]")))?;
            section = name.trim().to_ascii_lowercase();
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(|| {
            Error::malformed(format!("{file}, line {at}: \"{line}\" is neither a section nor KEY = VALUE"))
        })?;
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        let mut entry = Entry { file, line: at, section: section.clone(), key, value: String::new() };
        entry.value = unquoted(value).ok_or_else(|| entry.wrong("there is a quote at one end only"))?.to_owned();
        if found.iter().any(|e| e.section == entry.section && e.key == entry.key) {
            return Err(entry.wrong("it stands twice in its section"));
        }
        found.push(entry);
    }
    Ok(found)
}

/// `#` begins a comment at the start of a line or after white space, `;` at the start of a line; between quotes neither
/// does.
fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with(['#', ';']) {
        return "";
    }
    let mut quoted = false;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == '#' && before.is_whitespace() && !quoted {
            return line.get(..at).unwrap_or(line);
        }
        quoted ^= c == '"';
        before = c;
    }
    line
}

/// The value without the quotes around it; `None` when there is a quote at one end only.
fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(value).filter(|v| !v.ends_with('"')),
    }
}

enum Role {
    Request,
    DistinguishedName,
    Extensions,
    Unknown,
}

/// Which section is what.
struct Layout {
    distinguished_name: String,
    extensions: Vec<String>,
}

impl Layout {
    fn of(file: &str, lines: &[Entry<'_>]) -> Result<Layout> {
        let mut layout =
            Layout { distinguished_name: String::new(), extensions: vec!["v3_req".into(), "v3_ca".into()] };
        let is_there = |section: &str| lines.iter().any(|e| e.section == section);
        if !is_there("req") {
            if is_there("v3_req") && is_there("v3_ca") {
                return Err(Error::malformed(format!(
                    "{file} has both [v3_req] and [v3_ca]; keep the one that is meant"
                )));
            }
            return Ok(layout);
        }
        let mut extensions = Vec::new();
        for entry in lines.iter().filter(|e| e.section == "req") {
            match entry.key.as_str() {
                "distinguished_name" => layout.distinguished_name = entry.value.to_ascii_lowercase(),
                "req_extensions" | "x509_extensions" => extensions.push(entry.value.to_ascii_lowercase()),
                // How OpenSSL makes and asks for things; the flags of create-dfc-key decide that here.
                "prompt" | "utf8" | "string_mask" | "default_bits" | "default_md" | "encrypt_key" => {}
                _ => return Err(entry.wrong("this key is not known here")),
            }
        }
        extensions.dedup();
        if extensions.len() > 1 {
            return Err(Error::malformed(format!(
                "{file}: req_extensions and x509_extensions name different sections; keep one of them"
            )));
        }
        for section in extensions.iter().chain(Some(&layout.distinguished_name).filter(|s| !s.is_empty())) {
            if !is_there(section) {
                return Err(Error::malformed(format!(
                    "{file}: [req] names the section [{section}], which is not there"
                )));
            }
        }
        layout.extensions = extensions;
        Ok(layout)
    }

    fn role(&self, section: &str) -> Role {
        if section == "req" {
            Role::Request
        } else if section == self.distinguished_name {
            Role::DistinguishedName
        } else if self.extensions.iter().any(|e| e == section) {
            Role::Extensions
        } else {
            Role::Unknown
        }
    }
}

impl ConfFile {
    fn add_attribute(&mut self, entry: &Entry<'_>) -> Result<()> {
        // "0.organizationName" and "1.organizationName" let OpenSSL have a key twice.
        let name = match entry.key.split_once('.') {
            Some((number, name)) if number.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => entry.key.as_str(),
        };
        let attribute = Attribute::parse(name)
            .ok_or_else(|| entry.wrong("this is not an attribute of a subject that is known here"))?;
        self.subject.add(attribute, &entry.value).map_err(|e| entry.wrong(e))
    }

    fn add_extension(&mut self, entry: &Entry<'_>) -> Result<()> {
        // Both are always critical in a CA certificate, so the word is welcome and changes nothing.
        let words: Vec<&str> =
            entry.value.split(',').map(str::trim).filter(|w| !w.eq_ignore_ascii_case("critical")).collect();
        match entry.key.as_str() {
            "basicconstraints" => self.set_basic_constraints(entry, &words),
            "keyusage" => {
                let usages =
                    words.iter().map(|w| KeyUsage::parse(w)).collect::<Result<Vec<_>>>().map_err(|e| entry.wrong(e))?;
                if !usages.contains(&KeyUsage::KeyCertSign) {
                    return Err(entry.wrong("a signer needs keyCertSign"));
                }
                self.key_usage = Some(usages);
                Ok(())
            }
            "nameconstraints" => self.set_name_constraints(entry, &words),
            "subjectkeyidentifier" if entry.value.eq_ignore_ascii_case("hash") => Ok(()),
            "authoritykeyidentifier" if words.iter().all(|w| is_key_identifier_word(w)) => Ok(()),
            _ => Err(entry.wrong("this extension, or this value of it, is not known here")),
        }
    }

    fn set_basic_constraints(&mut self, entry: &Entry<'_>, words: &[&str]) -> Result<()> {
        let mut is_ca = false;
        for word in words {
            match word.split_once(':').map(|(k, v)| (k.trim().to_ascii_lowercase(), v.trim())) {
                Some((key, value)) if key == "ca" && value.eq_ignore_ascii_case("true") => is_ca = true,
                Some((key, value)) if key == "ca" && value.eq_ignore_ascii_case("false") => {
                    return Err(entry.wrong("a signer is a CA; write CA:TRUE"));
                }
                Some((key, value)) if key == "pathlen" => {
                    self.path_len = Some(value.parse().map_err(|_| entry.wrong("pathlen is a number from 0 to 255"))?);
                }
                _ => {
                    return Err(
                        entry.wrong(format!("\"{word}\" is not understood; write CA:TRUE and perhaps pathlen:N"))
                    );
                }
            }
        }
        if is_ca { Ok(()) } else { Err(entry.wrong("a signer is a CA; write CA:TRUE")) }
    }

    fn set_name_constraints(&mut self, entry: &Entry<'_>, words: &[&str]) -> Result<()> {
        if words.is_empty() {
            return Err(entry.wrong("it permits nothing; write permitted;DNS:NAME or permitted;IP:NETWORK"));
        }
        for word in words {
            let lower = word.to_ascii_lowercase();
            if let Some(domain) = lower.strip_prefix("permitted;dns:") {
                let domain = DnsName::parse(domain.trim_start_matches('.')).map_err(|e| entry.wrong(e))?;
                if domain.is_wildcard() {
                    return Err(entry.wrong("write the domain alone; what lies below is permitted too"));
                }
                self.name_constraints.domains.push(domain);
            } else if let Some(network) = lower.strip_prefix("permitted;ip:") {
                self.name_constraints.networks.push(network_with_mask(network).map_err(|e| entry.wrong(e))?);
            } else {
                return Err(entry
                    .wrong(format!("\"{word}\" is not understood; write permitted;DNS:NAME or permitted;IP:NETWORK")));
            }
        }
        Ok(())
    }
}

/// How OpenSSL's own files ask for an authority key identifier; a self-signed certificate needs none.
fn is_key_identifier_word(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "keyid" | "keyid:always" | "issuer" | "issuer:always")
}

/// OpenSSL writes networks as ADDRESS/MASK; a prefix length is taken too.
fn network_with_mask(text: &str) -> Result<Network> {
    let octets = |text: &str| match text.parse::<IpAddr>().ok()? {
        IpAddr::V4(v4) => Some(v4.octets().to_vec()),
        IpAddr::V6(v6) => Some(v6.octets().to_vec()),
    };
    match text.split_once('/').map(|(address, mask)| (octets(address), octets(mask))) {
        Some((Some(address), Some(mask))) if address.len() == mask.len() => {
            Network::from_octets_and_mask(&[address, mask].concat())
        }
        _ => Network::parse(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = "countryName= US\nstateOrProvinceName= NY\nlocalityName= NY\norganizationName= Akeyless\n\
        organizationalUnitName= Security\ncommonName= acme.com\n[ v3_req ]\nbasicConstraints = critical, CA:TRUE, pathlen:3\n\
        keyUsage = critical, digitalSignature, cRLSign, keyCertSign\n";

    fn published() -> ConfFile {
        parse_conf("csr.conf", PUBLISHED.as_bytes()).unwrap()
    }

    #[test]
    fn the_published_file_is_understood() {
        let conf = published();
        assert_eq!(conf.subject.common_name(), Some("acme.com"));
        assert_eq!(conf.path_len, Some(3));
        assert_eq!(conf.key_usage, Some(vec![KeyUsage::DigitalSignature, KeyUsage::CrlSign, KeyUsage::KeyCertSign]));
    }

    #[test]
    fn case_spacing_comments_line_ends_and_a_mark_change_nothing() {
        let noisy = format!("\u{feff}# made by hand\r\n; so it is\r\n{}", PUBLISHED.replace('\n', " # yes\r\n"))
            .replace("keyCertSign", "KeyCertSign")
            .replace("countryName= US", "COUNTRYNAME   =us")
            .replace("[ v3_req ]", "[V3_REQ]");
        assert_eq!(parse_conf("csr.conf", noisy.as_bytes()).unwrap(), published());
    }

    #[test]
    fn quotes_keep_what_stands_between_them() {
        let quoted = PUBLISHED.replace("commonName= acme.com", "commonName= \"Acme #1 CA\" # the first");
        let conf = parse_conf("csr.conf", quoted.as_bytes()).unwrap();
        assert_eq!(conf.subject.common_name(), Some("Acme #1 CA"));
    }

    #[test]
    fn networks_have_a_mask_or_a_prefix() {
        let with = |network: &str| PUBLISHED.to_owned() + &format!("nameConstraints = permitted;IP:{network}\n");
        for network in ["10.0.0.0/255.0.0.0", "10.0.0.0/8"] {
            let conf = parse_conf("csr.conf", with(network).as_bytes()).unwrap();
            assert_eq!(conf.name_constraints.networks, [Network::parse("10.0.0.0/8").unwrap()], "{network}");
        }
    }

    #[test]
    fn an_ordinary_openssl_file_says_the_same() {
        let openssl = "[req]\nprompt = no\ndistinguished_name = dn\nreq_extensions = ext\n[dn]\nC=US\nST=NY\nL=NY\nO=Akeyless\n\
            OU=Security\nCN=acme.com\n[ext]\nbasicConstraints=critical,CA:true,pathlen:3\n\
            keyUsage=critical,digitalSignature,cRLSign,keyCertSign\nsubjectKeyIdentifier=hash\n";
        assert_eq!(parse_conf("csr.conf", openssl.as_bytes()).unwrap(), published());
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        for (from, to, said) in [
            ("countryName= US", "countryName= USA", "csr.conf, line 1, countryname"),
            ("localityName= NY", "stateOrProvinceName= NY", "csr.conf, line 3, stateorprovincename: it stands twice"),
            ("CA:TRUE", "CA:FALSE", "csr.conf, line 8, basicconstraints: a signer is a CA"),
            ("pathlen:3", "pathlen:x", "csr.conf, line 8"),
            (", keyCertSign", "", "a signer needs keyCertSign"),
            ("cRLSign", "cRLSing", "\"cRLSing\" is not a key usage"),
            ("commonName= acme.com", "commonNmae= acme.com", "line 6, commonnmae"),
            ("commonName= acme.com", "acme.com", "line 6"),
            ("[ v3_req ]", "[ v3_rek ]", "referred to by nothing"),
            ("[ v3_req ]", "[ v3_req", "no ]"),
            ("keyUsage =", "extendedKeyUsage =", "line 9, extendedkeyusage"),
            ("keyUsage = critical", "nameConstraints = critical\nkeyUsage = critical", "it permits nothing"),
            ("keyUsage =", "nameConstraints = permitted;DNS:*.acme.com\nkeyUsage =", "write the domain alone"),
            ("[ v3_req ]", "[v3_ca]\nkeyUsage=keyCertSign\n[ v3_req ]", "has both"),
            ("[ v3_req ]", "[req]\nreq_extensions = v3\n[ v3_req ]", "which is not there"),
            ("commonName= acme.com", "commonName= \"acme.com", "line 6, commonname: there is a quote at one end only"),
            ("keyUsage =", "nameConstraints = permitted;IP:10.0.0.0/ffff::\nkeyUsage =", "is not a network"),
            (
                "keyUsage =",
                "nameConstraints = permitted;IP:10.0.0.0/255.0.255.0\nkeyUsage =",
                "is not an address and a mask",
            ),
        ] {
            let error = parse_conf("csr.conf", PUBLISHED.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.detail().contains(said), "{error}");
        }
    }
}
