#![no_main]

certwright_fuzz::target!(
    |input: &[u8]| certwright::jose::json::parse(input).and_then(|jwk| certwright::jose::parse_jwk(&jwk))
);
