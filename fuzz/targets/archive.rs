#![no_main]

certwright_fuzz::target!(certwright::backup::fuzz_archive);
