#![no_main]

certwright_fuzz::target!(certwright::validation::fuzz_dns_answer);
