//! The judges that a policy appoints.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Judge;
use super::builder::{PolicyBuilder, PolicyError};
use super::classic::{Classic, ClassicConfig};
use super::metric::Watch;
use super::panel::{Absent, Panel};
use super::thresholds::{Thresholds, ThresholdsConfig};

/// One judge that a policy appoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JudgeConfig {
    /// The default: [`Thresholds`](super::Thresholds).
    Thresholds(ThresholdsConfig),
    /// The score of 40, 30 and 30 points: [`Classic`](super::Classic).
    Classic(ClassicConfig),
    /// Rules of the user's own, in CEL. Needs the feature `rules`.
    Rules(Vec<RuleConfig>),
    /// A judge of the user's own, by its [name](super::Judge::name).
    Own(String),
}

/// One rule: an expression, and what follows when it holds.
///
/// What an expression may speak of is described at `Rules`, the judge behind the feature `rules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Its name, for people.
    pub name: String,
    /// The CEL expression, true or false: `canary.error_rate > 2.0 * stable.error_rate`.
    pub when: String,
    /// What follows when it is true.
    pub then: RuleAction,
}

/// What follows when a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// Go back to the stable revision, at once.
    Rollback,
    /// Go no further while it lasts.
    Hold,
}

/// The judges of a checked policy, ready to judge.
#[derive(Clone, Debug, Default)]
pub(super) struct Bench(Vec<Seat>);

#[derive(Clone, Debug)]
enum Seat {
    Taken(Arc<dyn Judge>),
    Own(String),
}

/// What sits on the bench follows from the policy's other fields, which are compared.
impl PartialEq for Bench {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Bench {
    pub(super) fn appoint(
        policy: &PolicyBuilder,
        watches: Arc<[Watch]>,
    ) -> Result<Self, PolicyError> {
        let thresholds = |config: &ThresholdsConfig| -> Result<Seat, PolicyError> {
            let judge = Thresholds::appoint(config, policy, Arc::clone(&watches))?;
            Ok(Seat::Taken(Arc::new(judge)))
        };
        let appointed = &policy.judges;
        if appointed.is_empty() && !watches.is_empty() {
            return Ok(Self(vec![thresholds(&ThresholdsConfig::default())?]));
        }
        let seat = |config: &JudgeConfig| match config {
            JudgeConfig::Thresholds(config) => {
                thresholds(config).map_err(|error| error.under("thresholds"))
            }
            JudgeConfig::Classic(_) => Classic::appoint(policy, &watches)
                .map(|judge| Seat::Taken(Arc::new(judge)))
                .map_err(|problem| PolicyError::new("classic", problem)),
            JudgeConfig::Rules(rules) => appoint_rules(rules, policy, &watches).map(Seat::Taken),
            JudgeConfig::Own(name) if name.trim().is_empty() => Err(PolicyError::new(
                "own",
                "is empty; write the name of a judge of your own",
            )),
            JudgeConfig::Own(name) => Ok(Seat::Own(name.clone())),
        };
        let seats = appointed.iter().enumerate().map(|(index, config)| {
            seat(config).map_err(|error| error.under(&format!("judges[{index}]")))
        });
        seats.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn panel(&self, own: &[Arc<dyn Judge>]) -> Arc<dyn Judge> {
        let take = |seat: &Seat| match seat {
            Seat::Taken(judge) => Arc::clone(judge),
            Seat::Own(name) => own
                .iter()
                .find(|judge| judge.name() == name)
                .map_or_else(|| Arc::new(Absent::new(name)) as Arc<dyn Judge>, Arc::clone),
        };
        Arc::new(Panel::new(self.0.iter().map(take).collect()))
    }
}

#[cfg(feature = "rules")]
fn appoint_rules(
    rules: &[RuleConfig],
    policy: &PolicyBuilder,
    watches: &Arc<[Watch]>,
) -> Result<Arc<dyn Judge>, PolicyError> {
    Ok(Arc::new(super::rules::Rules::appoint(
        rules,
        policy,
        Arc::clone(watches),
    )?))
}

#[cfg(not(feature = "rules"))]
fn appoint_rules(
    _: &[RuleConfig],
    _: &PolicyBuilder,
    _: &Arc<[Watch]>,
) -> Result<Arc<dyn Judge>, PolicyError> {
    Err(PolicyError::new(
        "rules",
        "this build cannot evaluate rules; build codedance-core with its feature `rules`, or appoint \
         another judge",
    ))
}
