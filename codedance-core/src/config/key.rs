//! Keys: the way from the top of a document to one of its values.

use std::fmt;

use serde_path_to_error::{Path, Segment};

/// The way to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Key(pub(super) Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Name(String),
    Index(usize),
}

impl Key {
    /// As far as serde knew where it was.
    pub(super) fn of(path: &Path) -> Self {
        let part = |segment: &Segment| match segment {
            Segment::Seq { index } => Some(Part::Index(*index)),
            Segment::Map { key } => Some(Part::Name(key.clone())),
            Segment::Enum { variant } => Some(Part::Name(variant.clone())),
            Segment::Unknown => None,
        };
        Self(path.iter().map_while(part).collect())
    }

    /// Reads `metrics[1].limits.fail`; `None` if it is no key.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        for dotted in text.split('.') {
            let mut pieces = dotted.split('[');
            let name = pieces.next().filter(|name| !name.is_empty())?;
            if !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            {
                return None;
            }
            parts.push(Part::Name(name.to_owned()));
            for piece in pieces {
                parts.push(Part::Index(piece.strip_suffix(']')?.parse().ok()?));
            }
        }
        Some(Self(parts))
    }

    /// Follows what a message says about where it belongs, and returns the rest of the message.
    ///
    /// Values that are checked as a whole report `key: problem`, the key being relative to the value: serde
    /// carries nothing but text. Returns whether the message was one of those.
    pub(super) fn follow(&mut self, message: String) -> (String, bool) {
        if let Some((head, problem)) = message.split_once(": ")
            && let Some(inner) = Self::parse(head)
        {
            self.0.extend(inner.0);
            return (problem.to_owned(), true);
        }
        let missing = message.strip_prefix("missing field `");
        if let Some(name) = missing.and_then(|rest| rest.strip_suffix('`')) {
            self.0.push(Part::Name(name.to_owned()));
            return ("is missing; this key cannot be left out".to_owned(), true);
        }
        (message, false)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            match part {
                Part::Name(name) if index > 0 => write!(f, ".{name}"),
                Part::Name(name) => f.write_str(name),
                Part::Index(index) => write!(f, "[{index}]"),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for text in ["interval", "metrics[1].limits.fail", "a[0][1].b-c"] {
            assert_eq!(Key::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "invalid type", "a..b", "a[x]", "a[1", "[1]"] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }

    #[test]
    fn messages_are_followed_to_where_they_belong() {
        let follow = |message: &str| {
            let mut key = Key::parse("policy").unwrap();
            let (rest, named) = key.follow(message.to_owned());
            (key.to_string(), rest, named)
        };
        for (message, key, rest, named) in [
            (
                "limits.fail: is 1: no",
                "policy.limits.fail",
                "is 1: no",
                true,
            ),
            (
                "invalid type: map, expected a text",
                "policy",
                "invalid type: map, expected a text",
                false,
            ),
            (
                "missing field `name`",
                "policy.name",
                "is missing; this key cannot be left out",
                true,
            ),
        ] {
            assert_eq!(follow(message), (key.to_owned(), rest.to_owned(), named));
        }
    }
}
