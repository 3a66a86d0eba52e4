//! The judges that a policy appoints.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Judge;
use super::builder::{PolicyBuilder, PolicyError};
use super::classic::{Classic, ClassicConfig};
use super::metric::Watch;
use super::panel::{Absent, Panel};
use super::rivals::flagger::{Flagger, FlaggerConfig};
use super::rivals::kayenta::{Kayenta, KayentaConfig};
use super::rivals::{
    self,
    argo::{Argo, ArgoConfig},
};
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
    /// As Kayenta decides: [`Kayenta`](super::Kayenta).
    Kayenta(KayentaConfig),
    /// As Flagger decides: [`Flagger`](super::Flagger).
    Flagger(FlaggerConfig),
    /// As Argo Rollouts decides: [`Argo`](super::Argo).
    Argo(ArgoConfig),
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
pub(super) struct Bench {
    judges: Vec<Seat>,
    onlookers: Vec<Seat>,
}

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
        watches: &Arc<[Watch]>,
    ) -> Result<Self, PolicyError> {
        let seats = |key: &str, appointed: &[JudgeConfig]| -> Result<Vec<Seat>, PolicyError> {
            let each = appointed.iter().enumerate().map(|(index, config)| {
                seat(config, policy, watches)
                    .map_err(|error| error.under(&format!("{key}[{index}]")))
            });
            each.collect()
        };
        let mut judges = seats("judges", &policy.judges)?;
        let onlookers = seats("onlookers", &policy.onlookers)?;
        if judges.is_empty() && !watches.is_empty() {
            let usual = JudgeConfig::Thresholds(ThresholdsConfig::default());
            judges.push(seat(&usual, policy, watches)?);
        }
        if judges.is_empty() && !onlookers.is_empty() {
            return Err(PolicyError::new(
                "onlookers",
                "there is nothing to look at; measure something under `metrics`, or appoint a judge \
                 under `judges`",
            ));
        }
        Ok(Self { judges, onlookers })
    }

    pub(super) fn panel(&self, own: &[Arc<dyn Judge>]) -> Arc<dyn Judge> {
        let take = |seat: &Seat| match seat {
            Seat::Taken(judge) => Arc::clone(judge),
            Seat::Own(name) => own
                .iter()
                .find(|judge| judge.name() == name)
                .map_or_else(|| Arc::new(Absent::new(name)) as Arc<dyn Judge>, Arc::clone),
        };
        let judges = self.judges.iter().map(take).collect();
        let onlookers = self.onlookers.iter().map(take).collect();
        Arc::new(Panel::new(judges, onlookers))
    }
}

/// Makes one judge.
fn seat(
    config: &JudgeConfig,
    policy: &PolicyBuilder,
    watches: &Arc<[Watch]>,
) -> Result<Seat, PolicyError> {
    let all = || Arc::clone(watches);
    match config {
        JudgeConfig::Thresholds(config) => {
            taken("thresholds", Thresholds::appoint(config, policy, all()))
        }
        JudgeConfig::Classic(_) => Classic::appoint(policy, watches)
            .map(|judge| Seat::Taken(Arc::new(judge)))
            .map_err(|problem| PolicyError::new("classic", problem)),
        JudgeConfig::Rules(rules) => appoint_rules(rules, policy, watches).map(Seat::Taken),
        JudgeConfig::Kayenta(config) => {
            rivals::measured("kayenta", watches)?;
            taken("kayenta", Kayenta::appoint(config, policy, all()))
        }
        JudgeConfig::Flagger(config) => {
            rivals::measured("flagger", watches)?;
            taken("flagger", Flagger::appoint(config, policy, all()))
        }
        JudgeConfig::Argo(config) => {
            rivals::measured("argo", watches)?;
            taken("argo", Argo::appoint(config, policy, all()))
        }
        JudgeConfig::Own(name) if name.trim().is_empty() => Err(PolicyError::new(
            "own",
            "is empty; write the name of a judge of your own",
        )),
        JudgeConfig::Own(name) => Ok(Seat::Own(name.clone())),
    }
}

fn taken<J: Judge + 'static>(
    key: &str,
    judge: Result<J, PolicyError>,
) -> Result<Seat, PolicyError> {
    judge
        .map(|judge| Seat::Taken(Arc::new(judge)))
        .map_err(|error| error.under(key))
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
