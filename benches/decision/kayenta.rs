//! Kayenta, as the library has it.

use codedance::decision::mann_whitney::{Class, compare};
use codedance::decision::{Direction, Effect, KayentaMetric};

use crate::judges::Detector;
use crate::traffic::{Minute, Side};

/// Compares the minutes of both sides since the rollout began, each so many minutes; one metric that is
/// high sends the canary back.
///
/// It waits for five minutes. Of fewer, Kayenta convicts every canary all of whose minutes are worse than
/// all of the stable side's: of one minute, every other healthy canary.
#[derive(Debug)]
pub(crate) struct Kayenta {
    every: usize,
    metric: KayentaMetric,
    canary: Vec<Vec<f64>>,
    stable: Vec<Vec<f64>>,
}

/// So many minutes it waits for.
const FEWEST: usize = 5;

impl Kayenta {
    /// `allowed` is the ratio of means (`allowedIncrease`) below which nothing counts as high.
    pub(crate) fn new(every: usize, allowed: f64) -> Self {
        let effect = Effect::default().with_allowed(allowed, 1.0);
        Self {
            every,
            metric: KayentaMetric::default()
                .with_direction(Direction::Increase)
                .with_effect(effect),
            canary: Vec::new(),
            stable: Vec::new(),
        }
    }
}

impl<S: Side> Detector<S> for Kayenta {
    fn begin(&mut self, _: &[S]) {
        self.canary.clear();
        self.stable.clear();
    }

    fn look(&mut self, minute: &Minute<S>) -> bool {
        append(&mut self.canary, minute.canary.series());
        append(&mut self.stable, minute.stable.series());
        let gone = minute.index + 1;
        if gone < FEWEST || !gone.is_multiple_of(self.every) {
            return false;
        }
        let sides = self.canary.iter().zip(&self.stable);
        let mut classes = sides.map(|(canary, stable)| compare(canary, stable, &self.metric).class);
        classes.any(|class| class == Class::High)
    }
}

/// Adds a point to each series, and the series at the first.
fn append(series: &mut Vec<Vec<f64>>, points: impl Iterator<Item = f64>) {
    for (index, point) in points.enumerate() {
        match series.get_mut(index) {
            Some(series) => series.push(point),
            None => series.push(vec![point]),
        }
    }
}
