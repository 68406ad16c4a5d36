//! RFC 8555, 6.2, with RFC 7515: the form of a JWS and what its protected header says.

use crate::foreign::{KeyChange, padded, with_stray_bits};
use crate::premises::{account_url, bound_issuer, member, open_issuer, order_for, post_with_header, stranger};
use crate::world::account_key::AccountKey;
use crate::world::acme::{Client, Jws};
use crate::world::base64url;
use crate::world::wire::Reply;
use serde_json::{Value, json};

/// Signed by account, a sound request is answered: what the other tests here spoil.
#[test]
fn rfc8555_s6_2_a_sound_request_is_answered() {
    send_with(|jws| jws.flattened().to_string()).expect(200);
}

/// One signature in the flattened form: neither the general form nor both at once.
#[test]
fn rfc8555_s6_2_the_general_form_is_refused() {
    send_with(|jws| {
        json!({"payload": jws.payload, "signatures": [{"protected": jws.protected, "signature": jws.signature}]})
            .to_string()
    })
    .problem(400, "malformed");
    for signatures in [json!([]), json!([{"protected": "e30", "signature": "AAAA"}]), json!(null), json!({})] {
        send_with(|jws| with_member(jws, "signatures", signatures.clone())).problem(400, "malformed");
    }
}

/// The compact form is not JSON.
#[test]
fn rfc8555_s6_2_the_compact_form_is_refused() {
    send_with(|jws| format!("{}.{}.{}", jws.protected, jws.payload, jws.signature)).problem(400, "malformed");
    send_with(|jws| json!(format!("{}.{}.{}", jws.protected, jws.payload, jws.signature)).to_string())
        .problem(400, "malformed");
}

/// An unprotected header is refused, whatever is in it.
#[test]
fn rfc8555_s6_2_an_unprotected_header_is_refused() {
    for header in [json!({}), json!({"alg": "ES256"}), json!({"kid": "x"}), json!(null), json!("x")] {
        send_with(|jws| with_member(jws, "header", header.clone())).problem(400, "malformed");
    }
}

/// The payload stands in the JWS: it is not detached (RFC 7515, appendix F).
#[test]
fn rfc8555_s6_2_a_detached_payload_is_refused() {
    send_with(|jws| json!({"protected": jws.protected, "signature": jws.signature}).to_string())
        .problem(400, "malformed");
    send_with(|jws| with_member(jws, "payload", Value::Null)).problem(400, "malformed");
}

/// A JWS without protected header or without signature is none.
#[test]
fn rfc8555_s6_2_a_missing_part_is_malformed() {
    send_with(|jws| json!({"payload": jws.payload, "signature": jws.signature}).to_string()).problem(400, "malformed");
    send_with(|jws| json!({"payload": jws.payload, "protected": jws.protected}).to_string()).problem(400, "malformed");
    send_with(|jws| Jws { protected: String::new(), ..jws.clone() }.flattened().to_string()).problem(400, "malformed");
    send_with(|jws| Jws { signature: String::new(), ..jws.clone() }.flattened().to_string()).refused_as("malformed");
}

/// The body is one JSON object and nothing else.
#[test]
fn rfc8555_s6_2_a_body_that_is_no_json_object_is_malformed() {
    for body in ["", " ", "{", "null", "true", "[]", "\"x\"", "1", "{}", "\u{feff}{}", "{\"a\":}", "not JSON"] {
        send_with(|_| body.to_string()).problem(400, "malformed");
    }
    send_with(|jws| format!("[{}]", jws.flattened())).problem(400, "malformed");
    send_with(|jws| format!("{}{}", jws.flattened(), jws.flattened())).problem(400, "malformed");
}

/// Members of a JWS that nobody understands are ignored (RFC 7515, 7.2.1).
#[test]
fn rfc7515_s7_2_1_unknown_members_are_ignored() {
    send_with(|jws| with_member(jws, "comment", json!({"by": "a client"}))).expect(200);
}

/// The names of members are unique (RFC 7515, 4 and 5.2), however they are spelt.
#[test]
fn rfc7515_s5_2_duplicate_members_are_malformed() {
    for member in ["\"payload\":\"e30\"", "\"protected\":\"e30\"", "\"signature\":\"AAAA\"", "\"p\\u0061yload\":\"\""] {
        send_with(|jws| jws.flattened().to_string().replacen('{', &format!("{{{member},"), 1))
            .problem(400, "malformed");
    }
}

/// So are the names of header parameters (RFC 7515, 4).
#[test]
fn rfc7515_s4_duplicate_header_parameters_are_malformed() {
    let client = member();
    let url = account_url(&client);
    for member in
        ["\"alg\":\"ES256\"", "\"alg\":\"none\"", "\"a\\u006cg\":\"ES256\"", "\"url\":\"x\"", "\"x\":1,\"x\":1"]
    {
        let header = client.header(url).to_string().replacen('{', &format!("{{{member},"), 1);
        client.send(url, &client.sign_text(&header, b"")).problem(400, "malformed");
    }
}

/// Base64url without padding, line breaks, the other alphabet, or bits that belong to nothing (RFC 7515, 2).
#[test]
fn rfc7515_s2_base64url_is_strict() {
    let parts: [(&str, Part); 3] = [
        ("protected", |jws| &mut jws.protected),
        ("payload", |jws| &mut jws.payload),
        ("signature", |jws| &mut jws.signature),
    ];
    let spoils: [fn(&str) -> String; 6] = [
        padded,
        |text| format!("{text}\n"),
        |text| format!(" {text}"),
        |text| format!("{}+{}", &text[..1], &text[2..]),
        |text| format!("{}/{}", &text[..1], &text[2..]),
        |text| format!("{}\u{e9}{}", &text[..1], &text[2..]),
    ];
    for (what, part) in parts {
        for (number, spoil) in spoils.iter().enumerate() {
            let reply = update_with(|jws| {
                let mut spoiled = jws.clone();
                *part(&mut spoiled) = spoil(part(&mut jws.clone()));
                spoiled
            });
            assert_eq!(reply.status, 400, "{what}, spoilt in way {number}: {reply}");
            reply.refused_as("malformed");
        }
    }
    // A signature of 64 bytes leaves four bits over.
    update_with(|jws| Jws { signature: with_stray_bits(&jws.signature), ..jws.clone() }).problem(400, "malformed");
    update_with(|jws| Jws { signature: format!("{}AAA", jws.signature), ..jws.clone() }).problem(400, "malformed");
}

/// The protected header is a JSON object in UTF-8.
#[test]
fn rfc7515_s4_the_header_is_a_json_object() {
    let client = member();
    let url = account_url(&client);
    for header in ["", "[]", "null", "\"x\"", "7", "{", "{}x", "\u{feff}{}"] {
        client.send(url, &client.sign_text(header, b"")).problem(400, "malformed");
    }
    let bytes = [&b"{\"alg\":\"ES256\",\"x\":\""[..], &[0xff, 0xfe], b"\"}"].concat();
    let jws = Jws { protected: base64url::encode(bytes), payload: String::new(), signature: "AAAA".into() };
    client.send(url, &jws).problem(400, "malformed");
}

/// `crit` names extensions that must be understood; none is, and an empty list is not allowed (RFC 7515, 4.1.11).
#[test]
fn rfc7515_s4_1_11_crit_is_refused() {
    for crit in
        [json!(["exp"]), json!(["alg"]), json!([]), json!("exp"), json!(null), json!({}), json!(["url", "nonce"])]
    {
        header_with(&|header| header["crit"] = crit.clone()).problem(400, "malformed");
    }
    header_with(&|header| {
        header["crit"] = json!(["exp"]);
        header["exp"] = json!(1);
    })
    .problem(400, "malformed");
}

/// Payloads are encoded: the option of RFC 7797 to leave that out is refused.
#[test]
fn rfc8555_s6_2_an_unencoded_payload_is_refused() {
    header_with(&|header| {
        header["crit"] = json!(["b64"]);
        header["b64"] = json!(false);
    })
    .problem(400, "malformed");
    header_with(&|header| header["b64"] = json!(false)).problem(400, "malformed");
}

/// Header parameters that nobody understands, and that are not critical, are ignored (RFC 7515, 4).
#[test]
fn rfc7515_s4_unknown_header_parameters_are_ignored() {
    header_with(&|header| {
        header["typ"] = json!("JOSE+JSON");
        header["cty"] = json!("json");
        header["x-of-a-client"] = json!({"any": ["thing"]});
    })
    .expect(200);
}

/// Either the key or the account, never both, never neither.
#[test]
fn rfc8555_s6_2_jwk_and_kid_exclude_each_other() {
    let client = member();
    let jwk = client.key.jwk.clone();
    header_of(&client, &|header| header["jwk"] = jwk.clone()).problem(400, "malformed");
    header_of(&client, &|header| header["jwk"] = Value::Null).problem(400, "malformed");
    header_of(&client, &|header| _ = header.as_object_mut().unwrap().remove("kid")).problem(400, "malformed");
}

/// newAccount goes by the key, since there is no account yet.
#[test]
fn rfc8555_s6_2_new_account_is_signed_by_jwk() {
    let client = member();
    client.post(&client.url("newAccount"), &json!({})).problem(400, "malformed");
}

/// Everything but newAccount and revokeCert goes by the account, even for a key that has one.
#[test]
fn rfc8555_s6_2_other_requests_are_signed_by_kid() {
    let client = member();
    let order = client.order(&["acme.com"]);
    let mut keyed = client.clone();
    keyed.account = None;
    for (url, payload) in [
        (client.url("newOrder"), order_for(&["acme.com"]).to_string()),
        (client.url("newAuthz"), json!({"identifier": {"type": "dns", "value": "acme.com"}}).to_string()),
        (account_url(&client).to_string(), "{}".into()),
        (order.url.clone(), String::new()),
        (order.authorizations()[0].clone(), String::new()),
        // The last, since the client's key is another afterwards.
        (client.url("keyChange"), KeyChange::new(&client, &AccountKey::es256()).sealed().to_string()),
    ] {
        let post = |client: &Client| client.send(&url, &client.sign(&client.header(&url), payload.as_bytes()));
        post(&keyed).problem(400, "malformed");
        let sound = post(&client);
        assert!(matches!(sound.status, 200 | 201), "wrong in more than its jwk: {sound}");
    }
}

/// A `kid` that is no account here: accountDoesNotExist.
#[test]
fn rfc8555_s6_2_an_unknown_kid_is_account_does_not_exist() {
    let client = member();
    let own = account_url(&client).to_string();
    let directory = open_issuer().directory.clone();
    let stem = &own[..own.rfind('/').unwrap()];
    for kid in [
        format!("{stem}/987654321"),
        format!("{own}0000000000000000000"),
        format!("{own}/"),
        format!("{own}?"),
        format!("{own}/orders"),
        own.replace("ca.lan", "evil.lan"),
        own.replace("https:", "http:"),
        directory,
        own[own.find("/acme/").unwrap()..].to_string(),
        own.rsplit('/').next().unwrap().to_string(),
        String::new(),
    ] {
        let reply = header_of(&client, &|header| header["kid"] = kid.as_str().into());
        reply.problem(400, "accountDoesNotExist");
    }
    for kid in [json!(null), json!(1), json!([own]), json!({})] {
        header_of(&client, &|header| header["kid"] = kid.clone()).problem(400, "malformed");
    }
}

/// An account of one issuer is none at another, although one daemon serves both.
#[test]
fn rfc8555_s6_2_an_account_of_another_issuer_does_not_exist() {
    let client = member();
    let mut abroad = bound_issuer().client(client.key.clone());
    abroad.account.clone_from(&client.account);
    abroad.post(&abroad.url("newOrder"), &json!({})).problem(400, "accountDoesNotExist");
}

/// The key of a request must be the key of its account.
#[test]
fn rfc8555_s6_2_a_kid_with_somebody_elses_signature_is_refused() {
    let client = member();
    let mut thief = stranger();
    thief.account.clone_from(&client.account);
    thief.fetch(account_url(&client)).refused();
}

/// Which text of a JWS is spoiled.
type Part = fn(&mut Jws) -> &mut String;

fn send_with(spoil: impl Fn(&Jws) -> String) -> Reply {
    let client = member();
    let url = account_url(&client);
    client.send_text(url, &spoil(&client.sign(&client.header(url), b"")))
}

/// An update that changes nothing, so that the payload is not empty.
fn update_with(spoil: impl Fn(&Jws) -> Jws) -> Reply {
    let client = member();
    let url = account_url(&client);
    client.send(url, &spoil(&client.sign(&client.header(url), b"{\"a\": \"b\"}")))
}

fn header_with(spoil: &dyn Fn(&mut Value)) -> Reply {
    header_of(&member(), spoil)
}

fn header_of(client: &Client, spoil: &dyn Fn(&mut Value)) -> Reply {
    post_with_header(client, account_url(client), "", spoil)
}

fn with_member(jws: &Jws, member: &str, value: Value) -> String {
    let mut body = jws.flattened();
    body[member] = value;
    body.to_string()
}
