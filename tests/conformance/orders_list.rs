//! RFC 8555, 7.1.2.1: the list of an account's orders.

use crate::premises::{account_url, headers, links, member, name, open_issuer, order_for};
use crate::session::Session;
use crate::world::acme::Client;
use crate::world::issuer::text;
use serde_json::json;

/// An account that never ordered has an empty list.
#[test]
fn rfc8555_s7_1_2_1_a_new_account_has_no_orders() {
    let client = member();
    let reply = client.fetch(&list_of(&client)).expect(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json(), json!({"orders": []}));
    assert!(links(&reply, "next").is_empty(), "{reply}");
}

/// Orders are listed by the URLs that newOrder gave.
#[test]
fn rfc8555_s7_1_2_1_orders_are_listed_by_their_urls() {
    let client = member();
    let mut orders = [client.order(&[&name()]).url, client.order(&[&name()]).url];
    let reply = client.fetch(&list_of(&client)).expect(200);
    let mut listed: Vec<String> =
        reply.json()["orders"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned()).collect();
    // In whatever order they come.
    orders.sort();
    listed.sort();
    assert_eq!(listed, orders, "{reply}");
}

/// A long list comes in pages that link to the next, each order on one of them.
#[test]
fn rfc8555_s7_1_2_1_a_long_list_comes_in_pages() {
    let client = member();
    let mut session = Session::new(client.clone());
    let url = client.url("newOrder");
    let payload = order_for(&["acme.com"]).to_string();
    let mut made: Vec<String> =
        (0..230).map(|_| session.post(&url, payload.as_bytes()).expect(201).required_header("location")).collect();
    let (mut seen, mut pages, mut page) = (Vec::new(), 0, list_of(&client));
    loop {
        let reply = session.post(&page, b"").expect(200);
        pages += 1;
        let body = reply.json();
        let orders = body["orders"].as_array().unwrap();
        assert!(!orders.is_empty(), "page {pages} is empty");
        seen.extend(orders.iter().map(|url| url.as_str().unwrap().to_string()));
        assert_eq!(links(&reply, "index"), [open_issuer().directory.as_str()]);
        let next = links(&reply, "next");
        assert!(next.len() <= 1, "{:?}", headers(&reply, "link"));
        match next.into_iter().next() {
            Some(next) => page = next,
            None => break,
        }
    }
    assert!(pages > 1, "230 orders in one page");
    made.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, made);
}

/// Invalid orders "SHOULD NOT" be listed; pending ones should.
#[test]
fn rfc8555_s7_1_2_1_invalid_orders_are_not_listed() {
    let client = member();
    let (kept, spoilt) = (client.order(&[&name()]), client.order(&[&name()]));
    client.post(&spoilt.authorizations()[0], &json!({"status": "deactivated"})).expect(200);
    assert_eq!(client.fetch(&spoilt.url).expect(200).json()["status"], "invalid");
    assert_eq!(client.fetch(&list_of(&client)).expect(200).json()["orders"], json!([kept.url]));
}

/// A cursor that was made up is the client's fault or shows what it would show; it is never the server's.
#[test]
fn rfc8555_s7_1_2_1_a_cursor_that_was_made_up_is_harmless() {
    let client = member();
    client.order(&[&name()]);
    let list = list_of(&client);
    let mut session = Session::new(client.clone());
    for cursor in
        ["", "x", "-1", "0", "1e9", "9223372036854775807", "9223372036854775808", "%00", "1&cursor=2", "1;drop"]
    {
        for query in [format!("cursor={cursor}"), format!("page={cursor}"), cursor.to_string()] {
            let url = format!("{list}?{query}");
            let reply = session.post(&url, b"");
            if reply.status == 200 {
                let body = reply.json();
                let orders = body["orders"].as_array().unwrap_or_else(|| panic!("{url}: {reply}"));
                assert!(orders.len() <= 1, "{url}: {reply}");
            } else {
                reply.refused();
            }
        }
    }
}

fn list_of(client: &Client) -> String {
    text(&client.fetch(account_url(client)).expect(200).json(), "orders")
}
