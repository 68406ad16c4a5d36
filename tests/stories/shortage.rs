//! A machine that has no more descriptors, threads or memory to give: the daemon refuses to start with a sentence, or it
//! serves as well as it can and recovers.

use crate::world::acme::Client;
use crate::world::binary;
use crate::world::daemon::Ca;
use crate::world::faults::Faults;
use crate::world::issuer::Issuer;
use crate::world::outcome::{Outcome, assert_says};
use crate::world::patience::{eventually, seconds};
use crate::world::responder::{Answer, Responder};
use rustix::process::{Resource, getrlimit};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Instant;

#[test]
fn with_1024_descriptors_a_crowd_keeps_nobody_out() {
    let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
    ca.set_limit("--nofile=1024:1024");
    ca.launch();
    let (issuer, client, responder) = scene(&ca);
    // More than it may have open, all from one address.
    let crowd: Vec<TcpStream> = (0..1_500).map(|_| TcpStream::connect(ca.listen).unwrap()).collect();
    // They are let go one by one for whoever comes, and not only when their time is up.
    let start = Instant::now();
    client.obtain(&["acme.com"], &responder);
    ca.make_eab(&issuer);
    assert!(start.elapsed() < seconds(6), "{:?} behind a crowd that says nothing", start.elapsed());
    drop(crowd);
    client.obtain(&["acme.com"], &responder);
}

/// Nothing of what needs a descriptor gets one: clients, questions to DNS, connections to hosts, commands.
#[test]
fn a_daemon_without_a_descriptor_to_spare_judges_no_name_and_recovers() {
    let ca = Ca::start();
    let (_, client, responder) = scene(&ca);
    let chain = client.obtain(&["acme.com"], &responder);
    responder.answer_with(Answer::Close);
    let order = client.order(&["acme.com"]);
    client.prove(&order, &responder);
    let hits = responder.hits().len();
    eventually("a first attempt", seconds(20), || (responder.hits().len() > hits).then_some(()));
    let before = ca.log().len();
    limit(&ca, "nofile", Some(0));
    let crowd: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(ca.listen).unwrap()).collect();
    let administrator = UnixStream::connect(ca.admin_socket()).unwrap();
    // Three attempts are all that the network gets.
    eventually("it asks nobody", seconds(30), || (ca.log()[before..].matches("is put off").count() > 3).then_some(()));
    responder.answer_with(Answer::Truth);
    limit(&ca, "nofile", None);
    drop((crowd, administrator));
    assert_eq!(
        client.settled(&order.url, &["pending"])["status"],
        "ready",
        "a want of ours says nothing about the name"
    );
    assert_ne!(client.obtain(&["acme.com"], &responder), chain);
    ca.run(&["check"]).succeeded();
    for line in ["clients can be accepted only", "admin connections cannot be accepted"] {
        assert_eq!(ca.log()[before..].matches(line).count(), 1, "once, not for everybody: {line}");
    }
}

#[test]
fn with_too_few_descriptors_it_says_so_and_does_not_start() {
    let mut ca = Ca::planned(&[]);
    ca.set_limit("--nofile=200:200");
    assert_says(&sentence(&mut ca).unwrap(), &["200", "256", "LimitNOFILE"]);
    ca.add_flags(&["--workers", "4"]);
    ca.launch();
}

/// Whichever thread it is that cannot be started.
#[test]
fn without_threads_it_says_so_or_serves() {
    let (mut refused, mut served) = (0, 0);
    for threads in [0, 1, 3, 5, 8, 20].into_iter().chain(34..60) {
        let mut ca = Ca::planned(&["--workers", "4"]);
        Faults::of(&mut ca);
        ca.set_variable("FAULTS_THREADS", threads.to_string());
        match sentence(&mut ca) {
            Some(_) => refused += 1,
            None => {
                assert!(!ca.log().contains("panicked"), "{threads}: a worker is missing");
                served += 1;
            }
        }
    }
    assert!(refused > 5 && served > 0, "{refused} refused, {served} served");
}

/// The threads are there, and then there are no more: for commands, and for whatever else.
#[test]
fn a_daemon_that_gets_no_more_threads_serves_and_recovers() {
    let ca = Ca::start();
    let (issuer, client, responder) = scene(&ca);
    limit(&ca, "nproc", Some(1));
    client.obtain(&["acme.com"], &responder);
    // A connection that says nothing does not keep the others out.
    let silent = UnixStream::connect(ca.admin_socket()).unwrap();
    ca.run(&["status"]).succeeded();
    ca.run(&["check"]).succeeded();
    drop(silent);
    client.obtain(&["acme.com"], &responder);
    limit(&ca, "nproc", None);
    ca.make_eab(&issuer);
}

/// tiny_http accepts nothing any more when it could not once. Its connections are opened anew when a request takes too long.
#[test]
fn workers_that_can_be_reached_no_more_begin_anew() {
    let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8", "--workers", "2"]);
    let faults = Faults::of(&mut ca);
    ca.launch();
    let (_, client, responder) = scene(&ca);
    client.obtain(&["acme.com"], &responder);
    let before = ca.log().len();
    faults.order("slow 27000");
    std::fs::remove_file(ca.state_dir().join("run").join("http.sock")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| client.ask_for(&["acme.com"]));
        }
    });
    faults.order("");
    eventually("an order is taken again", seconds(60), || (client.ask_for(&["acme.com"]).status == 201).then_some(()));
    client.obtain(&["acme.com"], &responder);
    assert!(ca.log()[before..].contains("begin anew"));
}

/// As little address space as it says that it needs is enough for a crowd, and with less it does not start.
#[test]
fn with_little_memory_it_says_so_and_does_not_start() {
    let limited = |mebibytes: u64| {
        let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
        ca.set_limit(&format!("--as={}", mebibytes << 20));
        ca
    };
    let said = sentence(&mut limited(256)).unwrap();
    assert_says(&said, &["256 MiB", "ulimit -v"]);
    let needed = said.split("workers need ").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap();
    sentence(&mut limited(needed - 1)).unwrap();
    let mut ca = limited(needed);
    ca.launch();
    let (_, client, responder) = scene(&ca);
    let crowd: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(ca.listen).unwrap()).collect();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..10).for_each(|_| drop(client.order(&["acme.com"]))));
        }
    });
    drop(crowd);
    client.obtain(&["acme.com"], &responder);
}

fn scene(ca: &Ca) -> (Issuer, Client, Responder) {
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    (issuer, client, Responder::start(ca.place.address, ca.http_01_port))
}

/// The last sentence of a daemon that did not start, None of one that did.
fn sentence(ca: &mut Ca) -> Option<String> {
    let ended = ca.launch_or_end(|_| {})?;
    let log = ca.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(ended.code() == Some(1) && last.starts_with("certwright: "), "{ended}: {last}");
    Some(last.to_string())
}

/// Change a soft limit of the daemon while it runs; None for as much as it may have.
fn limit(ca: &Ca, resource: &str, soft: Option<usize>) {
    let pid = ca.pid().as_raw_nonzero().to_string();
    // Its own user may do that; somebody else may not, not even root everywhere.
    let mut command = binary::as_daemon("/usr/bin/prlimit");
    let hard = if resource == "nofile" { getrlimit(Resource::Nofile) } else { getrlimit(Resource::Nproc) }.maximum;
    let most = hard.map_or("unlimited".to_string(), |count| count.to_string());
    let soft = soft.map_or(most, |count| count.to_string());
    let output = command.args(["--pid", &pid, &format!("--{resource}={soft}:")]).output().unwrap();
    Outcome::new("prlimit", output).succeeded();
}
