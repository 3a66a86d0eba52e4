//! How it would have gone, look by look.

use std::fmt::{self, Display};
use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use codedance::backtest::{Backtest, Look};
use codedance::decision::{Policy, Reason, Unit, Verdict};
use codedance::time::display_duration;

/// How wide the column of each metric is.
const METRIC: usize = 18;

/// A line for each look at which something changed; those alike are counted.
pub(crate) fn looks(gone: &Backtest, policy: &Policy) {
    print!(
        "\n{:>8}  {:<11}  {:<9}  {:>7}",
        "after", "stage", "verdict", "score"
    );
    for metric in policy.metrics() {
        print!("  {:<METRIC$}", format!("{} (stable)", metric.name()));
    }
    println!("  reasons");
    let mut before = None;
    let mut alike = 0;
    for look in &gone.looks {
        let kind = Kind::of(look);
        if before.replace(kind.clone()) == Some(kind) {
            alike += 1;
            continue;
        }
        pass_over(&mut alike);
        line(gone, policy, look);
    }
    pass_over(&mut alike);
}

/// What makes two looks alike: all but the figures.
#[derive(Clone, PartialEq)]
struct Kind {
    stage: usize,
    verdict: Verdict,
    reasons: Vec<Discriminant<Reason>>,
}

impl Kind {
    fn of(look: &Look) -> Self {
        let reasons = look.assessment.reasons.iter();
        Self {
            stage: look.stage,
            verdict: look.assessment.verdict,
            reasons: reasons.map(discriminant).collect(),
        }
    }
}

fn pass_over(alike: &mut u32) {
    match std::mem::take(alike) {
        0 => {}
        alike => println!("{:>8}  {alike} more alike", "…"),
    }
}

fn line(gone: &Backtest, policy: &Policy, look: &Look) {
    let assessment = &look.assessment;
    print!(
        "{:>8}  {:<11}  {:<9}  {:>7}",
        Clock(look.window.to.since(gone.began)).to_string(),
        format!("{} ({})", look.stage + 1, look.weight),
        assessment.verdict.to_string(),
        assessment.score.to_string(),
    );
    for metric in policy.metrics() {
        let judged = assessment.metrics.iter().find(|m| m.name == metric.name());
        let unit = Unit::of(metric.signal());
        let amount = |value| Amount(value, unit);
        let (canary, stable) = judged.map_or((None, None), |m| (m.canary, m.stable));
        print!(
            "  {:<METRIC$}",
            format!("{} ({})", amount(canary), amount(stable))
        );
    }
    let mut separator = "  ";
    for reason in &assessment.reasons {
        print!("{separator}{reason}");
        separator = "; ";
    }
    println!();
}

/// A line for each stage.
pub(crate) fn stages(gone: &Backtest) {
    for stage in &gone.stages {
        let since = |at: codedance::Timestamp| Clock(at.since(gone.began));
        let end = match stage.earned {
            Some(earned) => format!("passed at {}", since(earned)),
            None => "not passed".to_owned(),
        };
        let held = match stage.held {
            Duration::ZERO => String::new(),
            held => format!(", held for {}", display_duration(held)),
        };
        println!(
            "stage {} ({}) from {}, {end}{held}",
            stage.index + 1,
            stage.weight,
            since(stage.reached)
        );
    }
}

/// Minutes and seconds since the beginning.
struct Clock(Duration);

impl Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        write!(f, "{:02}:{:02}", seconds / 60, seconds % 60)
    }
}

/// A value in its unit.
struct Amount(Option<f64>, Unit);

impl Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (None, _) => f.write_str("–"),
            (Some(share), Unit::Share) => write!(f, "{:.2} %", share * 100.0),
            (Some(seconds), Unit::Seconds) => write!(f, "{:.0} ms", seconds * 1e3),
            (Some(value), _) => write!(f, "{value:.3}"),
        }
    }
}
