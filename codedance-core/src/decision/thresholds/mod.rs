//! The default judge: fixed limits, read with the uncertainty that few requests leave.

mod config;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use super::builder::{PolicyBuilder, PolicyError};
use super::finding::{Finding, health};
use super::metric::Watch;
use super::policy::{Reaction, fault};
use super::{
    Assessment, Evidence, Judge, Memory, MetricOutcome, Policy, Reason, Score, ScoreRange, Verdict,
    sample, sequential,
};

pub use config::ThresholdsConfig;
use tally::{Ledger, Look, Next};

/// The score from which on a look is good.
const GOOD: f64 = 80.0;

/// Judges every metric by its own limits, and the canary by what they say together, look after look.
///
/// # One look
/// Each metric gets a score (see [`Limits`](super::Limits)), and the weighted mean of them is the score
/// of the look. What is not known is an interval: a missing metric scores from 0 to 100. Advancing reads
/// the low end and rolling back the high end, so absence can do neither.
///
/// A rate has *failed* only when the lower 95 % bound of Clopper and Pearson for it lies above the
/// limit, and it has *passed* when it lies within the limit on enough requests. In between it is
/// inconclusive: one error in 50 requests is no proof of a rate above 1 %.
///
/// A look is **bad** when a metric has failed, and **good** when every required metric has passed and
/// the score is 80 or more.
///
/// # Thin looks
/// Samples are put together until they suffice to judge. Where a look brings
/// [`min_requests`](ThresholdsConfig::min_requests), each is judged by itself. Where it brings fewer,
/// because it is a second long or traffic is low, several are put together and count as *one* look. This is
/// chosen over a window that slides along: the same five errors, seen from three overlapping windows,
/// must not count as three bad looks. It is chosen over totals of the whole stage, because those
/// would hide a canary that turns bad late; here what was good before is forgotten as soon as it was
/// judged. (Where one metric waits for another's samples, it keeps between one and two times what it
/// needs.) A rate beyond its limit, but not for certain, keeps gathering until it is certain
/// one way or the other. Of latencies the mean by requests is taken, which is an approximation:
/// quantiles do not add up. Queries are judged as of the last look.
///
/// Windows are expected to follow one another. One whose end was seen before is judged again but not
/// counted again.
///
/// # The decision
/// The first that holds:
///
/// | # | when | verdict |
/// |---|---|---|
/// | 1 | a replica failed, too many restarts, none ready for longer than the policy's grace (all as [`Policy::on_crash`] says); or a critical metric as bad as can be, on enough samples, at two looks in a row | roll back |
/// | 2 | the canary is worse than stable, as the comparison below says | roll back |
/// | 3 | `bad_in_row` bad looks in a row, or more than `failure_limit` in the stage | roll back |
/// | 4 | the metrics could not be read, or no replica is ready | hold |
/// | 5 | a required metric is missing, too old, too thin, or inconclusive | hold |
/// | 6 | the comparison below leaves a suspicion | hold |
/// | 7 | fewer than `good_in_row` good looks in a row, or a proof is wanted and not there yet | hold |
/// | 8 | otherwise | advance |
///
/// Where rows 4 and 5 held for more than `inconclusive_limit` looks in a row, what
/// [`Policy::on_inconclusive`] says follows instead. How long a stage lasts, and its deadline, are the
/// machine's business.
///
/// Looks that could not tell start the count of good looks again and leave the count of bad ones
/// alone; a look that is merely thin leaves both alone. "In the stage" looks back
/// over the latest judged looks, four times as many as the limit (20 by default): a stage of a quarter
/// of an hour at one look a minute is covered whole, while one of 900 looks a second each does not
/// convict a healthy canary by mere number.
///
/// # The comparison
/// Limits know nothing of the stable side: they miss a canary that doubles the errors within its limit, and
/// convict a healthy one when both sides suffer. So both sides are compared over all looks together, of each rate,
/// and of each latency that comes as a [histogram](crate::metrics::Sample::Histogram) at up to four of its bounds. The
/// evidence is the mean over all metrics by their weights, and is worth 1 at the beginning. It may be looked
/// at as often as one likes: the probability that a healthy canary's evidence *ever* reaches 100 is at most 1 %. That
/// convicts (row 2); from 10 on a stage does not end (row 6). What it takes for healthy is set by
/// [`tolerance`](crate::decision::SequentialConfig::tolerance), and how sure it must be by
/// [`alpha`](crate::decision::SequentialConfig::alpha). Once convicted, a canary stays convicted.
///
/// Errors do not scatter like dice: one replica of five has a cold cache. How much they scatter by themselves is
/// learned from the stable side, from what the source still knows of the time
/// [before the rollout](crate::metrics::Reading::history), and as long as fewer than 20 intervals are known, much is assumed.
///
/// Of a query, or a latency without its histogram, only a value is known. There it counts which side was worse at
/// each look; that leads to what [`gauges`](crate::decision::SequentialConfig::gauges) says, and a stable side
/// that is served by better machines leads there, too.
///
/// With [`confirmed`](crate::decision::SequentialConfig::confirmed) a stage ends only on proof that the canary is
/// not much worse. Without it, a stage ends when nothing speaks against the canary, and at low traffic nothing may
/// be able to.
///
/// # Sources of the numbers
/// The bound: Clopper and Pearson, 1934. It is not corrected for looking often, hence the three bad looks
/// in a row: in a simulated hour at 30 requests a minute, limits without it (Flagger's example) send back
/// 61 % of healthy canaries. 50 samples: the number below which Kayenta warns.
#[derive(Clone, Debug)]
pub struct Thresholds {
    config: ThresholdsConfig,
    watches: Arc<[Watch]>,
    oldest: Duration,
    grace: Duration,
    restart_limit: u32,
    on_crash: Reaction,
    on_inconclusive: Reaction,
}

impl Thresholds {
    /// The judge by itself, over the policy's metrics; [`Policy::judge`] appoints it as one of a panel.
    ///
    /// # Errors
    /// When the configuration holds a 0 where at least 1 is needed.
    pub fn new(config: &ThresholdsConfig, policy: &Policy) -> Result<Self, PolicyError> {
        Self::appoint(config, policy.settings(), policy.checked()?)
    }

    pub(super) fn appoint(
        config: &ThresholdsConfig,
        policy: &PolicyBuilder,
        watches: Arc<[Watch]>,
    ) -> Result<Self, PolicyError> {
        config.check()?;
        Ok(Self {
            config: *config,
            watches,
            oldest: sample::oldest(policy.interval),
            grace: policy.grace,
            restart_limit: policy.restart_limit,
            on_crash: policy.on_crash,
            on_inconclusive: policy.on_inconclusive,
        })
    }
}

/// What the comparison of canary and stable leads to.
#[derive(Debug, Default)]
struct Compared {
    convicts: Option<Reason>,
    holds: Vec<Reason>,
}

impl Judge for Thresholds {
    fn name(&self) -> &str {
        "thresholds"
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let mut ledger: Ledger = evidence.memory.recall();
        ledger.enter(evidence.stage, self.watches.len());
        let new = ledger.is_new(evidence);
        self.note_readiness(&mut ledger, evidence);

        let mut findings = Vec::with_capacity(self.watches.len());
        let mut metrics = Vec::with_capacity(self.watches.len());
        let mut fresh = Vec::with_capacity(self.watches.len());
        for (index, watch) in self.watches.iter().enumerate() {
            let tally = &mut ledger.tallies[index];
            let reading = sample::reading(evidence, index, watch);
            let seen = sample::canary(evidence, reading, &watch.signal, self.oldest);
            fresh.push(reading.filter(|reading| sample::age(evidence, reading) <= self.oldest));
            if new {
                tally.begin(self.config.min_requests);
                if let Ok(seen) = seen {
                    tally.add(seen);
                }
            }
            let seen = seen.map(|seen| tally.together(seen));
            let finding = Finding::of(watch, seen, self.config.min_requests);
            metrics.push(finding.assessment(watch, sample::stable(reading, &watch.signal)));
            findings.push(finding);
        }
        let score = health(&self.watches, &findings);
        let look = self.look(score, &findings);
        if new {
            self.count(&mut ledger, evidence, look, &findings);
        }
        let together = self.config.sequential.as_ref().map(|config| {
            let trials = ledger.trials.get_or_insert_default();
            if new {
                trials.look(config, &self.watches, &fresh, evidence.stage)
            } else {
                trials.evidence(config, &self.watches)
            }
        });
        let together = together.as_ref();
        let (verdict, reasons) = self.decide(&ledger, evidence, look, score, &findings, together);
        Assessment::new(verdict, reasons)
            .with_score(score)
            .with_metrics(metrics)
            .with_memory(Memory::of(&ledger))
    }
}

impl Thresholds {
    fn note_readiness(&self, ledger: &mut Ledger, evidence: &Evidence<'_>) {
        let serving = evidence.canary.desired > 0 && evidence.weight > crate::Percent::ZERO;
        if serving && evidence.canary.ready == 0 {
            let now = evidence.window.to.as_millis();
            ledger.unready = Some(ledger.unready.map_or(now, |since| since.min(now)));
        } else {
            ledger.unready = None;
        }
    }

    /// What kind of look it was.
    fn look(&self, score: ScoreRange, findings: &[Finding]) -> Look {
        let required = || {
            let all = self.watches.iter().zip(findings);
            all.filter(|(watch, _)| watch.required)
        };
        let outcome = |wanted| required().any(|(_, finding)| finding.outcome == wanted);
        if findings
            .iter()
            .any(|finding| finding.outcome == MetricOutcome::Fail)
        {
            Look::Bad
        } else if outcome(MetricOutcome::Missing) {
            Look::Blind
        } else if outcome(MetricOutcome::Inconclusive) {
            let doubtful = |finding: &Finding| {
                finding.outcome == MetricOutcome::Inconclusive && finding.few.is_none()
            };
            if required().any(|(_, finding)| doubtful(finding)) {
                return Look::Doubtful;
            }
            Look::Thin {
                within: !required().any(|(watch, finding)| finding.is_beyond(watch)),
            }
        } else if score.low >= Score::new(GOOD) {
            Look::Good
        } else {
            Look::Fair
        }
    }

    /// Enters a look into the books.
    fn count(
        &self,
        ledger: &mut Ledger,
        evidence: &Evidence<'_>,
        look: Look,
        findings: &[Finding],
    ) {
        ledger.errors = if evidence.failure.is_some() {
            ledger.errors.saturating_add(1)
        } else {
            0
        };
        ledger.count(look, self.config.good_in_row);
        let all = self.watches.iter().zip(findings);
        for ((watch, finding), tally) in all.zip(&mut ledger.tallies) {
            let told = matches!(finding.outcome, MetricOutcome::Pass | MetricOutcome::Fail);
            tally.next = match (told, look.is_judged()) {
                (true, true) => Next::Drop,
                (true, false) => Next::Age,
                (false, _) => Next::Keep,
            };
            if watch.critical && finding.outcome != MetricOutcome::Missing && finding.few.is_none()
            {
                let worst = finding.outcome == MetricOutcome::Fail && finding.high <= 0.0;
                tally.worst = if worst {
                    tally.worst.saturating_add(1)
                } else {
                    0
                };
            }
        }
    }

    /// The table in the documentation of [`Thresholds`], row by row.
    fn decide(
        &self,
        ledger: &Ledger,
        evidence: &Evidence<'_>,
        look: Look,
        score: ScoreRange,
        findings: &[Finding],
        together: Option<&sequential::Evidence>,
    ) -> (Verdict, Vec<Reason>) {
        let crash = self.crash(ledger, evidence);
        if let (Some(reason), Reaction::Rollback) = (&crash, self.on_crash) {
            return (Verdict::Rollback, vec![reason.clone()]);
        }
        let judged = || self.watches.iter().zip(findings);
        let reasons = |wanted: fn(&Finding, &Watch) -> bool| -> Vec<Reason> {
            judged()
                .filter(|(watch, finding)| wanted(finding, watch))
                .filter_map(|(watch, finding)| finding.reason(watch, self.config.min_requests))
                .collect()
        };
        if let Some((watch, _)) = self
            .watches
            .iter()
            .zip(&ledger.tallies)
            .find(|(_, t)| t.worst > 1)
        {
            // The figures first: they are what an operator looks for.
            let mut why = reasons(|finding, _| finding.outcome == MetricOutcome::Fail);
            why.push(Reason::CriticalMetric {
                metric: watch.name.clone(),
            });
            return (Verdict::Rollback, why);
        }
        let compared = together.map_or_else(Compared::default, |together| self.compare(together));
        if let Some(why) = compared.convicts {
            return (Verdict::Rollback, vec![why]);
        }
        let window = self.config.failure_limit.saturating_mul(4).max(1);
        let in_stage = ledger.bad_among(window);
        let looks = Reason::BadLooks {
            in_row: ledger.bad,
            in_stage,
        };
        let mut failed = reasons(|finding, _| finding.outcome == MetricOutcome::Fail);
        if ledger.bad >= self.config.bad_in_row || in_stage > self.config.failure_limit {
            failed.push(looks);
            return (Verdict::Rollback, failed);
        }
        let mut why = Vec::new();
        if let (Some(reason), Reaction::Hold) = (crash, self.on_crash) {
            why.push(reason);
        } else if ledger.unready.is_some() && self.on_crash != Reaction::Ignore {
            why.push(Reason::FewReady {
                ready: 0,
                desired: evidence.canary.desired,
            });
        }
        match (evidence.failure, look) {
            (Some(failure), _) => why.push(Reason::SourceFailed {
                in_row: ledger.errors,
                failure: failure.clone(),
            }),
            (None, Look::Bad) => {
                why.append(&mut failed);
                why.push(looks);
            }
            (None, Look::Thin { within: true }) if ledger.good >= self.config.good_in_row => {}
            (None, Look::Blind | Look::Doubtful | Look::Thin { .. }) => {
                why.extend(reasons(|finding, watch| {
                    watch.required && finding.outcome != MetricOutcome::Pass
                }));
            }
            (None, Look::Fair) => why.push(Reason::Undecided { score }),
            (None, Look::Good) if ledger.good < self.config.good_in_row => {
                why.push(Reason::FewGoodLooks {
                    have: ledger.good,
                    need: self.config.good_in_row,
                });
            }
            (None, Look::Good) => {}
        }
        // Looks that are good one by one may be bad together.
        why.extend(compared.holds);
        if why.is_empty() {
            return (Verdict::Advance, why);
        }
        let mut verdict = Verdict::Hold;
        if self
            .config
            .inconclusive_limit
            .is_some_and(|limit| ledger.unclear > limit)
        {
            why.insert(
                0,
                Reason::Inconclusive {
                    looks: ledger.unclear,
                },
            );
            if self.on_inconclusive == Reaction::Rollback {
                verdict = Verdict::Rollback;
            }
        }
        (verdict, why)
    }

    /// What canary and stable together lead to: rows 2, 6 and 8.
    fn compare(&self, together: &sequential::Evidence) -> Compared {
        let Some(config) = &self.config.sequential else {
            return Compared::default();
        };
        let name = |index: usize| self.watches[index].name.clone();
        let enough = config.alpha.recip();
        let mut compared = Compared::default();
        if let Some(comparison) = &together.comparison {
            if together.worse >= enough {
                compared.convicts = Some(Reason::CanaryWorse(comparison.clone()));
            } else if together.worse >= sequential::SUSPICION {
                compared
                    .holds
                    .push(Reason::CanarySuspect(comparison.clone()));
            }
        }
        if let Some(index) = together.worst_value
            && together.values >= enough
        {
            let reason = Reason::ValueWorse {
                metric: name(index),
                one_in: sequential::odds(together.values),
            };
            match config.gauges {
                Reaction::Rollback => compared.convicts = compared.convicts.or(Some(reason)),
                Reaction::Hold => compared.holds.push(reason),
                Reaction::Ignore => {}
            }
        }
        compared.holds.extend(
            together
                .unproven
                .iter()
                .map(|(index, have)| Reason::NotProven {
                    metric: name(*index),
                    have: *have,
                    need: sequential::PROOF,
                }),
        );
        compared
    }

    /// What is wrong with the canary's replicas, unless the policy does not care.
    fn crash(&self, ledger: &Ledger, evidence: &Evidence<'_>) -> Option<Reason> {
        if self.on_crash == Reaction::Ignore {
            return None;
        }
        fault(evidence.canary, self.restart_limit).or_else(|| {
            let since = crate::Timestamp::from_millis(ledger.unready?);
            let lasting = evidence.window.to.since(since);
            (lasting >= self.grace).then_some(Reason::NoneReady {
                desired: evidence.canary.desired,
                lasting,
            })
        })
    }
}
