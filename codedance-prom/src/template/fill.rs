//! Placeholders filled in where they stand: in a string of PromQL, in a regular expression, or bare.

use std::collections::BTreeMap;

/// What the placeholders stand for, by name.
pub(crate) type Values = BTreeMap<String, String>;

/// A text that cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FillError {
    /// A placeholder that nothing is known for.
    #[error("`{{{{{name}}}}}` is not known; known are {known}")]
    Unknown {
        /// Its name.
        name: String,
        /// Those that are known.
        known: String,
    },
    /// A placeholder that does not end.
    #[error("`{{{{` has no `}}}}`")]
    Open,
    /// A string that does not end.
    #[error("a string that begins with {0} has no end")]
    OpenString(char),
    /// A value that would end what it stands in.
    #[error(
        "`{{{{{name}}}}}` is `{value}`, which cannot stand {place}; write the placeholder in double quotes"
    )]
    Unfit {
        /// The placeholder.
        name: String,
        /// Its value.
        value: String,
        /// Where it stands.
        place: &'static str,
    },
}

/// Where a placeholder stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Bare,
    /// In a string that this character ends; whether it is a regular expression.
    Quoted(char, bool),
    Comment,
}

/// The query with each placeholder replaced by its value, escaped for where it stands: in a string so that
/// it cannot end it, in the string of a `=~` or `!~` so that it matches itself alone, and outside of
/// strings only if it is a name or a number.
pub(crate) fn fill(text: &str, values: &Values) -> Result<String, FillError> {
    let mut filled = String::with_capacity(text.len() + 32);
    let mut place = Place::Bare;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(begun) = rest.strip_prefix("{{") {
            let (name, after) = begun.split_once("}}").ok_or(FillError::Open)?;
            let name = name.trim();
            let value = values.get(name).ok_or_else(|| unknown(name, values))?;
            filled.push_str(&fit(name, value, place)?);
            rest = after;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        filled.push(c);
        place = match place {
            Place::Bare => match c {
                '"' | '\'' | '`' => {
                    let before = filled[..filled.len() - 1].trim_end();
                    Place::Quoted(c, before.ends_with("=~") || before.ends_with("!~"))
                }
                '#' => Place::Comment,
                _ => Place::Bare,
            },
            Place::Comment if c == '\n' => Place::Bare,
            Place::Quoted(end, _) if c == end => Place::Bare,
            Place::Quoted('"' | '\'', _) if c == '\\' => {
                // The next character belongs to the escape, even if it is the quote.
                if let Some(next) = rest.chars().next() {
                    filled.push(next);
                    rest = &rest[next.len_utf8()..];
                }
                place
            }
            Place::Quoted(..) | Place::Comment => place,
        };
    }
    match place {
        Place::Quoted(quote, _) => Err(FillError::OpenString(quote)),
        Place::Bare | Place::Comment => Ok(filled),
    }
}

/// A pattern of RE2 with each placeholder replaced by its value, which matches itself alone.
pub(crate) fn fill_pattern(pattern: &str, values: &Values) -> Result<String, FillError> {
    let mut filled = String::new();
    let mut rest = pattern;
    while let Some((before, begun)) = rest.split_once("{{") {
        let (name, after) = begun.split_once("}}").ok_or(FillError::Open)?;
        let name = name.trim();
        let value = values.get(name).ok_or_else(|| unknown(name, values))?;
        filled.push_str(before);
        filled.push_str(&regex::escape(value));
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// A string of PromQL in double quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text, '"'))
}

fn escaped(text: &str, quote: char) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            c if c == quote => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

fn fit(name: &str, value: &str, place: Place) -> Result<String, FillError> {
    let unfit = |place| FillError::Unfit {
        name: name.to_owned(),
        value: value.to_owned(),
        place,
    };
    match place {
        Place::Quoted(quote, is_pattern) => {
            let value = if is_pattern {
                regex::escape(value)
            } else {
                value.to_owned()
            };
            match quote {
                '`' if value.contains('`') => Err(unfit("between backticks")),
                '`' => Ok(value),
                quote => Ok(escaped(&value, quote)),
            }
        }
        Place::Bare => {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '.';
            if !value.is_empty() && value.chars().all(plain) {
                Ok(value.to_owned())
            } else {
                Err(unfit("outside of quotes"))
            }
        }
        Place::Comment => Ok(String::new()),
    }
}

fn unknown(name: &str, values: &Values) -> FillError {
    let known: Vec<_> = values
        .keys()
        .map(|name| format!("`{{{{{name}}}}}`"))
        .collect();
    FillError::Unknown {
        name: name.to_owned(),
        known: known.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(value: &str) -> Values {
        [("v".to_owned(), value.to_owned())].into()
    }

    #[test]
    fn values_are_escaped_for_where_they_stand() {
        for (text, value, filled) in [
            (r#"m{a="{{v}}"}"#, "v1", r#"m{a="v1"}"#),
            (
                r#"m{a="{{ v }}"}"#,
                r#"x"} or m{b=""#,
                r#"m{a="x\"} or m{b=\""}"#,
            ),
            (r#"m{a="{{v}}"}"#, "\\\n", r#"m{a="\\\n"}"#),
            ("m{a='{{v}}'}", "it's \"so\"", r#"m{a='it\'s "so"'}"#),
            (r#"m{a=~"{{v}}-.*"}"#, "a.b", r#"m{a=~"a\\.b-.*"}"#),
            (r#"m{a !~ "{{v}}"}"#, "(", r#"m{a !~ "\\("}"#),
            ("m{a=~`{{v}}`}", "a.b", r"m{a=~`a\.b`}"),
            (r#"m{a="\"{{v}}"}"#, "x", r#"m{a="\"x"}"#),
            ("{{v}}_total[5m]", "web", "web_total[5m]"),
            ("m # {{v}} \"\n + 1", "x", "m #  \"\n + 1"),
        ] {
            assert_eq!(
                fill(text, &values(value)).unwrap(),
                filled,
                "{text} {value}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (text, value, problem) in [
            ("{{v}}", "1) or vector(1", "outside of quotes"),
            ("{{v}}", "", "outside of quotes"),
            ("m{a=`{{v}}`}", "`", "between backticks"),
            (
                r#"m{a="{{w}}"}"#,
                "x",
                "`{{w}}` is not known; known are `{{v}}`",
            ),
            ("m{a=\"{{v", "x", "has no `}}`"),
            ("m{a=\"x}", "x", "has no end"),
        ] {
            let error = fill(text, &values(value)).unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    proptest::proptest! {
        /// Read back as PromQL reads it, the string is the value.
        #[test]
        fn a_value_never_leaves_its_string(value in "\\PC*[\\\\\"\n'`]{0,3}\\PC*") {
            let filled = fill("m{a=\"{{v}}\"}", &values(&value)).unwrap();
            let inner = filled.strip_prefix("m{a=\"").unwrap().strip_suffix("\"}").unwrap();
            let mut read = String::new();
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                proptest::prop_assert!(c != '"' && c != '\n');
                read.push(match c {
                    '\\' => match chars.next().unwrap() { 'n' => '\n', c => c },
                    c => c,
                });
            }
            proptest::prop_assert_eq!(read, value);
        }
    }
}
