//! certwright as it is measured: the built binary with an issuer, its clients' names, and what answers http-01 for them.

use super::client::Client;
use super::connection::Target;
use super::process::Process;
use super::responder::Responder;
use crate::filled::Filling;
use crate::service::launch;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::{CSR_CONF, ISSUER, Issuer, SIGNER_KEY};
use crate::world::judges;
use crate::world::wire::{path, roots};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub struct Subject {
    ca: Ca,
    issuer: Issuer,
    target: Target,
    responder: Responder,
    /// Names that clients have already.
    named: usize,
}

impl Subject {
    /// A daemon whose issuer signs with a key of this kind.
    pub fn start(algorithm: &str) -> Subject {
        let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
        launch(&mut ca);
        let conf = ca.place.write("csr.conf", CSR_CONF);
        let key = format!(
            "create-dfc-key --name {SIGNER_KEY} --alg {algorithm} --generate-self-signed-certificate true \
             --certificate-ttl 365 --conf-file-path {}",
            conf.display()
        );
        ca.run(&key.split_whitespace().collect::<Vec<_>>()).succeeded();
        let issuer = ca.make_issuer_named(ISSUER, SIGNER_KEY, "ca.lan", "acme.com", &["--allow-subdomains"]);
        let responder = Responder::start(SocketAddr::from((ca.place.address, ca.http_01_port)));
        let target = Target::new(issuer.listen, &issuer.host, roots(&issuer.root_pem));
        Subject { ca, issuer, target, responder, named: 0 }
    }

    pub fn process(&self) -> Process {
        Process(self.ca.pid())
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn directory_path(&self) -> &str {
        path(&self.issuer.directory)
    }

    /// Clients with an account and a name each.
    pub fn clients(&mut self, count: usize, keep_alive: bool) -> Vec<Client> {
        let eab = self.ca.make_eab_with(&self.issuer, &["--uses", &count.to_string()]);
        let client = |number: usize| {
            let name = format!("c{number}.acme.com");
            self.ca.dns.point(&name, self.ca.place.address);
            let client = Client::register(self.target.clone(), keep_alive, self.directory_path(), &name, Some(&eab));
            self.responder.serve(&name, client.thumbprint());
            client
        };
        let clients = (self.named..self.named + count).map(client).collect();
        self.named += count;
        clients
    }

    /// Fill the store as years of use would, the daemon stopped meanwhile.
    pub fn fill(&mut self, certificates: i64, accounts: i64) {
        let client = self.ca.unchallenged_client(&self.issuer, "acme.com");
        let order = client.order(&["acme.com"]);
        client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
        let chain = client.certificate(&order);
        assert!(self.ca.stop().success());
        let leaf = &judges::certificates(&chain)[0];
        Filling { leaf, certificates, revoked: 0, accounts, orders: true }.write(&self.ca);
        launch(&mut self.ca);
    }

    /// How long it takes from the start of the process to the first answer to a client, over a new connection.
    pub fn start_again(&mut self) -> Duration {
        assert!(self.ca.stop().success());
        let start = Instant::now();
        let (target, path) = (self.target.clone(), self.directory_path().to_owned());
        let first = std::thread::spawn(move || {
            loop {
                let reply = target.connect().and_then(|mut c| c.ask("GET", &path, &target.host, "", true));
                if reply.is_ok_and(|reply| reply.status == 200) {
                    return start.elapsed();
                }
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        launch(&mut self.ca);
        first.join().unwrap()
    }

    /// Bytes of the database file.
    pub fn database_size(&self) -> u64 {
        std::fs::metadata(self.ca.state_dir().join("certwright.db")).unwrap().len()
    }

    pub fn restart(&mut self) {
        assert!(self.ca.stop().success());
        launch(&mut self.ca);
    }
}
