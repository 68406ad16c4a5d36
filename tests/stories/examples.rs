//! Every example that help and man pages show is run as it stands there, against a real daemon.

use crate::trust::Host;
use crate::world::binary::{as_daemon, directory};
use crate::world::daemon::Ca;
use crate::world::issuer::Issuer;
use crate::world::openssl_ca::OpensslCa;
use crate::world::outcome::Outcome;
use crate::world::patience::{eventually, seconds};
use argh::FlagInfoKind;
use certwright::cli::definitions;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::process::{Child, Command, Stdio};

/// What the others need is made by these, in this order.
const FIRST: [&str; 2] = ["create-dfc-key", "create-pki-cert-issuer"];

/// What ends something, last. All others run between, in the order in which help lists them.
const LAST: [&str; 6] =
    ["revoke-certificate", "rotate-key", "set-item-state", "revoke-acme-eab", "deactivate-acme-account", "delete-item"];

/// Run without the daemon of the story, after it has ended.
const ALONE: [&str; 3] = ["restore", "serve", "quickstart"];

/// Run where it changes nobody else's certificate store.
const APART: &str = "trust";

#[test]
fn every_example_works_as_it_stands() {
    let mut home = Home::new();
    for command in FIRST {
        home.run(command);
    }
    home.settle();
    let commands: Vec<&str> = definitions().commands.iter().map(|command| command.name).collect();
    let placed = |name: &str| FIRST.contains(&name) || LAST.contains(&name) || ALONE.contains(&name) || name == APART;
    commands.iter().filter(|name| !placed(name)).for_each(|name| home.run(name));
    home.run_apart(APART);
    LAST.iter().for_each(|name| home.run(name));

    assert!(home.ca.stop().success());
    for example in examples("restore") {
        home.as_administrator(&example).succeeded();
    }
    for example in examples("serve") {
        let mut daemon = home.begin(&example);
        eventually("the daemon of the example answers", seconds(30), || {
            assert!(daemon.try_wait().unwrap().is_none(), "{example} ended by itself: {}", home.said());
            home.ca.status()
        });
        end(daemon, &example);
    }
    for example in examples("quickstart") {
        // Where it stands there it takes ports that are the machine's.
        let (address, port) = (home.ca.place.address, home.ca.place.free_port());
        let own = format!("{example} --listen {address}:0 --plain-listen {address}:0 --http-01-port {port}");
        let mut daemon = home.begin(&own);
        eventually("the quickstart of the example tells how to go on", seconds(60), || {
            assert!(daemon.try_wait().unwrap().is_none(), "{own} ended by itself: {}", home.said());
            home.said().contains("certbot certonly").then_some(())
        });
        end(daemon, &own);
    }
}

/// What help and completions offer for a flag is what the daemon takes: it names the same words where another is given.
#[test]
fn the_words_that_a_flag_takes_are_those_that_the_daemon_knows() {
    let mut home = Home::new();
    FIRST.iter().for_each(|command| home.run(command));
    home.settle();
    let mut seen = 0;
    for command in definitions().commands {
        for flag in command.command.flags {
            let FlagInfoKind::Option { arg_name } = flag.kind else { continue };
            if !arg_name.contains('|') {
                continue;
            }
            let example = examples(command.name).remove(0);
            let without = match example.split_once(&format!(" {} ", flag.long)) {
                Some((before, after)) => format!("{before} {}", after.split_once(' ').unwrap_or_default().1),
                None => example,
            };
            // What the example made is there, and a hash is chosen for RSA keys only.
            let without =
                without.replace("create-pki-cert-issuer --name /Home/", "create-pki-cert-issuer --name /New/");
            let without = without.replace("--alg EC256", "--alg RSA2048");
            let sentence = home.as_administrator(&format!("{without} {}=nonsense", flag.long)).refused();
            let plain = |text: &str| text.to_lowercase().replace(' ', "-");
            for word in arg_name.split('|') {
                assert!(plain(&sentence).contains(&plain(word)), "{} {word}: {sentence}", flag.long);
            }
            seen += 1;
        }
    }
    assert!(seen > 8, "{seen} flags");
}

/// The examples of a command, of which it has at least one.
fn examples(name: &str) -> Vec<String> {
    let commands = definitions().commands;
    let command = commands.iter().find(|command| command.name == name);
    let examples = command.unwrap_or_else(|| panic!("there is no command {name}")).command.examples;
    assert!(!examples.is_empty(), "{name} has no example; give its struct one (argh's `example`)");
    examples.iter().map(|example| example.replace("{command_name}", &format!("certwright {name}"))).collect()
}

/// The home.arpa of the examples: its CA, its hosts, and another CA.
struct Home {
    ca: Ca,
    kid: String,
}

impl Home {
    fn new() -> Home {
        Home { ca: Ca::start(), kid: String::new() }
    }

    /// What the examples speak of and no example makes.
    fn settle(&mut self) {
        let issuer = self.ca.issuer("/Home/Issuer", "/Home/CA", "ca.home.arpa");
        let client = self.ca.unchallenged_client(&issuer, "www.home.arpa");
        assert_eq!(self.ca.accounts(&issuer)[0]["account_id"], "1");
        let order = client.order(&["www.home.arpa"]);
        client.finalize(&order, &crate::world::csr::Csr::for_names(&["www.home.arpa"])).expect(200);
        self.kid = self.outstanding(&issuer);

        let other = OpensslCa::new();
        let write = |name: &str, content: &[u8]| self.ca.place.write(name, content);
        write("ca.key", &other.read("ca.key"));
        write("ca.pem", other.root_pem.as_bytes());
        write("ca.crl", &other.crl("proper"));
        let key = ["create-dfc-key", "-n", "/Home/Intermediate", "-a", "EC256", "--certificate-common-name", "Home"];
        self.ca.run(&key).succeeded();
        let request = self.ca.run(&["export-signer-csr", "-n", "/Home/Intermediate"]).succeeded().stdout;
        write("chain.pem", [other.certify("intermediate", &request, 90), other.root_pem.clone()].concat().as_bytes());
    }

    fn outstanding(&self, issuer: &Issuer) -> String {
        self.ca.make_eab(issuer).kid
    }

    fn run(&self, command: &str) {
        for example in examples(command) {
            self.as_administrator(&example).succeeded();
        }
    }

    /// On a host whose certificate store is its own.
    fn run_apart(&self, command: &str) {
        let host = Host::new(&format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", directory().display()));
        let socket = format!("CERTWRIGHT_ADMIN_SOCKET={}", self.ca.admin_socket().display());
        for example in examples(command) {
            host.run("/usr/bin/env", &[&socket, "/bin/bash", "-c", &example]).succeeded();
        }
    }

    fn as_administrator(&self, example: &str) -> Outcome {
        let mut shell = Command::new("/bin/bash");
        self.settings(&mut shell, example);
        Outcome::new(example, shell.stdin(Stdio::null()).output().unwrap())
    }

    /// A daemon's example, which ends when it is told to.
    fn begin(&self, example: &str) -> Child {
        let mut shell = as_daemon("/bin/bash");
        self.settings(&mut shell, example);
        let said = File::create(self.ca.place.file("said")).unwrap();
        shell.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.ca.place.file("said")).unwrap()
    }

    /// Settings of this story as an administrator would have them: in the environment.
    fn settings(&self, shell: &mut Command, example: &str) {
        let place = &self.ca.place;
        shell.env_clear().env("PATH", format!("{}:/usr/bin:/bin", directory().display())).current_dir(place.path());
        shell.env("CERTWRIGHT_ADMIN_SOCKET", self.ca.admin_socket()).env("CERTWRIGHT_STATE_DIR", self.ca.state_dir());
        let anywhere = format!("{}:0", place.address);
        shell.env("CERTWRIGHT_LISTEN", &anywhere).env("CERTWRIGHT_PLAIN_LISTEN", &anywhere);
        // What only this daemon knows: its port, and a credential that it made.
        let port = format!("ca.home.arpa:{}", self.ca.listen.port());
        let mut words: Vec<String> =
            example.replace("ca.home.arpa:8000", &port).split(' ').map(str::to_owned).collect();
        if let Some(kid) = words.iter().position(|word| word == "--kid") {
            words[kid + 1].clone_from(&self.kid);
        }
        // In the place of the shell, so that a signal reaches it.
        shell.args(["-c", &format!("exec {}", words.join(" "))]);
    }
}

fn end(mut daemon: Child, example: &str) {
    kill_process(Pid::from_child(&daemon), Signal::TERM).unwrap();
    let ended = eventually("it ends after SIGTERM", seconds(10), || daemon.try_wait().unwrap());
    assert!(ended.success(), "{example}: {ended}");
}
