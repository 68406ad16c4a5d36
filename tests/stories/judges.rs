//! Every kind of certificate goes past judges that share no code with us, and all are silent.

use crate::world::acme::{Client, Order};
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::{Issuer, SIGNER_KEY, text};
use crate::world::judges::{Complaint, against_chain, assert_refused, judge_ca_certificate, judge_chain, pem};
use crate::world::responder::Responder;
use serde_json::{Value, json};
use std::net::Ipv6Addr;

const RSA_2048: &[&str] = &["rsa:2048"];
const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P384: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
const ED25519: &[&str] = &["ed25519"];

/// A subject with everything in it, most of it not ASCII, a path length, and constraints of each kind.
const FULL_CONF: &str = "countryName = DE
stateOrProvinceName = Baden-Württemberg
localityName = 東京
organizationName = Ämtliche Prüfstelle
organizationalUnitName = Безопасность
commonName = Prüf-CA №1
[ v3_req ]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, digitalSignature, cRLSign, keyCertSign
nameConstraints = critical, permitted;DNS:acme.com, permitted;DNS:lan, permitted;IP:10.0.0.0/255.0.0.0, permitted;IP:fd00::/8
";

#[test]
fn rsa_2048_signers_and_all_leaves_below_them_please_all_judges() {
    signers_and_leaves_please("RSA2048");
}

#[test]
fn rsa_3072_signers_and_all_leaves_below_them_please_all_judges() {
    signers_and_leaves_please("RSA3072");
}

#[test]
fn rsa_4096_signers_and_all_leaves_below_them_please_all_judges() {
    signers_and_leaves_please("RSA4096");
}

#[test]
fn p_256_signers_and_all_leaves_below_them_please_all_judges() {
    signers_and_leaves_please("EC256");
}

#[test]
fn p_384_signers_and_all_leaves_below_them_please_all_judges() {
    signers_and_leaves_please("EC384");
}

#[test]
fn ed25519_signers_and_all_leaves_below_them_please_all_judges() {
    signers_and_leaves_please("ED25519");
}

/// A plain signer and one with everything, and a leaf of each kind of key below each, in two threads.
fn signers_and_leaves_please(algorithm: &str) {
    let ca = Ca::start();
    let plain = &["--certificate-common-name", "Plain CA"][..];
    let conf = ca.place.write("full.conf", FULL_CONF);
    let full = &["--conf-file-path", conf.to_str().unwrap()][..];
    std::thread::scope(|scope| {
        for (name, flags, keys) in [("/Plain", plain, [RSA_2048, P384]), ("/Full", full, [P256, ED25519])] {
            let ca = &ca;
            scope.spawn(move || {
                let root = make_signer(ca, name, algorithm, flags);
                judge_ca_certificate(&root, "", &root);
                let issuer = make_issuer(ca, name, "acme.com", &[]);
                let client = ca.unchallenged_client(&issuer, "acme.com");
                for key in keys {
                    let csr = Csr::with("/", "subjectAltName=DNS:acme.com", key);
                    judge_chain(&obtain(&client, &["acme.com"], &csr), &root, &["acme.com"]);
                }
            });
        }
    });
}

#[test]
fn every_hash_of_an_rsa_signer_pleases_all_judges() {
    let ca = Ca::start();
    for hash in ["SHA384", "SHA512"] {
        let name = format!("/{hash}");
        let root =
            make_signer(&ca, &name, "RSA2048", &["--hash-algorithm", hash, "--certificate-common-name", "Hashing CA"]);
        judge_ca_certificate(&root, "", &root);
        let issuer = make_issuer(&ca, &name, "acme.com", &[]);
        let chain = obtain(&ca.unchallenged_client(&issuer, "acme.com"), &["acme.com"], &Csr::for_names(&["acme.com"]));
        judge_chain(&chain, &root, &["acme.com"]);
    }
}

#[test]
fn every_kind_of_name_constraint_pleases_all_judges() {
    let ca = Ca::start();
    let (domains, v4, v6) = ("acme.com,lan", "10.0.0.0/8,192.168.7.1/32", "fd00::/8");
    for (number, flags) in [
        &["--permitted-domains", domains][..],
        &["--permitted-domains", domains, "--permitted-ips", v4],
        &["--permitted-domains", domains, "--permitted-ips", v6],
        &["--permitted-domains", domains, "--permitted-ips", v4, "--permitted-ips", v6],
        &["--permitted-domains", domains, "--permitted-ips", "0.0.0.0/0,::/0"],
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("/Constrained{number}");
        let flags = [flags, &["--certificate-common-name", "Constrained CA"]].concat();
        let root = make_signer(&ca, &name, "EC256", &flags);
        judge_ca_certificate(&root, "", &root);
        let issuer = make_issuer(&ca, &name, "acme.com", &["--allow-subdomains"]);
        let names = ["acme.com", "a.acme.com"];
        let client = ca.unchallenged_client(&issuer, "acme.com,*.acme.com");
        judge_chain(&obtain(&client, &names, &Csr::for_names(&names)), &root, &names);
    }
    // Where only addresses are permitted, no name can be certified, not even the daemon's own.
    let flags = ["--permitted-ips", v4, "--certificate-common-name", "Addresses only"];
    let root = make_signer(&ca, "/Addresses", "EC256", &flags);
    judge_ca_certificate(&root, "", &root);
}

#[test]
fn every_path_length_pleases_all_judges() {
    let ca = Ca::start();
    for length in ["0", "3", "127", "128", "255"] {
        let conf = FULL_CONF.replace("pathlen:0", &format!("pathlen:{length}"));
        let conf = ca.place.write("length.conf", conf);
        let root = make_signer(&ca, &format!("/L{length}"), "EC256", &["--conf-file-path", conf.to_str().unwrap()]);
        judge_ca_certificate(&root, "", &root);
    }
}

#[test]
fn every_kind_of_name_in_a_leaf_pleases_all_judges() {
    let ca = Ca::start_with(&["--validation-allow", "127.0.0.0/8", "--validation-allow", "::1/128"]);
    let root = make_signer(&ca, SIGNER_KEY, "EC256", &["--certificate-common-name", "Acme CA"]);
    let flags = ["--allow-subdomains", "--allowed-ip-sans", "127.0.0.0/8,::1/128"];
    let issuer = make_issuer(&ca, SIGNER_KEY, "acme.com", &flags);
    let client = ca.unchallenged_client(&issuer, "acme.com,*.acme.com");

    let hundred: Vec<String> = (0..100).map(|number| format!("host-{number}.acme.com")).collect();
    let hundred: Vec<&str> = hundred.iter().map(String::as_str).collect();
    let longest = format!("{}.acme.com", "l".repeat(63));
    let sets = [&hundred[..], &["*.acme.com"], &["acme.com", "*.acme.com"], &["xn--bcher-kva.acme.com"], &[&longest]];
    for names in sets {
        judge_chain(&obtain(&client, names, &Csr::for_names(names)), &root, names);
    }

    // An address is proved at itself.
    let v4 = ca.place.address.to_string();
    let client = ca.client(&issuer);
    let by_v4 = Responder::start(ca.place.address, ca.http_01_port);
    let by_v6 = Responder::start(Ipv6Addr::LOCALHOST, ca.http_01_port);
    let names = format!("IP:{v4},IP:::1,DNS:acme.com");
    for (extension, names) in
        [(format!("IP:{v4}"), &[v4.as_str()][..]), ("IP:::1".into(), &["::1"]), (names, &[&v4, "::1", "acme.com"])]
    {
        let order = client.post(&client.url("newOrder"), &json!({"identifiers": identifiers(names)})).expect(201);
        let order = Order::from(order);
        for authorization in order.authorizations() {
            let address = client.fetch(&authorization).expect(200).json()["identifier"]["value"].clone();
            client.prove_one(&authorization, if address == "::1" { &by_v6 } else { &by_v4 });
        }
        assert_eq!(client.settled(&order.url, &["pending"])["status"], "ready");
        let csr = Csr::with("/", &format!("subjectAltName={extension}"), P256);
        client.finalize(&order, &csr).expect(200);
        judge_chain(&client.certificate(&order), &root, names);
    }
}

#[test]
fn every_profile_pleases_all_judges() {
    let ca = Ca::start();
    let root = make_signer(&ca, SIGNER_KEY, "EC256", &["--certificate-common-name", "Acme CA"]);
    let profiles = ["classic", "tlsserver", "shortlived", "mtls"];
    let issuer = make_issuer(&ca, SIGNER_KEY, "acme.com", &["--profiles", &profiles.join(",")]);
    let client = ca.unchallenged_client(&issuer, "acme.com");
    for profile in profiles {
        for key in [RSA_2048, P256, P384, ED25519] {
            let payload = json!({"identifiers": identifiers(&["acme.com"]), "profile": profile});
            let csr = Csr::with("/CN=acme.com", "subjectAltName=DNS:acme.com", key);
            judge_chain(&obtain_with(&client, &payload, &csr), &root, &["acme.com"]);
        }
    }
}

#[test]
fn forced_subjects_please_all_judges() {
    let ca = Ca::start();
    let root = make_signer(&ca, SIGNER_KEY, "EC256", &["--certificate-common-name", "Acme CA"]);
    let all = [
        &["--organizations", "Ämtliche Prüfstelle,Second"][..],
        &["--organizational-units", "Безопасность"],
        &["--country", "DE", "--locality", "東京", "--province", "Baden-Württemberg"],
        &["--street-address", "Hauptstraße 1", "--postal-code", "70173"],
    ]
    .concat();
    for (number, flags) in
        [&all[..], &["--organizations", "Acme"], &["--country", "us"], &["--client-flag"]].into_iter().enumerate()
    {
        for chain in forced(&ca, number, flags) {
            judge_chain(&chain, &root, &["acme.com"]);
        }
    }
}

/// Where an administrator wants something that RFC 5280 allows and advises against, pkilint says just that.
#[test]
fn forced_usages_displease_only_pkilint_and_only_as_wanted() {
    let ca = Ca::start();
    let root = make_signer(&ca, SIGNER_KEY, "EC256", &["--certificate-common-name", "Acme CA"]);
    let usages = "digitalSignature,keyEncipherment,keyAgreement,dataEncipherment,contentCommitment";
    for (number, (flags, tolerated)) in [
        (
            ["--critical-key-usage", "false"],
            &["key_usage_extension_not_critical", "non_critical_key_usage_extension"][..],
        ),
        (["--key-usage", usages], &["subscriber_prohibited_ku_present", "subscriber_discouraged_ku_present"]),
    ]
    .into_iter()
    .enumerate()
    {
        let chains = forced(&ca, number, &flags);
        let mut complaints: Vec<Complaint> =
            chains.iter().flat_map(|chain| against_chain(chain, &root, &["acme.com"])).collect();
        assert_refused(flags[0], &complaints, &["pkilint"]);
        complaints.retain(|complaint| !tolerated.iter().any(|code| complaint.says.contains(code)));
        assert_refused(flags[0], &complaints, &[]);
    }
}

/// A leaf of each kind of key, by an issuer with these flags.
fn forced(ca: &Ca, number: usize, flags: &[&str]) -> Vec<String> {
    let issuer =
        ca.make_issuer_named(&format!("/Forced{number}"), SIGNER_KEY, &format!("ca{number}.lan"), "acme.com", flags);
    let client = ca.unchallenged_client(&issuer, "acme.com");
    let csr = |key: &&[&str]| Csr::with("/", "subjectAltName=DNS:acme.com", key);
    [RSA_2048, P256, ED25519].iter().map(|key| obtain(&client, &["acme.com"], &csr(key))).collect()
}

#[test]
fn the_daemons_own_certificate_pleases_all_judges() {
    let ca = Ca::start();
    let root = make_signer(&ca, SIGNER_KEY, "EC256", &["--certificate-common-name", "Acme CA"]);
    let address = ca.place.address.to_string();
    for (name, host) in [("/Named", "ca.lan"), ("/Addressed", address.as_str())] {
        let issuer = ca.make_issuer_named(name, SIGNER_KEY, host, "acme.com", &[]);
        let shown = issuer.wire().handshake().unwrap().0;
        let chain: String = shown.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect();
        judge_chain(&chain, &root, &[host]);
    }
}

/// The PEM of a new signer's self-signed certificate.
fn make_signer(ca: &Ca, name: &str, algorithm: &str, flags: &[&str]) -> String {
    let always = ["create-dfc-key", "--name", name, "--alg", algorithm, "--generate-self-signed-certificate"];
    ca.run(&[&always[..], &["true", "--certificate-ttl", "365"], flags].concat()).succeeded();
    text(&ca.describe(name), "certificates")
}

/// An issuer of this signer, at a host of its own.
fn make_issuer(ca: &Ca, signer: &str, domains: &str, flags: &[&str]) -> Issuer {
    let host = format!("{}.lan", signer.rsplit('/').next().unwrap().to_lowercase());
    ca.make_issuer_named(&format!("{signer}Issuer"), signer, &host, domains, flags)
}

fn obtain(client: &Client, names: &[&str], csr: &Csr) -> String {
    obtain_with(client, &json!({"identifiers": identifiers(names)}), csr)
}

fn obtain_with(client: &Client, order: &Value, csr: &Csr) -> String {
    let reply = client.post(&client.url("newOrder"), order).expect(201);
    let order = Order::from(reply);
    client.finalize(&order, csr).expect(200);
    client.certificate(&order)
}

fn identifiers(names: &[&str]) -> Vec<Value> {
    let kind = |name: &str| if name.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
    names.iter().map(|name| json!({"type": kind(name), "value": name})).collect()
}
