//! What standard output is: a terminal with a width and perhaps colours, or something that a program reads.

use std::io::IsTerminal;

#[derive(Clone, Copy)]
pub(super) struct Terminal {
    /// In columns, where there is a terminal that knows it.
    pub(super) width: Option<usize>,
    pub(super) has_colours: bool,
}

impl Terminal {
    /// What standard output is now. NO_COLOR (<https://no-color.org>) and a dumb terminal get no colours.
    pub(super) fn of_output() -> Terminal {
        let output = std::io::stdout();
        if !output.is_terminal() {
            return Terminal { width: None, has_colours: false };
        }
        let size = rustix::termios::tcgetwinsize(&output).ok();
        Terminal {
            width: size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0),
            has_colours: std::env::var_os("NO_COLOR").is_none_or(|said| said.is_empty()) && !is_dumb(),
        }
    }
}

/// Whether a terminal understands no more than lines.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb")
}
