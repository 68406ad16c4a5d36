//! Completion for fish.

use super::{Takes, flags, takes};
use certwright::cli::definitions;

pub fn completion() -> String {
    let mut page = String::from(
        "# fish completion for certwright, made from the definitions behind `certwright --help`.\n\n\
         complete -c certwright -f\n\
         complete -c certwright -n __fish_use_subcommand -l help -d 'List the commands.'\n\
         complete -c certwright -n __fish_use_subcommand -l version -d 'Show the version.'\n",
    );
    for command in definitions().commands {
        let (name, meaning) = (command.name, quoted(command.command.description));
        page.push_str(&format!("\ncomplete -c certwright -n __fish_use_subcommand -a {name} -d {meaning}\n"));
        for flag in flags(command.command.flags) {
            let long = flag.long.trim_start_matches("--");
            let short = flag.short.map_or_else(String::new, |letter| format!(" -s {letter}"));
            let value = match takes(flag) {
                Takes::Truth => String::new(),
                Takes::Words(words) => format!(" -x -a {}", quoted(&words.join(" "))),
                Takes::File => " -r -F".to_owned(),
                Takes::Directory => " -x -a '(__fish_complete_directories)'".to_owned(),
                Takes::Text => " -x".to_owned(),
            };
            page.push_str(&format!(
                "complete -c certwright -n '__fish_seen_subcommand_from {name}' -l {long}{short}{value} -d {}\n",
                quoted(flag.description)
            ));
        }
    }
    page
}

/// fish knows two escapes between single quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}
