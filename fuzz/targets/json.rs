#![no_main]

certwright_fuzz::target!(certwright::jose::json::parse);
