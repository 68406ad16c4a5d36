//! The page at `/ca`: what a person who knows nothing of this CA needs to trust it, and nothing that a stranger should not know.

use crate::world::base64url;
use crate::world::daemon::Ca;
use crate::world::issuer::{ISSUER, SIGNER_KEY, text};
use crate::world::openssl::openssl;
use crate::world::outcome::{Outcome, assert_says, fed};
use std::process::Command;

#[test]
fn the_page_leads_to_each_root_and_tells_how_it_comes_to_be_trusted() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let reply = ca.fetch("/ca").expect(200);
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    let page = reply.text();

    ca.place.write("root.pem", &issuer.root_pem);
    let asked = ["x509", "-in", "root.pem", "-noout", "-fingerprint", "-sha256"];
    let fingerprint = openssl(&ca.place, &asked).succeeded().stdout;
    assert!(page.contains(fingerprint.trim().split_once('=').unwrap().1), "{page}");
    for part in ["ACMEIssuer", "CN=acme.com", &issuer.directory, "update-ca-certificates", "keytool"] {
        assert!(page.contains(part), "{part} is not on the page: {page}");
    }
    let links = links(&page);
    assert_eq!(links.len(), 2, "{links:?}");
    assert_eq!(ca.fetch(&links[0]).expect(200).text(), issuer.root_pem);
    ca.place.write("root.cer", ca.fetch(&links[1]).expect(200).body);
    let read = ["x509", "-inform", "DER", "-in", "root.cer"];
    assert_eq!(openssl(&ca.place, &read).succeeded().stdout, issuer.root_pem);
    // The same words as the command's.
    let said = ca.run(&["trust", "-n", ISSUER, "--print"]).succeeded().stdout;
    for line in said.lines().filter(|line| line.contains("update-ca-") || line.contains("certutil")) {
        assert!(page.contains(line.trim()), "{line}: {page}");
    }
    assert_eq!(ca.fetch("/ca/").expect(200).body, reply.body);
    assert_eq!(ca.ask_in_the_clear("HEAD", "/ca", &[], b"").expect(200).body, b"");
    ca.fetch(&links[0].replace(".pem", ".txt")).expect(404);
    ca.fetch(&format!("/ca/root/{}.pem", "00".repeat(32))).expect(404);
    ca.fetch("/ca/root/xyz.pem").expect(404);
    assert_says(&ca.fetch("/").expect(404).text(), &["/ca"]);
}

#[test]
fn the_page_loads_and_runs_nothing_and_its_policy_allows_nothing() {
    let ca = Ca::start();
    ca.make_issuer("acme.com");
    let reply = ca.fetch("/ca").expect(200);
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    let page = reply.text();
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = ring::digest::digest(&ring::digest::SHA256, style.as_bytes());
    let hash = base64url::encode(hash.as_ref()).replace('-', "+").replace('_', "/") + "=";
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    assert_eq!(reply.header("content-security-policy"), Some(policy.as_str()));
    let lower = page.to_lowercase();
    for part in ["<script", "<img", "<link", "<iframe", "<form", "url(", "@import", "src=\"", "style=\""] {
        assert!(!lower.contains(part), "{part}: {page}");
    }
    // Words may begin so; attributes may not.
    let handler =
        lower.match_indices(" on").any(|(at, _)| lower[at..].split(['>', '<']).next().unwrap().contains("=\""));
    assert!(!handler, "{page}");
    assert!(links(&page).iter().all(|link| link.starts_with("/ca/root/")), "{page}");
    // A parser that shares no code with us finds every element closed that has to be.
    assert_eq!(open_elements(&page), "");
}

#[test]
fn strangers_learn_the_last_part_of_a_name_and_of_enabled_issuers_only() {
    let ca = Ca::start();
    ca.make_signer_key(SIGNER_KEY);
    ca.make_issuer_named("/Secret Customers/<i>Odd & \"co\"", SIGNER_KEY, "ca.lan", "acme.com", &[]);
    ca.make_issuer_named("/Sleeper", SIGNER_KEY, "ca.lan", "acme.com", &[]);
    ca.run(&["create-pki-cert-issuer", "-n", "/Silent", "-s", SIGNER_KEY, "-t", "90d"]).succeeded();
    ca.run(&["set-item-state", "-n", "/Sleeper", "--desired-state", "Disabled"]).succeeded();
    let page = ca.fetch("/ca").expect(200).text();
    assert!(page.contains("&lt;i&gt;Odd &amp; &quot;co&quot;") && !page.contains("<i>"), "{page}");
    assert!(page.contains("Silent") && !page.contains("Sleeper") && !page.contains("Customers"), "{page}");
    assert_eq!(page.matches("ACME directory").count(), 1, "one speaks ACME: {page}");
    assert!(!page.contains("SignerKey"), "{page}");
    assert_eq!(open_elements(&page), "");
}

#[test]
fn an_empty_house_has_an_empty_page() {
    let ca = Ca::start();
    assert_says(&ca.fetch("/ca").expect(200).text(), &["There is no issuer yet"]);
    ca.run(&["create-dfc-key", "-n", "/Bare", "--alg", "EC256"]).succeeded();
    ca.fetch("/ca").expect(200);
}

#[test]
fn while_a_root_is_rotated_both_are_there() {
    let ca = Ca::start();
    ca.make_issuer("acme.com");
    let before = links(&ca.fetch("/ca").expect(200).text());
    ca.run(&["rotate-key", "-n", SIGNER_KEY]).succeeded();
    let during = links(&ca.fetch("/ca").expect(200).text());
    assert_eq!(during.len(), 4, "{during:?}");
    assert_eq!(during[..2], before[..2], "what everybody trusts comes first");
    let told = ca.describe(ISSUER);
    let both = ca.fetch(&during[0]).expect(200).text() + &ca.fetch(&during[2]).expect(200).text();
    assert_eq!(text(&told, "root_certificates"), both);
    ca.run(&["rotate-key", "-n", SIGNER_KEY, "--finish"]).succeeded();
    assert_eq!(links(&ca.fetch("/ca").expect(200).text()), during[2..]);
    ca.fetch(&during[0]).expect(404);
}

fn links(page: &str) -> Vec<String> {
    page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

/// Elements that Python's parser finds open at the end, but for those whose end may be left out.
fn open_elements(page: &str) -> String {
    let script = "
import sys
from html.parser import HTMLParser
class Open(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []
    def handle_starttag(self, tag, attributes):
        if tag not in ('html', 'meta'):
            self.open.append(tag)
    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag
parser = Open()
parser.feed(sys.stdin.read())
parser.close()
print(' '.join(parser.open))
";
    let output = fed(Command::new("/usr/bin/python3").args(["-I", "-c", script]), page.as_bytes());
    Outcome::new("html.parser", output).succeeded().stdout.trim().to_owned()
}
