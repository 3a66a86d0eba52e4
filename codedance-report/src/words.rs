//! What a story says in words, beside its charts and its tables.

use std::fmt::{self, Display};

use codedance_core::Timestamp;
use codedance_core::decision::{Reason, Unit};
use codedance_core::rollout::Cause;

use crate::number::{Amount, Count};
use crate::story::{Ending, Look, Story, Tally};

/// Why it ended so, or what it waits for; a good end needs no reason.
pub(crate) fn why(story: &Story) -> Option<String> {
    let cause = || story.cause.as_ref();
    match story.outcome {
        Ending::Completed => None,
        Ending::RolledBack | Ending::Cancelled => Some(match cause().map(|cause| &cause.data) {
            Some(Cause::Judged(reasons)) if !reasons.is_empty() => because(reasons),
            Some(cause) => cause.to_string(),
            None => story.summary.clone(),
        }),
        Ending::Failed | Ending::Unfinished => Some(story.summary.clone()),
    }
}

pub(crate) fn because<'a>(reasons: impl IntoIterator<Item = &'a Reason>) -> String {
    let reasons = reasons.into_iter().map(ToString::to_string);
    reasons.collect::<Vec<_>>().join("; ")
}

/// How it ended, in words.
pub(crate) struct Headline<'a>(pub(crate) &'a Story);

impl Display for Headline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Story { stable, canary, .. } = self.0;
        match self.0.outcome {
            Ending::Completed => write!(f, "{canary} was promoted"),
            Ending::RolledBack => write!(f, "{canary} was rolled back to {stable}"),
            Ending::Cancelled => write!(f, "{canary} was called off"),
            Ending::Failed => write!(f, "The rollout of {canary} failed"),
            Ending::Unfinished if self.0.rolling_back.is_some() => {
                write!(f, "{canary} is being rolled back")
            }
            Ending::Unfinished => write!(f, "{canary} is being rolled out"),
        }
    }
}

/// What was rolled out, from where to where.
pub(crate) struct Way<'a>(pub(crate) &'a Story);

impl Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Story {
            workload,
            stable,
            canary,
            ..
        } = self.0;
        write!(f, "{workload}, {stable} → {canary}")
    }
}

/// What a look read of the canary, each beside what it read of the stable revision.
pub(crate) struct Readings<'a>(pub(crate) &'a Story, pub(crate) &'a Look);

impl Display for Readings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(story, look) = self;
        let mut separator = "";
        for metric in &look.metrics {
            let unit = story.unit(&metric.name);
            let Some(canary) = metric.canary.value else {
                continue;
            };
            write!(f, "{separator}{} {}", metric.name, Amount(canary, unit))?;
            if let Some(stable) = metric.stable.value {
                write!(f, " ({} {})", story.stable, Amount(stable, unit))?;
            }
            separator = ", ";
        }
        Ok(())
    }
}

/// How many were bad, with their share.
pub(crate) struct Bad(pub(crate) Tally);

impl Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.rate() {
            Some(rate) if self.0.bad > 0 => {
                write!(
                    f,
                    "{} bad, {}",
                    Count(self.0.bad),
                    Amount(rate, Unit::Share)
                )
            }
            Some(_) => f.write_str("none bad"),
            None => Ok(()),
        }
    }
}

/// A point in time, to the second: `2026-11-21 10:00:00 UTC`.
pub(crate) struct Moment(pub(crate) Timestamp);

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let (day, time) = text.split_once('T').unwrap_or((&text, ""));
        let time = time.split(['.', 'Z']).next().unwrap_or_default();
        write!(f, "{day} {time} UTC")
    }
}
