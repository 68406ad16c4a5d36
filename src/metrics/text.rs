//! Prometheus's text format, version 0.0.4: a family of samples after the other, each with its help and its type.

use super::{Bounds, Histogram};

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
    pub fn sample(&mut self, labels: &[(&str, &str)], value: u64) -> &mut Exposition {
        self.line("", labels, "", &value.to_string())
    }

    /// A histogram; its steps and its sum are counted in parts of which `unit` make one.
    pub fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        of: &Histogram,
        bounds: &Bounds,
        unit: u64,
    ) -> &mut Exposition {
        let mut count = 0u64;
        for (bound, step) in bounds.iter().zip(&of.steps) {
            count = count.saturating_add(step.value());
            self.line("_bucket", labels, &decimal(*bound, unit), &count.to_string());
        }
        let count = count.saturating_add(of.larger.value()).to_string();
        self.line("_bucket", labels, "+Inf", &count);
        self.line("_sum", labels, "", &decimal(of.sum.value(), unit));
        self.line("_count", labels, "", &count)
    }

    /// The whole text.
    pub fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: &str, value: &str) -> &mut Exposition {
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
        self.text.push(' ');
        self.text.push_str(value);
        self.text.push('\n');
        self
    }
}

/// So many parts of which `unit`, a power of ten, make one.
fn decimal(parts: u64, unit: u64) -> String {
    let (whole, rest) = (parts.checked_div(unit).unwrap_or(parts), parts.checked_rem(unit).unwrap_or_default());
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.to_string().len().saturating_sub(1);
    format!("{whole}.{}", format!("{rest:0width$}").trim_end_matches('0'))
}
