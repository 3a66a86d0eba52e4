//! Answers, word by word.

use super::*;

fn answer(kind: &str, result: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#)
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn vector(result: &str) -> Vec<Row> {
    rows(answer("vector", result).as_bytes()).unwrap()
}

#[test]
fn a_vector_is_read_value_by_value() {
    let json = r#"[
        {"metric":{"__name__":"up","job":"a \"b\""},"value":[1795304790.497,"0.25"]},
        {"metric":{},"value":[1.001,"-1e3"]}]"#;
    let expected = [
        Row {
            labels: labels(&[("__name__", "up"), ("job", "a \"b\"")]),
            at: at(1_795_304_790_497),
            value: Value::Float(0.25),
        },
        Row {
            labels: labels(&[]),
            at: at(1_001),
            value: Value::Float(-1_000.0),
        },
    ];
    assert_eq!(vector(json), expected);
    assert_eq!(vector("[]"), []);
}

#[test]
fn values_that_are_no_finite_numbers_are_read_as_they_are() {
    let value =
        |text: &str| match &vector(&format!(r#"[{{"metric":{{}},"value":[1,"{text}"]}}]"#))[..] {
            [
                Row {
                    value: Value::Float(value),
                    ..
                },
            ] => *value,
            other => panic!("{other:?}"),
        };
    assert!(value("NaN").is_nan());
    assert_eq!(value("+Inf"), f64::INFINITY);
    assert_eq!(value("-Inf"), f64::NEG_INFINITY);
    // As text, a number keeps its precision.
    assert_eq!(value("0.1"), 0.1);
    assert_eq!(value("9007199254740993"), 9_007_199_254_740_992.0);
}

#[test]
fn a_scalar_is_a_row_without_labels() {
    let scalar = rows(answer("scalar", r#"[1795304790.497,"1"]"#).as_bytes()).unwrap();
    let row = Row {
        labels: labels(&[]),
        at: at(1_795_304_790_497),
        value: Value::Float(1.0),
    };
    assert_eq!(scalar, [row]);
}

#[test]
fn native_histograms_keep_their_buckets() {
    let json = r#"[{"metric":{},"histogram":[1.5,
        {"count":"4","sum":"+Inf","buckets":[[0,"0.5","1","3"],[3,"-0.001","0.001","1"]]}]},
        {"metric":{},"histogram":[1.5,{"count":"0","sum":"0"}]}]"#;
    let bucket = |lower, upper, count| NativeBucket {
        lower,
        upper,
        count,
    };
    let rows = vector(json);
    assert_eq!(
        rows[0].value,
        Value::Native(NativeBuckets {
            count: 4.0,
            sum: f64::INFINITY,
            buckets: vec![bucket(0.5, 1.0, 3.0), bucket(-0.001, 0.001, 1.0)],
        })
    );
    let empty = NativeBuckets {
        count: 0.0,
        sum: 0.0,
        buckets: Vec::new(),
    };
    assert_eq!(rows[1].value, Value::Native(empty));
}

#[test]
fn a_matrix_is_read_in_the_order_of_time() {
    let json = r#"[{"metric":{"le":"+Inf"},"values":[[10,"1"],[30.5,"3"]],
        "histograms":[[20,{"count":"2","sum":"1","buckets":[]}]]},{"metric":{}}]"#;
    let tracks = tracks(answer("matrix", json).as_bytes()).unwrap();
    assert_eq!(tracks[0].labels, labels(&[("le", "+Inf")]));
    let times: Vec<_> = tracks[0]
        .points
        .iter()
        .map(|(at, _)| at.as_millis())
        .collect();
    assert_eq!(times, [10_000, 20_000, 30_500]);
    assert_eq!(tracks[0].points[2].1, Value::Float(3.0));
    assert_eq!(tracks[1].points, []);
}

#[test]
fn the_order_of_keys_and_unknown_keys_do_not_matter() {
    let json = r#"{"isPartial":false,"warnings":null,"infos":["PromQL info: x"],"stats":{"a":[1]},
        "data":{"result":[{"value":[1,"2"],"group":3,"metric":{}}],"resultType":"vector","x":{}},
        "status":"success","warnings2":[]}"#;
    assert_eq!(rows(json.as_bytes()).unwrap()[0].value, Value::Float(2.0));
}

#[test]
fn remarks_among_the_warnings_are_no_warnings() {
    let json = |warning: &str| {
        let vector = answer("vector", "[]");
        format!(
            r#"{},"warnings":["{warning}"]}}"#,
            &vector[..vector.len() - 1]
        )
    };
    let remark = json("PromQL info: metric might not be a counter");
    assert!(rows(remark.as_bytes()).unwrap().is_empty());
    let warning = rows(json("PromQL warning: bucket label is missing").as_bytes());
    let warning = warning.unwrap_err();
    assert!(
        warning
            .to_string()
            .ends_with("not the whole: PromQL warning: bucket label is missing")
    );
}

#[test]
fn a_part_is_never_taken_for_the_whole() {
    let partial =
        r#"{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[]}}"#;
    let warned = r#"{"status":"success","warnings":["store-1 is down","store-2 is down"],
        "data":{"resultType":"matrix","result":[]}}"#;
    let partial = rows(partial.as_bytes()).unwrap_err();
    assert!(partial.to_string().contains("`isPartial`"), "{partial}");
    let warned = tracks(warned.as_bytes()).unwrap_err();
    assert!(
        warned
            .to_string()
            .contains("store-1 is down; store-2 is down"),
        "{warned}"
    );
    for fault in [partial, warned] {
        assert_eq!(fault.kind(), codedance_core::ErrorKind::Unavailable);
    }
}

#[test]
fn what_cannot_be_compared_is_refused_with_the_mend() {
    for (kind, result, expected) in [
        (
            "string",
            r#"[1,"a"]"#,
            "the query gives a text; write one that gives one value",
        ),
        (
            "matrix",
            "[]",
            "the query gives values over time; write one that gives one value",
        ),
        ("streams", "[]", "the unknown type `streams`"),
    ] {
        let refused = rows(answer(kind, result).as_bytes()).unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
    }
    let refused = tracks(answer("vector", "[]").as_bytes()).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("gives one value for each series"),
        "{refused}"
    );
}

#[test]
fn a_text_that_ends_early_broke_off_and_another_one_is_foreign() {
    let whole = answer("vector", r#"[{"metric":{"a":"b"},"value":[1.5,"2"]}]"#);
    for end in 0..whole.len() {
        let cut = rows(&whole.as_bytes()[..end]).unwrap_err();
        assert!(matches!(cut, Fault::Cut(_)), "{end}: {cut:?}");
    }
    for result in [
        r#"[{"metric":{}}]"#,
        r#"[{"metric":{},"value":[1,2]}]"#,
        r#"[{"metric":{},"value":[1,"two"]}]"#,
        r#"[{"metric":{},"value":[1,"2",3]}]"#,
        r#"[{"metric":{},"value":["1","2"]}]"#,
        r#"[{"metric":{"a":1},"value":[1,"2"]}]"#,
        r#"[{"value":[1,"2"]}]"#,
        r#"[{"metric":{},"value":[1,"2"],"histogram":[1,{"count":"1","sum":"1"}]}]"#,
        r#"[{"metric":{},"histogram":[1,{"count":"1","sum":"1","buckets":[[0,"1","2"]]}]}]"#,
        "{}",
    ] {
        let foreign = rows(answer("vector", result).as_bytes()).unwrap_err();
        assert!(
            matches!(foreign, Fault::Foreign(_)),
            "{result}: {foreign:?}"
        );
    }
    for json in [r#"{"status":"success"}"#, r#"{"data":{}}"#] {
        let foreign = rows(json.as_bytes()).unwrap_err();
        assert!(matches!(foreign, Fault::Foreign(_)), "{json}: {foreign:?}");
    }
}
