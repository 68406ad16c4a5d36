#![no_main]

certwright_fuzz::target!(certwright::ca::CertificateRequest::parse);
