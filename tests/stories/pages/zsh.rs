//! Completion for zsh.

use super::{Takes, flags, is_repeatable, quoted, takes};
use argh::FlagInfo;
use certwright::cli::definitions;

pub fn completion() -> String {
    let (mut commands, mut cases) = (String::new(), String::new());
    for command in definitions().commands {
        let meaning = format!("{}:{}", command.name, command.command.description.replace(':', r"\:"));
        commands.push_str(&format!("        {}\n", quoted(&meaning)));
        let flags: Vec<String> =
            flags(command.command.flags).map(|flag| format!(" \\\n                {}", spec(flag))).collect();
        cases.push_str(&format!(
            "        {})\n            _arguments{}\n            ;;\n",
            command.name,
            flags.concat()
        ));
    }
    TEMPLATE.replace("{commands}", commands.trim_end()).replace("{cases}", cases.trim_end())
}

/// A flag as _arguments takes it: what it excludes, its names, what it means, what follows on it.
fn spec(flag: &FlagInfo<'_>) -> String {
    let name = flag.long.trim_start_matches("--");
    let value = match takes(flag) {
        Takes::Truth => String::new(),
        Takes::Words(words) if is_repeatable(flag) => format!(":{name}:_sequence compadd - {}", words.join(" ")),
        Takes::Words(words) => format!(":{name}:({})", words.join(" ")),
        Takes::File => format!(":{name}:_files"),
        Takes::Directory => format!(":{name}:_files -/"),
        Takes::Text => format!(":{name}: "),
    };
    let long = if matches!(takes(flag), Takes::Truth) { flag.long.to_owned() } else { format!("{}=", flag.long) };
    let meaning = flag.description.replace('[', r"\[").replace(']', r"\]").replace(':', r"\:");
    let meaning = quoted(&format!("[{meaning}]{value}"));
    match (flag.short, is_repeatable(flag)) {
        (Some(letter), true) => format!("'*'{{-{letter},{long}}}{meaning}"),
        (Some(letter), false) => format!("'(-{letter} {})'{{-{letter},{long}}}{meaning}", flag.long),
        (None, true) => format!("'*{long}'{meaning}"),
        (None, false) => format!("{long}{meaning}"),
    }
}

const TEMPLATE: &str = r#"#compdef certwright
# zsh completion for certwright, made from the definitions behind `certwright --help`.

_certwright() {
    local curcontext=$curcontext state line
    typeset -A opt_args
    local -a commands=(
{commands}
    )
    _arguments -C '(- *)--help[list the commands]' '(- *)--version[show the version]' '1:command:->command' '*::flag:->flags'
    if [[ $state == command ]]; then
        _describe -t commands command commands
        return
    fi
    case $line[1] in
{cases}
    esac
}

if [[ $funcstack[1] == _certwright ]]; then
    _certwright "$@"
else
    compdef _certwright certwright
fi
"#;
