//! The unit files: systemd understands them, and they leave the daemon no more than it needs.

use crate::world::binary::directory;
use crate::world::outcome::Outcome;
use crate::world::place::Place;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of ten; systemd calls this "OK" and most services of a distribution have 9.
const MOST_EXPOSED: f64 = 1.5;

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    let place = Place::new();
    let mut copies = Vec::new();
    for unit in units() {
        // The program is where the tests are, and its man pages are nowhere on this machine.
        let program = directory().join("certwright");
        let text = read(&unit).replace("/usr/bin/certwright", program.to_str().unwrap());
        copies.push(place.write(unit.file_name().unwrap().to_str().unwrap(), text));
    }
    let verified = analyze(&["verify", "--man=no"], &copies);
    assert_eq!(verified.clone().succeeded().seen(), "", "{}", verified.what);

    let broken = read(&root().join("certwright.service")).replace("ProtectHome=yes", "ProtectHome=perhaps");
    let broken = analyze(&["verify", "--man=no"], &[place.write("certwright.service", broken)]);
    assert!(broken.seen().contains("perhaps"), "it would have said something: {}", broken.seen());
}

#[test]
fn the_sandbox_leaves_the_services_what_they_need_and_no_more() {
    for unit in units().iter().filter(|unit| unit.extension().is_some_and(|e| e == "service")) {
        let rated = analyze(&["security", "--offline=true", "--no-pager"], std::slice::from_ref(unit)).succeeded();
        let words = rated.stdout.split("Overall exposure level for ").nth(1).expect("a level");
        let level: f64 = words.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(level <= MOST_EXPOSED, "{} has {level}:\n{}", unit.display(), rated.stdout);
    }
}

#[test]
fn the_service_is_limited_as_the_documents_say_and_shows_who_administers() {
    let service = settings("certwright.service");
    for (name, value) in [
        ("Type", "notify"),
        ("LimitNOFILE", "65536"),
        ("LimitCORE", "0"),
        ("MemorySwapMax", "0"),
        ("CPUSchedulingPolicy", "batch"),
        ("Sockets", "certwright.socket certwright-plain.socket certwright-admin.socket"),
    ] {
        assert_eq!(service.get(name).map(String::as_str), Some(value), "{name}=");
    }
    assert!(!service.contains_key("PrivateUsers"), "every uid would be nobody's");
    assert!(settings("certwright-backup.timer").contains_key("OnCalendar"));
}

#[test]
fn each_socket_has_the_name_and_the_place_of_its_flag() {
    let places = [
        ("certwright.socket", "listen", "8000"),
        ("certwright-plain.socket", "plain-listen", "8080"),
        ("certwright-admin.socket", "admin", "/run/certwright/admin.sock"),
    ];
    for (unit, name, place) in places {
        let socket = settings(unit);
        assert_eq!((socket["FileDescriptorName"].as_str(), socket["ListenStream"].as_str()), (name, place), "{unit}");
        assert_eq!(socket["Service"], "certwright.service", "{unit}");
    }
}

/// None of these can be built to the end on every machine that runs the tests; tests/package/run builds what can be.
#[test]
fn every_way_of_packaging_is_of_this_version_and_of_files_that_are_there() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let version = env!("CARGO_PKG_VERSION");
    assert!(read(&packaging.join("debian/changelog")).starts_with(&format!("certwright ({version}) ")));
    assert!(read(&packaging.join("certwright.spec")).contains(&format!("\nVersion:        {version}\n")));

    let container = read(&packaging.join("Containerfile")).replace("\\\n", "");
    let lines = container.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let instructions: Vec<(&str, &str)> = lines.map(|line| line.split_once(' ').expect("an instruction")).collect();
    let known = ["FROM", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "CMD"];
    assert!(instructions.iter().all(|(word, _)| known.contains(word)), "{instructions:?}");
    let of = |wanted: &str| instructions.iter().filter(|(word, _)| *word == wanted).map(|(_, rest)| *rest).next_back();
    assert_eq!(of("USER"), Some("certwright"));
    let copied = of("COPY").unwrap().split_whitespace().last().unwrap();
    assert_eq!(of("CMD"), Some(format!("[\"{copied}\", \"serve\"]").as_str()));
    let installs =
        instructions.iter().any(|(word, rest)| *word == "RUN" && rest.contains("groupadd --system certwright-admin"));
    assert!(installs, "{instructions:?}");
}

/// What a unit sets; of a setting that comes again, the last.
fn settings(unit: &str) -> BTreeMap<String, String> {
    let text = read(&root().join(unit));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

fn units() -> Vec<PathBuf> {
    let is_unit = |path: &PathBuf| path.extension().is_some_and(|e| e != "sysusers");
    let units: Vec<_> = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).filter(is_unit).collect();
    assert!(units.len() >= 6, "{units:?}");
    units
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn analyze(arguments: &[&str], units: &[PathBuf]) -> Outcome {
    let output = Command::new("/usr/bin/systemd-analyze").args(arguments).args(units).output().unwrap();
    Outcome::new(format!("systemd-analyze {}", arguments.join(" ")), output)
}
