//! The dashboard and the alert rules ask for what the daemon serves, and wake whom they should.

use super::numbers::Numbers;
use super::{counted, live, promtool, watched};
use crate::world::outcome::Outcome;
use serde_json::Value;
use std::path::Path;

/// Labels that are put there by whoever scrapes, or by the form of a histogram.
const FOREIGN: [&str; 3] = ["job", "instance", "le"];

#[test]
fn the_rules_are_well_formed_and_wake_whom_they_should() {
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts-test.yml"]] {
        Outcome::new(arguments.join(" "), promtool(&arguments).output().unwrap()).succeeded();
    }
}

#[test]
fn the_configuration_in_the_document_is_one_for_prometheus() {
    let page = read("docs/watching.md");
    let yaml = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a configuration");
    let installed = "/usr/share/certwright/prometheus/alerts.yml";
    assert!(yaml.contains(installed));
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus/alerts.yml");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), yaml.replace(installed, here.to_str().unwrap())).unwrap();
    let said = promtool(&["check", "config", file.path().to_str().unwrap()]).output().unwrap();
    let said = Outcome::new("promtool check config", said).succeeded().seen();
    assert!(said.contains(" rules found"), "{said}");
}

#[test]
fn every_alert_is_tested() {
    let tests = read("packaging/prometheus/alerts-test.yml");
    let rules = read("packaging/prometheus/alerts.yml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 15, "{alerts:?}");
    for alert in alerts {
        assert!(tests.contains(alert), "nobody tests {alert}");
    }
}

#[test]
fn dashboard_and_rules_ask_for_what_is_served() {
    let (ca, issuer) = watched();
    live(&ca, &issuer);
    let numbers = Numbers::parse(&counted(&ca));
    let dashboard: Value = serde_json::from_str(&read("packaging/grafana/certwright.json")).unwrap();
    let mut queries = Vec::new();
    collect(&dashboard, &mut queries);
    assert!(queries.len() > 25, "the dashboard asks for hardly anything");
    queries.push(read("packaging/prometheus/alerts.yml"));
    let (mut asked, mut grouped) = (0, 0);
    for query in &queries {
        let selectors = selectors(query);
        for label in groupings(query) {
            grouped += 1;
            let is_served = selectors.iter().any(|selector| !numbers.values(&selector.name, label).is_empty());
            assert!(is_served, "nothing of this has a label {label} to be grouped by: {query}");
        }
        for selector in selectors {
            asked += 1;
            assert!(numbers.has(&selector.name), "{} is asked for and not served: {query}", selector.name);
            for (label, wanted) in &selector.labels {
                let values = numbers.values(&selector.name, label);
                assert!(!values.is_empty(), "{} has no label {label}", selector.name);
                for value in wanted {
                    assert!(
                        values.contains(value.as_str()),
                        "{} has no {label}={value}, but {values:?}",
                        selector.name
                    );
                }
            }
        }
    }
    assert!(asked > 50, "only {asked} numbers are asked for");
    assert!(grouped > 15, "only {grouped} labels are grouped by");
}

#[test]
fn every_way_of_asking_is_seen() {
    let query = r#"sum by (type) (rate(certwright_a_total{job="x", type!="b", c=~"d|e"}[5m])) / process_f > up{job="certwright"}"#;
    let seen: Vec<String> = selectors(query).iter().map(|s| format!("{} {:?}", s.name, s.labels)).collect();
    assert_eq!(seen, [r#"certwright_a_total [("type", ["b"]), ("c", ["d", "e"])]"#, "process_f []"]);
}

/// The labels that a text groups by, but for those of whoever scrapes.
fn groupings(text: &str) -> impl Iterator<Item = &str> {
    let lists = text.split("by (").skip(1).map(|rest| rest.split(')').next().unwrap());
    let labels = lists.flat_map(|list| list.split(',')).map(str::trim);
    labels.filter(|label| !FOREIGN.contains(label))
}

/// A name with the labels that it is asked for by, and the values that are named.
struct Selector {
    name: String,
    labels: Vec<(String, Vec<String>)>,
}

/// Whatever a text asks Prometheus for that is the daemon's; who scrapes it says job and instance.
fn selectors(text: &str) -> Vec<Selector> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in text.match_indices("certwright_").chain(text.match_indices("process_")) {
        if text[..at].chars().next_back().is_some_and(is_word) {
            continue;
        }
        let end = text[at..].find(|c| !is_word(c)).map_or(text.len(), |length| at + length);
        let within = text[end..].strip_prefix('{').map_or("", |rest| rest.split('}').next().unwrap());
        let labels = within.split(',').filter_map(|pair| {
            let (label, value) = pair.split_once(['=', '!'])?;
            let values = value.trim_matches(['=', '~', '"', '\'', ' ']).split('|').map(str::to_owned).collect();
            Some((label.trim().to_owned(), values))
        });
        let labels = labels.filter(|(label, _)| !FOREIGN.contains(&label.as_str())).collect();
        found.push(Selector { name: text[at..end].to_owned(), labels });
    }
    found
}

/// Every query of a dashboard.
fn collect(value: &Value, queries: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(query) if name == "expr" || name == "query" => queries.push(query.to_owned()),
                    _ => collect(value, queries),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, queries)),
        _ => {}
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}
