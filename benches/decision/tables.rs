//! What was found, as tables in Markdown.

use std::fmt::{self, Display};

use crate::scenarios::{Played, Table};
use crate::tally::{Estimate, Tally};

/// A table of all scenarios that belong into it; a row each, and a column for each judge.
pub(crate) struct Shown<'a> {
    pub(crate) table: Table,
    pub(crate) played: &'a [Played],
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = self
            .played
            .iter()
            .filter(|played| played.scenario.table == self.table)
            .collect();
        let Some(first) = rows.first() else {
            return Ok(());
        };
        let judges: Vec<_> = first.tallies.iter().map(|(judge, _)| *judge).collect();
        let rollouts = first
            .tallies
            .first()
            .map_or(0, |(_, tally)| tally.rollouts());
        writeln!(f, "\n### {}\n", title(self.table))?;
        writeln!(
            f,
            "{} {rollouts} rollouts each. {}\n",
            key(self.table),
            note(self.table)
        )?;
        write!(f, "| canary | traffic |")?;
        for judge in &judges {
            write!(f, " {} |", judge.name())?;
        }
        writeln!(f, "\n|---|---|{}", "---|".repeat(judges.len()))?;
        for row in rows {
            let scenario = &row.scenario;
            write!(f, "| {} | {} |", scenario.what, scenario.level.name())?;
            for (_, tally) in &row.tallies {
                if self.table.is_healthy() {
                    write!(f, " {} |", Percent(tally.power()))?;
                } else {
                    write!(f, " {} |", Found(tally))?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

const fn title(table: Table) -> &'static str {
    match table {
        Table::HealthyErrors => "Healthy canaries sent back: one error rate",
        Table::SickErrors => "Sick canaries sent back: one error rate",
        Table::HealthyLatency => "Healthy canaries sent back: latency",
        Table::SickLatency => "Sick canaries sent back: latency",
        Table::HealthyMetrics => "Healthy canaries sent back: five error rates",
        Table::SickMetrics => "Sick canaries sent back: five error rates",
    }
}

const fn key(table: Table) -> &'static str {
    if table.is_healthy() {
        "Percent of whole rollouts (standard error)."
    } else {
        "Percent (standard error); the median minute and the median of canary requests until then \
         (standard error), of all rollouts, found or not."
    }
}

/// What the rows are.
const fn note(table: Table) -> &'static str {
    match table {
        Table::HealthyErrors => {
            "Low, mid and high traffic: 600, 6,000 and 60,000 requests a minute, of which the canary gets \
             5, 10, 25 and 50 %, a quarter of an hour each; 0.5 % of them end badly unless a row says \
             otherwise. Drift: errors rise to three times as many while traffic swells by half. Shared \
             noise: a factor for each minute, the same in both arms (lognormal, σ 0.5). Incident: twenty \
             times the errors in both arms for five minutes. Arm noise: a factor for each minute and arm \
             (gamma, of that coefficient of variation). Offset: the canary has 1.1 times the errors, which \
             nobody minds."
        }
        Table::SickErrors => "The canary has so many times the errors.",
        Table::HealthyLatency => {
            "Latencies are lognormal, 80 ms in the median, σ 0.6, in the default buckets of the Prometheus \
             clients. Offset: the canary takes 1.03 times as long. Arm noise: a factor for each minute and \
             arm (lognormal, of that σ)."
        }
        Table::SickLatency => {
            "The canary takes so many times as long; slow tail: 2 % of its requests take 1.2 s more."
        }
        Table::HealthyMetrics | Table::SickMetrics => {
            "Five error rates of the same traffic, whose errors come independently."
        }
    }
}

/// A share and its error, with as many digits as mean something.
pub(crate) struct Percent(pub(crate) Estimate);

impl Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Estimate { value, error } = self.0;
        let digits = if error < 0.095 { 2 } else { 1 };
        write!(f, "{value:.digits$} ({error:.digits$})")
    }
}

/// How many were found, and when.
pub(crate) struct Found<'a>(pub(crate) &'a Tally);

impl Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Percent(self.0.power()))?;
        if let (Some(minute), Some(requests)) = (self.0.median_minute(), self.0.median_requests()) {
            let Estimate { value, error } = requests;
            write!(f, "; {:.0}; {value:.0} ({error:.0})", minute.value)?;
        }
        Ok(())
    }
}
