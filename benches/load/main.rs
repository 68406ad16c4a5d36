//! What clients get under load, beside what the work itself costs and beside Pebble: `cargo bench --bench load`.
//!
//! The daemon, its clients, their http-01 responder and the DNS run on the same cores. Each client has an account of its own
//! and asks for one name, each time anew: newOrder, authorization, challenge (http-01), polls, finalize, download. The floor
//! is measured in the same run, with the same libraries. benches/RESULTS.md holds the last run and where its time went.
//!
//! Words behind `--` choose among issuance, connections, requests, memory, start, filled, size; without them all run.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)]
#![allow(clippy::indexing_slicing, clippy::string_slice)]

#[allow(dead_code, unused_imports)]
#[path = "../../tests/stories/world/mod.rs"]
mod world;

mod client;
mod connection;
#[allow(dead_code)]
#[path = "../filled.rs"]
mod filled;
mod floor;
mod pebble;
mod process;
mod report;
mod responder;
mod run;
#[path = "../service.rs"]
mod service;
mod subject;

use floor::Floor;
use pebble::Pebble;
use report::{Goal, Report};
use run::Run;
use std::time::Duration;
use subject::Subject;

const LENGTH: Duration = Duration::from_secs(8);
const STARTS: usize = 15;
const CERTIFICATES: i64 = 1_000_000;
const ACCOUNTS: i64 = 100_000;

fn main() {
    // A client that cannot go on would leave the others waiting for it.
    let report_panic = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report_panic(panic);
        std::process::exit(1);
    }));
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let wants = |part: &str| chosen.is_empty() || chosen.iter().any(|word| word == part);
    let floor = Floor::measure();
    let mut report = Report::default();
    if wants("issuance") {
        issuance(&mut report, &floor);
    }
    if wants("connections") {
        connections(&mut report, &floor);
    }
    if wants("requests") {
        requests(&mut report);
    }
    if wants("memory") {
        memory(&mut report);
    }
    if wants("start") {
        start(&mut report);
    }
    if wants("filled") {
        filled(&mut report);
    }
    if wants("size") {
        size(&mut report);
    }
    println!("{}\n\n{}\n{}", machine(), floor.markdown(), report.markdown());
    for row in report.short() {
        println!("falls short: {row}");
    }
}

/// Where it was measured.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let memory = read("/proc/meminfo");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}, {cores} cores, Linux {}, {}",
        model.trim_start_matches(['\t', ' ', ':']),
        kernel.trim(),
        memory.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" "),
    )
}

fn issuance(report: &mut Report, floor: &Floor) {
    for (algorithm, sign, least, most_cpu) in
        [("EC256", floor.sign, 900.0, Goal::AtMost(1.1)), ("RSA2048", floor.rsa_sign, 550.0, Goal::None)]
    {
        let mut subject = Subject::start(algorithm);
        let mut pebble = Pebble::start().filter(|_| algorithm == "RSA2048");
        // Pebble's CA has RSA keys. With 32 clients it stands still.
        for clients in [8, 32] {
            let run = Run::of_issuances(subject.clients(clients, true), subject.process(), LENGTH);
            let other = pebble
                .as_mut()
                .filter(|_| clients == 8)
                .map(|p| Run::of_issuances(p.clients(clients, true), p.process(), LENGTH));
            let what = format!("{algorithm}, {clients} clients: ");
            let limit = floor.issuance(sign) / 1e3;
            report
                .add(&format!("{what}issuances"), "/s", Goal::AtLeast(least), run.per_second)
                .pebble(other.as_ref().map(|o| o.per_second));
            report
                .add(&format!("{what}server CPU each"), "ms", most_cpu, run.cpu)
                .floor(limit)
                .pebble(other.as_ref().map(|o| o.cpu));
            report
                .add(&format!("{what}requests each"), "", Goal::None, run.requests())
                .pebble(other.as_ref().map(Run::requests));
            report.add(&format!("{what}issuance, median"), "ms", Goal::None, run.whole(0.5));
            report.add(&format!("{what}issuance, p99"), "ms", Goal::None, run.whole(0.99));
            report.add(&format!("{what}polls aside, median"), "ms", Goal::None, run.polls_aside(0.5));
            let spread = if clients == 8 { Goal::AtMost(3.0) } else { Goal::None };
            let ratio = run.polls_aside(0.99) / run.polls_aside(0.5);
            report
                .add(&format!("{what}polls aside, p99 over median"), "", spread, ratio)
                .pebble(other.as_ref().map(|o| o.polls_aside(0.99) / o.polls_aside(0.5)));
        }
    }
}

fn connections(report: &mut Report, floor: &Floor) {
    let mut subject = Subject::start("EC256");
    let run = Run::of_issuances(subject.clients(8, false), subject.process(), LENGTH);
    let limit = (floor.issuance(floor.sign) + 7.0 * floor.handshake) / 1e3;
    let what = "a connection for each request: ";
    report.add(&format!("{what}issuances"), "/s", Goal::AtLeast(300.0), run.per_second);
    report.add(&format!("{what}server CPU each"), "ms", Goal::None, run.cpu).floor(limit);
}

fn requests(report: &mut Report) {
    let mut subject = Subject::start("EC256");
    let directory = subject.directory_path().to_owned();
    let nonce = directory.replace("/directory", "/new-nonce");
    for (what, method, path) in [("directory", "GET", &directory), ("newNonce", "HEAD", &nonce)] {
        let run = Run::of_requests(subject.clients(8, true), subject.process(), LENGTH / 2, method, path);
        report.add(what, "/s", Goal::AtLeast(15_000.0), run.per_second);
        report.add(&format!("{what}: server CPU each"), "ms", Goal::None, run.cpu);
    }
}

fn memory(report: &mut Report) {
    let mut subject = Subject::start("EC256");
    subject.restart();
    report.add("memory, idle", "MiB", Goal::AtMost(12.0), subject.process().resident());
    report.add("threads, idle", "", Goal::None, subject.process().threads() as f64);
    let connections: Vec<_> = (0..5000).map(|_| subject.target().connect().expect("a connection")).collect();
    report.add("memory, 5,000 idle TLS connections", "MiB", Goal::AtMost(80.0), subject.process().resident());
    drop(connections);
    subject.restart();
    let process = subject.process();
    Run::of_issuances(subject.clients(32, true), process, LENGTH);
    report.add("memory, 32 clients", "MiB", Goal::AtMost(40.0), process.resident());
}

fn start(report: &mut Report) {
    let mut subject = Subject::start("EC256");
    report.add("start to the first directory, empty", "ms", Goal::AtMost(30.0), median_start(&mut subject));
}

fn filled(report: &mut Report) {
    let mut empty = Subject::start("EC256");
    let mut filled = Subject::start("EC256");
    filled.fill(CERTIFICATES, ACCOUNTS);
    let bytes = filled.database_size() as f64 / CERTIFICATES as f64;
    report.add("database, each certificate with its order and audit row", "B", Goal::None, bytes);
    report.add(
        "start to the first directory, 1,000,000 certificates",
        "ms",
        Goal::AtMost(60.0),
        median_start(&mut filled),
    );
    // In turns, since a machine changes its pace over minutes.
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        few.push(Run::of_issuances(empty.clients(8, true), empty.process(), LENGTH / 2).cpu);
        many.push(Run::of_issuances(filled.clients(8, true), filled.process(), LENGTH / 2).cpu);
    }
    let ratio = many.iter().sum::<f64>() / few.iter().sum::<f64>();
    let what = "server CPU an issuance, 1,000,000 certificates and 100,000 accounts over empty";
    report.add(what, "", Goal::AtMost(1.15), ratio);
}

fn size(report: &mut Report) {
    let binary = std::fs::metadata(env!("CARGO_BIN_EXE_certwright")).unwrap().len() as f64 / f64::from(1 << 20);
    report.add("binary", "MiB", Goal::AtMost(8.0), binary);
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "-e", "normal,build", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    let mut crates: Vec<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    crates.sort_unstable();
    crates.dedup();
    report.add("crates in the default build", "", Goal::AtMost(110.0), crates.len() as f64);
}

fn median_start(subject: &mut Subject) -> f64 {
    let mut times: Vec<Duration> = (0..STARTS).map(|_| subject.start_again()).collect();
    times.sort_unstable();
    times[STARTS / 2].as_secs_f64() * 1e3
}
