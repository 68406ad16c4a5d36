//! A certificate authority that is openssl's, for what certwright never makes: certificates, CRLs and OCSP responses that
//! are good for comparison, or wrong on purpose.

use super::openssl::openssl;
use super::place::Place;
use std::process::Command;

pub const CA_EXTENSIONS: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash";

/// What a CA below another has.
pub const SUBORDINATE_EXTENSIONS: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n\
     authorityKeyIdentifier=keyid";

/// What a leaf for acme.com has at certwright.
pub const LEAF_EXTENSIONS: &str = "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\nkeyUsage=critical,digitalSignature\n\
     basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=critical,DNS:acme.com";

pub struct OpensslCa {
    place: Place,
    pub root_pem: String,
}

impl OpensslCa {
    pub fn new() -> OpensslCa {
        OpensslCa::with(CA_EXTENSIONS)
    }

    /// Its own certificate has these extensions, one a line.
    pub fn with(extensions: &str) -> OpensslCa {
        let place = Place::new();
        place.write("index.txt", "");
        place.write("crlnumber", "01\n");
        place.write("serial", "01\n");
        place.write("openssl.cnf", CONFIG);
        let mut ca = OpensslCa { place, root_pem: String::new() };
        ca.make_request("ca", "/C=US/O=Acme/CN=Acme Root");
        ca.root_pem = ca.sign(&["-selfsign", "-keyfile", "ca.key"], "ca", extensions, 365);
        ca
    }

    /// The PEM of a certificate with these extensions, one a line, that ends `until` days from now.
    pub fn issue(&self, name: &str, subject: &str, extensions: &str, until: i32) -> String {
        self.issue_below("ca", name, subject, extensions, until)
    }

    /// The same, signed by the key of `signer`, which was issued to before.
    pub fn issue_below(&self, signer: &str, name: &str, subject: &str, extensions: &str, until: i32) -> String {
        self.make_request(name, subject);
        self.sign(&["-keyfile", &format!("{signer}.key"), "-cert", &format!("{signer}.pem")], name, extensions, until)
    }

    /// Certify what a request in PEM asks for as a CA, until so many days from now.
    pub fn certify(&self, name: &str, request: &str, until: i32) -> String {
        self.place.write(&format!("{name}.csr"), request);
        self.sign(&["-keyfile", "ca.key", "-cert", "ca.pem"], name, SUBORDINATE_EXTENSIONS, until)
    }

    /// The same under another name than the request asks for.
    pub fn certify_as(&self, subject: &str, name: &str, request: &str) -> String {
        self.place.write(&format!("{name}.csr"), request);
        self.sign(&["-keyfile", "ca.key", "-cert", "ca.pem", "-subj", subject], name, SUBORDINATE_EXTENSIONS, 90)
    }

    /// The usual leaf, for acme.com.
    pub fn leaf(&self) -> String {
        self.issue("leaf", "/", LEAF_EXTENSIONS, 30)
    }

    /// The private key of a name that was issued to, in PEM.
    pub fn key(&self, name: &str) -> Vec<u8> {
        self.read(&format!("{name}.key"))
    }

    pub fn revoke(&self, name: &str) {
        let certificate = format!("{name}.pem");
        self.ca_itself(&["-revoke", &certificate, "-crl_reason", "keyCompromise"]);
    }

    /// The DER of a CRL that is good for an hour; `extensions` is a section of CONFIG.
    pub fn crl(&self, extensions: &str) -> Vec<u8> {
        self.make_crl(extensions, &["-crlhours", "1"])
    }

    /// One that was to be replaced yesterday.
    pub fn old_crl(&self) -> Vec<u8> {
        self.make_crl("proper", &["-crl_lastupdate", &self.day(-2), "-crl_nextupdate", &self.day(-1)])
    }

    /// The DER of an OCSP response about a certificate, signed by `signer`: "ca" or another name that was issued to.
    pub fn ocsp_response(&self, name: &str, signer: &str, flags: &[&str]) -> Vec<u8> {
        let (certificate, key, by) = (format!("{name}.pem"), format!("{signer}.key"), format!("{signer}.pem"));
        self.openssl(&["ocsp", "-no_nonce", "-issuer", "ca.pem", "-cert", &certificate, "-reqout", "ocsp.req"]);
        let mut arguments = vec!["ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rkey", &key, "-rsigner", &by];
        arguments.extend(["-reqin", "ocsp.req", "-respout", "ocsp.resp"]);
        arguments.extend(flags);
        self.openssl(&arguments);
        self.read("ocsp.resp")
    }

    /// The signature of the CA's key over these bytes.
    pub fn signature(&self, bytes: &[u8]) -> Vec<u8> {
        self.place.write("signed", bytes);
        self.openssl(&["dgst", "-sha256", "-sign", "ca.key", "-out", "signature", "signed"]);
        self.read("signature")
    }

    fn make_crl(&self, extensions: &str, life: &[&str]) -> Vec<u8> {
        self.ca_itself(&[&["-gencrl", "-crlexts", extensions, "-out", "crl.pem"], life].concat());
        self.openssl(&["crl", "-in", "crl.pem", "-outform", "DER", "-out", "crl.der"]);
        self.read("crl.der")
    }

    fn make_request(&self, name: &str, subject: &str) {
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        let mut arguments = vec!["req", "-new", "-config", "openssl.cnf", "-nodes", "-newkey", "ec"];
        arguments.extend(["-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", &key, "-out", &request, "-subj", subject]);
        self.openssl(&arguments);
    }

    fn sign(&self, signer: &[&str], name: &str, extensions: &str, until: i32) -> String {
        let (request, certificate) = (format!("{name}.csr"), format!("{name}.pem"));
        self.place.write("extensions", extensions);
        let (from, to) = (self.day(-2), self.day(until));
        let how = ["-notext", "-rand_serial", "-preserveDN", "-extfile", "extensions"];
        let what = ["-startdate", &from, "-enddate", &to, "-in", &request, "-out", &certificate];
        self.ca(&[signer, &how, &what].concat());
        String::from_utf8(self.read(&certificate)).unwrap()
    }

    fn ca_itself(&self, arguments: &[&str]) {
        self.ca(&[&["-keyfile", "ca.key", "-cert", "ca.pem"], arguments].concat());
    }

    fn ca(&self, arguments: &[&str]) {
        self.openssl(&[&["ca", "-batch", "-config", "openssl.cnf"], arguments].concat());
    }

    /// A moment so many days from now, as openssl writes it.
    fn day(&self, days: i32) -> String {
        let output =
            Command::new("/usr/bin/date").args(["-u", "-d", &format!("{days} days"), "+%Y%m%d%H%M%SZ"]).output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    }

    fn openssl(&self, arguments: &[&str]) {
        openssl(&self.place, arguments).succeeded();
    }

    /// A file of its, such as its key.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.place.file(name)).unwrap()
    }
}

const CONFIG: &str = "
[req]
distinguished_name=anything
[anything]
[ca]
default_ca=acme
[acme]
database=index.txt
crlnumber=crlnumber
serial=serial
new_certs_dir=.
default_md=sha256
policy=any
unique_subject=no
[any]
countryName=optional
organizationName=optional
commonName=optional
[proper]
authorityKeyIdentifier=keyid
[distributed]
authorityKeyIdentifier=keyid
issuingDistributionPoint=critical,@point
[point]
fullname=URI:http://ca.lan:8080/crl/1.crl
[anonymous]
issuerAltName=DNS:acme.com
";
