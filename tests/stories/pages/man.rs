//! The manual pages: certwright(1) has the commands, certwright(8) the daemon.

use super::flags;
use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};
use certwright::cli::definitions;

/// Flags that so many commands have are told once.
pub const COMMON: [&str; 2] = ["--json", "--admin-socket"];

/// The day that a page bears.
pub fn date(page: &str) -> Option<String> {
    page.lines().find(|line| line.starts_with(".TH "))?.split('"').nth(1).map(str::to_owned)
}

/// certwright(1).
pub fn commands(date: &str) -> String {
    let program = definitions();
    let mut page = Page::new(1, date, "administer a private ACME certificate authority");
    page.raw(".B certwright\n.I command\n.RB [ \\-\\-flag\n.IR value ]...\n");
    page.section("DESCRIPTION");
    page.text(program.description);
    page.paragraph(
        "Commands are carried out by the daemon, see certwright(8), which they reach by its admin socket: its mode and its \
         group decide who may administer. quickstart, restore, check --offline and config --offline need no daemon. Files that \
         a command names are read and written by whoever gives it.",
    );
    program.notes.iter().filter(|note| !note.starts_with("Exit status")).for_each(|note| page.paragraph(note));
    page.paragraph("Booleans are written --flag, --flag true, --flag=true or --flag=false.");
    page.section("COMMANDS");
    for command in program.commands.iter().filter(|command| command.name != "serve") {
        page.raw(&format!(".SS {}\n", escaped(command.name)));
        page.text(command.command.description);
        for flag in flags(command.command.flags).filter(|flag| !COMMON.contains(&flag.long)) {
            page.flag(flag, &[]);
        }
        page.notes_and_examples(&command.command);
    }
    page.section("COMMON FLAGS");
    let status = program.commands.iter().find(|command| command.name == "status").unwrap();
    page.text("Commands that the daemon carries out have these as well.");
    flags(status.command.flags).filter(|flag| COMMON.contains(&flag.long)).for_each(|flag| page.flag(flag, &[]));
    page.section("ENVIRONMENT");
    page.entry("CERTWRIGHT_ADMIN_SOCKET", "The daemon's admin socket, where no flag says it.");
    page.entry("NO_COLOR", "Anything but nothing: tables on a terminal have no colours.");
    page.section("EXIT STATUS");
    page.entry("0", "It is done.");
    page.entry(
        "1",
        "It was refused or could not be carried out; a sentence on standard error says why and what to do.",
    );
    page.entry("2", "The command line is wrong.");
    page.see_also(&["certwright(8)", "certbot(1)"]);
    page.text
}

/// certwright(8).
pub fn daemon(date: &str) -> String {
    let program = definitions();
    let serve = &program.commands.iter().find(|command| command.name == "serve").unwrap().command;
    let mut page = Page::new(8, date, "a private ACME certificate authority, the daemon");
    page.raw(".B certwright serve\n.RB [ \\-\\-flag\n.IR value ]...\n");
    page.section("DESCRIPTION");
    page.text(
        "The daemon speaks ACME (RFC 8555) over TLS, serves CRLs, OCSP and CA certificates over plain HTTP, and is \
         administered by the commands of certwright(1) over a Unix socket.",
    );
    page.section("OPTIONS");
    for flag in flags(serve.flags) {
        page.flag(
            flag,
            &[&format!("CERTWRIGHT_{}", flag.long.trim_start_matches("--").to_uppercase().replace('-', "_"))],
        );
    }
    page.notes_and_examples(serve);
    page.section("ENVIRONMENT");
    page.text(
        "Each flag is also the variable that is named beside it; what may be repeated is a list with commas there. A flag goes \
         before its variable, and a variable that begins with CERTWRIGHT_ and is not known is an error. certwright config shows \
         what is in force and where it comes from.",
    );
    page.entry("RUST_LOG", "What is logged: error, warn, info, debug or trace, for all or for single rooms (info).");
    page.section("SIGNALS");
    page.entry("SIGTERM, SIGINT", "Finish what runs and end, within five seconds.");
    page.entry("SIGHUP", "Read --tls-cert and --tls-key again.");
    page.section("FILES");
    page.entry(
        "/var/lib/certwright/certwright.db",
        "Everything but keys; after a clean stop the only file of the database.",
    );
    page.entry("/var/lib/certwright/fragments", "Fragments of the signer keys; all of a key's are needed.");
    page.entry("/var/lib/certwright/keys", "Keys of the daemon's own TLS certificates and of its OCSP responders.");
    page.entry("/run/certwright/admin.sock", "Where commands come in.");
    page.section("EXIT STATUS");
    page.text("0 after a signal, 1 where it could not start, 2 where a setting is wrong.");
    page.see_also(&["certwright(1)", "systemd.service(5)"]);
    page.text
}

struct Page {
    text: String,
}

impl Page {
    fn new(section: u8, date: &str, what: &str) -> Page {
        let version = env!("CARGO_PKG_VERSION");
        let manual = if section == 1 { "User Commands" } else { "System Administration" };
        Page {
            text: format!(
                ".\\\" Made from the definitions behind certwright --help.\n\
                 .TH CERTWRIGHT {section} \"{date}\" \"certwright {version}\" \"{manual}\"\n\
                 .SH NAME\ncertwright \\- {}\n.SH SYNOPSIS\n",
                escaped(what)
            ),
        }
    }

    fn raw(&mut self, roff: &str) {
        self.text.push_str(roff);
    }

    fn section(&mut self, title: &str) {
        self.raw(&format!(".SH {title}\n"));
    }

    fn text(&mut self, text: &str) {
        self.raw(&filled(text));
    }

    fn paragraph(&mut self, text: &str) {
        self.raw(".PP\n");
        self.text(text);
    }

    fn entry(&mut self, word: &str, meaning: &str) {
        self.raw(&format!(".TP\n.B {}\n{}", escaped(word), filled(meaning)));
    }

    /// A flag, other names of it, and what it does.
    fn flag(&mut self, flag: &FlagInfo<'_>, others: &[&str]) {
        let mut names: Vec<String> = flag.short.iter().map(|letter| format!("-{letter}")).collect();
        names.push(flag.long.to_owned());
        let names: Vec<String> = names.iter().map(|name| format!("\\fB{}\\fR", escaped(name))).collect();
        let value = match flag.kind {
            FlagInfoKind::Switch => String::new(),
            // A line may be broken between two words.
            FlagInfoKind::Option { arg_name } => format!(" \\fI{}\\fR", escaped(arg_name).replace('|', "\\fR|\\:\\fI")),
        };
        let others: String = others.iter().map(|name| format!(", \\fB{}\\fR", escaped(name))).collect();
        let needed = if matches!(flag.optionality, Optionality::Required) { " (needed)" } else { "" };
        self.raw(&format!(".TP\n{}{value}{others}{needed}\n{}", names.join(", "), filled(flag.description)));
    }

    fn notes_and_examples(&mut self, command: &CommandInfoWithArgs) {
        command.notes.iter().for_each(|note| self.paragraph(note));
        self.raw(".PP\nExample:\n.PP\n.nf\n");
        for example in command.examples {
            self.raw(&format!(".RS 4\n{}\n.RE\n", escaped(&example.replace("{command_name}", command.name))));
        }
        self.raw(".fi\n");
    }

    fn see_also(&mut self, pages: &[&str]) {
        self.section("SEE ALSO");
        let pages: Vec<String> = pages
            .iter()
            .map(|page| page.split_once('(').unwrap())
            .map(|(name, section)| format!(".BR {} ({section}", escaped(name)))
            .collect();
        self.raw(&format!("{}\n", pages.join(" ,\n")));
    }
}

/// Text in lines that are no longer than mandoc likes them.
fn filled(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace().map(escaped) {
        let line = lines.last_mut().unwrap();
        match line.is_empty() {
            true => line.push_str(&word),
            false if line.len() + 1 + word.len() < 80 => line.push_str(&format!(" {word}")),
            false => lines.push(word),
        }
    }
    format!("{}\n", lines.join("\n"))
}

/// Text as roff reads it.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\(rs"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '`' => escaped.push_str("\\(ga"),
            '^' => escaped.push_str("\\(ha"),
            '~' => escaped.push_str("\\(ti"),
            '"' => escaped.push_str("\\(dq"),
            letter if letter.is_ascii() => escaped.push(letter),
            letter => escaped.push_str(&format!("\\[u{:04X}]", u32::from(letter))),
        }
    }
    // A line that begins so would be taken for a request.
    if escaped.starts_with('.') { format!("\\&{escaped}") } else { escaped }
}
