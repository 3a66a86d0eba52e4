//! What an earlier, independent implementation found: in Python, with numpy and scipy, other seeds and no
//! line in common. Where it agrees, neither is likely to be wrong.
//!
//! The exact e-process had other bets there, of which no record is left. It finds a little less at low
//! traffic than the one here, and a little later; of its kind it is the same.

mod written;

use std::fmt::{self, Display};

use crate::judges::Judge;
use crate::scenarios::{Level, Played, Table};
use crate::tables::{Found, Percent};
use crate::tally::{Estimate, Tally};

use written::{HEALTHY, SICK};

/// How many standard errors two figures may be apart.
const APART: f64 = 3.0;

/// Both implementations side by side.
pub(crate) struct Beside<'a>(pub(crate) &'a [Played]);

impl Display for Beside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = Vec::new();
        for (table, what, judge, shares, rollouts) in HEALTHY {
            for (level, share) in Level::ALL.into_iter().zip(shares) {
                let written = [share, "", ""];
                rows.extend(self.row(*table, level, what, *judge, written, *rollouts));
            }
        }
        for (table, level, what, judge, written, rollouts) in SICK {
            rows.extend(self.row(*table, *level, what, *judge, *written, *rollouts));
        }
        let agree = rows.iter().filter(|row| row.agrees()).count();
        writeln!(f, "\n### Beside an earlier implementation\n")?;
        writeln!(
            f,
            "{agree} of {} agree within {APART} standard errors of both. E exact had other bets there.\n",
            rows.len()
        )?;
        writeln!(
            f,
            "| canary | traffic | judge | there | here | agrees |\n|---|---|---|---|---|---|"
        )?;
        rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

impl<'a> Beside<'a> {
    fn row(
        &self,
        table: Table,
        level: Level,
        what: &'static str,
        judge: Judge,
        written: [&'static str; 3],
        rollouts: usize,
    ) -> Option<Row<'a>> {
        let played = self.0.iter().find(|played| {
            let scenario = &played.scenario;
            (scenario.table, scenario.level, scenario.what) == (table, level, what)
        })?;
        Some(Row {
            played,
            judge,
            tally: played.by(judge)?,
            written,
            rollouts,
        })
    }
}

/// One judge in one scenario.
struct Row<'a> {
    played: &'a Played,
    judge: Judge,
    tally: &'a Tally,
    written: [&'static str; 3],
    rollouts: usize,
}

impl Row<'_> {
    fn agrees(&self) -> bool {
        let [share, minute, requests] = self.written;
        let there = Estimate {
            value: 0.0,
            error: 100.0 * self.tally.share_error(self.rollouts),
        };
        self.is_near(share, Some(self.tally.power()), there.error)
            && self.is_near_median(minute, self.tally.median_minute())
            && self.is_near_median(requests, self.tally.median_requests())
    }

    fn is_near_median(&self, written: &str, here: Option<Estimate>) -> bool {
        // As far off as here, but for the number of rollouts.
        let more = self.tally.rollouts() as f64 / self.rollouts as f64;
        let error = here.map_or(0.0, |here| here.error * more.sqrt());
        self.is_near(written, here, error)
    }

    fn is_near(&self, written: &str, here: Option<Estimate>, error: f64) -> bool {
        if written.is_empty() {
            return true;
        }
        let (Ok(there), Some(here)) = (written.parse::<f64>(), here) else {
            return false;
        };
        // What was written down had been rounded to its last digit.
        let decimals = written
            .split_once('.')
            .map_or(0, |(_, digits)| digits.len());
        let rounded = 0.5 * 0.1_f64.powi(decimals as i32);
        (here.value - there).abs() <= APART * here.error.hypot(error) + rounded
    }
}

impl Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scenario = &self.played.scenario;
        let there = self
            .written
            .map(|part| if part.is_empty() { "–" } else { part });
        write!(
            f,
            "| {} | {} | {} |",
            scenario.what,
            scenario.level.name(),
            self.judge.name()
        )?;
        if scenario.table.is_healthy() {
            write!(f, " {} | {} |", there[0], Percent(self.tally.power()))?;
        } else {
            write!(f, " {} | {} |", there.join("; "), Found(self.tally))?;
        }
        write!(f, " {} |", if self.agrees() { "yes" } else { "**no**" })
    }
}
