//! Prometheus's text format, version 0.0.4: a family of samples after the other, each with its help and its type.

use super::Histogram;
use std::fmt::Write;

/// What kind of number a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The text, as it grows.
#[derive(Default)]
pub struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// Begin a family; `help` is one sentence.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Exposition {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.family = name;
        for part in ["# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n"] {
            self.text.push_str(part);
        }
        self
    }

    /// A sample of the family that was begun last.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Exposition {
        self.line("", labels, "", value)
    }

    /// A histogram; its steps and its sum are divided by `unit`.
    pub fn histogram<const N: usize>(
        &mut self,
        labels: &[(&str, &str)],
        of: &Histogram<N>,
        unit: f64,
    ) -> &mut Exposition {
        let mut count = 0u64;
        for (bound, step) in of.bounds.iter().zip(&of.steps) {
            count = count.saturating_add(step.value());
            self.line("_bucket", labels, &(*bound as f64 / unit).to_string(), count as f64);
        }
        count = count.saturating_add(of.larger.value());
        self.line("_bucket", labels, "+Inf", count as f64);
        self.line("_sum", labels, "", of.sum.value() as f64 / unit);
        self.line("_count", labels, "", count as f64)
    }

    /// The whole text.
    pub fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: &str, value: f64) -> &mut Exposition {
        self.text.push_str(self.family);
        self.text.push_str(suffix);
        let bound = (!bound.is_empty()).then_some(("le", bound));
        let mut before = '{';
        for (name, value) in labels.iter().copied().chain(bound) {
            self.text.push(before);
            self.text.push_str(name);
            self.text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\n' => self.text.push_str("\\n"),
                    '"' | '\\' => self.text.extend(['\\', c]),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        // Writing to memory does not fail.
        let _ = writeln!(self.text, " {value}");
        self
    }
}
