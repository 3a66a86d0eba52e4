//! How the thresholds' judge counts.

use serde::{Deserialize, Serialize};

use crate::decision::SequentialConfig;
use crate::decision::builder::PolicyError;

/// How [`Thresholds`](super::Thresholds) counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct ThresholdsConfig {
    /// How many requests a rate or a latency needs to pass. At least 1, default 50.
    pub min_requests: u64,
    /// How many good looks in a row it takes to advance. At least 1, default 3.
    pub good_in_row: u32,
    /// How many bad looks in a row send the canary back. At least 1, default 3.
    pub bad_in_row: u32,
    /// More bad looks than this in one stage send it back, however many good ones lie between. Default
    /// 5; of 64 or more, it never does.
    pub failure_limit: u32,
    /// After more looks in a row than this that could not tell, [`Policy::on_inconclusive`](crate::decision::Policy::on_inconclusive) says what
    /// follows. Thin looks count, so set it well above the number of looks that bring
    /// [`min_requests`](ThresholdsConfig::min_requests). Default: none, it holds until the stage's
    /// deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inconclusive_limit: Option<u32>,
    /// How canary and stable are compared over all looks together; `null` for not at all.
    pub sequential: Option<SequentialConfig>,
}

impl Default for ThresholdsConfig {
    fn default() -> Self {
        Self {
            min_requests: 50,
            good_in_row: 3,
            bad_in_row: 3,
            failure_limit: 5,
            inconclusive_limit: None,
            sequential: Some(SequentialConfig::default()),
        }
    }
}

impl ThresholdsConfig {
    /// Sets how many [requests](ThresholdsConfig::min_requests) a rate or a latency needs.
    pub fn with_min_requests(mut self, requests: u64) -> Self {
        self.min_requests = requests;
        self
    }

    /// Sets how many [good looks](ThresholdsConfig::good_in_row) it takes to advance.
    pub fn with_good_in_row(mut self, looks: u32) -> Self {
        self.good_in_row = looks;
        self
    }

    /// Sets how many [bad looks](ThresholdsConfig::bad_in_row) in a row send the canary back.
    pub fn with_bad_in_row(mut self, looks: u32) -> Self {
        self.bad_in_row = looks;
        self
    }

    /// Sets how many [bad looks](ThresholdsConfig::failure_limit) a stage may have.
    pub fn with_failure_limit(mut self, looks: u32) -> Self {
        self.failure_limit = looks;
        self
    }

    /// Sets how many [looks that could not tell](ThresholdsConfig::inconclusive_limit) there may be in a
    /// row.
    pub fn with_inconclusive_limit(mut self, looks: u32) -> Self {
        self.inconclusive_limit = Some(looks);
        self
    }

    /// Sets how canary and stable are [compared](ThresholdsConfig::sequential); `None` for not at all.
    pub fn with_sequential(mut self, sequential: impl Into<Option<SequentialConfig>>) -> Self {
        self.sequential = sequential.into();
        self
    }

    pub(super) fn check(&self) -> Result<(), PolicyError> {
        let zero = [
            ("min_requests", self.min_requests == 0),
            ("good_in_row", self.good_in_row == 0),
            ("bad_in_row", self.bad_in_row == 0),
        ];
        if let Some((key, _)) = zero.iter().find(|(_, zero)| *zero) {
            return Err(PolicyError::new(*key, "is 0; write 1 or more"));
        }
        self.sequential
            .map_or(Ok(()), |config| config.check())
            .map_err(|error| error.under("sequential"))
    }
}
