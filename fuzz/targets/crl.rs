#![no_main]

certwright_fuzz::target!(certwright::ca::fuzz_former_crl);
