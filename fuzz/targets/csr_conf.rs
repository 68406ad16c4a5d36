#![no_main]

certwright_fuzz::target!(|input: &[u8]| certwright::ca::parse_conf("csr.conf", input));
