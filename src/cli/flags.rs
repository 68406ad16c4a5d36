//! The pre-pass over the command line. argh knows neither `--name=value` nor `--flag false` nor near names, and does not
//! tell an unknown flag from one that is known and not offered; this does, driven by argh's own description.

use super::{Failure, help};
use crate::near::nearest;
use crate::settings::Origin;
use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};

/// A flag with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// Without the dashes.
    pub(super) flag: String,
    pub(super) value: GivenValue,
    pub(super) repeatable: bool,
    pub(super) origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GivenValue {
    Boolean(bool),
    Text(String),
}

pub(super) enum Parsed {
    Help(String),
    Command(String, Vec<Given>),
}

/// Flags of the system whose vocabulary this is, or of a later version of this program, that are not offered: to ignore
/// one would be to promise what is not done.
const NOT_OFFERED: &[(&str, &str)] = &[
    ("allowed-uri-sans", "only DNS names are certified"),
    ("allowed-extra-extensions", "extensions are the issuer's own"),
    ("auto-renew", "ACME clients renew by themselves"),
    ("code-signing-flag", "certificates are for TLS"),
    ("create-public-crl", "there is no public CRL service here"),
    ("is-ca", "CA certificates are not issued by ACME"),
    ("max-path-len", "CA certificates are not issued by ACME"),
    ("protect-certificates", "issued certificates are never changed"),
    ("scheduled-activity", "there is no scheduler here"),
    ("token", "the admin socket's mode and group decide who may administer"),
    ("uid-token", "the admin socket's mode and group decide who may administer"),
];

/// Understand the command line.
pub(super) fn parse(arguments: &[String]) -> Result<Parsed, Failure> {
    let (first, rest) = arguments.split_first().ok_or_else(|| Failure::Usage("say which command".into()))?;
    let commands = super::definitions().commands;
    if matches!(first.as_str(), "--help" | "-h" | "help") {
        let named = rest.first().and_then(|name| commands.iter().find(|c| c.name == name));
        return Ok(Parsed::Help(named.map_or_else(help::of_program, |c| help::of_command(&c.command))));
    }
    let Some(command) = commands.iter().find(|c| c.name == first) else {
        let near = nearest(first, commands.iter().map(|c| c.name));
        let hint = near.map_or_else(|| "certwright --help lists them".to_owned(), |n| format!("did you mean {n}?"));
        return Err(Failure::Usage(format!("there is no command {first}; {hint}")));
    };
    if rest.iter().any(|a| matches!(a.as_str(), "--help" | "-h")) {
        return Ok(Parsed::Help(help::of_command(&command.command)));
    }
    Walk { command: &command.command, rest }.collect().map(|given| Parsed::Command(first.clone(), given))
}

/// The same flags as argh takes them.
pub(super) fn for_argh(command: &str, given: &[Given]) -> Vec<String> {
    let mut argv = vec![command.to_owned()];
    for Given { flag, value, .. } in given {
        match value {
            GivenValue::Boolean(true) => argv.push(format!("--{flag}")),
            GivenValue::Boolean(false) => {}
            GivenValue::Text(text) => argv.extend([format!("--{flag}"), text.clone()]),
        }
    }
    argv
}

/// Whether a boolean flag was given as true.
pub(super) fn is_set(given: &[Given], flag: &str) -> bool {
    given.iter().any(|g| g.flag == flag && g.value == GivenValue::Boolean(true))
}

/// The value of a flag that takes one.
pub(super) fn text<'g>(given: &'g [Given], flag: &str) -> Option<&'g str> {
    given.iter().find(|g| g.flag == flag).and_then(|g| match &g.value {
        GivenValue::Text(text) => Some(text.as_str()),
        GivenValue::Boolean(_) => None,
    })
}

struct Walk<'a> {
    command: &'a CommandInfoWithArgs,
    rest: &'a [String],
}

impl Walk<'_> {
    fn collect(mut self) -> Result<Vec<Given>, Failure> {
        let mut given: Vec<Given> = Vec::new();
        while let Some((argument, rest)) = self.rest.split_first() {
            self.rest = rest;
            let (info, attached) = self.flag(argument)?;
            let flag = info.long.trim_start_matches("--").to_owned();
            let value = match info.kind {
                FlagInfoKind::Switch => GivenValue::Boolean(self.boolean(&flag, attached)?),
                FlagInfoKind::Option { .. } => GivenValue::Text(self.value(&flag, attached)?),
            };
            let repeatable = info.optionality == Optionality::Repeating;
            if !repeatable && given.iter().any(|g| g.flag == flag) {
                return Err(Failure::Usage(format!("--{flag} is given twice")));
            }
            given.push(Given { flag, value, repeatable, origin: Origin::Flag });
        }
        Ok(given)
    }

    /// The flag that an argument names, and the value that is attached by `=`.
    fn flag<'g>(&self, argument: &'g str) -> Result<(&'static FlagInfo<'static>, Option<&'g str>), Failure> {
        let flags = self.command.flags;
        if let Some(long) = argument.strip_prefix("--").filter(|l| !l.is_empty()) {
            let (name, attached) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            let found = flags.iter().find(|f| f.long.trim_start_matches("--") == name);
            return found.map(|f| (f, attached)).ok_or_else(|| self.unknown(name));
        }
        let mut short = argument.strip_prefix('-').unwrap_or_default().chars();
        if let (Some(letter), None) = (short.next(), short.next()) {
            let found = flags.iter().find(|f| f.short == Some(letter));
            return found.map(|f| (f, None)).ok_or_else(|| {
                Failure::Usage(format!(
                    "there is no flag -{letter}; certwright {} --help shows the flags",
                    self.command.name
                ))
            });
        }
        let example = match flags.iter().find(|f| f.short == Some('n')) {
            Some(name) => format!("write {} {argument}", name.long),
            None => format!("certwright {} takes flags only", self.command.name),
        };
        Err(Failure::Usage(format!("\"{argument}\" is not a flag; {example}")))
    }

    /// `--flag`, `--flag true`, `--flag=true`, `--flag=false`.
    fn boolean(&mut self, flag: &str, attached: Option<&str>) -> Result<bool, Failure> {
        let text = match attached {
            Some(text) => text,
            None => match self.rest.split_first() {
                Some((next, rest)) if next == "true" || next == "false" => {
                    self.rest = rest;
                    next
                }
                Some((next, _)) if !next.starts_with('-') => next,
                _ => "true",
            },
        };
        text.parse().map_err(|_| Failure::Usage(format!("--{flag} is true or false, not \"{text}\"")))
    }

    fn value(&mut self, flag: &str, attached: Option<&str>) -> Result<String, Failure> {
        if let Some(text) = attached {
            return Ok(text.to_owned());
        }
        let is_flag = |text: &str| self.command.flags.iter().any(|f| Some(f.long) == text.split('=').next());
        match self.rest.split_first() {
            Some((next, rest)) if !is_flag(next) => {
                self.rest = rest;
                Ok(next.clone())
            }
            _ => Err(Failure::Usage(format!("--{flag} needs a value"))),
        }
    }

    fn unknown(&self, name: &str) -> Failure {
        let command = self.command.name;
        if let Some((_, why)) = NOT_OFFERED.iter().find(|(flag, _)| *flag == name) {
            return Failure::Usage(format!("--{name} is not offered by this version: {why}; leave it out"));
        }
        let near = nearest(name, self.command.flags.iter().map(|f| f.long.trim_start_matches("--")));
        let hint = match near {
            Some(near) => format!("did you mean --{near}?"),
            None => format!("certwright {command} --help shows the flags"),
        };
        Failure::Usage(format!("certwright {command} has no flag --{name}; {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(line: &str) -> Result<Vec<Given>, String> {
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match parse(&arguments) {
            Ok(Parsed::Command(_, given)) => Ok(given),
            Ok(Parsed::Help(_)) => Err("help".into()),
            Err(Failure::Usage(why)) => Err(why),
            Err(Failure::Refused(e)) => Err(e.to_string()),
        }
    }

    #[test]
    fn booleans_have_four_spellings() {
        for (line, value) in [
            ("--enable-acme", true),
            ("--enable-acme true", true),
            ("--enable-acme=true", true),
            ("--enable-acme=false", false),
            ("--enable-acme false", false),
        ] {
            let given = given(&format!("create-pki-cert-issuer {line} --name=/a=b -t 90d")).unwrap();
            assert_eq!(given[0].value, GivenValue::Boolean(value), "{line}");
            assert_eq!(given[1].value, GivenValue::Text("/a=b".into()));
            assert_eq!(given[2].flag, "ttl");
        }
    }

    #[test]
    fn mistakes_are_named_and_the_right_word_proposed() {
        for (line, said) in [
            ("creat-dfc-key", "did you mean create-dfc-key?"),
            ("create-dfc-key --nmae x", "did you mean --name?"),
            ("create-pki-cert-issuer --is-ca true", "--is-ca is not offered"),
            ("create-dfc-key --name a --name b", "--name is given twice"),
            ("create-dfc-key --name --alg EC256", "--name needs a value"),
            ("create-dfc-key --name", "--name needs a value"),
            ("create-dfc-key stray", "\"stray\" is not a flag"),
            ("create-dfc-key -x y", "no flag -x"),
            ("status --json=maybe", "--json is true or false"),
        ] {
            let why = given(line).unwrap_err();
            assert!(why.contains(said), "{line}: {why}");
        }
    }

    #[test]
    fn a_list_may_be_given_again_and_a_value_may_begin_with_a_dash() {
        let all = given("create-pki-cert-issuer --allowed-domains a,b --allowed-domains c --name -x").unwrap();
        assert!(all[0].repeatable && all[1].repeatable);
        assert_eq!(all[2].value, GivenValue::Text("-x".into()));
    }
}
