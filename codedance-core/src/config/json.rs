//! Reading JSON.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::ConfigError;
use super::key::{Key, Part};

pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let (key, error) = match serde_path_to_error::deserialize(&mut deserializer) {
        Ok(value) => match deserializer.end() {
            Ok(()) => return Ok(value),
            Err(error) => (Key::default(), error),
        },
        Err(error) => (Key::of(error.path()), error.into_inner()),
    };
    Err(explain(text, key, &error))
}

fn explain(text: &str, mut key: Key, error: &serde_json::Error) -> ConfigError {
    let suffix = format!(" at line {} column {}", error.line(), error.column());
    let message = error.to_string();
    let message = message.strip_suffix(&suffix).unwrap_or(&message).to_owned();
    let (message, _) = key.follow(message);
    // The parser knows where it stopped, which is after the value at fault; only of broken syntax is that
    // the place to look at.
    let (line, column) = if error.is_data() {
        position(text, locate(text, &key))
    } else {
        (error.line().max(1), error.column().max(1))
    };
    ConfigError {
        file: None,
        line,
        column,
        key: key.to_string(),
        message,
    }
}

/// Where in the text the value under `key` begins, or the innermost one around it that is there.
fn locate(text: &str, key: &Key) -> usize {
    // Pieces borrow from the text: their addresses tell where they are.
    let offset = |piece: &RawValue| piece.get().as_ptr().addr() - text.as_ptr().addr();
    let Ok(mut piece) = serde_json::from_str::<&RawValue>(text) else {
        return 0;
    };
    for part in &key.0 {
        let inner = match part {
            Part::Name(name) => serde_json::from_str::<BTreeMap<String, &RawValue>>(piece.get())
                .ok()
                .and_then(|map| map.get(name).copied()),
            Part::Index(index) => serde_json::from_str::<Vec<&RawValue>>(piece.get())
                .ok()
                .and_then(|list| list.get(*index).copied()),
        };
        match inner {
            Some(inner) => piece = inner,
            None => break,
        }
    }
    offset(piece)
}

/// Line and column of an offset, from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[start..].chars().count() + 1)
}
