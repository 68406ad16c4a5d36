#![no_main]

certwright_fuzz::target!(|input: &[u8]| certwright::ca::CaChain::parse(&[input.to_vec()]).map(|chain| {
    let _ = (chain.constraints(), chain.path_len_below(), chain.signer().map(|c| (c.life(), c.subject_alt_names())));
}));
