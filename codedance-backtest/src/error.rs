//! What can be wrong with a recording, and with a recording and a policy together.

use std::fmt;
use std::time::Duration;

use codedance_core::Timestamp;
use codedance_core::time::display_duration;

/// A recording that cannot be read: where, what was expected, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryError {
    /// Which file, by the name that the caller gave it; `None` if it is no file.
    pub file: Option<String>,
    /// In which line, from 1; `None`: the file as a whole.
    pub line: Option<u64>,
    /// Under which column or key, such as `data.result[3].metric`. Empty: the line as a whole.
    pub key: String,
    /// What is wrong, and how to mend it.
    pub message: String,
}

impl HistoryError {
    pub(crate) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: None,
            line: None,
            key: key.into(),
            message: message.into(),
        }
    }

    pub(crate) fn in_file(mut self, file: &str) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    pub(crate) fn in_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map(|line| format!("line {line}"));
        let key = (!self.key.is_empty()).then(|| self.key.clone());
        let places: Vec<String> = [self.file.clone(), line, key]
            .into_iter()
            .flatten()
            .collect();
        if !places.is_empty() {
            write!(f, "{}: ", places.join(", "))?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for HistoryError {}

/// A recording that this policy cannot be replayed against.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BacktestError {
    /// A metric that the policy requires was not recorded.
    #[error(
        "the policy requires the metric `{metric}`, and the recording has {}; record it, or write \
         `required: false` into the policy", listed(.recorded)
    )]
    NotRecorded {
        /// The metric's name in the policy.
        metric: String,
        /// What was recorded, in the order of the names.
        recorded: Vec<String>,
    },
    /// A metric was recorded as something else than its signal is read as.
    #[error("the metric `{metric}` was recorded as {found}; the policy's signal needs {expected}")]
    OtherShape {
        /// The metric's name in the policy.
        metric: String,
        /// What its signal is read as, in the words of the columns.
        expected: &'static str,
        /// What was recorded.
        found: &'static str,
    },
    /// The policy looks more often than there is something to see.
    #[error(
        "the policy looks every {}, and the recording has a sample every {} only; record more often, or \
         write `interval: {}` into the policy",
        display_duration(*.interval), display_duration(*.step), display_duration(*.step)
    )]
    TooCoarse {
        /// The policy's interval.
        interval: Duration,
        /// The recording's step.
        step: Duration,
    },
    /// The start lies outside of the recording.
    #[error(
        "the recording reaches from {from} to {to}; the start has to lie within, and is {start}"
    )]
    StartOutside {
        /// The start that was asked for.
        start: Timestamp,
        /// Where the recording begins.
        from: Timestamp,
        /// Where it ends.
        to: Timestamp,
    },
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "no metric at all".to_owned(),
        names => names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}
