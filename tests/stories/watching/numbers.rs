//! What /metrics says, as a program reads it.

use std::collections::{BTreeMap, BTreeSet};

pub struct Numbers {
    /// Name, labels, value.
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
    histograms: BTreeSet<String>,
    families: BTreeSet<String>,
}

impl Numbers {
    pub fn parse(text: &str) -> Numbers {
        let mut numbers = Numbers { samples: Vec::new(), histograms: BTreeSet::new(), families: BTreeSet::new() };
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                numbers.families.insert(name.to_string());
                if kind == "histogram" {
                    numbers.histograms.insert(name.to_string());
                }
            } else if !line.starts_with('#') {
                let (left, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = left.split_once('{').unwrap_or((left, ""));
                let labels = labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty());
                let labels = labels.map(|pair| pair.trim_end_matches('"').split_once("=\"").unwrap());
                let labels = labels.map(|(name, value)| (name.to_string(), value.to_string())).collect();
                numbers.samples.push((name.to_string(), labels, value.parse().unwrap()));
            }
        }
        numbers
    }

    /// The sum of the samples of this name that have these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |own: &BTreeMap<String, String>| {
            labels.iter().all(|(name, value)| own.get(*name).is_some_and(|own| own == value))
        };
        self.samples.iter().filter(|(own, labels, _)| own == name && has(labels)).map(|(_, _, value)| value).sum()
    }

    /// Whether there is such a name, as a query writes it.
    pub fn has(&self, name: &str) -> bool {
        let of_histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .any(|family| self.histograms.contains(family));
        of_histogram || (self.families.contains(name) && !self.histograms.contains(name))
    }

    /// The values that a label of this name has.
    pub fn values(&self, name: &str, label: &str) -> BTreeSet<&str> {
        let own = self.samples.iter().filter(|(own, _, _)| own == name);
        own.filter_map(|(_, labels, _)| labels.get(label)).map(String::as_str).collect()
    }
}
