//! The page at `/ca`: the root of each enabled issuer, and how it comes to be trusted. Nothing in it is loaded from
//! elsewhere or executed, and the policy that goes with it forbids both.
//!
//! It tells a stranger no more than is in certificates and what one needs to be a client: of an issuer's name only the last
//! part, since the folders above it tell how a house is organised.

use super::trusting::{WayLine, ways_to_trust};
use crate::ca::RootCertificate;
use crate::clock::Time;
use crate::der::to_base64;
use crate::keys::{hex, sha256};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");

/// An issuer as a stranger may see it.
pub(super) struct ShownIssuer {
    /// The last part of its name.
    pub(super) name: String,
    pub(super) directory: Option<String>,
    pub(super) roots: Vec<RootCertificate>,
}

/// What browsers may do with the page: show it, with this style and no other.
pub(super) fn policy() -> String {
    let style = to_base64(&sha256(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The page.
pub(super) fn render(issuers: &[ShownIssuer], now: Time) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Certificate authority</title>\n<style>{STYLE}</style>\n<h1>Certificate authority of this network</h1>\n\
         <p>Whoever trusts a root below trusts every certificate that it stands behind. This page comes in the clear: compare \
         the fingerprint with one that you got in another way, from your administrator.</p>\n"
    );
    for issuer in issuers {
        section(&mut out, issuer, now);
    }
    if issuers.is_empty() {
        out.push_str("<p>There is no issuer yet.</p>\n");
    }
    out.push_str(
        "<h2>How to trust a root</h2>\n<p>Download it as PEM, here as <code>root.pem</code>, and look at its \
         fingerprint:</p>\n<pre>openssl x509 -in root.pem -noout -fingerprint -sha256</pre>\n",
    );
    for way in ways_to_trust("root.pem") {
        // Writing to a string does not fail.
        let _ = writeln!(out, "<h3>{}</h3>", escaped(way.title));
        let mut commands = Vec::new();
        for line in &way.lines {
            match line {
                WayLine::Words(words) => {
                    let _ = writeln!(out, "<p>{}</p>", escaped(words));
                }
                WayLine::Command(command) => commands.push(escaped(command)),
            }
        }
        let _ = writeln!(out, "<pre>{}</pre>", commands.join("\n"));
    }
    out
}

fn section(out: &mut String, issuer: &ShownIssuer, now: Time) {
    let _ = writeln!(out, "<h2>{}</h2>\n<dl>", escaped(&issuer.name));
    for root in &issuer.roots {
        let file = format!("/ca/root/{}", hex(&sha256(&root.der)));
        let ended = if root.check_lives(now).is_err() { " (it has ended)" } else { "" };
        let _ = writeln!(
            out,
            "<dt>Root</dt><dd>{}</dd>\n<dt>SHA-256 fingerprint</dt><dd><code>{}</code></dd>\n<dt>Valid until</dt><dd>{}{ended}</dd>\n\
             <dt>Download</dt><dd><a href=\"{file}.pem\" download=\"root.pem\">PEM</a> or <a href=\"{file}.cer\">DER</a></dd>",
            escaped(&root.subject),
            root.fingerprint(),
            root.life.not_after,
        );
    }
    if let Some(directory) = &issuer.directory {
        let _ = writeln!(out, "<dt>ACME directory</dt><dd><code>{}</code></dd>", escaped(directory));
    }
    out.push_str("</dl>\n");
}

/// Text that means nothing to HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_whatever_it_holds() {
        let issuer = ShownIssuer { name: "<script>'\"&".into(), directory: Some("<b>".into()), roots: Vec::new() };
        let page = render(&[issuer], Time(0));
        assert!(page.contains("&lt;script&gt;&#39;&quot;&amp;") && page.contains("&lt;b&gt;"), "{page}");
        assert!(!page.contains("<script") && !page.contains("<b>"));
    }
}
