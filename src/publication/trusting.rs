//! How a root comes to be trusted, told in the same words by the command and by the page.

/// One way: a system or a program, and what is to be done there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayToTrust {
    /// Of which system or program.
    pub title: &'static str,
    /// Its lines: words, or a command.
    pub lines: Vec<WayLine>,
}

/// A line of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum WayLine {
    Words(String),
    Command(String),
}

/// Every way, for a root that lies in this file.
pub fn ways_to_trust(file: &str) -> Vec<WayToTrust> {
    let ways = include_str!("trusting.txt").split("\n\n");
    ways.filter_map(|way| {
        let mut lines = way.lines();
        let title = lines.next()?;
        let lines = lines.map(|line| match line.strip_prefix("    ") {
            Some(command) => WayLine::Command(command.replace("{file}", file)),
            None => WayLine::Words(line.to_owned()),
        });
        Some(WayToTrust { title, lines: lines.collect() })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_has_a_command_and_the_file_is_named() {
        let ways = ways_to_trust("/x/root.pem");
        assert!(ways.len() > 6, "{ways:?}");
        for way in &ways {
            assert!(way.lines.iter().any(|line| matches!(line, WayLine::Command(_))), "{}", way.title);
        }
        let all = format!("{ways:?}");
        assert!(all.contains("/x/root.pem") && !all.contains("{file}"), "{all}");
    }
}
