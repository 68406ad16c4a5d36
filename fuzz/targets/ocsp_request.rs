#![no_main]

certwright_fuzz::target!(certwright::ca::OcspRequest::parse);
