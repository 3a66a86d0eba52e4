//! The answers of Prometheus to range queries, and what can be wrong with them.

use codedance_backtest::{Backtester, Field, History, HistoryError, RangeQueries, SideLabel};
use codedance_core::decision::{Limits, Metric, Quantity};
use codedance_core::metrics::{Histogram, Quantile, Sample, Signal};
use codedance_core::plan::Plan;

use crate::world::{counts, plan, policy};

/// An answer with these series: the labels, then the values at 0 s, 30 s, 60 s … where `_` is none.
fn matrix(series: &[(&str, &str)]) -> String {
    let lines = series.iter().map(|(labels, values)| {
        let points = (0..).step_by(30).zip(values.split_whitespace());
        let points = points.filter(|(_, value)| *value != "_");
        let points: Vec<_> = points
            .map(|(at, value)| format!("[{at},\"{value}\"]"))
            .collect();
        format!(
            "{{\"metric\":{{{labels}}},\"values\":[{}]}}",
            points.join(",")
        )
    });
    let lines: Vec<_> = lines.collect();
    format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{}]}}}}",
        lines.join(",")
    )
}

const CANARY: &str = r#""side":"canary""#;
const STABLE: &str = r#""side":"stable""#;

/// What a rollout's looks read of the canary and of the stable revision, one look for each interval.
fn looks(policy_metric: Metric, history: &History) -> Vec<(Sample, Sample)> {
    let policy = policy().with_metric(policy_metric).build().unwrap();
    let mut draft = crate::world::draft(100);
    draft.stages.remove(0);
    let gone = Backtester::new(policy, Plan::try_from(draft).unwrap());
    let gone = gone.with_start(history.span().from).run(history).unwrap();
    let read = |look: &codedance_backtest::Look| {
        let reading = look.readings.last().unwrap();
        (reading.canary.clone(), reading.stable.clone())
    };
    gone.looks.iter().map(read).collect()
}

/// The policy's own metric has to be there, too.
fn with_errors(queries: &mut RangeQueries, points: &str) {
    let series = matrix(&[(CANARY, points), (STABLE, points)]);
    queries
        .add("errors", Field::Total, "total.json", &series)
        .unwrap();
    queries
        .add("errors", Field::Bad, "bad.json", &matrix(&[]))
        .unwrap();
}

#[test]
fn counters_of_a_side_are_differenced_and_then_added_up() {
    let mut queries = RangeQueries::default();
    let pod = |side: &str, pod: &str| format!("{side},\"pod\":\"{pod}\"");
    let total = matrix(&[
        (&pod(CANARY, "a"), "_  _   40 90 NaN 30"),
        (&pod(CANARY, "b"), "_  _    _ 10 20 25"),
        (&pod(STABLE, "c"), "0 100 200 50 150 250"),
        (&pod(STABLE, "d"), "7 7 7 7 7 7"),
        // Of neither revision.
        (r#""side":"old""#, "0 9 99 999 9999 9999"),
    ]);
    // The first error of the canary comes in the fourth interval, and before it there is no series.
    let bad = matrix(&[
        (&pod(CANARY, "b"), "_ _ _ _ 3 3"),
        (&pod(STABLE, "c"), "5 5 6 0 0 0"),
    ]);
    queries
        .add("errors", Field::Total, "total.json", &total)
        .unwrap();
    queries.add("errors", Field::Bad, "bad.json", &bad).unwrap();
    let history = queries.history().unwrap();
    assert_eq!(history.metrics().collect::<Vec<_>>(), ["errors"]);
    assert_eq!(history.step().as_secs(), 30);
    assert_eq!(history.span().from.as_millis(), 0);

    let limit = Limits::fail(Quantity::Percent(1.0));
    let mut policy = codedance_core::decision::Policy::builder();
    policy = policy.with_metric(Metric::new("errors", Signal::ErrorRate, limit));
    let gone = Backtester::new(policy.build().unwrap(), plan(100))
        .run(&history)
        .unwrap();
    let read: Vec<_> = gone.looks.iter().map(|look| &look.readings[0]).collect();
    let read: Vec<_> = read
        .iter()
        .map(|r| (r.canary.clone(), r.stable.clone()))
        .collect();
    assert_eq!(
        read,
        [
            // There is no canary yet.
            (Sample::NoData, counts(0, 100)),
            // Its first series is born, while others were scraped: it counts from 0.
            (counts(0, 40), counts(1, 100)),
            // One grows by 50, another is born with 10; the stable revision starts again from 0.
            (counts(0, 60), counts(0, 50)),
            // One has a gap; the other counts, with its first errors.
            (counts(3, 10), counts(0, 100)),
            // It comes back, and what it counted meanwhile is left out.
            (counts(0, 5), counts(0, 100)),
        ]
    );
}

#[test]
fn gauges_and_quantiles_are_read_as_of_their_time() {
    let gauge = Metric::new(
        "load",
        Signal::Query("load".to_owned()),
        Limits::fail(Quantity::Number(5.0)),
    );
    let mut queries = RangeQueries::default();
    with_errors(&mut queries, "0 100 200 300");
    let load = matrix(&[(CANARY, "1 2 NaN 4"), (STABLE, "1 +Inf 0.5 -1e3")]);
    queries
        .add("load", Field::Value, "load.json", &load)
        .unwrap();
    let read = looks(gauge, &queries.history().unwrap());
    assert_eq!(
        &read[read.len() - 3..],
        [
            (Sample::Gauge(2.0), Sample::NoData),
            (Sample::NoData, Sample::Gauge(0.5)),
            (Sample::Gauge(4.0), Sample::Gauge(-1000.0)),
        ]
    );

    let p95 = Signal::Latency(Quantile::new(0.95).unwrap());
    let p95 = Metric::new("p95", p95, Limits::fail(std::time::Duration::from_secs(1)));
    let mut queries = RangeQueries::default();
    with_errors(&mut queries, "0 100 200");
    let value = matrix(&[(CANARY, "0.1 0.2 0.3")]);
    let count = matrix(&[(CANARY, "0 10 10"), (STABLE, "5 5 5")]);
    queries
        .add("p95", Field::Value, "p95.json", &value)
        .unwrap();
    queries
        .add("p95", Field::Count, "count.json", &count)
        .unwrap();
    let quantile = |value, count| Sample::Quantile { value, count };
    assert_eq!(
        looks(p95, &queries.history().unwrap()),
        [
            (quantile(0.2, 10), Sample::NoData),
            (quantile(0.3, 0), Sample::NoData)
        ]
    );
}

#[test]
fn buckets_of_all_series_make_one_histogram() {
    let bucket =
        |side: &str, pod: &str, le: &str| format!("{side},\"pod\":\"{pod}\",\"le\":\"{le}\"");
    let answer = matrix(&[
        (&bucket(CANARY, "a", "+Inf"), "100 110 120"),
        (&bucket(CANARY, "a", "0.1"), "50 57 60"),
        (&bucket(CANARY, "a", "0.25"), "60 69 75"),
        (&bucket(CANARY, "b", "+Inf"), "_ 4 4"),
        (&bucket(CANARY, "b", "0.1"), "_ 1 1"),
        (&bucket(CANARY, "b", "0.25"), "_ 4 4"),
    ]);
    let mut queries = RangeQueries::default();
    with_errors(&mut queries, "0 100 200");
    queries
        .add("p95", Field::Le, "buckets.json", &answer)
        .unwrap();
    let p95 = Signal::Latency(Quantile::new(0.95).unwrap());
    let p95 = Metric::new("p95", p95, Limits::fail(std::time::Duration::from_secs(1)));
    let histogram =
        |counts: [u64; 3]| Sample::Histogram(Histogram::new([0.1, 0.25], counts).unwrap());
    assert_eq!(
        looks(p95, &queries.history().unwrap()),
        [
            (histogram([7 + 1, 2 + 3, 1]), Sample::NoData),
            (histogram([3, 3, 4]), Sample::NoData),
        ]
    );

    for (labels, wanted) in [
        (
            CANARY.to_owned(),
            "has no label `le`; query the buckets of a classic histogram",
        ),
        (
            bucket(CANARY, "a", "slow"),
            "has the label `le` of `slow`, which is no bound above 0",
        ),
    ] {
        let answer = matrix(&[(&labels, "1 2 3")]);
        let mut queries = RangeQueries::default();
        let said = queries
            .add("p95", Field::Le, "a.json", &answer)
            .unwrap_err()
            .to_string();
        assert!(
            said.starts_with(&format!("a.json, data.result[0].metric: {wanted}")),
            "{said}"
        );
    }
    let mut queries = RangeQueries::default();
    let only = matrix(&[(&bucket(CANARY, "a", "+Inf"), "1 2 3")]);
    queries.add("p95", Field::Le, "a.json", &only).unwrap();
    let said = queries.history().unwrap_err().to_string();
    assert_eq!(said, "p95: a histogram has 1 to 200 bounds, not 0");
}

/// What the canary's side of the first metric was at each look of a backtest.
fn canary_of_each_look(history: &History) -> Vec<Sample> {
    let gone = Backtester::new(policy().build().unwrap(), plan(100))
        .run(history)
        .unwrap();
    let looks = gone.looks.iter();
    looks.map(|look| look.readings[0].canary.clone()).collect()
}

#[test]
fn a_gap_of_everything_is_no_data() {
    let mut queries = RangeQueries::default();
    with_errors(&mut queries, "0 100 200 _ _ 500 600");
    let history = queries.history().unwrap();
    let read = canary_of_each_look(&history);
    let (some, none) = (|| counts(0, 100), || Sample::NoData);
    assert_eq!(read, [some(), some(), none(), none(), none(), some()]);
}

#[test]
fn there_are_never_more_bad_requests_than_requests() {
    let mut queries = RangeQueries::default();
    let total = matrix(&[(CANARY, "0 10 20")]);
    queries
        .add("errors", Field::Total, "total.json", &total)
        .unwrap();
    // Evaluated a moment later, when two more had failed.
    let bad = matrix(&[(CANARY, "0 12 12")]);
    queries.add("errors", Field::Bad, "bad.json", &bad).unwrap();
    let history = queries.history().unwrap();
    let read = canary_of_each_look(&history);
    assert_eq!(read, [counts(10, 10), counts(0, 10)]);
}

#[test]
fn the_label_of_the_sides_can_be_any() {
    let labelled = |value: &str| format!("\"revision\":\"{value}\"");
    let (v1, v2) = (labelled("v1"), labelled("v2"));
    let total = matrix(&[(&v1, "0 1 2"), (&v2, "0 2 4")]);
    let mut queries = RangeQueries::new(SideLabel::new("revision", "v2", "v1"));
    queries.add("errors", Field::Total, "t", &total).unwrap();
    queries
        .add("errors", Field::Bad, "b", &matrix(&[]))
        .unwrap();
    let history = queries.history().unwrap();
    let gone = Backtester::new(policy().build().unwrap(), plan(100))
        .run(&history)
        .unwrap();
    assert_eq!(gone.canary.unwrap().total, 4);
    assert_eq!(gone.stable.unwrap().total, 2);
}

#[test]
fn what_is_wrong_is_named_with_its_key_and_how_to_mend_it() {
    let add = |field, json: &str| -> Result<(), HistoryError> {
        RangeQueries::default().add("errors", field, "a.json", json)
    };
    let answer = |kind: &str, result: &str| {
        let data = format!("{{\"resultType\":\"{kind}\",\"result\":[{result}]}}");
        format!("{{\"status\":\"success\",\"data\":{data}}}")
    };
    let series = |values: &str| {
        answer(
            "matrix",
            &format!("{{\"metric\":{{{CANARY}}},\"values\":[{values}]}}"),
        )
    };
    for (json, wanted) in [
        (
            "time,metric".to_owned(),
            "a.json: is not the answer to a range query: expected ident at line 1",
        ),
        (
            r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#.to_owned(),
            "a.json, status: is `error`, and the server says: parse error; mend the query",
        ),
        (
            answer("vector", r#"{"metric":{},"value":[1,"2"]}"#),
            "a.json, data.resultType: is vector, and has to be matrix; ask /api/v1/query_range",
        ),
        (
            r#"{"status":"success"}"#.to_owned(),
            "a.json, data.resultType: is missing, and has to be matrix",
        ),
        (
            matrix(&[(STABLE, "1"), (r#""job":"shop","code":"500""#, "1")]),
            "a.json, data.result[1].metric: has no label `side` that says which side it is of; its \
             labels are `code`, `job`",
        ),
        (
            matrix(&[(r#""side":"v1""#, "1"), (r#""side":"v2""#, "1")]),
            "a.json, data.result: no series is of either side: the label `side` is `v1`, `v2`, and \
             never `canary` or `stable`",
        ),
        (
            matrix(&[(CANARY, "1"), (r#""side":"canary","pod":"b""#, "1")]),
            "a.json, data.result[1].metric: is the second series of canary; put them together",
        ),
        (
            series("[30,\"many\"]"),
            "a.json, data.result[0].values[0]: `many` is no number",
        ),
        (
            series("[30,\"1\"],[1795255230000,\"1\"]"),
            "a.json, data.result[0].values[1]: `1795255230000` is no Unix time",
        ),
        (
            answer(
                "matrix",
                &format!("{{\"metric\":{{{CANARY}}},\"histograms\":[[30,{{}}]]}}"),
            ),
            "a.json, data.result[0].histograms: native histograms are not read; query a quantile",
        ),
        (
            answer("matrix", "7"),
            "a.json: is not the answer to a range query: invalid type",
        ),
    ] {
        let said = add(Field::Value, &json).expect_err(wanted).to_string();
        assert!(said.starts_with(wanted), "{said}\ninstead of\n{wanted}");
    }

    let one = matrix(&[(CANARY, "1 2 3")]);
    let mut queries = RangeQueries::default();
    queries.add("errors", Field::Bad, "a.json", &one).unwrap();
    let twice = queries
        .add("errors", Field::Bad, "b.json", &one)
        .unwrap_err();
    let wanted = "b.json: `errors.bad` was read from a.json already; give one file";
    assert_eq!(twice.to_string(), wanted);
    let lonely = queries.history().unwrap_err().to_string();
    assert!(
        lonely.starts_with("errors: has the queries `bad`; give `bad` and `total`"),
        "{lonely}"
    );
}
