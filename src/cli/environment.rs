//! Flags of `serve` from the environment: `CERTWRIGHT_<FLAG>`, lists with commas. An unknown one is an error.

use super::Failure;
use super::commands::Serve;
use super::flags::{Given, GivenValue, text};
use crate::error::Error;
use crate::near::nearest;
use crate::settings::Origin;
use argh::{ArgsInfo, Optionality};

pub(super) const PREFIX: &str = "CERTWRIGHT_";

/// The flags that were given, and for those that were not, the variables of the environment.
pub(super) fn complete(
    given: &[Given],
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Vec<Given>, Failure> {
    let flags = Serve::get_args_info().flags;
    let names: Vec<&str> = flags.iter().map(|f| f.long.trim_start_matches("--")).filter(|n| *n != "help").collect();
    let mut all = given.to_vec();
    for (variable, value) in variables {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        let flag = name.to_ascii_lowercase().replace('_', "-");
        let known = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            && names.contains(&flag.as_str());
        if !known {
            let near = nearest(&flag, names.iter().copied());
            let hint = near.map_or_else(String::new, |n| format!("; did you mean {}?", variable_of(n)));
            return Err(Failure::Usage(format!("the environment variable {variable} is not known{hint}")));
        }
        let repeatable =
            flags.iter().any(|f| f.long.trim_start_matches("--") == flag && f.optionality == Optionality::Repeating);
        if given.iter().all(|g| g.flag != flag) {
            all.push(Given { flag, value: GivenValue::Text(value), repeatable, origin: Origin::Environment });
        }
    }
    Ok(all)
}

/// The values of a flag that may be repeated; each may hold several with commas between.
pub(super) fn list<'g>(given: &'g [Given], flag: &str) -> Vec<&'g str> {
    given
        .iter()
        .filter(|g| g.flag == flag)
        .filter_map(|g| text(std::slice::from_ref(g), flag))
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

/// The variables that are ours. Others may be anything.
pub(super) fn variables() -> Result<Vec<(String, String)>, Failure> {
    let ours = std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    ours.map(|(name, value)| {
        let shown = name.to_string_lossy().into_owned();
        let text = name.into_string().ok().zip(value.into_string().ok());
        text.ok_or_else(|| Failure::Usage(format!("the environment variable {shown} is not UTF-8 text")))
    })
    .collect()
}

/// An error about a flag, about the variable where that said it.
pub(super) fn by_its_origin(e: &Error, given: &[Given]) -> Failure {
    let said = given.iter().find(|g| {
        let rest = e.detail().strip_prefix("--").and_then(|rest| rest.strip_prefix(&g.flag));
        g.origin == Origin::Environment && rest.is_some_and(|rest| rest.starts_with([' ', ':']))
    });
    let detail = said.map(|g| e.detail().replacen(&format!("--{}", g.flag), &variable_of(&g.flag), 1));
    Failure::Usage(detail.unwrap_or_else(|| e.detail().to_owned()))
}

/// The variable that says what a flag says.
pub(super) fn variable_of(flag: &str) -> String {
    format!("{PREFIX}{}", flag.to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_shows_every_flag_of_serve() {
        let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = crate::settings::Settings::at("/s".into(), anywhere, anywhere, "/a".into());
        let shown: Vec<&str> = settings.said().iter().map(|(flag, _)| *flag).collect();
        let flags = Serve::get_args_info().flags;
        let flags: Vec<&str> = flags.iter().map(|f| f.long.trim_start_matches("--")).filter(|f| *f != "help").collect();
        assert_eq!(shown, flags);
    }

    #[test]
    fn flags_go_before_variables_and_unknown_variables_are_errors() {
        let flag = |value: &str| Given {
            flag: "state-dir".into(),
            value: GivenValue::Text(value.into()),
            repeatable: false,
            origin: Origin::Flag,
        };
        let environment = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            complete(&[flag("/flag")], pairs.into_iter())
        };
        let Ok(all) = environment(&[
            ("CERTWRIGHT_STATE_DIR", "/env"),
            ("CERTWRIGHT_DNS_SERVER", "1.1.1.1:53, 2.2.2.2:53"),
            ("PATH", "x"),
        ]) else {
            panic!("known variables are taken")
        };
        assert_eq!(text(&all, "state-dir"), Some("/flag"));
        assert_eq!(list(&all, "dns-server"), ["1.1.1.1:53", "2.2.2.2:53"]);
        for unknown in ["CERTWRIGHT_STATEDIR", "CERTWRIGHT_state_dir", "CERTWRIGHT_", "CERTWRIGHT_HELP"] {
            assert!(
                matches!(environment(&[(unknown, "x")]), Err(Failure::Usage(why)) if why.contains(unknown)),
                "{unknown}"
            );
        }
    }
}
