//! What must not be shown, and where it comes from.

use std::fmt;
use std::path::PathBuf;

use serde::de::{self, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A password, a token, or the value of a header: never shown by `Debug`, nor in an error.
///
/// It is taken out of what a server says, too, unless it has fewer than four bytes: such texts are
/// everywhere.
///
/// In a file it is a text, or a map with one of the keys `value`, `file` and `env`:
///
/// ```yaml
/// bearer: s3cr3t
/// bearer: { file: /var/run/secrets/prometheus/token }
/// bearer: { env: PROMETHEUS_TOKEN }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(super) Source);

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Source {
    Value(String),
    File(PathBuf),
    Env(String),
}

impl Secret {
    /// The secret itself.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Source::Value(value.into()))
    }

    /// What is in a file, without white space at its end.
    ///
    /// The file is read again when it has changed, and when the server refuses what it held. While it
    /// cannot be read or is empty, what it held before is used.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// What is in an environment variable when the client is opened.
    pub fn env(name: impl Into<String>) -> Self {
        Self(Source::Env(name.into()))
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Value(_) => f.write_str("Secret(hidden)"),
            Source::File(path) => write!(f, "Secret(file {})", path.display()),
            Source::Env(name) => write!(f, "Secret(env {name})"),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrSource)
    }
}

const KEYS: &[&str] = &["value", "file", "env"];

struct TextOrSource;

impl<'de> Visitor<'de> for TextOrSource {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes, or a map with one of the keys `value`, `file` and `env`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let Some(key) = map.next_key::<String>()? else {
            return Err(de::Error::invalid_type(Unexpected::Map, &self));
        };
        let read = match key.as_str() {
            "value" => Secret::new(map.next_value::<Text>()?.0),
            "file" => Secret::file(map.next_value::<Text>()?.0),
            "env" => Secret::env(map.next_value::<Text>()?.0),
            other => return Err(de::Error::unknown_field(other, KEYS)),
        };
        if map.next_key::<String>()?.is_some() {
            let message = "says twice where it comes from; keep one of `value`, `file` and `env`";
            return Err(de::Error::custom(message));
        }
        Ok(read)
    }

    // Serde's own refusals of these would show the value.

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
        Err(not_a_text())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Err(not_a_text())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
        Err(not_a_text())
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Secret, E> {
        Err(not_a_text())
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Secret, E> {
        Err(not_a_text())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Err(not_a_text())
    }
}

fn not_a_text<E: de::Error>() -> E {
    E::custom("is not a text; put it in quotes")
}

/// A text that is not shown where it is of another type.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(TextOrSource)?.0 {
            Source::Value(text) => Ok(Self(text)),
            Source::File(_) | Source::Env(_) => Err(not_a_text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use codedance_core::config::{from_json, from_yaml};

    use super::*;

    #[test]
    fn it_is_a_text_or_says_where_it_comes_from() {
        for (yaml, expected) in [
            ("s3cr3t", Secret::new("s3cr3t")),
            ("'123'", Secret::new("123")),
            ("value: s3cr3t", Secret::new("s3cr3t")),
            ("file: /run/token", Secret::file("/run/token")),
            ("{ env: TOKEN }", Secret::env("TOKEN")),
        ] {
            assert_eq!(from_yaml::<Secret>(yaml).unwrap(), expected, "{yaml}");
        }
    }

    #[test]
    fn it_is_not_shown_even_where_it_is_refused() {
        for json in [
            "4711",
            "-4711",
            "4711.5",
            r#"{"value": 4711}"#,
            r#"{"value": {"value": 4711}}"#,
            r#"{"value": {"file": "4711"}}"#,
            r#"{"value": "4711", "file": "4711"}"#,
            r#"["4711"]"#,
            "{}",
            "null",
        ] {
            let error = from_json::<Secret>(json).unwrap_err().to_string();
            assert!(!error.contains("4711"), "{error}");
            assert!(
                error.contains("quotes") || error.contains("keep one"),
                "{error}"
            );
        }
        let unknown = from_json::<Secret>(r#"{"vault": "x"}"#).unwrap_err();
        assert!(
            unknown.to_string().contains("`value`, `file`, `env`"),
            "{unknown}"
        );
        assert_eq!(format!("{:?}", Secret::new("4711")), "Secret(hidden)");
    }
}
