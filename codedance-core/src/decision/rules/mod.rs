//! Rules of the user's own, in the Common Expression Language.

mod check;
mod fields;

use std::fmt;
use std::sync::Arc;

use cel::{Context, Env, Program, Value};

use super::appoint::{RuleAction, RuleConfig};
use super::builder::{PolicyBuilder, PolicyError};
use super::metric::Watch;
use super::{Assessment, Evidence, Judge, Policy, Reason, Score, ScoreRange, Verdict};
use check::Reference;
use fields::{Fields, Side};

/// Judges by expressions in [CEL](https://cel.dev), at each look anew.
///
/// ```yaml
/// judges:
///   - rules:
///       - name: worse than stable
///         when: canary.error_rate > 2.0 * stable.error_rate && canary.requests > 100
///         then: rollback
/// ```
///
/// A rule that holds leads to what it says, at once; when none holds, the canary advances. Every rule
/// is compiled and checked when the policy is read: its syntax, every name in it, and that it is true
/// or false.
///
/// An expression may speak of these, all numbers of the last window:
///
/// | name | type | meaning |
/// |---|---|---|
/// | `canary.NAME`, `stable.NAME` | double | the metric of that name: a share from 0 to 1, seconds, or the query's value. With other characters than letters, digits and `_`: `canary["my-metric"]` |
/// | `….requests`, `….errors` | int | requests, and those that ended badly, if a rate is measured |
/// | `….error_rate`, `….success_rate` | double | shares from 0 to 1, if measured |
/// | `….latency_p50`, `….latency_p99` | double | seconds, for each quantile measured; `latency_p99_9` for 0.999 |
/// | `….ready`, `….desired`, `….failed`, `….restarts` | int | the replicas |
/// | `weight` | double | the canary's share of the traffic in percent, from 0 to 100 |
/// | `baked` | double | for how many seconds the stage has baked |
///
/// Where a metric's name is also one of the others, the others win.
///
/// A rule that speaks of something for which there is no data cannot be evaluated, and holds with
/// [`Reason::RuleFailed`]; unless it asks first, as in `has(canary.p99) && canary.p99 > 0.5`. So does a rule
/// that divides by zero.
#[derive(Clone)]
pub struct Rules {
    rules: Arc<[Rule]>,
    fields: Fields,
    env: Arc<Env>,
}

struct Rule {
    config: RuleConfig,
    program: Program,
    references: Vec<Reference>,
}

impl Rules {
    /// The judge by itself, over the policy's metrics; [`Policy::judge`] appoints it as one of a panel.
    ///
    /// # Errors
    /// When there is no rule, or one cannot be compiled, names what is not there, or is not true or
    /// false.
    pub fn new(rules: &[RuleConfig], policy: &Policy) -> Result<Self, PolicyError> {
        Self::appoint(rules, policy.settings(), policy.checked()?)
    }

    pub(super) fn appoint(
        rules: &[RuleConfig],
        policy: &PolicyBuilder,
        watches: Arc<[Watch]>,
    ) -> Result<Self, PolicyError> {
        if rules.is_empty() {
            return Err(PolicyError::new(
                "rules",
                "is empty; write at least one rule, or appoint another judge",
            ));
        }
        let env = Arc::new(Env::stdlib());
        let fields = Fields::new(watches, policy.interval);
        let sample = fields.example(&env);
        let mut compiled: Vec<Rule> = Vec::with_capacity(rules.len());
        for (index, config) in rules.iter().enumerate() {
            let wrong = |key: &str, problem: String| {
                PolicyError::new(format!("rules[{index}].{key}"), problem)
            };
            if config.name.trim().is_empty() {
                return Err(wrong("name", "is empty; give the rule a name".to_owned()));
            }
            if compiled.iter().any(|rule| rule.config.name == config.name) {
                let problem = format!("another rule is called `{}` too", config.name);
                return Err(wrong("name", problem));
            }
            let (program, references) = check::compile(&env, &config.when, &fields, &sample)
                .map_err(|problem| wrong("when", problem))?;
            compiled.push(Rule {
                config: config.clone(),
                program,
                references,
            });
        }
        drop(sample);
        Ok(Self {
            rules: compiled.into(),
            fields,
            env,
        })
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.rules.iter().map(|rule| &rule.config);
        f.debug_list().entries(rules).finish()
    }
}

impl Rule {
    /// Whether it holds, or why that cannot be said.
    fn holds(
        &self,
        fields: &Fields,
        seen: &[fields::Row; 2],
        context: &Context<'_, '_>,
    ) -> Result<bool, String> {
        for reference in &self.references {
            if !fields.has(seen, reference.side, reference.field) {
                let (side, name) = (reference.side, fields.name(reference.field));
                return Err(format!("{side}.{name} has no data"));
            }
        }
        match self.program.execute(context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err("it is neither true nor false".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Judge for Rules {
    fn name(&self) -> &str {
        "rules"
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let seen = [Side::Canary, Side::Stable].map(|side| self.fields.read(evidence, side));
        let context = self.fields.context(&self.env, evidence, &seen);
        let mut objections = Vec::new();
        for rule in &*self.rules {
            let name = rule.config.name.clone();
            match rule.holds(&self.fields, &seen, &context) {
                Ok(false) => {}
                Ok(true) => {
                    let verdict = match rule.config.then {
                        RuleAction::Rollback => Verdict::Rollback,
                        RuleAction::Hold => Verdict::Hold,
                    };
                    let expression = rule.config.when.clone();
                    objections.push((verdict, Reason::Rule { name, expression }));
                }
                Err(message) => {
                    objections.push((Verdict::Hold, Reason::RuleFailed { name, message }));
                }
            }
        }
        objections.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
        let verdict = objections
            .first()
            .map_or(Verdict::Advance, |(verdict, _)| *verdict);
        let score = match verdict {
            Verdict::Advance => ScoreRange::exactly(Score::BEST),
            Verdict::Hold => ScoreRange::UNKNOWN,
            Verdict::Rollback => ScoreRange::exactly(Score::WORST),
        };
        let reasons = objections.into_iter().map(|(_, reason)| reason).collect();
        Assessment::new(verdict, reasons).with_score(score)
    }
}
