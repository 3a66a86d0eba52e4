//! Reading YAML.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Error, Location, Spanned};

use super::ConfigError;
use super::key::{Key, Part};

pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    let mut key = Key::default();
    let read = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            key = Key::of(error.path());
            error.into_inner()
        })
    });
    read.map_err(|error| explain(text, key, error.without_snippet()))
}

fn explain(text: &str, mut key: Key, error: &Error) -> ConfigError {
    let found = error.location();
    let message = match error {
        Error::DuplicateMappingKey {
            key: Some(name), ..
        } => {
            format!("the key `{name}` is there twice; keep one of them")
        }
        error => {
            let message = error.to_string();
            let suffix = found.map(|at| format!(" at line {}, column {}", at.line(), at.column()));
            suffix
                .and_then(|suffix| message.strip_suffix(&suffix))
                .unwrap_or(&message)
                .to_owned()
        }
    };
    let (message, named) = key.follow(message);
    // What is checked as a whole is found wrong at its end; the message says which key it is.
    let at = if named { locate(text, &key) } else { found };
    let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).max(1);
    ConfigError {
        file: None,
        line: at.map_or(1, |at| place(at.line())),
        column: at.map_or(1, |at| place(at.column())),
        key: key.to_string(),
        message,
    }
}

/// Where the value under `key` begins, or the innermost one around it that is there.
fn locate(text: &str, key: &Key) -> Option<Location> {
    let mut innermost = None;
    // An error only ends the search: the document was read before, as far as the key goes.
    drop(serde_saphyr::with_deserializer_from_str(
        text,
        |deserializer| {
            let search = Search {
                parts: &key.0,
                innermost: &mut innermost,
                listed: false,
            };
            search.deserialize(deserializer)
        },
    ));
    innermost
}

/// Walks along a key and notes where it has come.
struct Search<'a> {
    parts: &'a [Part],
    innermost: &'a mut Option<Location>,
    /// Whether this is an item of a list, which has no key to be found by.
    listed: bool,
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.parts.first() {
            None => IgnoredAny::deserialize(deserializer).map(drop),
            Some(Part::Name(_)) => deserializer.deserialize_map(self),
            Some(Part::Index(_)) => deserializer.deserialize_seq(self),
        }
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the way to a key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut listed = self.listed;
        while let Some(name) = map.next_key::<Spanned<String>>()? {
            if std::mem::take(&mut listed) {
                *self.innermost = Some(name.referenced);
            }
            match self.parts {
                [Part::Name(wanted), rest @ ..] if *wanted == name.value => {
                    *self.innermost = Some(name.referenced);
                    let search = Search {
                        parts: rest,
                        innermost: &mut *self.innermost,
                        listed: false,
                    };
                    map.next_value_seed(search)?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((Part::Index(wanted), rest)) = self.parts.split_first() else {
            return Ok(());
        };
        for _ in 0..*wanted {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        let search = Search {
            parts: rest,
            innermost: &mut *self.innermost,
            listed: true,
        };
        list.next_element_seed(search)?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
