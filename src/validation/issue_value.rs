//! The issue-value of CAA records (RFC 8659, 4.2): a domain, and parameters behind semicolons.

/// An issue-value, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IssueValue {
    /// Empty where nobody may issue.
    pub(super) domain: String,
    /// Names in lower case.
    parameters: Vec<(String, String)>,
}

impl IssueValue {
    pub(super) fn parse(text: &str) -> Option<IssueValue> {
        let mut parts = text.split(';');
        let domain = parts.next()?.trim().to_owned();
        let mut parameters = Vec::new();
        let rest: Vec<&str> = parts.map(str::trim).collect();
        for (at, part) in rest.iter().enumerate() {
            // A semicolon at the very end is harmless.
            if part.is_empty() && at.saturating_add(1) == rest.len() {
                continue;
            }
            let (name, value) = part.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let valued = value.bytes().all(|b| b.is_ascii_graphic() && b != b';');
            if !named || !valued {
                return None;
            }
            parameters.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let shaped = domain.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        shaped.then_some(IssueValue { domain, parameters })
    }

    /// The value of a parameter that stands once.
    pub(super) fn single(&self, name: &str) -> Option<&str> {
        let mut found = self.parameters.iter().filter(|(n, _)| n == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// Whether a parameter stands at all.
    pub(super) fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|(n, _)| n == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_apart_as_the_grammar_says() {
        let value =
            IssueValue::parse("ca.lan; AccountURI=https://ca.lan/acme/x/account/1 ;policy = wildcard;").unwrap();
        assert_eq!(value.domain, "ca.lan");
        assert_eq!(value.single("accounturi"), Some("https://ca.lan/acme/x/account/1"));
        assert_eq!(value.single("policy"), Some("wildcard"));
        assert_eq!(IssueValue::parse(";").map(|v| v.domain).as_deref(), Some(""));
        assert_eq!(IssueValue::parse("ca.lan; a=1; a=2").unwrap().single("a"), None, "twice is not once");
        for wrong in ["ca lan", "ca.lan; policy", "ca.lan; =x", "ca.lan; a=b c", "ca.lan;;a=b", "ca_lan"] {
            assert_eq!(IssueValue::parse(wrong), None, "{wrong}");
        }
    }
}
