//! What every source of metrics must do.

mod latency;
mod past;

use std::ops::RangeInclusive;

use async_trait::async_trait;
use latency::{
    a_greater_quantile_is_not_smaller, a_histogram_counts_in_the_right_bucket,
    a_histogram_keeps_its_bounds, a_latency_says_over_how_many,
};
use past::{a_past_is_told_only_if_it_is_asked_for, the_past_is_told_interval_by_interval};

use super::{Clause, abandon, done, refused};
use crate::error::ErrorKind;
use crate::metrics::{
    MetricQuery, MetricsSource, Quantile, Question, Reading, Sample, Signal, Window,
};
use crate::workload::Revision;

/// Requests that a revision answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// How many.
    pub total: u64,
    /// How many of them with a status of 5xx; the others with 200.
    pub bad: u64,
}

/// The world of a metrics source under test, new for each test, in which no request was ever made.
#[async_trait]
pub trait MetricsHarness: Send + Sync {
    /// What is tested.
    fn source(&self) -> &dyn MetricsSource;

    /// The revision in service. Default `v1`.
    fn stable(&self) -> Revision {
        revision("v1")
    }

    /// The revision coming. Default `v2`.
    fn canary(&self) -> Revision {
        revision("v2")
    }

    /// Has both revisions answer so many requests, waits until the source can read them, and returns a
    /// window that holds these and no others. Windows of later calls are later. With no requests at all,
    /// the window is one of silence. Never more than 300 requests a side.
    async fn requests(&self, canary: Requests, stable: Requests) -> Window;

    /// Whether the source reads such a signal. What it does not read it must refuse.
    fn reads(&self, signal: &Signal) -> bool;

    /// Whether the source still knows how the stable revision did before a window. One that does not must
    /// tell no past at all. Default yes.
    fn remembers(&self) -> bool {
        true
    }

    /// A query in the source's own language that gives a number for either side when there is traffic.
    fn query(&self) -> String;

    /// A query that is malformed in that language.
    fn malformed_query(&self) -> String;

    /// Between which times, in seconds, this share of the revision's requests in the window was truly
    /// answered, as far as the harness knows. Default: within a minute.
    fn took(
        &self,
        _revision: &Revision,
        _window: Window,
        _quantile: Quantile,
    ) -> RangeInclusive<f64> {
        0.0..=60.0
    }

    /// By which share counts may be off, for sources that extrapolate. Default none.
    fn tolerance(&self) -> f64 {
        0.0
    }
}

fn revision(name: &str) -> Revision {
    Revision::new(name).unwrap_or_else(|error| panic!("{error}"))
}

/// One test for each clause of the contract of [`MetricsSource`]: `metrics_conformance!(harness)`, where
/// `harness` is the path of an `async fn() -> impl MetricsHarness`.
#[doc(hidden)]
#[macro_export]
macro_rules! __metrics_conformance {
    ($(#[$attribute:meta])* $harness:path) => {
        $crate::__metrics_clauses! {
            __clause_tests ($(#[$attribute])*) METRICS MetricsHarness $harness,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __metrics_clauses {
    ($then:ident $($given:tt)*) => {
        $crate::$then! { $($given)* [
            each_query_has_its_reading_in_order
            an_empty_question_has_an_empty_answer
            every_signal_is_read_or_refused
            errors_are_counted_on_their_side
            the_success_rate_counts_the_others_as_bad
            a_latency_says_over_how_many
            a_greater_quantile_is_not_smaller
            a_histogram_keeps_its_bounds
            a_histogram_counts_in_the_right_bucket
            no_traffic_is_no_data_not_zero
            one_side_without_traffic_is_no_data_there_alone
            an_empty_window_is_no_data
            counts_are_of_the_window
            the_past_is_told_interval_by_interval
            a_past_is_told_only_if_it_is_asked_for
            the_same_question_has_the_same_answer
            a_malformed_query_is_invalid_and_named
            a_dropped_call_changes_nothing
        ] }
    };
}

/// The clauses of [`MetricsSource`].
pub static METRICS: &[Clause<dyn MetricsHarness>] = crate::__metrics_clauses!(__clause_table);

type Harness = dyn MetricsHarness;

const NONE: Requests = Requests { total: 0, bad: 0 };
const SOME: Requests = Requests {
    total: 100,
    bad: 40,
};
const GOOD: Requests = Requests { total: 200, bad: 0 };

/// One reading for each query, by its name and in the order of the question.
async fn each_query_has_its_reading_in_order(harness: &Harness) {
    let window = harness.requests(SOME, GOOD).await;
    let signals = readable(harness);
    let names = ["zeta", "alpha", "mid", "beta", "omega"];
    let signal = |place: usize| signals.get(place % signals.len()).cloned();
    let queries = names
        .iter()
        .enumerate()
        .filter_map(|(place, name)| query(name, signal(place)?));
    let readings = done(
        harness
            .source()
            .measure(&ask(harness, queries, window))
            .await,
        "measure",
    );
    let named = readings
        .iter()
        .map(|reading| reading.name.as_str())
        .collect::<Vec<_>>();
    assert_eq!(named, names, "one reading for each query, in order");
}

/// No query, no reading, no error.
async fn an_empty_question_has_an_empty_answer(harness: &Harness) {
    let window = harness.requests(SOME, GOOD).await;
    let readings = harness.source().measure(&ask(harness, [], window)).await;
    assert_eq!(done(readings, "measure nothing"), [], "nothing was asked");
}

/// What the harness says the source reads has data; what it does not is refused as `Unsupported`.
async fn every_signal_is_read_or_refused(harness: &Harness) {
    let window = harness.requests(SOME, GOOD).await;
    for signal in signals(harness) {
        let readings = harness
            .source()
            .measure(&one(harness, signal.clone(), window))
            .await;
        if harness.reads(&signal) {
            let reading = only(done(readings, "measure"));
            let data = reading.canary != Sample::NoData && reading.stable != Sample::NoData;
            assert!(data, "there is traffic to read {signal:?} of: {reading:?}");
        } else {
            refused(readings, ErrorKind::Unsupported, &format!("{signal:?}"));
        }
    }
}

/// The canary's errors are the canary's, and the stable side's its own.
async fn errors_are_counted_on_their_side(harness: &Harness) {
    if !harness.reads(&Signal::ErrorRate) {
        return must_refuse(harness, Signal::ErrorRate).await;
    }
    let window = harness.requests(SOME, GOOD).await;
    let reading = measure(harness, Signal::ErrorRate, window).await;
    counts(harness, reading.canary, SOME);
    counts(harness, reading.stable, GOOD);
}

/// `bad` are those that did not end well, as for the error rate.
async fn the_success_rate_counts_the_others_as_bad(harness: &Harness) {
    if !harness.reads(&Signal::SuccessRate) {
        return must_refuse(harness, Signal::SuccessRate).await;
    }
    let window = harness.requests(SOME, GOOD).await;
    let reading = measure(harness, Signal::SuccessRate, window).await;
    counts(harness, reading.canary, SOME);
    counts(harness, reading.stable, GOOD);
}

/// Where there was no request, there is nothing to read, of any signal.
async fn no_traffic_is_no_data_not_zero(harness: &Harness) {
    let window = harness.requests(NONE, NONE).await;
    for signal in readable(harness) {
        let reading = measure(harness, signal.clone(), window).await;
        let nothing = Reading::new("it", Sample::NoData, Sample::NoData);
        assert_eq!(reading, nothing, "{signal:?} without traffic");
    }
}

/// The other side is read all the same.
async fn one_side_without_traffic_is_no_data_there_alone(harness: &Harness) {
    for (canary, stable) in [(NONE, GOOD), (SOME, NONE)] {
        let window = harness.requests(canary, stable).await;
        for signal in readable(harness) {
            let reading = measure(harness, signal.clone(), window).await;
            for (sample, requests) in [(reading.canary, canary), (reading.stable, stable)] {
                let found = sample != Sample::NoData;
                assert_eq!(
                    found,
                    requests != NONE,
                    "{signal:?} of {requests:?}: {sample:?}"
                );
            }
        }
    }
}

/// A window without length holds nothing, and is no error.
async fn an_empty_window_is_no_data(harness: &Harness) {
    let window = harness.requests(SOME, GOOD).await;
    for signal in readable(harness) {
        let reading = measure(harness, signal, Window::new(window.from, window.from)).await;
        assert_eq!(
            reading,
            Reading::new("it", Sample::NoData, Sample::NoData),
            "an empty window"
        );
    }
}

/// What was before and what came after does not count.
async fn counts_are_of_the_window(harness: &Harness) {
    if !harness.reads(&Signal::ErrorRate) {
        return must_refuse(harness, Signal::ErrorRate).await;
    }
    let first = harness.requests(SOME, GOOD).await;
    let other = Requests { total: 50, bad: 10 };
    let second = harness.requests(other, SOME).await;
    for (window, canary, stable) in [(second, other, SOME), (first, SOME, GOOD)] {
        let reading = measure(harness, Signal::ErrorRate, window).await;
        counts(harness, reading.canary, canary);
        counts(harness, reading.stable, stable);
    }
}

/// Asking changes nothing, and nothing else changed.
async fn the_same_question_has_the_same_answer(harness: &Harness) {
    let window = harness.requests(SOME, GOOD).await;
    for signal in readable(harness) {
        let first = measure(harness, signal.clone(), window).await;
        assert_eq!(
            measure(harness, signal, window).await,
            first,
            "the same question"
        );
    }
}

/// It is refused as `Invalid`, with the metric's name; as `Unsupported` where there is no language.
async fn a_malformed_query_is_invalid_and_named(harness: &Harness) {
    let signal = Signal::Query(harness.malformed_query());
    let window = harness.requests(SOME, GOOD).await;
    let mut question = one(harness, signal, window);
    for query in &mut question.metrics {
        "checkout-errors".clone_into(&mut query.name);
    }
    let answer = harness.source().measure(&question).await;
    if harness.reads(&Signal::Query(harness.query())) {
        let failure = refused(answer, ErrorKind::Invalid, "a malformed query");
        assert!(
            failure.message.contains("checkout-errors"),
            "the metric is named: {failure}"
        );
    } else {
        refused(answer, ErrorKind::Unsupported, "a query");
    }
}

/// Whenever a call is given up, the next one reads as if it had not been.
async fn a_dropped_call_changes_nothing(harness: &Harness) {
    let window = harness.requests(SOME, GOOD).await;
    for signal in readable(harness) {
        let first = measure(harness, signal.clone(), window).await;
        for rounds in [0, 1, 2, 7] {
            let question = one(harness, signal.clone(), window);
            abandon(harness.source().measure(&question), rounds).await;
        }
        assert_eq!(
            measure(harness, signal, window).await,
            first,
            "after calls that were dropped"
        );
    }
}

fn signals(harness: &Harness) -> [Signal; 4] {
    let query = Signal::Query(harness.query());
    [Signal::ErrorRate, Signal::SuccessRate, latency(0.99), query]
}

fn readable(harness: &Harness) -> Vec<Signal> {
    let readable = signals(harness)
        .into_iter()
        .filter(|signal| harness.reads(signal));
    let readable = readable.collect::<Vec<_>>();
    assert!(!readable.is_empty(), "a source must read some signal");
    readable
}

fn latency(share: f64) -> Signal {
    Signal::Latency(quantile(share))
}

fn quantile(share: f64) -> Quantile {
    Quantile::new(share).unwrap_or_else(|error| panic!("{error}"))
}

fn query(name: &str, signal: Signal) -> Option<MetricQuery> {
    Some(MetricQuery::new(name, signal))
}

fn ask(
    harness: &Harness,
    metrics: impl IntoIterator<Item = MetricQuery>,
    window: Window,
) -> Question {
    let metrics = metrics.into_iter().collect();
    Question {
        stable: harness.stable(),
        canary: harness.canary(),
        metrics,
        window,
        history: None,
    }
}

fn one(harness: &Harness, signal: Signal, window: Window) -> Question {
    ask(harness, query("it", signal), window)
}

fn only(readings: Vec<Reading>) -> Reading {
    match <[Reading; 1]>::try_from(readings) {
        Ok([reading]) => reading,
        Err(readings) => panic!("one query has one reading, not {readings:?}"),
    }
}

async fn measure(harness: &Harness, signal: Signal, window: Window) -> Reading {
    only(done(
        harness
            .source()
            .measure(&one(harness, signal, window))
            .await,
        "measure",
    ))
}

async fn must_refuse(harness: &Harness, signal: Signal) {
    let window = harness.requests(SOME, GOOD).await;
    let answer = harness
        .source()
        .measure(&one(harness, signal.clone(), window))
        .await;
    refused(answer, ErrorKind::Unsupported, &format!("{signal:?}"));
}

#[track_caller]
fn counts(harness: &Harness, sample: Sample, made: Requests) {
    let Sample::Counts { bad, total } = sample else {
        panic!("requests are read as counts, not {sample:?}");
    };
    assert!(bad <= total, "{bad} bad ones of {total}");
    near(harness, bad, made.bad);
    near(harness, total, made.total);
}

#[track_caller]
fn near(harness: &Harness, read: u64, made: u64) {
    let off = made as f64 * harness.tolerance();
    assert!(
        read.abs_diff(made) as f64 <= off,
        "{made} were made, {read} were read"
    );
}
