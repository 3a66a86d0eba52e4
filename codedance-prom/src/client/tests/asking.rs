//! What is asked, and what comes back.

use std::io::Write;
use std::time::Duration;

use codedance_core::{ErrorKind, Timestamp};
use hyper::Method;
use hyper::header::{CONTENT_ENCODING, HeaderValue, LOCATION};

use super::upstream::{Upstream, answer, one};
use super::{AT, client, config, told, value};
use crate::client::{Authorization, Client, NativeBucket, NativeBuckets, Value};

#[tokio::test]
async fn an_instant_is_asked_by_a_form_with_all_that_servers_need() {
    let upstream = Upstream::answering([|| one("7")]).await;
    let url = format!("http://{}/select/0/prometheus/", upstream.address);
    let client = Client::open(super::Config::new(url.parse().unwrap()))
        .await
        .unwrap();
    let query = r#"sum(rate(x{code=~"5.."}[1m])) + "ä&=" "#;
    let rows = client.instant(query, AT).await.unwrap();
    assert_eq!(value(&rows), 7.0);
    let [asked] = &upstream.asked()[..] else {
        panic!("{:?}", upstream.asked())
    };
    assert_eq!(asked.method, Method::POST);
    assert_eq!(asked.path, "/select/0/prometheus/api/v1/query");
    assert_eq!(
        asked.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(asked.fields["query"], query);
    assert_eq!(asked.fields["time"], "1795304790.497");
    assert_eq!(asked.fields["nocache"], "1");
    let timeout: f64 = asked.fields["timeout"].parse().unwrap();
    assert!(
        (1.0..=30.0).contains(&timeout),
        "what is left of 30 s: {timeout}"
    );
    assert_eq!(asked.fields.len(), 4);
}

#[tokio::test]
async fn a_range_is_asked_from_start_to_end_by_its_step() {
    let body = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{"side":"canary"},"values":[[60,"1"],[75,"2.5"]],
         "histograms":[[90,{"count":"1","sum":"2","buckets":[[0,"1","3","1"]]}]]}]}}"#;
    let upstream =
        Upstream::start(move |_| async move { answer(200, "application/json", body) }).await;
    let client = client(upstream.address).await;
    let from = Timestamp::from_millis(60_000);
    let step = Duration::from_millis(7_500);
    let tracks = client
        .range("up", from, from + 4 * step, step)
        .await
        .unwrap();
    let asked = &upstream.asked()[0];
    assert_eq!(asked.path, "/api/v1/query_range");
    for (name, expected) in [("start", "60.000"), ("end", "90.000"), ("step", "7500ms")] {
        assert_eq!(asked.fields[name], expected);
    }
    assert!(!asked.fields.contains_key("time"));
    let [track] = &tracks[..] else {
        panic!("{tracks:?}")
    };
    assert_eq!(track.labels["side"], "canary");
    let bucket = NativeBucket {
        lower: 1.0,
        upper: 3.0,
        count: 1.0,
    };
    let native = NativeBuckets {
        count: 1.0,
        sum: 2.0,
        buckets: vec![bucket],
    };
    let expected = [
        (Timestamp::from_millis(60_000), Value::Float(1.0)),
        (Timestamp::from_millis(75_000), Value::Float(2.5)),
        (Timestamp::from_millis(90_000), Value::Native(native)),
    ];
    assert_eq!(track.points, expected);
}

#[tokio::test]
async fn credentials_and_headers_are_shown_with_each_request() {
    let upstream = Upstream::answering([|| one("1")]).await;
    let basic = Authorization::Basic {
        username: "shop".to_owned(),
        password: "pä:ss".into(),
    };
    let config = config(upstream.address)
        .with_authorization(basic)
        .with_header("X-Scope-OrgID", "team-a");
    let client = Client::open(config).await.unwrap();
    client.instant("up", AT).await.unwrap();
    client.instant("down", AT).await.unwrap();
    for asked in upstream.asked() {
        assert_eq!(
            asked.header("authorization"),
            Some("Basic c2hvcDpww6Q6c3M=")
        );
        assert_eq!(asked.header("x-scope-orgid"), Some("team-a"));
    }
    assert_eq!(upstream.asked().len(), 2);
}

#[tokio::test]
async fn a_server_that_refuses_post_is_asked_by_get_from_then_on() {
    let upstream = Upstream::start(|asked| async move {
        match asked.method {
            Method::GET => one("3"),
            _ => answer(405, "text/plain", "Method Not Allowed"),
        }
    })
    .await;
    let client = client(upstream.address).await;
    for query in [r#"up{a="b&c"}"#, "down"] {
        assert_eq!(value(&client.instant(query, AT).await.unwrap()), 3.0);
        let asked = upstream.asked().pop().unwrap();
        assert_eq!(asked.fields["query"], query);
        assert_eq!(asked.fields["nocache"], "1");
    }
    let methods: Vec<_> = upstream
        .asked()
        .into_iter()
        .map(|asked| asked.method)
        .collect();
    assert_eq!(methods, [Method::POST, Method::GET, Method::GET]);
}

#[tokio::test]
async fn a_server_that_refuses_both_is_told_as_it_says() {
    let upstream = Upstream::answering([|| answer(405, "text/plain", "not here")]).await;
    let client = client(upstream.address).await;
    let error = client.instant("up", AT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        told(&error).contains("405 Method Not Allowed: not here"),
        "{}",
        told(&error)
    );
}

#[tokio::test]
async fn redirects_are_followed_within_the_server_alone() {
    let other = Upstream::answering([|| one("1")]).await;
    let away = format!("http://{}/api/v1/query?token=hunter2", other.address);
    let upstream = Upstream::start(move |asked| {
        let away = away.clone();
        async move {
            let (status, to) = match (asked.path.as_str(), asked.fields["query"].as_str()) {
                ("/near/api/v1/query", "near") => (307, "/api/v1/query".to_owned()),
                ("/near/api/v1/query", "away") => (307, away),
                ("/near/api/v1/query", "login") => (302, "/login".to_owned()),
                ("/near/api/v1/query", "round") => (308, "/near/api/v1/query".to_owned()),
                _ => return one("2"),
            };
            let mut response = answer(status, "text/html", "moved");
            response.headers_mut().insert(LOCATION, to.parse().unwrap());
            response
        }
    })
    .await;
    let url = format!("http://{}/near", upstream.address);
    let config = super::Config::new(url.parse().unwrap())
        .with_authorization(Authorization::Bearer("s3cr3t".into()));
    let client = Client::open(config).await.unwrap();
    let rows = client.instant("near", AT).await.unwrap();
    assert_eq!(value(&rows), 2.0);
    let sent_on = upstream.asked().pop().unwrap();
    assert_eq!(
        (sent_on.method, sent_on.path.as_str()),
        (Method::POST, "/api/v1/query")
    );
    for query in ["away", "login", "round"] {
        let error = client.instant(query, AT).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{query}");
        let told = told(&error);
        assert!(
            told.contains("the server sends on to ") && told.contains("in `url`"),
            "{told}"
        );
        assert!(!told.contains("hunter2"), "{told}");
    }
    assert!(other.asked().is_empty());
    assert_eq!(upstream.asked().len(), 2 + 1 + 1 + 4);
}

#[tokio::test]
async fn compressed_answers_are_read() {
    let upstream = Upstream::start(|asked| async move {
        assert_eq!(asked.header("accept-encoding"), Some("gzip"));
        let body = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"5"]}}"#;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(body.as_bytes()).unwrap();
        let mut response = answer(200, "application/json", gzip.finish().unwrap());
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(CONTENT_ENCODING, gzip);
        response
    })
    .await;
    let rows = client(upstream.address)
        .await
        .instant("5", AT)
        .await
        .unwrap();
    assert_eq!(value(&rows), 5.0);
}

#[tokio::test]
async fn a_long_answer_is_read_like_a_short_one() {
    let upstream = Upstream::start(|_| async move {
        let series: Vec<_> = (0..20_000)
            .map(|id| format!(r#"{{"metric":{{"pod":"web-{id}"}},"value":[1,"{id}"]}}"#))
            .collect();
        let series = series.join(",");
        let body = format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#
        );
        answer(200, "application/json", body)
    })
    .await;
    let rows = client(upstream.address)
        .await
        .instant("up", AT)
        .await
        .unwrap();
    assert_eq!(rows.len(), 20_000);
    assert_eq!(rows[19_999].labels["pod"], "web-19999");
}
