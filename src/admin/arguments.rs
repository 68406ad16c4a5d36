//! The members of a request, taken one by one; what nobody took is refused by name.

use crate::clock::Span;
use crate::error::{Error, Result};
use serde_json::{Map, Value};

#[derive(Clone)]
pub(super) struct Arguments {
    members: Map<String, Value>,
    object: String,
}

impl Arguments {
    pub(super) fn new(members: Map<String, Value>) -> Arguments {
        let object = ["name", "cert-issuer-name", "display-id", "item-id"]
            .iter()
            .find_map(|m| members.get(*m).and_then(Value::as_str))
            .map(crate::identifier::printable);
        Arguments { members, object: object.unwrap_or_default() }
    }

    /// What the request is about, for the audit log.
    pub(super) fn object(&self) -> String {
        self.object.clone()
    }

    /// A text; numbers are taken as their digits.
    pub(super) fn text(&mut self, flag: &str) -> Result<Option<String>> {
        match self.members.remove(flag) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(Error::malformed(format!("--{flag} takes one value"))),
        }
    }

    pub(super) fn required(&mut self, flag: &str) -> Result<String> {
        self.text(flag)?.filter(|t| !t.is_empty()).ok_or_else(|| Error::malformed(format!("--{flag} is missing")))
    }

    pub(super) fn boolean(&mut self, flag: &str) -> Result<Option<bool>> {
        match self.members.remove(flag) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(_) => Err(Error::malformed(format!("--{flag} is true or false"))),
        }
    }

    /// A list: several values, each perhaps several with commas between. An empty text is the empty list.
    pub(super) fn list(&mut self, flag: &str) -> Result<Option<Vec<String>>> {
        let wrong = || Error::malformed(format!("--{flag} takes a list of texts"));
        let values = match self.members.remove(flag) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(values)) => {
                values.into_iter().map(|v| v.as_str().map(str::to_owned).ok_or_else(wrong)).collect::<Result<_>>()?
            }
            Some(_) => return Err(wrong()),
        };
        let parts = values.iter().flat_map(|v| v.split(',')).map(str::trim).filter(|p| !p.is_empty());
        Ok(Some(parts.map(str::to_owned).collect()))
    }

    pub(super) fn number(&mut self, flag: &str) -> Result<Option<i64>> {
        match self.text(flag)? {
            None => Ok(None),
            Some(text) => {
                text.parse().map(Some).map_err(|_| Error::malformed(format!("--{flag} {text} is not a whole number")))
            }
        }
    }

    pub(super) fn duration(&mut self, flag: &str) -> Result<Option<Span>> {
        match self.text(flag)? {
            None => Ok(None),
            Some(text) => Span::parse(&text).map(Some).map_err(|e| e.context(format!("--{flag}"))),
        }
    }

    /// Whether a flag was given.
    pub(super) fn names(&self, flag: &str) -> bool {
        self.members.contains_key(flag)
    }

    /// Whether something has not been taken yet.
    pub(super) fn is_any_left(&self) -> bool {
        !self.members.is_empty()
    }

    /// Everything must have been taken.
    pub(super) fn finish(&self) -> Result<()> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(flag) => {
                Err(Error::malformed(format!("--{} is not a flag of this command", crate::identifier::printable(flag))))
            }
        }
    }
}
