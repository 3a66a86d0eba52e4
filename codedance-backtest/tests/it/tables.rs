//! Tables in both forms, and what can be wrong with them.

use codedance_backtest::{Backtest, Backtester, History};
use codedance_core::decision::{Limits, Metric, Quantity};
use codedance_core::metrics::{Histogram, Quantile, Reading, Sample, Signal};

use crate::world::{counts, plan, policy};

const LONG: &str = "\
# A comment.
time, metric, side, bad, total, value, count
1970-01-01T00:00:30Z, errors, canary, 1, 100, ,
1970-01-01T00:00:30Z, errors, stable, 2, 900, ,
1970-01-01T00:00:30Z, p95, canary, , , 0.25, 100
1970-01-01T00:00:30Z, p95, stable, , , 0.2, 900
1970-01-01T00:00:30Z, load, canary, , , -1.5,
60, load, canary, , , NaN,
60, errors, canary, 0.4, 99.6, ,
1970-01-01T02:01:00+02:00, errors, stable, , , ,
";

const WIDE: &str = "\
time,errors.canary.bad,errors.canary.total,errors.stable.total,errors.stable.bad,p95.canary.value,p95.canary.count,p95.stable.value,p95.stable.count,load.canary.value
60,0.4,99.6,,,,,,,NaN
30,1,100,900,2,0.25,100,0.2,900,-1.5
";

/// Looks at both intervals, each by itself.
fn replayed(table: &str) -> Backtest {
    let limit = |number| Limits::fail(Quantity::Number(number));
    let p95 = Signal::Latency(Quantile::new(0.95).unwrap());
    let second = std::time::Duration::from_secs(1);
    let policy = policy()
        .with_metric(Metric::new("p95", p95, Limits::fail(second)))
        .with_metric(Metric::new(
            "load",
            Signal::Query("load".to_owned()),
            limit(1.0),
        ));
    let history = History::from_csv("table.csv", table.as_bytes()).unwrap();
    let backtester = Backtester::new(policy.build().unwrap(), plan(5));
    backtester.run(&history).unwrap()
}

#[test]
fn both_forms_are_read_as_the_same() {
    for table in [LONG, WIDE] {
        let looks = replayed(table).looks;
        let quantile = |value, count| Sample::Quantile { value, count };
        assert_eq!(
            looks[0].readings,
            [
                Reading::new("errors", counts(1, 100), counts(2, 900)),
                Reading::new("p95", quantile(0.25, 100), quantile(0.2, 900)),
                Reading::new("load", Sample::Gauge(-1.5), Sample::NoData),
            ],
        );
        // Fractions are rounded; what is empty, NaN or not there is no data, and not a zero.
        assert_eq!(
            looks[1].readings,
            [
                Reading::new("errors", counts(0, 100), Sample::NoData),
                Reading::new("p95", Sample::NoData, Sample::NoData),
                Reading::new("load", Sample::NoData, Sample::NoData),
            ],
        );
        assert_eq!(looks.len(), 2, "the recording is a minute long");
    }
}

#[test]
fn buckets_are_read_as_histograms() {
    let long = "time,metric,side,le:+Inf,le:0.1,le:0.25\n\
                30,p95,canary,10,4,9.4\n60,p95,canary,,,\n30,p95,stable,0,0,0\n";
    let wide = "time,p95.canary.le:0.1,p95.canary.le:0.25,p95.canary.le:+Inf,p95.stable.le:0.1,\
                p95.stable.le:0.25,p95.stable.le:+Inf\n60,,,,,,\n30,4,9.4,10,0,0,0\n";
    let p95 = Signal::Latency(Quantile::new(0.95).unwrap());
    let limit = Limits::fail(std::time::Duration::from_secs(1));
    let policy = codedance_core::decision::Policy::builder()
        .with_interval(crate::world::STEP)
        .with_metric(Metric::new("p95", p95, limit))
        .build()
        .unwrap();
    for table in [long, wide] {
        let history = History::from_csv("table.csv", table.as_bytes()).unwrap();
        let looks = Backtester::new(policy.clone(), plan(5))
            .run(&history)
            .unwrap()
            .looks;
        let histogram =
            |counts: [u64; 3]| Sample::Histogram(Histogram::new([0.1, 0.25], counts).unwrap());
        assert_eq!(
            looks[0].readings,
            [Reading::new(
                "p95",
                histogram([4, 5, 1]),
                histogram([0, 0, 0])
            )]
        );
        assert_eq!(looks[1].readings[0].canary, Sample::NoData);
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_how_to_mend_it() {
    let table: &[(&str, &str)] = &[
        (
            "metric,side\n",
            "t.csv, line 1, time: there is no such column; write the end of each",
        ),
        (
            "time,metric,bad\n",
            "t.csv, line 1, side: there is no such column beside `metric`",
        ),
        (
            "time,side,bad\n",
            "t.csv, line 1, metric: there is no such column beside `side`",
        ),
        (
            "time,metric,side,good\n",
            "t.csv, line 1, good: is no column of a long table; it has",
        ),
        (
            "time,time\n",
            "t.csv, line 1, time: is the name of two columns",
        ),
        (
            "time,errors.canary\n",
            "t.csv, line 1, errors.canary: is no column of a table; write",
        ),
        (
            "time,errors.green.bad\n",
            "t.csv, line 1, errors.green.bad: is no column",
        ),
        (
            "# c\ntime,errors.canary.good\n",
            "t.csv, line 2, errors.canary.good: is no column",
        ),
        (
            "time,metric,side,bad,total\nsoon,errors,canary,0,1\n",
            "t.csv, line 2, time: `soon` is no time; write RFC 3339",
        ),
        (
            "time,metric,side,bad,total\n1795255230000,errors,canary,0,1\n",
            "t.csv, line 2, time: `1795255230000` is no time; write Unix seconds",
        ),
        (
            "time,metric,side,bad,total\n30,,canary,0,1\n",
            "t.csv, line 2, metric: is empty; write the metric's name",
        ),
        (
            "time,metric,side,bad,total\n30,errors,green,0,1\n",
            "t.csv, line 2, side: `green` is no side; write `canary` or `stable`",
        ),
        (
            "time,metric,side,bad,total\n30,errors,canary,few,1\n",
            "t.csv, line 2, bad: `few` is no number of requests; write one such as 120",
        ),
        (
            "time,metric,side,bad,total\n30,errors,canary,-1,1\n",
            "t.csv, line 2, bad: `-1` is no number of requests; write one from 0 to",
        ),
        (
            "time,metric,side,bad,total\n30,errors,canary,2,1\n",
            "t.csv, line 2, bad: 2 requests are bad of only 1; `total` counts the bad ones too",
        ),
        (
            "time,metric,side,bad,total\n30,errors,canary,0,1\r\n# c\n\n60,errors,canary,2,\n",
            "t.csv, line 5, bad: is there without `total`; write how many requests",
        ),
        (
            "time,metric,side,bad,total\n30,errors,canary,,1\n",
            "t.csv, line 2, total: is there without `bad`; write how many of them ended badly",
        ),
        (
            "time,metric,side,value,count\n30,p95,canary,,1\n",
            "t.csv, line 2, count: is there without `value`; write the quantile in seconds",
        ),
        (
            "time,metric,side,value,count\n30,p95,canary,slow,1\n",
            "t.csv, line 2, value: `slow` is no number; write one such as 0.183",
        ),
        (
            "time,metric,side,total,value\n30,p95,canary,1,1\n",
            "t.csv, line 2: is of two kinds at once; write `bad` and `total`",
        ),
        (
            "time,a.b.canary.bad,a.b.canary.total\n30,1,2\n60,3,2\n",
            "t.csv, line 3, a.b.canary.bad: 3 requests are bad of only 2",
        ),
        (
            "time,metric,side,bad,total\n30,errors,canary\n",
            "t.csv, line 2: has 3 cells, and the first line 5; write as many commas",
        ),
        (
            "time,metric,side,bad,total\n30,errors,canary,0,1\n30,errors,canary,0,1\n",
            "t.csv: errors was recorded twice at 1970-01-01T00:00:30Z; leave one",
        ),
        (
            "time,metric,side,bad,total\n30,errors,canary,0,1\n30,errors,stable,0,1\n",
            "t.csv, time: there are fewer than two points in time; at least two",
        ),
        (
            "time,metric,side,le:slow\n",
            "t.csv, line 1, le:slow: is no bucket; write its bound",
        ),
        (
            "time,metric,side,le:0\n",
            "t.csv, line 1, le:0: is no bucket; write its bound",
        ),
        (
            "time,metric,side,le\n",
            "t.csv, line 1, le: is no column of a long table",
        ),
        (
            "time,metric,side,le:0.1\n",
            "t.csv, line 1, le:+Inf: there is no such column beside",
        ),
        (
            "time,metric,side,le:+Inf\n",
            "t.csv, line 1, le: a histogram has 1 to 200 bounds, not 0",
        ),
        (
            "time,p95.canary.le:0.1\n",
            "t.csv, line 1, p95.canary.le:+Inf: there is no such column beside",
        ),
        (
            "time,metric,side,le:0.1,le:0.2,le:+Inf\n30,p95,canary,3,2,4\n",
            "t.csv, line 2, le:0.2: 2 is less than the 3 of the bucket before; each bucket",
        ),
        (
            "time,metric,side,le:0.1,le:0.2,le:+Inf\n30,p95,canary,3,,4\n",
            "t.csv, line 2, le:0.2: is empty beside buckets that are not",
        ),
        (
            "time,p95.canary.le:0.1,p95.canary.le:+Inf\n30,3,2\n",
            "t.csv, line 2, p95.canary.le:+Inf: 2 is less than the 3",
        ),
        (
            "time,p95.canary.le:0.1,p95.canary.le:+Inf,p95.stable.le:0.2,p95.stable.le:+Inf\n\
             30,3,4,3,4\n60,3,4,3,4\n",
            "t.csv, le: p95 has other bounds at 1970-01-01T00:00:30Z than before",
        ),
        ("", "t.csv, line 1, time: there is no such column"),
    ];
    for (text, wanted) in table {
        let error = History::from_csv("t.csv", text.as_bytes()).expect_err(wanted);
        let said = error.to_string();
        assert!(said.starts_with(wanted), "{said}\ninstead of\n{wanted}");
    }
    let latin = b"time,metric,side,bad,total\n30,erreurs r\xe9elles,canary,0,1\n";
    let error = History::from_csv("t.csv", &latin[..]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "t.csv, line 2: is not UTF-8; save the table as UTF-8"
    );
}
