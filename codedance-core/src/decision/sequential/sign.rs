//! The bet for metrics of which only a value is known: which side is worse, look after look.

use serde::{Deserialize, Serialize};

use super::odds::ALTERNATIVES;
use super::wealth::Wealth;

/// How often the canary would be the worse one, if it were worse: at so many of the looks.
const CHANCES: [f64; ALTERNATIVES] = [0.6, 0.7, 0.8, 0.9, 0.97];

const PRIOR: [f64; ALTERNATIVES] = [0.2; ALTERNATIVES];

/// While the canary is no worse, it is the worse one at no more than half of the looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Signs(Wealth);

impl Signs {
    /// Adds a look: whether the canary was the worse one, if it is known.
    pub(super) fn add(&mut self, worse: Option<bool>, new_stage: bool) {
        self.0.stake(new_stage);
        if let Some(worse) = worse {
            self.0.pay(&CHANCES.map(|chance| {
                let chance = if worse { chance } else { 1.0 - chance };
                2.0 * chance
            }));
        }
    }

    /// The wealth.
    pub(super) fn total(&self) -> f64 {
        self.0.total(&PRIOR)
    }
}
