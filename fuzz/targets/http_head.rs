#![no_main]

certwright_fuzz::target!(certwright::front::fuzz_head);
