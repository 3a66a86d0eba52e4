//! What goes wrong between the client and the server, or in the server.

use std::convert::Infallible;
use std::io::Write;
use std::time::{Duration, Instant};

use codedance_core::ErrorKind;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::{Bytes, Frame};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue, RETRY_AFTER};

use super::gate::{Gate, Weather};
use super::upstream::{Content, Upstream, answer, one};
use super::{AT, client, config, refusal, told, value};
use crate::client::Client;

const SECOND: Duration = Duration::from_secs(1);

fn busy(status: u16, retry_after: &'static str) -> Response<Content> {
    let mut response = answer(status, "text/plain", "busy");
    let retry_after = HeaderValue::from_static(retry_after);
    response.headers_mut().insert(RETRY_AFTER, retry_after);
    response
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_after_the_timeout() {
    let upstream = Upstream::answering([|| one("1")]).await;
    let gate = Gate::to(upstream.address).await;
    gate.set(Weather::Swallow);
    let config = config(gate.address).with_timeout(SECOND);
    let client = Client::open(config).await.unwrap();
    let begun = Instant::now();
    let error = client.instant("up", AT).await.unwrap_err();
    let taken = begun.elapsed();
    assert!((SECOND..6 * SECOND).contains(&taken), "{taken:?}");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        told(&error).contains("no answer within 1s; `timeout`"),
        "{}",
        told(&error)
    );
    assert_eq!(gate.connections(), 1);
}

#[tokio::test]
async fn an_answer_that_stops_on_its_way_is_left_after_the_timeout() {
    let upstream = Upstream::start(|_| async move {
        let begin = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(
            "{\"status\":",
        )))]);
        let body = StreamBody::new(begin.chain(stream::pending()));
        Response::new(BodyExt::boxed(body))
    })
    .await;
    let config = config(upstream.address).with_timeout(SECOND);
    let client = Client::open(config).await.unwrap();
    let error = client.instant("up", AT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test]
async fn a_slow_answer_in_time_is_an_answer() {
    let upstream = Upstream::answering([|| one("1")]).await;
    let gate = Gate::to(upstream.address).await;
    gate.set(Weather::Delay(SECOND));
    let client = client(gate.address).await;
    let rows = client.instant("up", AT).await.unwrap();
    assert_eq!(value(&rows), 1.0);
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test]
async fn a_connection_that_breaks_is_tried_again() {
    let upstream = Upstream::answering([|| one("1")]).await;
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"status\":\"succ";
    for broken in [
        Weather::Reset,
        Weather::ResetAfter(0),
        Weather::ResetAfter(20),
        Weather::ResetAfter(150),
        Weather::Answer(Vec::new()),
        Weather::Answer(head.to_vec()),
    ] {
        let gate = Gate::to(upstream.address).await;
        gate.script([broken.clone(), broken.clone()], Weather::Fair);
        let rows = client(gate.address).await.instant("up", AT).await;
        assert_eq!(value(&rows.unwrap()), 1.0, "{broken:?}");
        assert_eq!(gate.connections(), 3, "{broken:?}");
    }
}

#[tokio::test]
async fn a_connection_that_goes_on_breaking_is_unavailable() {
    let upstream = Upstream::answering([|| one("1")]).await;
    for (weather, expected) in [
        (Weather::Reset, "the server cannot be reached: "),
        (Weather::ResetAfter(150), "the answer broke off: "),
    ] {
        let gate = Gate::to(upstream.address).await;
        gate.set(weather);
        let config = config(gate.address).with_attempts(2);
        let client = Client::open(config).await.unwrap();
        let error = client.instant("up", AT).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let told = told(&error);
        let operation = format!("failed to ask http://{}/api/v1/query ", gate.address);
        assert!(
            told.starts_with(&operation) && told.contains(expected),
            "{told}"
        );
        assert_eq!(gate.connections(), 2);
    }
}

#[tokio::test]
async fn where_nobody_listens_the_server_cannot_be_reached() {
    let gate = Gate::to("127.0.0.1:9".parse().unwrap()).await;
    let config = config(gate.address).with_attempts(2);
    drop(gate);
    let client = Client::open(config).await.unwrap();
    let error = client.instant("up", AT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        told(&error).contains("the server cannot be reached: "),
        "{}",
        told(&error)
    );
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again() {
    for first in [
        || busy(502, "0"),
        || busy(503, ""),
        || busy(504, "x"),
        || busy(429, "0"),
    ] {
        let upstream = Upstream::answering([first, first, || one("1")]).await;
        let rows = client(upstream.address).await.instant("up", AT).await;
        assert_eq!(value(&rows.unwrap()), 1.0);
        assert_eq!(upstream.asked().len(), 3);
    }
    let upstream = Upstream::answering([|| busy(503, "0")]).await;
    let error = refusal(&upstream).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.retry_after(), Some(Duration::ZERO));
    assert!(
        told(&error).contains("503 Service Unavailable: busy"),
        "{}",
        told(&error)
    );
    assert_eq!(upstream.asked().len(), 4, "`attempts`");
}

#[tokio::test]
async fn a_server_is_left_alone_for_as_long_as_it_asks() {
    let upstream = Upstream::answering([|| busy(429, "1"), || one("1")]).await;
    let begun = Instant::now();
    let rows = client(upstream.address).await.instant("up", AT).await;
    assert_eq!(value(&rows.unwrap()), 1.0);
    assert!(begun.elapsed() >= SECOND);
    assert_eq!(upstream.asked().len(), 2);
}

#[tokio::test]
async fn a_wait_longer_than_the_timeout_is_the_callers() {
    let limited: [(fn() -> _, _); 2] = [
        (|| busy(429, "3600"), Some(Duration::from_secs(3_600))),
        (|| answer(429, "text/plain", "busy"), None),
    ];
    for (limited, wait) in limited {
        let upstream = Upstream::answering([limited]).await;
        let error = refusal(&upstream).await;
        assert_eq!(
            (error.kind(), error.retry_after()),
            (ErrorKind::RateLimited, wait)
        );
        assert_eq!(upstream.asked().len(), 1);
    }
}

#[tokio::test]
async fn what_would_be_refused_again_is_asked_once() {
    use ErrorKind::*;
    for (status, kind) in [
        (400, Invalid),
        (401, Denied),
        (403, Denied),
        (404, NotFound),
        (422, Invalid),
        (500, Unavailable),
    ] {
        let upstream = Upstream::start(move |_| async move {
            let body = r#"{"status":"error","errorType":"x","error":"no such thing"}"#;
            answer(status, "application/json", body)
        })
        .await;
        let error = refusal(&upstream).await;
        assert_eq!(error.kind(), kind, "{status}");
        assert!(
            told(&error).ends_with(": no such thing"),
            "{}",
            told(&error)
        );
        assert_eq!(upstream.asked().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_page_of_a_gateway_is_no_answer() {
    let page = || answer(200, "text/html", "<html>\n<title>Log in</title>");
    let upstream = Upstream::answering([page]).await;
    let error = refusal(&upstream).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let told = told(&error);
    assert!(
        told.contains("`text/html` came instead of JSON") && told.contains("Log in"),
        "{told}"
    );
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test]
async fn a_part_of_the_data_is_an_error() {
    let partial =
        r#"{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[]}}"#;
    let upstream =
        Upstream::start(move |_| async move { answer(200, "application/json", partial) }).await;
    let error = refusal(&upstream).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(told(&error).contains("not the whole"), "{}", told(&error));
    assert_eq!(upstream.asked().len(), 1);
}

const MEBIBYTE: usize = 1 << 20;

/// More than the buffers of both sides' sockets and of the gate hold.
const ON_THE_WAY: u64 = 64 * MEBIBYTE as u64;

async fn asked_for_too_much(upstream: &Upstream) -> u64 {
    let gate = Gate::to(upstream.address).await;
    let config = config(gate.address).with_max_answer_bytes(MEBIBYTE);
    let client = Client::open(config).await.unwrap();
    let error = client.instant("up", AT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let told = told(&error);
    assert!(told.contains("longer than 1048576 bytes"), "{told}");
    assert!(told.contains("raise `max_answer_bytes`"), "{told}");
    assert_eq!(upstream.asked().len(), 1);
    gate.answered()
}

#[tokio::test]
async fn an_answer_of_a_gibibyte_is_not_read_to_its_end() {
    let endless = || {
        let spaces = Bytes::from(vec![b' '; MEBIBYTE]);
        let chunks = stream::repeat(spaces).take(1 << 10);
        let body = StreamBody::new(chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk))));
        Response::new(BodyExt::boxed(body))
    };
    let upstream = Upstream::answering([endless]).await;
    let read = asked_for_too_much(&upstream).await;
    assert!(read < ON_THE_WAY, "{read}");
}

#[tokio::test]
async fn an_answer_that_announces_a_gibibyte_is_not_read_at_all() {
    let announced = || {
        let first = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("{")))]);
        let body = StreamBody::new(first.chain(stream::pending()));
        let mut response = Response::new(BodyExt::boxed(body));
        let length = HeaderValue::from_static("1073741824");
        response.headers_mut().insert(CONTENT_LENGTH, length);
        response
    };
    let upstream = Upstream::answering([announced]).await;
    let read = asked_for_too_much(&upstream).await;
    assert!(read < 4_096, "{read}");
}

#[tokio::test]
async fn an_answer_that_swells_when_it_is_decompressed_is_bounded_too() {
    let swelling = || {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for _ in 0..16 {
            gzip.write_all(&vec![b' '; MEBIBYTE]).unwrap();
        }
        let mut response = answer(200, "application/json", gzip.finish().unwrap());
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(CONTENT_ENCODING, gzip);
        response
    };
    let upstream = Upstream::answering([swelling]).await;
    let read = asked_for_too_much(&upstream).await;
    assert!(read < MEBIBYTE as u64, "{read}");
}
