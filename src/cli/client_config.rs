//! `certwright client-config`: what to paste so that an ACME client gets its certificates here. What is peculiar to a client
//! stands in a file of its own in `clients/`, and a new client is such a file and a line of [`CLIENTS`].
//!
//! A file has parts, each under a line `== where it belongs`. A line that begins with `%word ` is there only where the word
//! holds: `eab` or `noeab`, `webroot` or `standalone`, `root` where the root is known. `{name}` stands for a value.

use super::client;
use super::flags::{Given, is_set, text};
use super::{Failure, quote, usage};
use crate::ca::RootCertificate;
use crate::der::to_base64;
use crate::error::{Error, Result};
use crate::identifier::{Identifier, printable};
use crate::near::nearest;
use serde_json::{Value, json};

const CLIENTS: &[(&str, &str)] = &[
    ("acme.sh", include_str!("clients/acme.sh.txt")),
    ("caddy", include_str!("clients/caddy.txt")),
    ("cert-manager", include_str!("clients/cert-manager.txt")),
    ("certbot", include_str!("clients/certbot.txt")),
    ("dehydrated", include_str!("clients/dehydrated.txt")),
    ("haproxy", include_str!("clients/haproxy.txt")),
    ("lego", include_str!("clients/lego.txt")),
    ("mod_md", include_str!("clients/mod_md.txt")),
    ("nginx", include_str!("clients/nginx.txt")),
    ("proxmox", include_str!("clients/proxmox.txt")),
    ("traefik", include_str!("clients/traefik.txt")),
    ("uacme", include_str!("clients/uacme.txt")),
    ("win-acme", include_str!("clients/win-acme.txt")),
];

/// Where a client's host keeps the root.
const ROOT_FILE: &str = "/etc/ssl/certwright-root.pem";
/// Where a web server finds its files unless somebody says another place.
const WEBROOT: &str = "/var/www/html";
/// A name where neither the command nor the issuer says one.
const EXAMPLE: &str = "www.example.org";

pub(super) fn run(given: &[Given]) -> std::result::Result<(), Failure> {
    let (name, template) = chosen(text(given, "client").unwrap_or_default())?;
    let wanted = text(given, "domain").map(domain).transpose().map_err(usage)?;
    let webroot = text(given, "webroot").map(directory).transpose().map_err(usage)?;
    let socket = client::socket_path(given)?;
    let issuer_name = text(given, "cert-issuer-name").unwrap_or_default();
    let issuer = client::ask(&socket, &json!({ "command": "describe-item", "name": issuer_name }))?;
    let acme = Acme::read(&issuer)?;
    let eab = match is_set(given, "with-eab") {
        true => {
            Some(client::ask(&socket, &json!({ "command": "generate-acme-eab", "cert-issuer-name": acme.issuer }))?)
        }
        false => None,
    };
    let domain = wanted.or(acme.domain).unwrap_or_else(|| EXAMPLE.to_owned());
    let credential = |member: &str| match &eab {
        Some(eab) => eab.get(member).and_then(Value::as_str).unwrap_or_default().to_owned(),
        None => format!("<{member}>"),
    };
    let needs_eab = acme.requires_eab || eab.is_some();
    let pem: String = acme.roots.iter().map(RootCertificate::to_pem).collect();
    let mut holding =
        vec![if needs_eab { "eab" } else { "noeab" }, if webroot.is_some() { "webroot" } else { "standalone" }];
    if !acme.roots.is_empty() {
        holding.push("root");
    }
    let facts = Facts {
        holding,
        values: vec![
            ("root", shell_root(&acme.roots, &pem)),
            ("root_pem", pem.trim_end().to_owned()),
            ("root_base64", to_base64(pem.as_bytes())),
            ("root_file", ROOT_FILE.to_owned()),
            ("directory", acme.directory.clone()),
            ("domain", domain.clone()),
            ("email", format!("admin@{domain}")),
            ("webroot", webroot.unwrap_or_else(|| WEBROOT.to_owned())),
            ("hours", acme.hours.to_string()),
            ("kid", credential("kid")),
            ("mac_key", credential("mac_key")),
        ],
    };
    let parts = facts.parts(template);
    if is_set(given, "json") {
        let parts: Vec<Value> = parts.iter().map(|(place, text)| json!({ "where": place, "text": text })).collect();
        let reply = json!({
            "client": name,
            "issuer": acme.issuer,
            "domain": domain,
            "acme_directory_url": acme.directory,
            "root_certificates": pem,
            "eab": eab,
            "parts": parts,
        });
        super::say(&super::show::reply("client-config", &reply, true)?);
        return Ok(());
    }
    let mut shown = format!("# {name} for {domain} by {}\n", printable(&acme.issuer));
    if let Some(until) = eab.as_ref().and_then(|eab| eab.get("expires_at")).and_then(Value::as_str) {
        shown.push_str(&format!("# The credential in it makes one account, until {until}.\n"));
    } else if needs_eab {
        let name = quote(&printable(&acme.issuer));
        shown.push_str(&format!(
            "# <kid> and <mac_key> come from: certwright generate-acme-eab --cert-issuer-name {name}\n"
        ));
    }
    for (place, text) in parts {
        shown.push_str(&format!("\n# --- {place} ---\n{text}"));
    }
    super::say(shown.trim_end());
    Ok(())
}

/// What a client has to know of an issuer.
struct Acme {
    issuer: String,
    directory: String,
    requires_eab: bool,
    /// A name that it certifies.
    domain: Option<String>,
    /// The longest life of a certificate.
    hours: i64,
    /// What certifies the directory; nothing where the daemon was given a certificate.
    roots: Vec<RootCertificate>,
}

impl Acme {
    /// From what describe-item says.
    fn read(issuer: &Value) -> Result<Acme> {
        let member = |name: &str| issuer.get(name).and_then(Value::as_str);
        let name = member("item_name").unwrap_or_default().to_owned();
        let Some(details) = issuer.get("certificate_issue_details") else {
            return Err(Error::malformed(format!("{name} is no issuer; list-items --type PKI_CERT_ISSUER shows them")));
        };
        let directory = member("acme_directory_url").map(str::to_owned).ok_or_else(|| {
            Error::conflict(format!(
                "{name} does not speak ACME; switch it on with update-pki-cert-issuer --enable-acme true"
            ))
        })?;
        let policy = details.get("pki_cert_issuer_details");
        let of_policy = |name: &str| policy.and_then(|policy| policy.get(name));
        let domains = of_policy("allowed_domains_list").and_then(Value::as_array);
        let mut domains = domains.into_iter().flatten().filter_map(Value::as_str);
        let seconds = details.get("max_ttl").and_then(Value::as_i64).unwrap_or_default();
        Ok(Acme {
            issuer: name,
            directory,
            requires_eab: of_policy("require_eab").and_then(Value::as_bool).unwrap_or(true),
            domain: domains.find(|domain| !domain.starts_with('*')).map(str::to_owned),
            hours: (seconds / 3_600).max(1),
            roots: RootCertificate::parse_all(member("directory_root_certificates").unwrap_or_default())?,
        })
    }
}

/// What a template is filled with.
struct Facts {
    holding: Vec<&'static str>,
    values: Vec<(&'static str, String)>,
}

impl Facts {
    /// The parts of a template, each with where it belongs.
    fn parts(&self, template: &str) -> Vec<(String, String)> {
        let mut parts: Vec<(String, String)> = Vec::new();
        for line in template.lines() {
            let (holds, line) = match line.strip_prefix('%').and_then(|rest| rest.split_once(' ')) {
                Some((word, line)) => (self.holding.contains(&word), line),
                None => (true, line),
            };
            let filled = self
                .values
                .iter()
                .fold(line.to_owned(), |line, (name, value)| line.replace(&format!("{{{name}}}"), value));
            match (filled.strip_prefix("== "), parts.last_mut()) {
                (Some(place), _) => parts.push((place.to_owned(), String::new())),
                (None, Some((_, text))) if holds => {
                    text.push_str(&filled);
                    text.push('\n');
                }
                _ => {}
            }
        }
        parts
    }
}

/// The client of that name, and what is peculiar to it.
fn chosen(client: &str) -> std::result::Result<(&'static str, &'static str), Failure> {
    let known = || CLIENTS.iter().map(|(name, _)| *name);
    CLIENTS.iter().copied().find(|(name, _)| name.eq_ignore_ascii_case(client)).ok_or_else(|| {
        let near = nearest(client, known()).map_or_else(String::new, |near| format!("did you mean {near}? "));
        let known: Vec<&str> = known().collect();
        Failure::Usage(format!("--client {} is not known; {near}known are {}", printable(client), known.join(", ")))
    })
}

/// A name as it may stand in a command line and in every configuration.
fn domain(name: &str) -> Result<String> {
    let parsed = Identifier::parse("dns", name).map_err(|e| Error::malformed(format!("--domain: {}", e.detail())));
    match parsed? {
        Identifier::Dns(parsed) if !name.starts_with("*.") => Ok(parsed.to_string()),
        _ => Err(Error::malformed(
            "--domain is one name here: wildcards are proved by dns-01, which each client sets up in its own way",
        )),
    }
}

/// A path that needs no quotes anywhere.
fn directory(path: &str) -> Result<String> {
    let is_plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    if is_plain && path.starts_with('/') {
        Ok(path.trim_end_matches('/').to_owned())
    } else {
        Err(Error::malformed("--webroot is an absolute path of letters, digits and / . _ -"))
    }
}

/// How a POSIX shell writes the root down.
fn shell_root(roots: &[RootCertificate], pem: &str) -> String {
    if roots.is_empty() {
        return format!(
            "# The daemon shows a certificate that it was given (--tls-cert), whose root it does not know.\n\
             # Put that root into {ROOT_FILE} first."
        );
    }
    let of = |root: &RootCertificate| {
        let (subject, until) = (&root.subject, root.life.not_after);
        format!("# The root of this CA: {subject}\n# SHA-256 {}, until {until}\n", root.fingerprint())
    };
    let told: String = roots.iter().map(of).collect();
    format!("{told}cat > {ROOT_FILE} <<'END'\n{pem}END")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 11] = [
        "root",
        "root_pem",
        "root_base64",
        "root_file",
        "directory",
        "domain",
        "email",
        "webroot",
        "hours",
        "kid",
        "mac_key",
    ];

    #[test]
    fn every_template_says_only_what_is_known() {
        let words = ["eab", "noeab", "webroot", "standalone", "root"];
        for (client, template) in CLIENTS {
            assert!(template.starts_with("== "), "{client}: where does the beginning belong?");
            let marked = template.lines().filter_map(|line| line.strip_prefix('%'));
            for line in marked {
                assert!(words.contains(&line.split(' ').next().unwrap()), "{client}: %{line}");
            }
            let values = NAMES.map(|name| (name, format!("[{name}]"))).to_vec();
            let facts = Facts { holding: words.to_vec(), values };
            let all: String = facts.parts(template).into_iter().map(|(place, text)| place + &text).collect();
            let names = all.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
            for name in names {
                let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                assert!(!is_name, "{client}: {{{name}}}");
            }
            for needed in ["[directory]", "[domain]"] {
                assert!(all.contains(needed), "{client} does not say {needed}");
            }
        }
    }

    #[test]
    fn lines_whose_word_does_not_hold_are_left_out() {
        let facts = Facts { holding: vec!["eab"], values: vec![("kid", "K".into())] };
        let parts = facts.parts("== here\na {kid}\n%eab  b\n%noeab c\n== there\n%[d]\n");
        let expected = [("here", "a K\n b\n"), ("there", "%[d]\n")];
        assert_eq!(parts, expected.map(|(place, text)| (place.to_owned(), text.to_owned())));
    }

    #[test]
    fn nothing_odd_comes_into_a_command_line() {
        for odd in ["a b.lan", "a;reboot.lan", "$(x).lan", "*.a.lan", "", "-x.lan", "10.0.0.1'"] {
            assert!(domain(odd).is_err(), "{odd}");
        }
        assert_eq!(domain("WWW.acme.com").ok().as_deref(), Some("www.acme.com"));
        for odd in ["www", "/a b", "/a'b", "/$x", ""] {
            assert!(directory(odd).is_err(), "{odd}");
        }
        assert_eq!(directory("/srv/www/").ok().as_deref(), Some("/srv/www"));
    }
}
