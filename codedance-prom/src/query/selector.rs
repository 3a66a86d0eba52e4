//! A selector of series, to which matchers can be added.

use crate::template::quoted;

/// `name{matchers}`, with its placeholders filled in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Selector {
    name: String,
    matchers: String,
}

/// A text that is not a plain selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a selector; write the name of a metric and matchers, such as `http_requests_total{{job=\"web\"}}`"
)]
pub(crate) struct SelectorError(String);

impl Selector {
    /// Reads a selector: what is around it is refused, as functions and ranges are added here. What is
    /// within the braces is for the server to check.
    pub(crate) fn parse(text: &str) -> Result<Self, SelectorError> {
        let error = || SelectorError(text.to_owned());
        let text = text.trim();
        let (name, matchers) = match text.split_once('{') {
            Some((name, rest)) => (name.trim_end(), rest.strip_suffix('}').ok_or_else(error)?),
            None => (text, ""),
        };
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        if name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(letters) {
            return Err(error());
        }
        let matchers = matchers.trim().trim_end_matches(',').trim_end();
        if name.is_empty() && matchers.is_empty() || leaves_braces(matchers) {
            return Err(error());
        }
        Ok(Self {
            name: name.to_owned(),
            matchers: matchers.to_owned(),
        })
    }

    /// The same of the metric that has this at the end of its name.
    pub(crate) fn with_suffix(&self, suffix: &str) -> Self {
        let mut selector = self.clone();
        if !selector.name.ends_with(suffix) {
            selector.name.push_str(suffix);
        }
        selector
    }

    /// The same, where `label` matches the whole `pattern`.
    pub(crate) fn matching(&self, label: &str, pattern: &str) -> Self {
        self.with(&format!("{label}=~{}", quoted(pattern)))
    }

    /// The same, where `label` has this value.
    pub(crate) fn equal(&self, label: &str, value: &str) -> Self {
        self.with(&format!("{label}={}", quoted(value)))
    }

    fn with(&self, matcher: &str) -> Self {
        let comma = if self.matchers.is_empty() { "" } else { "," };
        Self {
            name: self.name.clone(),
            matchers: format!("{}{comma}{matcher}", self.matchers),
        }
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{{{}}}", self.name, self.matchers)
    }
}

/// Whether there is a brace outside of strings: two selectors rather than one.
fn leaves_braces(matchers: &str) -> bool {
    let mut quote = None;
    let mut escaped = false;
    for c in matchers.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"' | '\'') if c == '\\' => escaped = true,
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if "{}()".contains(c) => return true,
            None if "\"'`".contains(c) => quote = Some(c),
            None => {}
        }
    }
    quote.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_added_to_what_is_there() {
        for (text, whole) in [
            ("m", r#"m{r=~"a|b"}"#),
            ("m{}", r#"m{r=~"a|b"}"#),
            (r#" m{a="}",} "#, r#"m{a="}",r=~"a|b"}"#),
            (r#"{__name__="m"}"#, r#"{__name__="m",r=~"a|b"}"#),
        ] {
            let selector = Selector::parse(text).unwrap();
            assert_eq!(selector.matching("r", "a|b").to_string(), whole);
        }
        let selector = Selector::parse("m").unwrap().equal("q", "0.5\"");
        assert_eq!(
            selector.with_suffix("_count").to_string(),
            r#"m_count{q="0.5\""}"#
        );
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in [
            "",
            "{}",
            "rate(m[5m])",
            "m[5m]",
            "m{a=\"b\"} or n{c=\"d\"}",
            "m{a=\"b\"",
            "1m",
            "m{a=\"b}",
        ] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }
}
