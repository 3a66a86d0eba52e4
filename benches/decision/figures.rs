//! What `cargo xtask bench decision` reads: everything that was found, in one line of JSON.

use serde::Serialize;

use crate::judges::Judge;
use crate::scenarios::Played;
use crate::tally::{Estimate, Tally};

/// The line.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) scenarios: Vec<Of>,
}

/// What was found in one scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Of {
    name: String,
    judges: Vec<By>,
}

/// What one judge made of it.
#[derive(Debug, Serialize)]
struct By {
    judge: Judge,
    /// In percent.
    power: Estimate,
    /// The median of canary requests until the rollback; none if fewer than half were sent back.
    requests: Option<Estimate>,
}

impl From<&Played> for Of {
    fn from(played: &Played) -> Self {
        let by = |(judge, tally): &(Judge, Tally)| By {
            judge: *judge,
            power: tally.power(),
            requests: tally.median_requests(),
        };
        Self {
            name: played.scenario.name(),
            judges: played.tallies.iter().map(by).collect(),
        }
    }
}
