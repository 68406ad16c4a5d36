//! RFC 8555, 7.4 and 7.1.3: asking for an order, and reading it.

use crate::judge::leaf_facts;
use crate::proof::{Steps, dns, only};
use crate::request::csr;
use crate::scene::scene;
use crate::world::issuer::text;
use crate::world::outcome::assert_says;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A new order is answered with 201, its URL, and the order object: pending, what was asked for, one authorization for
/// each name, where to finalize it, and no certificate yet.
#[test]
fn rfc8555_s7_4_a_new_order_is_created_and_shown() {
    let client = scene().client("a.orders.test,b.orders.test");
    let reply = client.request_order(&json!({"identifiers": [dns("a.orders.test"), dns("b.orders.test")]})).expect(201);
    let (location, order) = (reply.required_header("location"), reply.json());
    assert_eq!(order["status"], "pending");
    assert_eq!(order["identifiers"], json!([dns("a.orders.test"), dns("b.orders.test")]));
    assert_eq!(order["authorizations"].as_array().unwrap().len(), 2);
    assert!(text(&order, "finalize").starts_with("https://"));
    assert!(text(&order, "expires") > time_from_now(0));
    assert!(order.get("certificate").is_none() && order.get("error").is_none(), "{order}");
    assert_eq!(client.fetch(&location).expect(200).json(), order, "the order is the same at its own URL");
}

/// Names are compared as the DNS compares them: the same name in other letters is the same name.
#[test]
fn rfc8555_s7_4_a_name_said_twice_is_one_name() {
    let client = scene().client("twice.orders.test");
    let order = client.order_of(&[dns("TWICE.Orders.test"), dns("twice.orders.test"), dns("twice.orders.test")]);
    assert_eq!(order.body["identifiers"], json!([dns("twice.orders.test")]));
    only(&order);
}

/// An order of as many names as public CAs take.
#[test]
fn rfc8555_s7_4_a_hundred_names_are_taken() {
    let client = scene().client_with("hundred.test", &["--allow-subdomains"]);
    let names: Vec<Value> = (0..100).map(|number| dns(&format!("n{number}.hundred.test"))).collect();
    let order = client.order_of(&names);
    assert_eq!(order.body["identifiers"], json!(names));
    let mut authorizations = order.authorizations();
    authorizations.sort();
    authorizations.dedup();
    assert_eq!(authorizations.len(), 100);
}

/// One more is refused, not cut off.
#[test]
fn rfc8555_s7_4_a_hundred_and_one_names_are_refused() {
    let client = scene().client_with("hundred1.test", &["--allow-subdomains"]);
    let names: Vec<Value> = (0..101).map(|number| dns(&format!("n{number}.hundred1.test"))).collect();
    let detail = client.request_order(&json!({ "identifiers": names })).refused();
    assert_says(&detail, &["100"]);
}

/// `identifiers` is required, and an array of objects with the text members `type` and `value`.
#[test]
fn rfc8555_s7_4_an_order_without_proper_identifiers_is_malformed() {
    let client = scene().client("proper.orders.test");
    for payload in [
        json!({}),
        json!({"identifiers": []}),
        json!({"identifiers": null}),
        json!({"identifiers": {}}),
        json!({"identifiers": "proper.orders.test"}),
        json!({"identifiers": ["proper.orders.test"]}),
        json!({"identifiers": [null]}),
        json!({"identifiers": [[]]}),
        json!({"identifiers": [{}]}),
        json!({"identifiers": [{"type": "dns"}]}),
        json!({"identifiers": [{"value": "proper.orders.test"}]}),
        json!({"identifiers": [{"type": "dns", "value": 1}]}),
        json!({"identifiers": [{"type": "dns", "value": null}]}),
        json!({"identifiers": [{"type": ["dns"], "value": "proper.orders.test"}]}),
        json!({"identifiers": [dns("proper.orders.test"), {"type": "dns"}]}),
        json!([]),
        json!("proper.orders.test"),
    ] {
        client.request_order(&payload).refused_as("malformed");
    }
}

/// Identifiers of a type that the server does not know are unsupportedIdentifier.
#[test]
fn rfc8555_s6_7_identifier_types_that_are_not_known_are_unsupported() {
    let client = scene().client("known.orders.test");
    for kind in ["email", "DNS", "", "permanent-identifier", "dns "] {
        let payload = json!({"identifiers": [{"type": kind, "value": "known.orders.test"}]});
        client.request_order(&payload).problem(400, "unsupportedIdentifier");
    }
}

/// What the server does not know in a request it passes over.
#[test]
fn rfc8555_s7_4_members_that_are_not_known_are_ignored() {
    let client = scene().client("unknown.orders.test");
    let identifier = json!({"type": "dns", "value": "unknown.orders.test", "colour": "green"});
    let order = client.place(&json!({"identifiers": [identifier], "status": "valid", "future": {"a": [1]}}));
    assert_eq!(order.body["status"], "pending");
    assert_eq!(order.body["identifiers"], json!([dns("unknown.orders.test")]));
}

/// The validity that the client asks for stands in the order and is what the certificate gets.
#[test]
fn rfc8555_s7_4_not_before_and_not_after_are_honoured() {
    let client = scene().client("moments.orders.test");
    let (start, end) = (time_from_now(3_600), time_from_now(7_200));
    let order = client.place(&json!({
        "identifiers": [dns("moments.orders.test")], "notBefore": start, "notAfter": end
    }));
    assert_eq!((text(&order.body, "notBefore"), text(&order.body, "notAfter")), (start.clone(), end.clone()));
    client.prove(&order, &scene().http);
    client.settled(&order.url, &["pending"]);
    client.finalize(&order, &csr(&["moments.orders.test"])).expect(200);
    let facts = leaf_facts(&client.certificate(&order));
    assert_eq!(written(facts["not_before"].as_i64().unwrap()), start);
    assert_eq!(written(facts["not_after"].as_i64().unwrap()), end);
}

/// Moments are those of RFC 3339, with fractions and offsets.
#[test]
fn rfc8555_s7_4_moments_may_have_fractions_and_offsets() {
    let client = scene().client("offsets.orders.test");
    let local = time_from_now(7_200 + 4 * 3_600).replace('Z', ".250+04:00");
    let order = client.place(&json!({"identifiers": [dns("offsets.orders.test")], "notAfter": local}));
    let shown = text(&order.body, "notAfter");
    assert!(shown <= time_from_now(7_201) && shown >= time_from_now(7_100), "{local} became {shown}");
}

#[test]
fn rfc8555_s7_4_moments_that_rfc3339_does_not_know_are_malformed() {
    let client = scene().client("odd.orders.test");
    for odd in [
        json!("tomorrow"),
        json!(""),
        json!(1_900_000_000),
        json!("2030-01-01"),
        json!("2030-13-01T00:00:00Z"),
        json!("2030-02-30T00:00:00Z"),
        json!("2030-01-01T25:00:00Z"),
        json!("2030-01-01T00:00:00"),
        json!("2030-01-01T00:00:00+0400"),
        json!("99999-01-01T00:00:00Z"),
        json!(null),
    ] {
        for member in ["notBefore", "notAfter"] {
            let payload = json!({"identifiers": [dns("odd.orders.test")], member: odd});
            client.request_order(&payload).refused_as("malformed");
        }
    }
}

/// A certificate that ends before it begins cannot be made, so the order is refused.
#[test]
fn rfc8555_s7_4_not_after_must_lie_behind_not_before() {
    let client = scene().client("backwards.orders.test");
    for (start, end) in [(7_200, 3_600), (3_600, 3_600), (-7_200, -3_600)] {
        let payload = json!({
            "identifiers": [dns("backwards.orders.test")],
            "notBefore": time_from_now(start),
            "notAfter": time_from_now(end),
        });
        client.request_order(&payload).refused();
    }
}

/// The server returns an error if it cannot fulfil the request as specified: what is longer than the issuer's ttl is
/// refused, not cut.
#[test]
fn rfc8555_s7_4_a_not_after_beyond_the_issuers_ttl_is_refused() {
    let client = scene().client("long.orders.test");
    for days in [91, 365, 3_650] {
        let payload = json!({"identifiers": [dns("long.orders.test")], "notAfter": time_from_now(days * 86_400)});
        client.request_order(&payload).refused();
    }
}

/// The same for a beginning that lies in the past: it is refused, not replaced.
#[test]
fn rfc8555_s7_4_a_not_before_in_the_past_is_refused() {
    let client = scene().client("past.orders.test");
    let payload = json!({"identifiers": [dns("past.orders.test")], "notBefore": time_from_now(-86_400)});
    client.request_order(&payload).problem(400, "malformed");
}

/// An order belongs to the account that made it.
#[test]
fn rfc8555_s7_4_an_order_is_shown_to_its_account_only() {
    let issuer = scene().issuer("owned.orders.test");
    let (owner, stranger) = (scene().ca.client(&issuer), scene().ca.client(&issuer));
    let order = owner.order(&["owned.orders.test"]);
    stranger.fetch(&order.url).problem(403, "unauthorized");
    stranger.finalize(&order, &csr(&["owned.orders.test"])).problem(403, "unauthorized");
    let elsewhere = scene().client("owned.orders.test");
    elsewhere.fetch(&order.url).refused();
}

/// An order is read by POST-as-GET: an empty payload, not an object.
#[test]
fn rfc8555_s7_4_an_order_is_read_with_an_empty_payload() {
    let client = scene().client("read.orders.test");
    let order = client.order(&["read.orders.test"]);
    client.post(&order.url, &json!({})).problem(400, "malformed");
    let reply = client.wire.request("GET", &order.url, &[], b"");
    assert_eq!(reply.status, 405, "{reply}");
    assert_eq!(reply.header("allow"), Some("POST"));
}

/// An order that does not exist is not found, whatever its number looks like.
#[test]
fn rfc8555_s7_4_an_order_that_is_not_there_is_not_found() {
    let client = scene().client("gone.orders.test");
    let order = client.order(&["gone.orders.test"]);
    let base = order.url.rsplit_once('/').unwrap().0;
    for number in ["999999999", "0", "-1", "01", "9223372036854775808", "a", "1%00"] {
        let reply = client.fetch(&format!("{base}/{number}"));
        assert_eq!(reply.status, 404, "{number}: {reply}");
        reply.refused();
    }
}

/// pending, ready when every authorization is valid, valid with the certificate's URL once it is issued.
#[test]
fn rfc8555_s7_1_6_an_order_goes_from_pending_by_ready_to_valid() {
    let client = scene().client("a.states.test,b.states.test");
    let order = client.order(&["a.states.test", "b.states.test"]);
    let authorizations = order.authorizations();
    client.prove_one(&authorizations[0], &scene().http);
    scene().decided(&client, &authorizations[0]);
    assert_eq!(client.status_of(&order), "pending", "one of two is not enough");
    client.finalize(&order, &csr(&["a.states.test", "b.states.test"])).problem(403, "orderNotReady");
    client.prove_one(&authorizations[1], &scene().http);
    scene().decided(&client, &authorizations[1]);
    assert_eq!(client.status_of(&order), "ready");
    client.finalize(&order, &csr(&["a.states.test", "b.states.test"])).expect(200);
    let body = client.settled(&order.url, &["processing"]);
    assert_eq!(body["status"], "valid");
    assert!(text(&body, "certificate").starts_with("https://"));
}

/// One challenge that fails makes the order invalid, and the order says why.
#[test]
fn rfc8555_s7_1_6_an_order_turns_invalid_with_an_authorization() {
    let client = scene().client("a.fails.test,b.fails.test");
    let order = client.order(&["a.fails.test", "b.fails.test"]);
    // The responder knows no token, so it says 404.
    let failed = client.attempt(&order.authorizations()[1], "http-01");
    assert_eq!(failed["status"], "invalid");
    let body = client.fetch(&order.url).expect(200).json();
    assert_eq!(body["status"], "invalid");
    assert!(text(&body["error"], "type").starts_with("urn:ietf:params:acme:error:"), "{body}");
    client.finalize(&order, &csr(&["a.fails.test", "b.fails.test"])).problem(403, "orderNotReady");
}

/// An order for a name and for its wildcard holds two authorizations.
#[test]
fn rfc8555_s7_1_3_a_name_and_its_wildcard_are_authorized_apart() {
    let client = scene().client_with("both.orders.test", &["--allow-subdomains"]);
    let order = client.order(&["both.orders.test", "*.both.orders.test"]);
    let mut wildcards = Vec::new();
    for authorization in order.authorizations() {
        let body = client.fetch(&authorization).expect(200).json();
        assert_eq!(body["identifier"], dns("both.orders.test"), "the identifier has no asterisk");
        wildcards.push(body.get("wildcard").cloned());
    }
    assert_eq!(wildcards, [None, Some(json!(true))]);
}

/// RFC 3339, UTC, whole seconds.
fn time_from_now(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() as i64;
    written(now + seconds)
}

fn written(moment: i64) -> String {
    let (days, second) = (moment.div_euclid(86_400), moment.rem_euclid(86_400));
    // Years of 365.2425 days that begin in March (Howard Hinnant's calendar).
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}
