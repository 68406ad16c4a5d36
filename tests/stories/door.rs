//! The front door: only whole, well-formed requests come in, and nobody keeps an honest client out.

use crate::world::acme::Client;
use crate::world::daemon::Ca;
use crate::world::issuer::Issuer;
use crate::world::wire::{Connection, Reply, read_reply, read_to_close};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

#[test]
fn a_head_that_trickles_in_is_cut_off_at_an_absolute_deadline() {
    ends_although_it_trickles("GET / HTTP/1.1\r\nHost: ca.lan\r\n");
}

#[test]
fn a_body_that_trickles_in_is_cut_off_at_an_absolute_deadline() {
    ends_although_it_trickles("POST /acme HTTP/1.1\r\nHost: ca.lan\r\nContent-Length: 1000\r\n\r\n");
}

fn ends_although_it_trickles(begin: &str) {
    let (_ca, issuer) = ca();
    let mut connection = issuer.wire().connect();
    let start = Instant::now();
    connection.write_all(begin.as_bytes()).unwrap();
    connection.sock.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    // A byte now and then resets every deadline that is counted per read.
    while !is_closed(&mut connection) {
        assert!(start.elapsed() < Duration::from_secs(40), "what does not end is still listened to");
        let _ = connection.write_all(b"x").and_then(|()| connection.flush());
    }
}

#[test]
fn a_connection_that_asks_nothing_more_is_closed() {
    let (_ca, issuer) = ca();
    let mut connection = issuer.wire().connect();
    let path = path_of(&issuer.directory);
    connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: ca.lan\r\n\r\n").as_bytes()).unwrap();
    read_reply(&mut connection, "GET").unwrap().expect(200);
    connection.sock.set_read_timeout(Some(Duration::from_secs(100))).unwrap();
    assert!(is_closed(&mut connection), "who asks nothing is still waited for");
}

#[test]
fn a_client_that_does_not_read_its_replies_is_let_go() {
    let (ca, _issuer) = ca();
    let mut stream = TcpStream::connect(ca.plain_listen).unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4_096).unwrap();
    let start = Instant::now();
    // More than the system keeps for it, so that a reply stands in the door.
    let asked = b"GET /ca HTTP/1.1\r\nHost: ca.lan\r\n\r\n".repeat(10_000);
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    while stream.write(&asked).is_ok() {}
    // What is written to a connection that the other end has closed is an error after the first time.
    let is_gone = |e: &std::io::Error| matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
    while !stream.write(b"G").is_err_and(|e| is_gone(&e)) {
        assert!(start.elapsed() < Duration::from_secs(40), "who does not read is still waited for");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_handshake_that_does_not_begin_is_cut_off() {
    let (ca, _) = ca();
    let mut stream = TcpStream::connect(ca.listen).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    stream.write_all(&[0x16, 0x03]).unwrap();
    let mut buffer = [0; 64];
    let end = stream.read(&mut buffer);
    assert!(!matches!(&end, Err(error) if error.kind() == ErrorKind::WouldBlock), "still open after 40 s");
}

#[test]
fn heads_that_two_servers_could_read_differently_are_refused() {
    let (_ca, issuer) = ca();
    let path = path_of(&issuer.directory);
    let get = |rest: &str| format!("GET {path} HTTP/1.1\r\nHost: ca.lan\r\n{rest}");
    let post =
        |rest: &str| format!("POST {path} HTTP/1.1\r\nHost: ca.lan\r\nContent-Type: application/jose+json\r\n{rest}");
    for (what, request) in [
        ("bare LF", format!("GET {path} HTTP/1.1\nHost: ca.lan\n\n")),
        ("a bare LF between two fields", get("X-A: 1\nX-B: 2\r\n\r\n")),
        ("a bare CR", get("X-A: 1\rX-B: 2\r\n\r\n")),
        ("a folded field", get("X-A: 1\r\n 2\r\n\r\n")),
        ("a field that begins folded", format!("GET {path} HTTP/1.1\r\n Host: ca.lan\r\n\r\n")),
        ("white space before the colon", get("Content-Length : 0\r\n\r\n")),
        ("a NUL", get("X-A: a\0b\r\n\r\n")),
        ("two lengths", post("Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}")),
        ("two lengths that differ", post("Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}")),
        ("a list of lengths", post("Content-Length: 2, 2\r\n\r\n{}")),
        ("a signed length", post("Content-Length: +2\r\n\r\n{}")),
        ("a hexadecimal length", post("Content-Length: 0x2\r\n\r\n{}")),
        ("a length past 64 bits", post("Content-Length: 18446744073709551618\r\n\r\n{}")),
        ("a length and chunks", post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("an unknown coding", post("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")),
        ("chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("chunked with a tab", post("Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n")),
        ("a chunk size that is none", post("Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n")),
        ("a chunk longer than it says", post("Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n")),
        ("an upgrade", get("Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")),
        ("an unknown expectation", post("Expect: a-miracle\r\nContent-Length: 2\r\n\r\n{}")),
        ("no host", format!("GET {path} HTTP/1.1\r\n\r\n")),
        ("two hosts", get("Host: evil.lan\r\n\r\n")),
        ("another protocol", format!("GET {path} HTTP/2.0\r\nHost: ca.lan\r\n\r\n")),
        ("no protocol", format!("GET {path}\r\n\r\n")),
        ("white space in the target", format!("GET {path} x HTTP/1.1\r\nHost: ca.lan\r\n\r\n")),
        ("no method", format!(" {path} HTTP/1.1\r\nHost: ca.lan\r\n\r\n")),
        ("noise", "\u{1}\u{2}\u{3}\r\n\r\n".into()),
    ] {
        let said = issuer.wire().raw(request.as_bytes());
        let status = match what {
            "an unknown expectation" => 417,
            "a length past 64 bits" => 413,
            _ => 400,
        };
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {said}");
        // The door's own refusals end the connection and know no nonce; what is behind it has not seen the request.
        assert!(said.contains("\r\nConnection: close\r\n"), "{what}: {said}");
        assert!(!said.to_lowercase().contains("replay-nonce"), "{what}: {said}");
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{what}: more than one reply: {said}");
    }
    still_open(&issuer);
}

#[test]
fn a_head_has_at_most_8_kib_and_64_fields() {
    let (_ca, issuer) = ca();
    let path = path_of(&issuer.directory);
    let head = |fields: &str| format!("GET {path} HTTP/1.1\r\nHost: ca.lan\r\nConnection: close\r\n{fields}\r\n");
    let padded = |length: usize| {
        let bare = head("X-A: \r\n").len();
        head(&format!("X-A: {}\r\n", "a".repeat(length - bare)))
    };
    assert!(issuer.wire().raw(padded(8 * 1024).as_bytes()).starts_with("HTTP/1.1 200"));
    assert!(issuer.wire().raw(padded(8 * 1024 + 1).as_bytes()).starts_with("HTTP/1.1 431"));
    let fields = |count: usize| (2..count).map(|number| format!("X-{number}: a\r\n")).collect::<String>();
    assert!(issuer.wire().raw(head(&fields(64)).as_bytes()).starts_with("HTTP/1.1 200"));
    assert!(issuer.wire().raw(head(&fields(65)).as_bytes()).starts_with("HTTP/1.1 431"));
}

#[test]
fn a_body_has_at_most_128_kib() {
    let (ca, issuer) = ca();
    let client = ca.client(&issuer);
    let url = client.url("newOrder");
    let reply = client.send_text(&url, &"a".repeat(128 * 1024 + 1));
    assert_too_large(&reply);
    // The length alone is enough, and no memory is set aside for it.
    let head = format!("POST {} HTTP/1.1\r\nHost: ca.lan\r\nContent-Length: 99999999999\r\n\r\n", path_of(&url));
    assert!(issuer.wire().raw(head.as_bytes()).starts_with("HTTP/1.1 413"));
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
    let chunked = format!(
        "POST {} HTTP/1.1\r\nHost: ca.lan\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        path_of(&url),
        chunk.repeat(3)
    );
    assert!(issuer.wire().raw(chunked.as_bytes()).starts_with("HTTP/1.1 413"));
    client.send_text(&url, &"a".repeat(128 * 1024)).problem(400, "malformed");
}

#[test]
fn a_chunked_body_is_as_good_as_a_whole_one() {
    let (ca, issuer) = ca();
    let client = ca.client(&issuer);
    let (path, body) = signed_order(&client);
    let (first, rest) = body.split_at(100);
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: ca.lan\r\nContent-Type: application/jose+json\r\nTransfer-Encoding: chunked\r\n\r\n\
         64;note=\"a chunk extension\"\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\nX-Trailer: 1\r\n\r\n",
        rest.len()
    );
    let mut connection = issuer.wire().connect();
    connection.write_all(request.as_bytes()).unwrap();
    read_reply(&mut connection, "POST").unwrap().expect(201);
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    let (ca, issuer) = ca();
    let client = ca.client(&issuer);
    let (path, body) = signed_order(&client);
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: ca.lan\r\nContent-Type: application/jose+json\r\nExpect: 100-continue\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut connection = issuer.wire().connect();
    connection.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_reply(&mut connection, "POST").unwrap().status, 100);
    connection.write_all(body.as_bytes()).unwrap();
    read_reply(&mut connection, "POST").unwrap().expect(201);
}

#[test]
fn requests_in_a_row_are_answered_in_their_order() {
    let (ca, issuer) = ca();
    let client = ca.client(&issuer);
    let (path, body) = signed_order(&client);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: ca.lan\r\n\r\n");
    let post = format!(
        "POST {path} HTTP/1.1\r\nHost: ca.lan\r\nContent-Type: application/jose+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let directory = path_of(&issuer.directory);
    let mut connection = issuer.wire().connect();
    connection.write_all([get(directory), post, get("/nothing-here"), get(directory)].concat().as_bytes()).unwrap();
    let mut next = |method| read_reply(&mut connection, method).unwrap().status;
    assert_eq!([next("GET"), next("POST"), next("GET"), next("GET")], [200, 201, 404, 200]);
}

#[test]
fn idle_connections_keep_no_honest_client_out() {
    let (ca, issuer) = ca();
    let client = ca.client(&issuer);
    let wire = issuer.wire();
    let idle: Vec<Connection> = (0..200).map(|_| wire.connect()).collect();
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(ca.listen).unwrap()).collect();
    let start = Instant::now();
    client.ask_for(&["acme.com"]).expect(201);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop((idle, silent));
}

#[test]
fn half_requests_hold_no_worker() {
    let ca = Ca::start_with(&["--validation-allow", "127.0.0.0/8", "--workers", "2"]);
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    let path = client.url("newOrder");
    let half = format!("POST {} HTTP/1.1\r\nHost: ca.lan\r\nContent-Length: 1000\r\n\r\n{{", path_of(&path));
    let halves: Vec<Connection> = (0..50)
        .map(|_| {
            let mut connection = client.wire.connect();
            connection.write_all(half.as_bytes()).unwrap();
            connection
        })
        .collect();
    let start = Instant::now();
    client.ask_for(&["acme.com"]).expect(201);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(halves);
}

#[test]
fn what_is_not_there_is_a_problem_document_and_links_ignore_the_host_header() {
    let (_ca, issuer) = ca();
    let wire = issuer.wire();
    for path in ["/", "/nothing-here", "/acme/nobody/directory", "/acme/../etc/passwd", "/acme//directory"] {
        let reply = wire.request("GET", path, &[], b"");
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (404, Some("application/problem+json")),
            "{path}: {reply}"
        );
    }
    let wrong = wire.request("DELETE", &issuer.directory, &[], b"");
    assert_eq!((wrong.status, wrong.header("content-type")), (405, Some("application/problem+json")), "{wrong}");
    let request = format!("GET {} HTTP/1.1\r\nHost: evil.lan\r\nConnection: close\r\n\r\n", path_of(&issuer.directory));
    let said = wire.raw(request.as_bytes());
    assert!(said.contains("https://ca.lan:") && !said.contains("evil.lan"), "{said}");
}

#[test]
fn the_plain_door_has_the_same_manners_and_no_acme_behind_it() {
    let (ca, issuer) = ca();
    let say = |request: &str| {
        let mut stream = TcpStream::connect(ca.plain_listen).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        read_to_close(&mut stream)
    };
    let directory = path_of(&issuer.directory);
    let get = format!("GET {directory} HTTP/1.1\r\nHost: ca.lan\r\nConnection: close\r\n\r\n");
    assert!(say(&get).starts_with("HTTP/1.1 404"), "ACME in the clear");
    let folded = format!("GET {directory} HTTP/1.1\r\nHost: ca.lan\r\nX-A: 1\r\n 2\r\n\r\n");
    assert!(say(&folded).starts_with("HTTP/1.1 400"));
    let display_id = crate::world::issuer::text(&ca.describe(&issuer.name), "display_id");
    let root = say(&format!("GET /ca/{display_id}.pem HTTP/1.1\r\nHost: ca.lan\r\nConnection: close\r\n\r\n"));
    assert!(root.starts_with("HTTP/1.1 200") && root.contains(issuer.root_pem.trim()), "{root}");
}

#[test]
fn nobody_speaks_for_the_door() {
    let (ca, issuer) = ca();
    // Only a proxy that the administrator has named may say for whom it asks.
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: ca.lan\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n",
        path_of(&issuer.directory)
    );
    let mut stream = TcpStream::connect(ca.plain_listen).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    assert!(read_to_close(&mut stream).starts_with("HTTP/1.1 404"), "ACME in the clear");
    assert!(issuer.wire().raw(request.as_bytes()).starts_with("HTTP/1.1 200"), "the field is nobody's");
    assert!(!ca.log().contains("192.0.2.1"), "an address of the client's own choice is in the log");
    // Whoever is behind the door takes nothing from others, and nobody else gets as far.
    let socket = ca.state_dir().join("run/http.sock");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    let word = "0".repeat(32);
    for path in [path_of(&issuer.directory), &format!("/{word}/1"), &format!("/{word}/probe")] {
        let mut behind = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        write!(behind, "GET {path} HTTP/1.1\r\nHost: ca.lan\r\nConnection: close\r\n\r\n").unwrap();
        let said = read_to_close(&mut behind);
        assert!(said.starts_with("HTTP/1.1 403"), "{path}: {said}");
    }
}

fn ca() -> (Ca, Issuer) {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    (ca, issuer)
}

#[track_caller]
fn still_open(issuer: &Issuer) {
    issuer.wire().request("GET", &issuer.directory, &[], b"").expect(200);
}

#[track_caller]
fn assert_too_large(reply: &Reply) {
    assert_eq!((reply.status, reply.header("content-type")), (413, Some("application/problem+json")), "{reply}");
}

fn signed_order(client: &Client) -> (String, String) {
    let url = client.url("newOrder");
    let payload = json!({"identifiers": [{"type": "dns", "value": "acme.com"}]}).to_string();
    let body = client.sign(&client.header(&url), payload.as_bytes()).flattened().to_string();
    (path_of(&url).to_string(), body)
}

fn path_of(url: &str) -> &str {
    let host = url.find("//").unwrap() + 2;
    &url[host + url[host..].find('/').unwrap()..]
}

fn is_closed(connection: &mut Connection) -> bool {
    let mut buffer = [0; 1024];
    match connection.read(&mut buffer) {
        // What is said on the way out is not the end yet.
        Ok(length) => length == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[test]
fn handshakes_that_trickle_in_keep_no_honest_client_of_the_same_address_waiting() {
    let (_ca, issuer) = ca();
    // A record that promises more than ever comes, byte by byte.
    let mut slow: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut connection = TcpStream::connect(issuer.listen).unwrap();
            connection.write_all(&[22, 3, 1, 64, 0, 1, 0, 234, 96]).unwrap();
            connection
        })
        .collect();
    for _ in 0..20 {
        for connection in &mut slow {
            // One that was cut off has had its time.
            let _ = connection.write_all(b"a");
        }
        let started = Instant::now();
        still_open(&issuer);
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }
}

#[test]
fn a_handshake_that_is_too_long_is_cut_off() {
    let (_ca, issuer) = ca();
    let mut connection = TcpStream::connect(issuer.listen).unwrap();
    let mut record = vec![22, 3, 1, 64, 0];
    record.extend([1, 0, 255, 240]);
    record.resize(5 + 16384, b'a');
    let _ = connection.write_all(&record).and_then(|()| connection.write_all(&record));
    connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut rest = Vec::new();
    let ended = connection.read_to_end(&mut rest);
    assert!(!matches!(&ended, Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)), "{ended:?}");
}
