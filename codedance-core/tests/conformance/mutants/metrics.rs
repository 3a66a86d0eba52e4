//! Sources of metrics that break their contract.

use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use codedance_core::memory::MemoryRequests;
use codedance_core::metrics::{
    Histogram, MetricsSource, Quantile, Question, Reading, Sample, Signal, Window,
};
use codedance_core::testing::{METRICS, MetricsHarness};
use codedance_core::{Error, ErrorKind, Result, Timestamp};

use super::{Busy, each_is_noticed};
use crate::memory::Traffic;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    SortsByName,
    NamesBySignal,
    LosesTheLast,
    RefusesToReadNothing,
    ReadsNothingWhereItMustRefuse,
    RefusesWhatItReads,
    SwapsTheSides,
    CountsTheGoodAsBad,
    CountsNoSamples,
    CountsEveryAnswerTwice,
    InvertsQuantiles,
    BoundsDifferBySide,
    BoundsDifferByWindow,
    BoundsAreMilliseconds,
    ReadsAbsenceAsZero,
    ReadsAbsenceAsEmptyHistogram,
    NeedsBothSides,
    FailsOnEmptyWindows,
    CountsFromTheBeginning,
    TellsThePastBackwards,
    TellsThePastOfTheCanary,
    TellsThePastUpToNow,
    TellsHalfOfThePast,
    TellsNoPast,
    TellsAPastUnasked,
    InventsAPast,
    AnswersDifferently,
    HopesForMalformedQueries,
    HidesWhichQueryIsMalformed,
    StaysBusyWhenDropped,
}

#[test]
fn each_fault_is_noticed() {
    use Fault::*;
    each_is_noticed(
        METRICS,
        &[
            (None, &[]),
            (SortsByName, &["each_query_has_its_reading_in_order"]),
            (NamesBySignal, &["each_query_has_its_reading_in_order"]),
            (LosesTheLast, &["each_query_has_its_reading_in_order"]),
            (
                RefusesToReadNothing,
                &["an_empty_question_has_an_empty_answer"],
            ),
            (
                ReadsNothingWhereItMustRefuse,
                &[
                    "every_signal_is_read_or_refused",
                    "a_malformed_query_is_invalid_and_named",
                ],
            ),
            (
                RefusesWhatItReads,
                &[
                    "each_query_has_its_reading_in_order",
                    "every_signal_is_read_or_refused",
                    "no_traffic_is_no_data_not_zero",
                    "one_side_without_traffic_is_no_data_there_alone",
                    "an_empty_window_is_no_data",
                    "the_past_is_told_interval_by_interval",
                    "a_past_is_told_only_if_it_is_asked_for",
                    "the_same_question_has_the_same_answer",
                    "a_malformed_query_is_invalid_and_named",
                    "a_dropped_call_changes_nothing",
                ],
            ),
            (
                SwapsTheSides,
                &[
                    "errors_are_counted_on_their_side",
                    "one_side_without_traffic_is_no_data_there_alone",
                    "counts_are_of_the_window",
                    "the_past_is_told_interval_by_interval",
                ],
            ),
            (
                CountsTheGoodAsBad,
                &[
                    "the_success_rate_counts_the_others_as_bad",
                    "the_past_is_told_interval_by_interval",
                ],
            ),
            (CountsNoSamples, &["a_latency_says_over_how_many"]),
            (CountsEveryAnswerTwice, &["a_latency_says_over_how_many"]),
            (InvertsQuantiles, &["a_greater_quantile_is_not_smaller"]),
            (
                BoundsDifferBySide,
                &[
                    "a_histogram_keeps_its_bounds",
                    "the_past_is_told_interval_by_interval",
                ],
            ),
            (
                BoundsDifferByWindow,
                &[
                    "a_histogram_keeps_its_bounds",
                    "the_past_is_told_interval_by_interval",
                ],
            ),
            (
                BoundsAreMilliseconds,
                &["a_histogram_counts_in_the_right_bucket"],
            ),
            (
                ReadsAbsenceAsZero,
                &[
                    "no_traffic_is_no_data_not_zero",
                    "one_side_without_traffic_is_no_data_there_alone",
                    "an_empty_window_is_no_data",
                    "the_past_is_told_interval_by_interval",
                ],
            ),
            (
                ReadsAbsenceAsEmptyHistogram,
                &[
                    "no_traffic_is_no_data_not_zero",
                    "one_side_without_traffic_is_no_data_there_alone",
                    "an_empty_window_is_no_data",
                    "the_past_is_told_interval_by_interval",
                ],
            ),
            (
                NeedsBothSides,
                &["one_side_without_traffic_is_no_data_there_alone"],
            ),
            (FailsOnEmptyWindows, &["an_empty_window_is_no_data"]),
            (
                CountsFromTheBeginning,
                &[
                    "one_side_without_traffic_is_no_data_there_alone",
                    "counts_are_of_the_window",
                    "the_past_is_told_interval_by_interval",
                ],
            ),
            (
                TellsThePastBackwards,
                &["the_past_is_told_interval_by_interval"],
            ),
            (
                TellsThePastOfTheCanary,
                &["the_past_is_told_interval_by_interval"],
            ),
            (
                TellsThePastUpToNow,
                &["the_past_is_told_interval_by_interval"],
            ),
            (
                TellsHalfOfThePast,
                &["the_past_is_told_interval_by_interval"],
            ),
            (TellsNoPast, &["the_past_is_told_interval_by_interval"]),
            (InventsAPast, &["the_past_is_told_interval_by_interval"]),
            (
                TellsAPastUnasked,
                &[
                    "no_traffic_is_no_data_not_zero",
                    "an_empty_window_is_no_data",
                    "a_past_is_told_only_if_it_is_asked_for",
                ],
            ),
            (
                AnswersDifferently,
                &[
                    "the_same_question_has_the_same_answer",
                    "a_dropped_call_changes_nothing",
                ],
            ),
            (
                HopesForMalformedQueries,
                &["a_malformed_query_is_invalid_and_named"],
            ),
            (
                HidesWhichQueryIsMalformed,
                &["a_malformed_query_is_invalid_and_named"],
            ),
            (StaysBusyWhenDropped, &["a_dropped_call_changes_nothing"]),
        ],
        |fault| {
            let world = MemoryRequests::new();
            let calls = AtomicI64::new(0);
            let port = Mutant {
                inner: world.clone(),
                fault,
                busy: Busy::default(),
                calls,
            };
            let mut harness = Traffic::new(Box::new(port), world);
            harness.reads_queries = fault != ReadsNothingWhereItMustRefuse;
            Box::new(harness) as Box<dyn MetricsHarness>
        },
    );
}

#[derive(Debug)]
struct Mutant {
    inner: MemoryRequests,
    fault: Fault,
    busy: Busy,
    calls: AtomicI64,
}

#[async_trait]
impl MetricsSource for Mutant {
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>> {
        let mut asked = question.clone();
        let malformed =
            |signal: &Signal| matches!(signal, Signal::Query(text) if text != "requests");
        let malformed = asked.metrics.iter().any(|query| malformed(&query.signal));
        let window = question.window;
        match self.fault {
            Fault::RefusesToReadNothing if asked.metrics.is_empty() => {
                return Err(Error::new(ErrorKind::Invalid, "read nothing"));
            }
            Fault::RefusesWhatItReads
                if asked
                    .metrics
                    .iter()
                    .any(|query| matches!(query.signal, Signal::Query(_))) =>
            {
                return Err(Error::unsupported("queries"));
            }
            Fault::FailsOnEmptyWindows if window.from == window.to => {
                return Err(Error::new(ErrorKind::Invalid, "read an empty window"));
            }
            Fault::CountsFromTheBeginning => {
                asked.window = Window::new(Timestamp::EPOCH, window.to);
            }
            Fault::ReadsNothingWhereItMustRefuse if malformed => {
                let nothing = |name: &String| Reading::new(name, Sample::NoData, Sample::NoData);
                return Ok(asked
                    .metrics
                    .iter()
                    .map(|query| nothing(&query.name))
                    .collect());
            }
            Fault::HopesForMalformedQueries if malformed => {
                return Err(Error::new(ErrorKind::Unavailable, "read checkout-errors"));
            }
            Fault::HidesWhichQueryIsMalformed if malformed => {
                return Err(Error::new(ErrorKind::Invalid, "read a metric"));
            }
            Fault::StaysBusyWhenDropped => self.busy.hold().await?,
            _ => {}
        }
        let mut readings = self.inner.measure(&asked).await?;
        let elsewhere = match self.fault {
            Fault::TellsThePastOfTheCanary => {
                asked.stable = asked.canary.clone();
                self.inner.measure(&asked).await?
            }
            Fault::TellsThePastUpToNow => {
                asked.window = Window::new(window.to, window.to);
                self.inner.measure(&asked).await?
            }
            _ => Vec::new(),
        };
        for (reading, other) in readings.iter_mut().zip(elsewhere) {
            reading.history = other.history;
        }
        match self.fault {
            Fault::SortsByName => readings.sort_by(|a, b| a.name.cmp(&b.name)),
            Fault::LosesTheLast if readings.len() > 1 => drop(readings.pop()),
            _ => {}
        }
        let calls = self.calls.fetch_add(1, Ordering::SeqCst);
        for (reading, query) in readings.iter_mut().zip(&asked.metrics) {
            match self.fault {
                Fault::NamesBySignal if asked.metrics.len() > 1 => {
                    reading.name = format!("{:?}", query.signal);
                }
                Fault::NeedsBothSides
                    if reading.canary == Sample::NoData || reading.stable == Sample::NoData =>
                {
                    *reading = Reading::new(&reading.name, Sample::NoData, Sample::NoData);
                }
                Fault::SwapsTheSides if query.signal == Signal::ErrorRate => {
                    std::mem::swap(&mut reading.canary, &mut reading.stable);
                }
                Fault::AnswersDifferently if reading.canary != Sample::NoData => {
                    reading.at = Some(Timestamp::from_millis(calls));
                }
                _ => {}
            }
            match self.fault {
                Fault::TellsThePastBackwards => reading.history.reverse(),
                Fault::TellsHalfOfThePast => {
                    drop(reading.history.drain(..asked.past().count() / 2));
                }
                Fault::TellsNoPast => reading.history.clear(),
                Fault::TellsAPastUnasked if reading.history.is_empty() => {
                    reading.history.push(reading.stable.clone());
                }
                Fault::InventsAPast => {
                    for sample in &mut reading.history {
                        if *sample == Sample::NoData {
                            *sample = Sample::Counts { bad: 0, total: 0 };
                        }
                    }
                }
                _ => {}
            }
            let hour = window.from.as_millis() / 3_600_000;
            if self.fault == Fault::BoundsDifferBySide
                || self.fault == Fault::BoundsDifferByWindow && hour % 2 == 0
            {
                reading.stable = without_highest_bound(&reading.stable);
            }
            let sides = [&mut reading.canary, &mut reading.stable];
            for sample in sides.into_iter().chain(&mut reading.history) {
                if let Some(bent) = self.bent(sample, &query.signal) {
                    *sample = bent;
                }
            }
        }
        Ok(readings)
    }
}

impl Mutant {
    fn bent(&self, sample: &Sample, signal: &Signal) -> Option<Sample> {
        Some(match (self.fault, sample, signal) {
            (Fault::CountsTheGoodAsBad, &Sample::Counts { bad, total }, Signal::SuccessRate) => {
                Sample::Counts {
                    bad: total - bad,
                    total,
                }
            }
            (Fault::CountsNoSamples, Sample::Histogram(histogram), Signal::Latency(quantile)) => {
                Sample::Quantile {
                    value: histogram.quantile(*quantile)?,
                    count: 1,
                }
            }
            (Fault::InvertsQuantiles, Sample::Histogram(histogram), Signal::Latency(quantile)) => {
                let inverse = Quantile::new(1.0 - quantile.share()).unwrap();
                Sample::Quantile {
                    value: histogram.quantile(inverse)?,
                    count: histogram.total(),
                }
            }
            (Fault::CountsEveryAnswerTwice, Sample::Histogram(histogram), _) => {
                let counts: Vec<u64> = histogram.counts().iter().map(|count| count * 2).collect();
                Sample::Histogram(Histogram::new(histogram.bounds(), counts).unwrap())
            }
            (Fault::BoundsAreMilliseconds, Sample::Histogram(histogram), _) => {
                let bounds: Vec<f64> = histogram.bounds().iter().map(|b| b * 1_000.0).collect();
                Sample::Histogram(Histogram::new(bounds, histogram.counts()).unwrap())
            }
            (Fault::ReadsAbsenceAsZero, Sample::NoData, Signal::ErrorRate) => {
                Sample::Counts { bad: 0, total: 0 }
            }
            (Fault::ReadsAbsenceAsEmptyHistogram, Sample::NoData, Signal::Latency(_)) => {
                Sample::Histogram(Histogram::new([1.0], [0, 0]).unwrap())
            }
            _ => return None,
        })
    }
}

/// The same histogram without its highest bound, above which nothing was counted.
fn without_highest_bound(sample: &Sample) -> Sample {
    let Sample::Histogram(histogram) = sample else {
        return sample.clone();
    };
    let fewer = histogram.bounds().len() - 1;
    let (bounds, counts) = (&histogram.bounds()[..fewer], &histogram.counts()[..=fewer]);
    Sample::Histogram(Histogram::new(bounds, counts).unwrap())
}
