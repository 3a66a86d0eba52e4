//! Requests as endpoints see them.

use std::time::Duration;

use codedance_proxy::Reuse;
use http_body_util::BodyExt;
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::*;

/// A server that notes what it is sent on a connection, so many bytes, and answers then.
async fn noting(length: usize) -> (Backend, Seen) {
    let seen = Seen::default();
    let notes = Seen::clone(&seen);
    let backend = Backend::raw(move |mut stream: TcpStream| {
        let notes = Seen::clone(&notes);
        async move {
            let mut read = Vec::new();
            while read.len() < length {
                // What is missing is seen when this is given up.
                let more = timeout(Duration::from_secs(5), stream.read_buf(&mut read)).await;
                if !matches!(more, Ok(Ok(1..))) {
                    break;
                }
            }
            let text = String::from_utf8_lossy(&read).into_owned();
            notes.lock().unwrap().push(text);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    (backend, seen)
}

#[tokio::test]
async fn a_request_is_framed_by_what_its_body_is() {
    let large = "y".repeat(6_000);
    let chunked = "transfer-encoding: chunked\r\n";
    let announced = "transfer-encoding: chunked\r\ntrailer: x-sum, host\r\n";
    for (method, lines, body, passed) in [
        ("GET", "", "", ""),
        ("POST", "", "", ""),
        ("POST", "content-length: 0\r\n", "", ""),
        ("GET", "content-length: 2\r\n", "ok", "ok"),
        ("PUT", "content-length: 6000\r\n", &large, &large),
        (
            "GET",
            chunked,
            "2\r\nok\r\n0\r\n\r\n",
            "2\r\nok\r\n0\r\n\r\n",
        ),
        ("POST", chunked, "0\r\n\r\n", "0\r\n\r\n"),
        ("POST", chunked, "0\r\nx-sum: 1\r\n\r\n", "0\r\n\r\n"),
        (
            "POST",
            announced,
            "2\r\nok\r\n0\r\nx-sum: 1\r\nhost: y\r\nx-other: 1\r\n\r\n",
            "2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n",
        ),
    ] {
        let request = format!("{method} /a?b=c HTTP/1.1\r\nhost: shop\r\n{lines}");
        let forwarded = "x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n\
            x-forwarded-host: shop\r\n";
        let length = request.len() + forwarded.len() + 2 + passed.len();
        let (backend, seen) = noting(length).await;
        let proxy = proxy(config(), &[&backend], &[]).await;
        let sent = format!("{request}connection: close\r\n\r\n{body}");
        assert_eq!(statuses(&talk(proxy.local_addr(), &sent).await), [200]);

        let seen = seen.lock().unwrap().pop().unwrap();
        let (head, found) = seen.split_once("\r\n\r\n").unwrap();
        assert_eq!(found, passed, "{method} {lines:?}");
        let sorted = |text: &str| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines[1..].sort_unstable();
            lines
        };
        assert_eq!(sorted(head), sorted(&format!("{request}{forwarded}")));
        stop(proxy).await;
    }
}

#[tokio::test]
async fn parts_of_any_size_arrive_in_their_order() {
    let backend = Backend::start(|request| async move {
        let body = request.into_body().collect().await.unwrap();
        let sum = body.trailers().map(|trailers| trailers["x-sum"].clone());
        let mut response = Response::new(full(body.to_bytes()));
        response.headers_mut().insert("x-sum", sum.unwrap());
        response
    })
    .await;
    let proxy = proxy(config().with_reuse(Reuse::Always), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..3 {
        let (mut parts, body) = channel();
        let request = Request::post("/").header("host", "shop");
        let request = request.header("trailer", "x-sum").body(body).unwrap();
        let sending = async {
            let mut sent = Vec::new();
            for (number, length) in [1, 4_096, 4_097, 3, 70_000, 2, 16_384, 300_000, 5]
                .iter()
                .enumerate()
            {
                let part = vec![b'a' + u8::try_from(number).unwrap(); *length];
                sent.extend_from_slice(&part);
                parts.send_data(part.into()).await.unwrap();
            }
            let sum = ("x-sum".parse().unwrap(), "7".parse().unwrap());
            parts
                .send_trailers(HeaderMap::from_iter([sum]))
                .await
                .unwrap();
            drop(parts);
            sent
        };
        let (response, sent) = tokio::join!(client.send(request), sending);
        let response = response.unwrap();
        assert_eq!(response.headers()["x-sum"], "7");
        let echoed = response.into_body().collect().await.unwrap().to_bytes();
        assert!(echoed == sent, "{} bytes came back", echoed.len());
    }
    assert_eq!(backend.accepted(), 1);
    stop(proxy).await;
}

#[tokio::test]
async fn an_answer_before_the_requests_end_is_passed_on_and_ends_the_connection() {
    let backend = Backend::raw(|mut stream: TcpStream| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 413 Too Large\r\ncontent-length: 4\r\n\r\nmuch";
        stream.write_all(answer).await.unwrap();
        // The rest of the request never comes.
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        let _ = read.expect("the connection stays open");
    })
    .await;
    let proxy = proxy(config().with_reuse(Reuse::Always), &[&backend], &[]).await;
    for accepted in 1..4 {
        let mut client = Client::connect(proxy.local_addr()).await;
        let (mut parts, body) = channel();
        parts.send_data("a part".into()).await.unwrap();
        let request = Request::post("/").header("host", "shop");
        let (status, text) = client.ask(request.body(body).unwrap()).await.unwrap();
        assert_eq!(
            (status, &*text),
            (StatusCode::PAYLOAD_TOO_LARGE, &b"much"[..])
        );
        assert_eq!(backend.accepted(), accepted);
        drop(parts);
    }
    let totals = proxy.totals(&revision("v1")).unwrap();
    assert_eq!(
        (totals.answers[3], totals.cut_short, totals.no_answer),
        (3, 0, 0)
    );
    stop(proxy).await;
}
