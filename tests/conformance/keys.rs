//! RFC 8555, 6.2, with RFC 7517, 7518, 7638 and 8037: which public keys an account may have.

use crate::foreign::padded;
use crate::premises::{account_url, applicant, bound_issuer, ca, eab, member, member_with, stranger};
use crate::world::account_key::AccountKey;
use crate::world::base64url;
use crate::world::wire::Reply;
use serde_json::{Value, json};

/// A key whose algorithm fits and that the server is unwilling to take is badPublicKey: RSA below 2048 bits.
#[test]
fn rfc8555_s6_2_an_rsa_key_of_1024_bits_is_bad_public_key() {
    register(AccountKey::rsa(1024)).problem(400, "badPublicKey");
    register(AccountKey::rsa(2040)).problem(400, "badPublicKey");
}

/// An RSA key over 4096 bits costs the server more than it is worth.
#[test]
fn rfc8555_s6_2_an_rsa_key_over_4096_bits_is_bad_public_key() {
    for bytes in [513, 1024, 8192] {
        let n = base64url::encode([vec![0xc5; bytes - 1], vec![0x35]].concat());
        with_jwk("RS256", json!({"kty": "RSA", "n": n, "e": "AQAB"})).problem(400, "badPublicKey");
    }
}

/// With e = 1 anybody can sign, and even exponents are no exponents.
#[test]
fn rfc8555_s6_2_rsa_exponents_that_protect_nothing_are_bad_public_key() {
    register(AccountKey::rsa_with_exponent_one()).problem(400, "badPublicKey");
    let n = AccountKey::rsa(2048).jwk["n"].clone();
    for e in [&[][..], &[0], &[2], &[1, 0, 0], &[0xff; 300]] {
        let jwk = json!({"kty": "RSA", "n": n, "e": base64url::encode(e)});
        with_jwk("RS256", jwk).problem(400, "badPublicKey");
    }
}

/// Numbers are as short as they can be: no leading zero bytes (RFC 7518, 2, Base64urlUInt).
#[test]
fn rfc7518_s2_an_rsa_number_has_no_leading_zeros() {
    let key = AccountKey::rsa(2048);
    let n = base64url::decode(key.jwk["n"].as_str().unwrap());
    let mut zero_in_front = key.clone();
    zero_in_front.jwk["n"] = base64url::encode([&[0], &n[..]].concat()).into();
    register(zero_in_front).problem(400, "badPublicKey");
    let mut zero_in_front = key;
    zero_in_front.jwk["e"] = base64url::encode([0, 1, 0, 1]).into();
    register(zero_in_front).problem(400, "badPublicKey");
}

/// A point that is not on the curve is no key. Nobody can sign for one, so that the signature would be refused anyway: what
/// is told here is that the blame is the client's.
#[test]
fn rfc7518_s6_2_1_a_point_off_the_curve_is_the_clients_fault() {
    let on_curve = AccountKey::es256().jwk;
    for (x, y) in [
        (on_curve["x"].clone(), base64url::encode([7; 32]).into()),
        (on_curve["y"].clone(), on_curve["x"].clone()),
        (base64url::encode([0; 32]).into(), base64url::encode([0; 32]).into()),
        (base64url::encode([0xff; 32]).into(), base64url::encode([0xff; 32]).into()),
    ] {
        let jwk: Value = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
        with_jwk("ES256", jwk).refused();
    }
}

/// Coordinates have the full length of the field, with their leading zeros (RFC 7518, 6.2.1.2).
#[test]
fn rfc7518_s6_2_1_2_coordinates_have_their_full_length() {
    for (key, length) in [(AccountKey::es256(), 32), (AccountKey::es384(), 48)] {
        for member in ["x", "y"] {
            let number = base64url::decode(key.jwk[member].as_str().unwrap());
            for wrong in [number[1..].to_vec(), [&[0], &number[..]].concat(), vec![], vec![1; length + 1]] {
                let mut spoiled = key.clone();
                spoiled.jwk[member] = base64url::encode(wrong).into();
                register(spoiled).problem(400, "badPublicKey");
            }
        }
    }
}

/// Curves that are not offered, and curves of another kind of key.
#[test]
fn rfc7518_s6_2_1_1_unknown_curves_are_refused() {
    for crv in
        [json!("P-192"), json!("P-521"), json!("secp256k1"), json!("p-256"), json!("Ed25519"), json!(256), json!(null)]
    {
        spoilt(AccountKey::es256(), &|jwk| jwk["crv"] = crv.clone()).problem(400, "badPublicKey");
    }
    for crv in [json!("Ed448"), json!("X25519"), json!("X448"), json!("P-256"), json!("")] {
        spoilt(AccountKey::ed25519(), &|jwk| jwk["crv"] = crv.clone()).problem(400, "badPublicKey");
    }
    // The right coordinates under the other curve's name.
    spoilt(AccountKey::es256(), &|jwk| jwk["crv"] = "P-384".into()).problem(400, "badPublicKey");
    spoilt(AccountKey::es384(), &|jwk| jwk["crv"] = "P-256".into()).problem(400, "badPublicKey");
}

/// Under a point of small order signatures verify that nobody made; and an Ed25519 key has 32 bytes (RFC 8037, 2).
#[test]
fn rfc8037_s2_ed25519_keys_that_are_no_keys_are_refused() {
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    for x in [&[0; 32][..], &one, &minus_one, &[0xff; 32], &[9; 31], &[9; 33], &[]] {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url::encode(x)});
        let client = stranger();
        let mut header = client.header(&client.url("newAccount"));
        (header["alg"], header["jwk"]) = ("EdDSA".into(), jwk);
        let mut jws = client.sign(&header, b"{}");
        // R the neutral point and S zero: what holds for every message under a point of order one.
        jws.signature = base64url::encode([&one[..], &[0; 32]].concat());
        client.send(&client.url("newAccount"), &jws).problem(400, "badPublicKey");
    }
}

/// A client that shows its private key is told so, and gets no account with it.
#[test]
fn rfc7517_s4_private_members_are_refused() {
    for member in ["d", "k"] {
        spoilt(AccountKey::es256(), &|jwk| jwk[member] = base64url::encode([7; 32]).into())
            .problem(400, "badPublicKey");
    }
    let key = AccountKey::rsa(2048);
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
        spoilt(key.clone(), &|jwk| jwk[member] = "AQAB".into()).problem(400, "badPublicKey");
    }
    spoilt(AccountKey::ed25519(), &|jwk| jwk["d"] = base64url::encode([7; 32]).into()).problem(400, "badPublicKey");
}

/// Symmetric keys, unknown types, and what is no key at all.
#[test]
fn rfc7517_s4_1_other_types_of_keys_are_refused() {
    for jwk in [
        json!({"kty": "oct", "k": "AAAA"}),
        json!({"kty": "oct"}),
        json!({"kty": "ec", "crv": "P-256", "x": "AAAA", "y": "AAAA"}),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}),
        json!({"kty": ""}),
        json!({"kty": 7}),
        json!({}),
        json!([]),
        json!("EC"),
        json!(7),
        json!(true),
    ] {
        with_jwk("ES256", jwk).problem(400, "badPublicKey");
    }
}

/// Each member that makes the key is required, and is text in strict base64url.
#[test]
fn rfc7518_s6_members_that_make_the_key_are_required() {
    let keys = [
        (AccountKey::es256(), &["kty", "crv", "x", "y"][..]),
        (AccountKey::ed25519(), &["kty", "crv", "x"]),
        (AccountKey::rsa(2048), &["kty", "n", "e"]),
    ];
    for (key, members) in keys {
        for member in members {
            spoilt(key.clone(), &|jwk| _ = jwk.as_object_mut().unwrap().remove(*member)).problem(400, "badPublicKey");
            for wrong in [json!(null), json!(7), json!([key.jwk[*member]]), json!({})] {
                spoilt(key.clone(), &|jwk| jwk[*member] = wrong.clone()).problem(400, "badPublicKey");
            }
        }
        for member in &members[if members.contains(&"crv") { 2 } else { 1 }..] {
            let sound = key.jwk[*member].as_str().unwrap();
            for wrong in [padded(sound), format!(" {sound}"), format!("{sound}!"), format!("{sound}\n")] {
                spoilt(key.clone(), &|jwk| jwk[*member] = wrong.as_str().into()).problem(400, "badPublicKey");
            }
        }
    }
}

/// The members of a key are unique too (RFC 7517, 4).
#[test]
fn rfc7517_s4_duplicate_members_of_a_key_are_malformed() {
    let client = stranger();
    let url = client.url("newAccount");
    let header = client.header(&url).to_string();
    let other = AccountKey::es256();
    let doubled = header.replacen("\"kty\"", &format!("\"x\":{},\"kty\"", other.jwk["x"]), 1);
    assert_ne!(header, doubled);
    client.send(&url, &client.sign_text(&doubled, b"{}")).problem(400, "malformed");
}

/// Members of a key that nobody understands are ignored (RFC 7517, 4).
#[test]
fn rfc7517_s4_unknown_members_of_a_key_are_ignored() {
    let mut key = AccountKey::es256();
    for (member, value) in [("kid", json!("mine")), ("use", json!("sig")), ("alg", json!("ES256")), ("note", json!({}))]
    {
        key.jwk[member] = value;
    }
    register(key).expect(201);
}

/// A key is its RFC 7638 thumbprint: order of members and further ones make no other key, and no second account.
#[test]
fn rfc7638_s3_a_key_is_the_same_however_it_is_written() {
    let client = member();
    let jwk = &client.key.jwk;
    let mut again = client.clone();
    again.account = None;
    let mut header = again.header(&again.url("newAccount"));
    header["jwk"] = Value::Null;
    let rewritten = format!(
        "{{ \"y\" : {}, \"note\" : [1],\n\"x\":{}, \"kt\\u0079\" : \"EC\", \"crv\":\"P\\u002d256\" }}",
        jwk["y"], jwk["x"]
    );
    let header = header.to_string().replace("\"jwk\":null", &format!("\"jwk\":{rewritten}"));
    let reply = again.send(&again.url("newAccount"), &again.sign_text(&header, b"{}")).expect(200);
    assert_eq!(reply.required_header("location"), account_url(&client));
}

/// The digest that an administrator sees is the RFC 7638 thumbprint, for each kind of key.
#[test]
fn rfc7638_s3_the_administrator_sees_the_thumbprint() {
    for key in [AccountKey::es256(), AccountKey::es384(), AccountKey::ed25519(), AccountKey::rsa(2048)] {
        let mut client = bound_issuer().client(key);
        client.register(&eab()).expect(201);
        let listed = ca().accounts(bound_issuer());
        assert!(listed.iter().any(|account| account["key_digest"] == client.key.thumbprint()), "{listed:?}");
    }
}

/// The same key may have an account at each issuer, and each is its own.
#[test]
fn rfc8555_s7_3_accounts_of_two_issuers_have_nothing_in_common() {
    let client = member_with(AccountKey::es256());
    let mut elsewhere = applicant();
    elsewhere.key = client.key.clone();
    elsewhere.register_with(&json!({"onlyReturnExisting": true})).problem(400, "accountDoesNotExist");
    elsewhere.register(&eab()).expect(201);
    assert_ne!(elsewhere.account, client.account);
}

fn register(key: AccountKey) -> Reply {
    let mut client = stranger();
    client.key = key;
    client.register_with(&json!({}))
}

fn spoilt(mut key: AccountKey, spoil: &dyn Fn(&mut Value)) -> Reply {
    spoil(&mut key.jwk);
    register(key)
}

/// newAccount with a key that nobody holds, so that the signature is none.
fn with_jwk(algorithm: &'static str, jwk: Value) -> Reply {
    let mut key = AccountKey::es256();
    (key.algorithm, key.jwk) = (algorithm, jwk);
    register(key)
}
