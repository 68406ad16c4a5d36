#![no_main]

use certwright::der::to_pem;
use certwright::keys::{Signer, private_key_from_pem};

// The input is the DER, in each of the three forms that PEM can call it.
certwright_fuzz::target!(|input: &[u8]| {
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
        if let Ok((algorithm, pkcs8)) = private_key_from_pem(&to_pem(label, input)) {
            let _ = Signer::from_pkcs8(algorithm, algorithm.default_hash(), &pkcs8);
        }
    }
});
