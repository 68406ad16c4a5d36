//! What was measured, as a table.

/// One figure, and what it must reach.
struct Row {
    what: String,
    goal: Goal,
    reached: f64,
    unit: &'static str,
    /// What the work itself costs, in the same unit.
    floor: Option<f64>,
    pebble: Option<f64>,
}

#[derive(Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// Only told.
    None,
}

#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub fn add(&mut self, what: &str, unit: &'static str, goal: Goal, reached: f64) -> &mut Self {
        eprintln!("{what}: {reached:.2} {unit}");
        self.rows.push(Row { what: what.to_owned(), goal, reached, unit, floor: None, pebble: None });
        self
    }

    /// What the work itself costs.
    pub fn floor(&mut self, floor: f64) -> &mut Self {
        self.rows.last_mut().unwrap().floor = Some(floor);
        self
    }

    /// What Pebble reaches.
    pub fn pebble(&mut self, pebble: Option<f64>) -> &mut Self {
        self.rows.last_mut().unwrap().pebble = pebble;
        self
    }

    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| what | goal | reached | | floor | x floor | Pebble | x Pebble |\n\
             | ---- | ---: | ------: | - | ----: | ------: | -----: | -------: |\n",
        );
        for row in &self.rows {
            let goal = match row.goal {
                Goal::AtMost(goal) => format!("<= {}", figure(goal)),
                Goal::AtLeast(goal) => format!(">= {}", figure(goal)),
                Goal::None => String::new(),
            };
            let verdict = if row.falls_short() { "**short**" } else { "" };
            let pair = |other: Option<f64>| match other {
                Some(other) => (figure(other), format!("{:.2}", row.reached / other)),
                None => Default::default(),
            };
            let ((floor, x_floor), (pebble, x_pebble)) = (pair(row.floor), pair(row.pebble));
            let (what, unit, reached) = (&row.what, row.unit, figure(row.reached));
            text.push_str(&format!(
                "| {what} | {goal} | {reached} {unit} | {verdict} | {floor} | {x_floor} | {pebble} | {x_pebble} |\n"
            ));
        }
        text
    }

    /// The rows that do not reach their goal.
    pub fn short(&self) -> Vec<String> {
        self.rows.iter().filter(|row| row.falls_short()).map(|row| row.what.clone()).collect()
    }
}

impl Row {
    fn falls_short(&self) -> bool {
        match self.goal {
            Goal::AtMost(goal) => self.reached > goal,
            Goal::AtLeast(goal) => self.reached < goal,
            Goal::None => false,
        }
    }
}

/// Three digits that count, and no more places than help.
fn figure(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}
