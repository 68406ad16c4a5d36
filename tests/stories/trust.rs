//! `certwright trust`: a machine comes to trust a root, and trusts it no more, the Debian way with Debian's own program and
//! the Red Hat way with one that does as Red Hat's. The machine's own store is left alone: what is changed is mounted over it.

use crate::world::binary::directory;
use crate::world::daemon::Ca;
use crate::world::issuer::ISSUER;
use crate::world::mounted;
use crate::world::openssl::openssl;
use crate::world::openssl_ca::{LEAF_EXTENSIONS, OpensslCa, SUBORDINATE_EXTENSIONS};
use crate::world::outcome::{Outcome, assert_says};
use crate::world::place::{Place, STRANGER, running_as_root};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

const DEBIAN_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
const RED_HAT_BUNDLE: &str = "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem";
const RED_HAT_ANCHORS: &str = "/etc/pki/ca-trust/source/anchors";

/// As far as administrators' roots go.
const UPDATE_CA_TRUST: &str = "#!/bin/sh
find /etc/pki/ca-trust/source/anchors -name '*.pem' -exec cat {} + > /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem
";

#[test]
fn a_debian_host_trusts_a_root_until_it_is_taken_away() {
    let host = Host::new("/usr/sbin:/usr/bin:/sbin:/bin");
    let company = OpensslCa::new();
    host.write("root.pem", &company.root_pem);
    host.write("leaf.pem", &company.leaf());
    let before = host.read(DEBIAN_BUNDLE);
    assert!(!host.trusts(DEBIAN_BUNDLE));

    let said = host.trust(&["--root", "root.pem"]).succeeded().stdout;
    let fingerprint = fingerprint(&host.place, "root.pem");
    let (before_it, _) = said.split_once("It lies in").unwrap();
    assert!(before_it.contains(&fingerprint), "the fingerprint comes first: {said}");
    assert_says(&said, &["C=US, O=Acme, CN=Acme Root", "/usr/local/share/ca-certificates/certwright-"]);
    assert!(host.trusts(DEBIAN_BUNDLE));
    assert!(
        host.run("/usr/bin/openssl", &["verify", "-no-CAfile", "-CApath", "/etc/ssl/certs", "leaf.pem"]).status
            == Some(0)
    );

    let installed = host.read(DEBIAN_BUNDLE);
    host.trust(&["--root", "root.pem"]).succeeded();
    assert_eq!(host.read(DEBIAN_BUNDLE), installed, "once is enough");

    host.trust(&["--root", "root.pem", "--remove"]).succeeded();
    assert!(!host.trusts(DEBIAN_BUNDLE));
    assert!(
        host.run("/usr/bin/openssl", &["verify", "-no-CAfile", "-CApath", "/etc/ssl/certs", "leaf.pem"]).status
            != Some(0)
    );
    assert_eq!(host.read(DEBIAN_BUNDLE), before);
    assert_says(&host.trust(&["--root", "root.pem", "--remove"]).refused_after_telling(), &["not installed"]);
}

#[test]
fn a_red_hat_host_does_so_in_its_own_way() {
    let host = Host::new("/usr/bin:/bin");
    for directory in [RED_HAT_ANCHORS, "/etc/pki/ca-trust/extracted/pem"] {
        std::fs::create_dir_all(host.file(directory)).unwrap();
    }
    std::fs::write(host.file(RED_HAT_BUNDLE), "").unwrap();
    let company = OpensslCa::new();
    host.write("root.pem", &company.root_pem);
    host.write("leaf.pem", &company.leaf());
    assert_says(&host.trust(&["--root", "root.pem"]).refused_after_telling(), &["ca-certificates", "--print"]);

    let program = host.write("update-ca-trust", UPDATE_CA_TRUST);
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(!host.trusts(RED_HAT_BUNDLE));
    host.trust(&["--root", "root.pem"]).succeeded();
    assert!(host.trusts(RED_HAT_BUNDLE));
    host.trust(&["--root", "root.pem", "--remove"]).succeeded();
    assert!(!host.trusts(RED_HAT_BUNDLE));

    // A program that fails is told of, and the next run of it trusts nothing more.
    let anchors = || std::fs::read_dir(host.file(RED_HAT_ANCHORS)).unwrap().count();
    host.write("update-ca-trust", "#!/bin/sh\necho no room >&2\nexit 3\n");
    let refused = host.trust(&["--root", "root.pem"]).refused_after_telling();
    assert_says(&refused, &["update-ca-trust", "no room", "was taken away again"]);
    assert_eq!(anchors(), 0);
    // What was trusted before stays so.
    host.write("update-ca-trust", UPDATE_CA_TRUST);
    host.trust(&["--root", "root.pem"]).succeeded();
    host.write("update-ca-trust", "#!/bin/sh\nexit 3\n");
    let refused = host.trust(&["--root", "root.pem"]).refused_after_telling();
    assert_says(&refused, &["update-ca-trust", "is still there"]);
    assert_eq!(anchors(), 1);
}

#[test]
fn what_is_no_living_root_is_refused() {
    let host = Host::new("/usr/sbin:/usr/bin:/sbin:/bin");
    let company = OpensslCa::new();
    let intermediate = company.issue("below", "/CN=Below", SUBORDINATE_EXTENSIONS, 30);
    let leaf = company.issue("self", "/CN=Self", LEAF_EXTENSIONS, 30);
    for (pem, words) in [
        (leaf, &["not one of a CA"][..]),
        (intermediate.clone(), &["CN=Below is no root", "CN=Acme Root"]),
        (company.root_pem.clone() + &intermediate, &["2 certificates", "the root alone"]),
        (ended(&host.place), &["CN=Ended", "ended on"]),
        ("nothing at all".into(), &["wrong.pem"]),
    ] {
        host.write("wrong.pem", &pem);
        let refused = host.trust(&["--root", "wrong.pem"]).refused();
        assert_says(&refused, words);
    }
    assert_says(&host.trust(&["--root", "absent.pem"]).refused(), &["absent.pem"]);
    assert_eq!(std::fs::read_dir(host.file("/usr/local/share/ca-certificates")).unwrap().count(), 0);
}

#[test]
fn anybody_may_read_how_it_is_done_and_only_root_does_it() {
    let company = OpensslCa::new();
    let place = Place::new();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    place.write("root.pem", &company.root_pem);
    let run = |flags: &[&str]| {
        let mut command = match running_as_root() {
            true => {
                let mut command = Command::new("/usr/bin/setpriv");
                let uid = STRANGER.to_string();
                command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--"]).arg(program());
                command
            }
            false => Command::new(program()),
        };
        command.arg("trust").args(flags).current_dir(place.path()).stdin(Stdio::null());
        Outcome::new(format!("certwright trust {}", flags.join(" ")), command.output().unwrap())
    };
    assert_says(&run(&["--root", "root.pem"]).refused_after_telling(), &["only root", "--print"]);
    let said = run(&["--root", "root.pem", "--print"]).succeeded().stdout;
    assert!(said.contains(&fingerprint(&place, "root.pem")));
    let ways =
        ["update-ca-certificates", "update-ca-trust", "keytool", "Firefox", "Chrome", "addstore", "add-trusted-cert"];
    assert_says(&said, &ways);
    assert_says(&run(&[]).misused(), &["--root", "--url", "--cert-issuer-name"]);
    assert_says(&run(&["--root", "root.pem", "--url", "http://ca.lan"]).misused(), &["one of"]);
    assert_says(&run(&["--url", "https://ca.lan/"]).misused(), &["https://ca.lan/", "http URL"]);
}

#[test]
fn a_root_comes_from_a_daemon_too_and_in_the_clear_only_by_its_fingerprint() {
    let host = Host::new("/usr/sbin:/usr/bin:/sbin:/bin");
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.unchallenged_client(&issuer, "acme.com");
    let order = client.order(&["acme.com"]);
    let csr = crate::world::csr::Csr::for_names(&["acme.com"]);
    client.finalize(&order, &csr).expect(200);
    host.write("root.pem", &issuer.root_pem);
    host.write("leaf.pem", &client.certificate(&order));
    let fingerprint = fingerprint(&host.place, "root.pem");
    let url = format!("http://{}/ca/{}.pem", ca.plain_listen, ca.key_identifier(crate::world::issuer::SIGNER_KEY));

    assert_says(&host.trust(&["--url", &url]).refused_after_telling(), &["--fingerprint", "in the clear"]);
    // Whoever is asked sees what about, wherever standard output goes.
    for flags in ["", "--json"] {
        let line = format!("{} trust --url {url} {flags} > /dev/null", program().display());
        let asked = host.run("/usr/bin/script", &["--quiet", "--return", "--command", &line, "/dev/null"]);
        assert_eq!(asked.status, Some(1), "{asked:?}");
        let (shown, question) = asked.stdout.split_once("Is this the fingerprint").expect("a question");
        assert_says(shown, &[&fingerprint, "CN="]);
        assert_says(question, &["nothing was changed"]);
    }
    assert!(!host.trusts(DEBIAN_BUNDLE));
    let wrong = vec!["00"; 32].join(":");
    assert_says(&host.trust(&["--url", &url, "--fingerprint", &wrong]).refused(), &[&fingerprint, "do not trust it"]);
    assert!(!host.trusts(DEBIAN_BUNDLE));
    host.trust(&["--url", &url, "--fingerprint", &fingerprint.to_lowercase().replace(':', "")]).succeeded();
    assert!(host.trusts(DEBIAN_BUNDLE));
    host.trust(&["--url", &url, "--remove"]).succeeded();

    let socket = ca.admin_socket();
    let by_name = ["--cert-issuer-name", ISSUER, "--admin-socket", socket.to_str().unwrap()];
    let reply = host.trust(&[&by_name[..], &["--json"]].concat()).succeeded().json();
    assert_eq!(reply["roots"][0]["sha256_fingerprint"], fingerprint.as_str());
    assert!(host.trusts(DEBIAN_BUNDLE));

    // While it is rotated there are two, and a fingerprint says which.
    ca.run(&["rotate-key", "-n", crate::world::issuer::SIGNER_KEY]).succeeded();
    let both = host.trust(&[&by_name[..], &["--print", "--json"]].concat()).succeeded().json();
    let [first, second] = [0, 1].map(|at| both["roots"][at]["sha256_fingerprint"].as_str().unwrap().to_owned());
    assert_eq!(first, fingerprint);
    let chosen = host.trust(&[&by_name[..], &["--fingerprint", &second, "--json"]].concat()).succeeded().json();
    assert_eq!(chosen["roots"].as_array().unwrap().len(), 1, "{chosen}");
    assert_eq!(chosen["roots"][0]["sha256_fingerprint"], second.as_str());
    let refused = host.trust(&[&by_name[..], &["--fingerprint", &wrong]].concat()).refused();
    assert_says(&refused, &[&first, &second, "do not trust"]);
}

/// A host with its own /etc and its own place for an administrator's roots; everything else is this machine's.
pub struct Host {
    place: Place,
    path: String,
}

impl Host {
    pub fn new(path: &str) -> Host {
        let place = Place::new();
        mounted::lay_out(&place.file("host"), &OWN);
        let path = format!("{}:{path}", place.path().display());
        let host = Host { place, path };
        // Whatever this machine's administrator trusts.
        host.run("/usr/sbin/update-ca-certificates", &["--fresh"]).succeeded();
        host
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        self.place.write(name, text)
    }

    fn file(&self, path: &str) -> std::path::PathBuf {
        self.place.file("host").join(&path[1..])
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.file(path)).unwrap()
    }

    fn trust(&self, flags: &[&str]) -> Outcome {
        self.run(program().to_str().unwrap(), &[&["trust"], flags].concat())
    }

    /// Whether openssl trusts leaf.pem by this bundle.
    fn trusts(&self, bundle: &str) -> bool {
        let arguments = ["verify", "-no-CApath", "-no-CAstore", "-CAfile", bundle, "leaf.pem"];
        let outcome = self.run("/usr/bin/openssl", &arguments);
        let refused = outcome.stderr.contains("unable to get") || outcome.stderr.contains("Error loading");
        assert!(outcome.status == Some(0) || refused, "{outcome:?}");
        outcome.status == Some(0)
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> Outcome {
        let mut command = mounted::over(&self.place.file("host"), &OWN);
        command.arg(program).args(arguments).env_clear().env("PATH", &self.path);
        let output = command.current_dir(self.place.path()).stdin(Stdio::null()).output().unwrap();
        Outcome::new(format!("{program} {}", arguments.join(" ")), output)
    }
}

const OWN: [&str; 2] = ["/etc", "/usr/local/share/ca-certificates"];

fn program() -> std::path::PathBuf {
    directory().join("certwright")
}

/// As openssl tells it.
fn fingerprint(place: &Place, file: &str) -> String {
    let said = openssl(place, &["x509", "-in", file, "-noout", "-fingerprint", "-sha256"]).succeeded().stdout;
    said.trim().split_once('=').unwrap().1.to_owned()
}

/// A root that ended yesterday.
fn ended(place: &Place) -> String {
    place.write("ca.cnf", "basicConstraints=critical,CA:TRUE\n");
    let request =
        ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=Ended"];
    openssl(place, &[&request[..], &["-keyout", "ended.key", "-out", "ended.csr"]].concat()).succeeded();
    let sign = ["x509", "-req", "-in", "ended.csr", "-signkey", "ended.key", "-days", "-1", "-extfile", "ca.cnf"];
    openssl(place, &[&sign[..], &["-out", "ended.pem"]].concat()).succeeded();
    std::fs::read_to_string(place.file("ended.pem")).unwrap()
}

trait Told {
    fn refused_after_telling(&self) -> String;
}

impl Told for Outcome {
    /// What a refusal says that comes after the root was shown: exit status 1 and one sentence.
    #[track_caller]
    fn refused_after_telling(&self) -> String {
        assert!(self.stdout.starts_with("Root "), "{self:?}");
        Outcome { stdout: String::new(), ..self.clone() }.refused()
    }
}
