//! A year of a busy CA in small: certificates for thirty days, orders kept for thirty, records for sixty. Once the first of
//! them have gone, as much goes as comes, and the file grows no more.

use super::keep;
use crate::world::acme::Client;
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::issuer::text;
use crate::world::judges;
use crate::world::turned::Turned;
use certwright::clock::Span;
use serde_json::{Value, json};

const DAYS: usize = 365;
const CLIENTS: usize = 4;
/// Each client goes round these, so that an item has ended long before it is filed again.
const NAMES: usize = 40;
/// Every so many orders one is not finished, and every so many certificates one is revoked.
const UNFINISHED: usize = 7;
const REVOKED: usize = 10;

/// As long as YEAR_CERTIFICATES does not ask for more: 30,000 are a thousandth of what a CA issues that issues one a second.
const CERTIFICATES: usize = 2_500;

#[test]
fn a_year_in_small_ends_with_a_file_that_grows_no_more() {
    let certificates = std::env::var("YEAR_CERTIFICATES").map_or(CERTIFICATES, |text| text.parse().unwrap());
    let orders = certificates * UNFINISHED / (UNFINISHED - 1);
    let turned = Turned::start_with(|settings| keep(settings, 30, 60));
    turned.make_key("/K", "3650", &[]);
    turned.make_issuer(&["-t", "30d", "--allowed-domains", "year.lan", "--allow-subdomains"]);
    let mut customers: Vec<Customer> = (0..CLIENTS).map(|number| Customer::new(&turned, number)).collect();
    let mut sizes = Vec::with_capacity(DAYS);
    for day in 0..DAYS {
        let due = orders * (day + 1) / DAYS - orders * day / DAYS;
        std::thread::scope(|scope| {
            for (number, customer) in customers.iter_mut().enumerate() {
                let share = (due + number) / CLIENTS;
                scope.spawn(move || (0..share).for_each(|_| customer.order()));
            }
            // While they are served.
            turned.daemon().keep_house();
        });
        turned.run(&["generate-acme-eab", "--cert-issuer-name", "/I"]).succeeded();
        turned.clock.advance(Span::DAY);
        turned.daemon().keep_house();
        sizes.push(turned.count("PRAGMA page_count"));
    }
    let issued: usize = customers.iter().map(|customer| customer.issued).sum();
    let left = turned.count("SELECT count(*) FROM certificates WHERE purpose = 'acme'");
    let quarters: Vec<i64> = sizes.chunks(DAYS.div_ceil(4)).map(|days| *days.iter().max().unwrap()).collect();
    println!("{issued} certificates, {left} left; pages at most, by quarters: {quarters:?}");
    assert!(issued * 20 > certificates * 19, "only {issued} were issued");
    assert!(quarters[0] > 60, "{quarters:?}: a file that was never full shows nothing");
    // A tenth would let a small leak through.
    assert!(quarters[3] * 100 <= quarters[2] * 103, "{quarters:?}");
    turned.run(&["check"]).succeeded();
    turned.run(&["audit", "--verify"]).succeeded();
}

/// A client that keeps its nonce and its keys, and otherwise does everything anew.
struct Customer {
    client: Client,
    requests: Vec<(String, Csr)>,
    nonce: String,
    ordered: usize,
    issued: usize,
}

impl Customer {
    fn new(turned: &Turned, number: usize) -> Customer {
        let client = turned.account(&["--allowed-domains", "*.year.lan", "--no-challenge"]);
        let names = (0..NAMES).map(|at| format!("host-{number}-{at}.year.lan"));
        let requests = names.map(|name| (name.clone(), Csr::for_names(&[&name]))).collect();
        let nonce = client.nonce();
        Customer { client, requests, nonce, ordered: 0, issued: 0 }
    }

    fn order(&mut self) {
        let (name, csr) = &self.requests[self.ordered % NAMES];
        let (name, csr) = (name.clone(), base64url::encode(&csr.der));
        self.ordered += 1;
        let order =
            self.post(&self.client.url("newOrder"), &json!({"identifiers": [{"type": "dns", "value": name}]}), 201);
        if self.ordered.is_multiple_of(UNFINISHED) {
            return;
        }
        let order = self.post(&text(&order, "finalize"), &json!({ "csr": csr }), 200);
        assert_eq!(order["status"], "valid", "{order}");
        self.issued += 1;
        if self.issued.is_multiple_of(REVOKED) {
            let chain = self.client.fetch(&text(&order, "certificate")).expect(200).text();
            let der = base64url::encode(&judges::certificates(&chain)[0]);
            self.client.post(&self.client.url("revokeCert"), &json!({ "certificate": der })).expect(200);
        }
    }

    /// With the nonce of the last reply.
    fn post(&mut self, url: &str, payload: &Value, status: u16) -> Value {
        let header = json!({
            "alg": self.client.key.algorithm,
            "nonce": self.nonce,
            "url": url,
            "kid": self.client.account,
        });
        let body = self.client.sign(&header, payload.to_string().as_bytes()).flattened().to_string();
        let jose = ("Content-Type", "application/jose+json");
        let reply = self.client.wire.try_request("POST", url, &[jose], body.as_bytes());
        // One whose connection was too slow asks again, as clients do.
        let reply = reply.or_else(|_| self.client.try_post(url, Some(payload))).unwrap().expect(status);
        self.nonce = reply.required_header("replay-nonce");
        reply.json()
    }
}
