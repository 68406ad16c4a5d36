//! RFC 8555, 7.3 and 7.3.2: contact URLs.

use crate::premises::{account_url, member, stranger};
use crate::world::wire::Reply;
use serde_json::{Value, json};

/// Several mail addresses, kept in their order.
#[test]
fn rfc8555_s7_3_several_contacts_are_kept() {
    let contact = json!(["mailto:one@acme.com", "mailto:two+tag@sub.acme.com", "mailto:o'brien@acme.com"]);
    let mut client = stranger();
    let account = client.register_with(&json!({"contact": contact})).expect(201).json();
    assert_eq!(account["contact"], contact);
    assert_eq!(client.fetch(account_url(&client)).expect(200).json()["contact"], contact);
}

/// Contacts are replaced as a whole, and an empty list takes them away (7.3.2).
#[test]
fn rfc8555_s7_3_2_contacts_are_replaced() {
    let client = member();
    for contact in [json!(["mailto:a@acme.com"]), json!(["mailto:b@acme.com", "mailto:c@acme.com"]), json!([])] {
        let reply = client.post(account_url(&client), &json!({"contact": contact})).expect(200);
        let seen = client.fetch(account_url(&client)).expect(200).json();
        assert_eq!(seen, reply.json());
        assert_eq!(seen["contact"].as_array().cloned().unwrap_or_default(), *contact.as_array().unwrap());
    }
}

/// A scheme that is not supported is unsupportedContact.
#[test]
fn rfc8555_s7_3_another_scheme_is_unsupported_contact() {
    for contact in
        ["tel:+12025551212", "https://acme.com/me", "sip:a@acme.com", "xmpp:a@acme.com", "javascript:alert(1)"]
    {
        for reply in in_both_ways(&json!([contact])) {
            reply.problem(400, "unsupportedContact");
        }
    }
    for reply in in_both_ways(&json!(["mailto:a@acme.com", "tel:+1"])) {
        reply.problem(400, "unsupportedContact");
    }
}

/// A scheme is the same in capitals (RFC 3986, 3.1).
#[test]
fn rfc3986_s3_1_a_scheme_may_be_written_in_capitals() {
    stranger().register_with(&json!({"contact": ["MAILTO:a@acme.com"]})).expect(201);
}

/// A mailto URL with header fields "MUST" be refused: who wrote them would write the CA's mails.
#[test]
fn rfc8555_s7_3_mailto_with_header_fields_is_invalid_contact() {
    for contact in [
        "mailto:a@acme.com?subject=x",
        "mailto:a@acme.com?",
        "mailto:a@acme.com?bcc=b@acme.com",
        "mailto:?to=a@acme.com",
    ] {
        for reply in in_both_ways(&json!([contact])) {
            reply.problem(400, "invalidContact");
        }
    }
}

/// So "MUST" one with more than one address.
#[test]
fn rfc8555_s7_3_mailto_with_several_addresses_is_invalid_contact() {
    for contact in ["mailto:a@acme.com,b@acme.com", "mailto:a@acme.com,", "mailto:a@acme.com%2Cb@acme.com"] {
        for reply in in_both_ways(&json!([contact])) {
            reply.problem(400, "invalidContact");
        }
    }
}

/// What is no mail address is invalidContact.
#[test]
fn rfc8555_s7_3_mailto_without_a_mail_address_is_invalid_contact() {
    for contact in [
        "mailto:a",
        "mailto:@acme.com",
        "mailto:a@",
        "mailto:a b@acme.com",
        "mailto: a@acme.com",
        "mailto:<a@acme.com>",
        "mailto:A <a@acme.com>",
        "mailto:a@acme.com\r\nBcc: b@acme.com",
        "mailto:a\u{0}@acme.com",
        "mailto://a@acme.com",
    ] {
        for reply in in_both_ways(&json!([contact])) {
            reply.problem(400, "invalidContact");
        }
    }
}

/// The domain of an address is one that mail could go to (RFC 5321, 2.3.5).
#[test]
fn rfc6068_s2_a_mail_address_has_one_local_part_and_a_domain() {
    for contact in [
        "mailto:a@b@acme.com",
        "mailto:a@acme..com",
        "mailto:a@.acme.com",
        "mailto:a@-acme.com",
        "mailto:a..b@acme.com",
    ] {
        for reply in in_both_ways(&json!([contact])) {
            reply.problem(400, "invalidContact");
        }
    }
}

/// Contacts are a list of texts.
#[test]
fn rfc8555_s7_1_2_contact_is_a_list_of_texts() {
    for contact in [
        json!("mailto:a@acme.com"),
        json!({}),
        json!(7),
        json!(null),
        json!([7]),
        json!([null]),
        json!([["mailto:a@acme.com"]]),
    ] {
        for reply in in_both_ways(&contact) {
            reply.refused_as("malformed");
        }
    }
}

/// Nobody fills the database with contacts.
#[test]
fn rfc8555_s7_3_contacts_are_bounded_in_number_and_length() {
    let many: Vec<String> = (0..100).map(|number| format!("mailto:a{number}@acme.com")).collect();
    let long = json!([format!("mailto:{}@acme.com", "a".repeat(2000))]);
    for contact in [json!(many), long] {
        for reply in in_both_ways(&contact) {
            reply.refused_as("invalidContact");
        }
    }
}

/// HAProxy sends this when it has no contact; it counts as none (ARCHITECTURE.md, departures).
#[test]
fn rfc8555_s7_3_mailto_alone_counts_as_no_contact() {
    let mut client = stranger();
    let account = client.register_with(&json!({"contact": ["mailto:"]})).expect(201).json();
    assert!(account["contact"].as_array().is_none_or(Vec::is_empty), "{account}");
}

/// The contact in newAccount and in an update of an account.
fn in_both_ways(contact: &Value) -> [Reply; 2] {
    let payload = json!({"contact": contact});
    let client = member();
    [stranger().register_with(&payload), client.post(account_url(&client), &payload)]
}
