//! The recording, out of all files that were given.

use std::fs::{File, read_to_string};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result};
use codedance::backtest::{Field, History, RangeQueries, SideLabel};
use codedance::store::audit;

/// A file, and what it is.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Table,
    Journal,
    /// What Prometheus answered for this field of this metric.
    Answer(String, Field),
}

impl FromStr for Recording {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of = |kind, path: &str| Self {
            path: path.into(),
            kind,
        };
        let answer = text.split_once('=').and_then(|(name, path)| {
            let (metric, field) = name.rsplit_once('.')?;
            Some(of(
                Kind::Answer(metric.to_owned(), Field::named(field)?),
                path,
            ))
        });
        match text.rsplit_once('.') {
            _ if answer.is_some() => answer,
            Some((_, "csv")) => Some(of(Kind::Table, text)),
            Some((_, "jsonl")) => Some(of(Kind::Journal, text)),
            _ => None,
        }
        .ok_or_else(|| {
            "write FILE.csv, FILE.jsonl, or METRIC.FIELD=FILE.json, such as `errors.bad=5xx.json`, \
             where FIELD is bad, total, le, value or count"
                .to_owned()
        })
    }
}

/// What they hold together.
pub(crate) fn read(recordings: &[Recording], sides: SideLabel) -> Result<History> {
    let mut queries = RangeQueries::new(sides);
    let mut histories = Vec::new();
    for Recording { path, kind } in recordings {
        let name = path.display().to_string();
        let unread = || format!("cannot read {name}");
        match kind {
            Kind::Table => {
                let table = File::open(path).with_context(unread)?;
                histories.push(History::from_csv(&name, table)?);
            }
            Kind::Journal => {
                let lines = read_to_string(path).with_context(unread)?;
                let entries = audit::from_json_lines(&lines).with_context(|| name.clone())?;
                histories.push(History::from_entries(&entries).with_context(|| name.clone())?);
            }
            Kind::Answer(metric, field) => {
                let json = read_to_string(path).with_context(unread)?;
                queries.add(metric, *field, &name, &json)?;
            }
        }
    }
    let asked = recordings
        .iter()
        .any(|file| matches!(file.kind, Kind::Answer(..)));
    if asked {
        histories.push(queries.history()?);
    }
    let joined = histories
        .into_iter()
        .map(Ok)
        .reduce(|all, more| all?.join(more?));
    Ok(joined.context("no recording was given")??)
}
