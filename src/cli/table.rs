//! Tables for people: columns as wide as their widest cell, and no wider together than the terminal.

use super::terminal::Terminal;
use crate::identifier::harmless;

/// Between two columns.
const GAP: usize = 2;
/// A column is not cut to less.
const NARROWEST: usize = 8;

const BOLD: &str = "\x1b[1m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Rows below a heading.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>], terminal: Terminal) -> String {
    let heading: Vec<String> = heading.iter().map(|title| (*title).to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| harmless(cell)).collect()).collect();
    let mut widths: Vec<usize> = heading.iter().map(|title| columns(title)).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(columns(cell));
        }
    }
    if let Some(most) = terminal.width {
        narrow(&mut widths, most);
    }
    let mut lines = vec![line(&heading, &widths, terminal.has_colours, |_| BOLD)];
    lines.extend(rows.iter().map(|row| line(row, &widths, terminal.has_colours, colour)));
    lines.join("\n")
}

/// The words for how a certificate is.
fn colour(cell: &str) -> &'static str {
    match cell {
        "Valid" => GREEN,
        "About to Expire" => YELLOW,
        "Expired" | "Revoked" => RED,
        _ => "",
    }
}

/// Take from the widest until all fit, or none can be narrower.
fn narrow(widths: &mut [usize], most: usize) {
    let gaps = widths.len().saturating_sub(1).saturating_mul(GAP);
    while widths.iter().sum::<usize>().saturating_add(gaps) > most {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROWEST => *widest = widest.saturating_sub(1),
            _ => return,
        }
    }
}

fn line(cells: &[String], widths: &[usize], has_colours: bool, colour: fn(&str) -> &'static str) -> String {
    let mut line = String::new();
    // Spaces are written before the next cell, so that no line ends with them.
    let mut owed = 0;
    for (cell, width) in cells.iter().zip(widths) {
        let shown = cut(cell, *width);
        line.push_str(&" ".repeat(owed));
        match colour(cell) {
            colour if has_colours && !colour.is_empty() => line.push_str(&format!("{colour}{shown}{PLAIN}")),
            _ => line.push_str(&shown),
        }
        owed = width.saturating_sub(columns(&shown)).saturating_add(GAP);
    }
    line.truncate(line.trim_end().len());
    line
}

/// The text, or its beginning and an ellipsis.
fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let mut begin: String = text
        .chars()
        .take_while(|letter| {
            let fits = columns_of(*letter) <= left;
            left = left.saturating_sub(columns_of(*letter));
            fits
        })
        .collect();
    begin.push('…');
    begin
}

fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// How many columns a terminal gives to a letter: none to marks on the letter before, two to what East Asia writes (Unicode
/// TR 11) and to pictures. Good enough for names, and some kilobytes smaller than the whole table.
fn columns_of(letter: char) -> usize {
    match letter {
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}' => 0,
        '\u{64b}'..='\u{65f}' | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' => 0,
        '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' => 0,
        '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' | '\u{feff}' => 0,
        '\u{1100}'..='\u{115f}' | '\u{231a}'..='\u{231b}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' => 2,
        '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' => 2,
        '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{17000}'..='\u{18cff}' => 2,
        '\u{1f300}'..='\u{1f64f}' | '\u{1f680}'..='\u{1f6ff}' | '\u{1f900}'..='\u{1f9ff}' => 2,
        '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Terminal = Terminal { width: None, has_colours: false };

    fn rows(cells: &[[&str; 2]]) -> Vec<Vec<String>> {
        cells.iter().map(|row| row.map(str::to_owned).to_vec()).collect()
    }

    #[test]
    fn cells_stand_below_each_other_whatever_is_written_in_them() {
        let shown =
            table(&["NAME", "STATE"], &rows(&[["/日本", "a"], ["/Zu\u{308}rich", "b"], ["/x\u{202e}\n", "c"]]), PIPE);
        assert_eq!(shown, "NAME     STATE\n/日本    a\n/Zu\u{308}rich  b\n/x\u{fffd}\u{fffd}     c");
    }

    #[test]
    fn a_table_is_as_wide_as_the_terminal_and_in_a_pipe_as_its_cells() {
        let long = format!("/{}", "a".repeat(100));
        let rows = rows(&[[&long, "2026-11-28T00:00:00Z"], ["/日本日本日本日本日本", "x"]]);
        assert!(table(&["NAME", "CREATED"], &rows, PIPE).contains(&long));
        for width in [30, 40, 80] {
            let shown = table(&["NAME", "CREATED"], &rows, Terminal { width: Some(width), has_colours: false });
            let widest = shown.lines().map(columns).max();
            assert!(widest <= Some(width) && shown.contains('…'), "{width}: {shown}");
        }
        assert_eq!(cut("/日本", 4), "/日…");
        assert_eq!(cut("/日本", 3), "/…");
    }

    #[test]
    fn colours_are_for_terminals_and_count_as_nothing() {
        let rows = rows(&[["Valid", "a"], ["About to Expire", "b"], ["Revoked", "c"], ["/n", "d"]]);
        let shown = table(&["STATUS", "X"], &rows, Terminal { width: Some(80), has_colours: true });
        assert_eq!(
            shown,
            "\x1b[1mSTATUS\x1b[0m           \x1b[1mX\x1b[0m\n\x1b[32mValid\x1b[0m            a\n\
             \x1b[33mAbout to Expire\x1b[0m  b\n\x1b[31mRevoked\x1b[0m          c\n/n               d"
        );
        assert!(!table(&["STATUS", "X"], &rows, PIPE).contains('\x1b'));
    }
}
