//! Completion for bash, without the functions of bash-completion.

use super::{Takes, flags, is_repeatable, takes};
use certwright::cli::definitions;

pub fn completion() -> String {
    let commands = definitions().commands;
    let names: Vec<&str> = commands.iter().map(|command| command.name).collect();
    let (mut values, mut offered) = (String::new(), String::new());
    for command in &commands {
        let (mut once, mut again) = (Vec::new(), Vec::new());
        for flag in flags(command.command.flags) {
            let short = flag.short.map_or_else(String::new, |letter| format!(" | {},-{letter}", command.name));
            let action = match takes(flag) {
                Takes::Truth => "once='true false'",
                Takes::Words(_) | Takes::Text if is_repeatable(flag) => "list=1",
                Takes::Words(_) => "",
                Takes::File => "_certwright_files -f; return",
                Takes::Directory => "_certwright_files -d; return",
                Takes::Text => "return",
            };
            let action = match takes(flag) {
                Takes::Words(words) => format!("{action}{}words='{}'", separator(action), words.join(" ")),
                Takes::Text if is_repeatable(flag) => "return".to_owned(),
                _ => action.to_owned(),
            };
            values.push_str(&format!("        {},{}{short}) {action} ;;\n", command.name, flag.long));
            if is_repeatable(flag) { again.push(flag.long) } else { once.push(flag.long) }
        }
        let (once, again) = (once.join(" "), again.join(" "));
        offered.push_str(&format!("        {}) once+=' {once}' words='{again}' ;;\n", command.name));
    }
    TEMPLATE
        .replace("{commands}", &names.join(" "))
        .replace("{values}", values.trim_end())
        .replace("{offered}", offered.trim_end())
}

fn separator(action: &str) -> &str {
    if action.is_empty() { "" } else { "; " }
}

const TEMPLATE: &str = r#"# bash completion for certwright, made from the definitions behind `certwright --help`.

_certwright() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    local once='' words='' list='' attached='' flag
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        _certwright_words '{commands} --help --version'
        return
    fi
    # --flag=value is three words to bash.
    if [[ $current == = ]]; then
        current='' attached=1
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]} attached=1
    fi
    case $command,$before in
{values}
    esac
    if [[ $attached ]]; then
        words=${words:-$once}
    fi
    if [[ $words ]]; then
        _certwright_words "$words"
        return
    fi
    case $command in
{offered}
        *) return ;;
    esac
    for flag in $once --help; do
        [[ " ${COMP_WORDS[*]:0:COMP_CWORD} " == *" $flag "* ]] || words+=" $flag"
    done
    _certwright_words "$words"
}

# Those of the words that begin like the current one; in a list, like what follows on its last comma.
_certwright_words() {
    local last=$current head=''
    if [[ $list ]]; then
        last=${current##*,}
        head=${current%"$last"}
    fi
    mapfile -t COMPREPLY < <(compgen -P "$head" -W "$1" -- "$last")
}

_certwright_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "$1" -- "$current")
}

complete -F _certwright certwright
"#;
