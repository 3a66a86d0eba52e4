//! Sources of metrics that break their contract.

use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use codedance_core::memory::MemoryRequests;
use codedance_core::metrics::{MetricsSource, Quantile, Question, Reading, Sample, Signal, Window};
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
    InvertsQuantiles,
    ReadsAbsenceAsZero,
    NeedsBothSides,
    FailsOnEmptyWindows,
    CountsFromTheBeginning,
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
                ],
            ),
            (
                CountsTheGoodAsBad,
                &["the_success_rate_counts_the_others_as_bad"],
            ),
            (CountsNoSamples, &["a_quantile_says_over_how_many"]),
            (InvertsQuantiles, &["a_greater_quantile_is_not_smaller"]),
            (
                ReadsAbsenceAsZero,
                &[
                    "no_traffic_is_no_data_not_zero",
                    "one_side_without_traffic_is_no_data_there_alone",
                    "an_empty_window_is_no_data",
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
            Fault::InvertsQuantiles => {
                for query in &mut asked.metrics {
                    if let Signal::Latency(quantile) = &mut query.signal {
                        *quantile = Quantile::new(1.0 - quantile.share()).unwrap();
                    }
                }
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
            for sample in [&mut reading.canary, &mut reading.stable] {
                *sample = self.bent(*sample, &query.signal);
            }
        }
        Ok(readings)
    }
}

impl Mutant {
    fn bent(&self, sample: Sample, signal: &Signal) -> Sample {
        match (self.fault, sample, signal) {
            (Fault::CountsTheGoodAsBad, Sample::Counts { bad, total }, Signal::SuccessRate) => {
                Sample::Counts {
                    bad: total - bad,
                    total,
                }
            }
            (Fault::CountsNoSamples, Sample::Quantile { value, .. }, _) => {
                Sample::Quantile { value, count: 1 }
            }
            (Fault::ReadsAbsenceAsZero, Sample::NoData, Signal::ErrorRate) => {
                Sample::Counts { bad: 0, total: 0 }
            }
            _ => sample,
        }
    }
}
