//! What becomes of proper requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use codedance_core::traffic::Endpoints;
use codedance_proxy::{Limits, Rules, Side};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Frame;
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::frames::*;
use crate::support::*;

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn many_requests_share_a_connection_and_are_split() {
    let (a, b) = (Backend::saying("a").await, Backend::saying("b").await);
    let rules = Rules::new().with_header("x-tester", "yes", Side::Canary);
    let config = config().with_rules(rules.unwrap());
    let proxy = proxy(config, &[&a], &[&b]).await;
    apply(&proxy, &split(5_000)).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    let asked: Vec<_> = (0..200)
        .map(|_| {
            tokio::spawn({
                let client = client.clone();
                async move { client.get("/").await }
            })
        })
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().0, StatusCode::OK);
    }
    let answers = |name| proxy.totals(&revision(name)).unwrap().answers[1];
    assert_eq!(answers("v1") + answers("v2"), 200);
    assert!(answers("v1").min(answers("v2")) > 40);

    for _ in 0..10 {
        let mut tester = get2("/");
        tester
            .headers_mut()
            .insert("x-tester", "yes".parse().unwrap());
        assert_eq!(client.ask(tester).await.unwrap().1, "b");
    }
    assert_eq!(proxy.in_flight(&revision("v1")), 0);
    stop(proxy).await;
}

#[tokio::test]
async fn heads_become_those_of_http_1_and_back() {
    let backend = Backend::raw(|mut stream| async move {
        use tokio::io::AsyncWriteExt;
        let head = read_head(&mut stream).await.unwrap();
        let answer = format!(
            "HTTP/1.1 200 Fine\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: max=5\r\n\
             Proxy-Connection: close\r\nUpgrade: h2c\r\nX-End: 1\r\nContent-Length: {}\r\n\r\n{head}",
            head.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    let mut request = get2("/a/b?c=%20d");
    for (name, value) in [
        ("host", "other"),
        ("te", "trailers"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-forwarded-proto", "spoofed"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let response = client.send(request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let mut names: Vec<_> = response
        .headers()
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "date", "x-end"]);

    let seen = response.into_body().collect().await.unwrap().to_bytes();
    let seen = String::from_utf8(seen.to_vec()).unwrap();
    let mut lines: Vec<_> = seen.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "GET /a/b?c=%20d HTTP/1.1");
    lines.sort_unstable();
    let expected = [
        "connection: te",
        "cookie: a=1; b=2",
        "host: shop",
        "te: trailers",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: shop",
        "x-forwarded-proto: http",
    ];
    assert_eq!(lines, expected);
    stop(proxy).await;
}

/// A server that sends back the body of a request as it comes, with its trailers and one of its own.
async fn echo() -> Backend {
    Backend::start(|request| async move {
        let length = request.headers().get("content-length").cloned();
        let method = request.method().clone();
        let body = request.into_body().map_err(|error| panic!("{error}"));
        let body = body.map_frame(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                trailers.insert("x-seen", "1".parse().unwrap());
            }
            frame
        });
        let mut response = Response::new(body.boxed());
        let headers = response.headers_mut();
        headers.insert("x-method", method.as_str().parse().unwrap());
        headers.insert("trailer", "x-sum, x-seen".parse().unwrap());
        headers.extend(length.map(|length| (http::header::CONTENT_LENGTH, length)));
        response
    })
    .await
}

#[tokio::test]
async fn bodies_and_trailers_stream_both_ways_at_once() {
    let backend = echo().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    for method in [Method::POST, Method::GET] {
        let (mut parts, body) = channel();
        let mut request = post2("/", body);
        *request.method_mut() = method.clone();
        let headers = request.headers_mut();
        headers.insert("te", "trailers".parse().unwrap());
        headers.insert("trailer", "x-sum".parse().unwrap());
        parts.send_data("first".into()).await.unwrap();
        let response = client.send(request).await.unwrap();
        assert_eq!(response.headers()["x-method"], method.as_str());
        let mut answer = response.into_body();
        assert_eq!(data(answer.frame().await), "first");
        for n in 0..100 {
            let part = format!("part {n}");
            parts.send_data(part.clone().into()).await.unwrap();
            assert_eq!(data(answer.frame().await), part);
        }
        assert_eq!(proxy.in_flight(&revision("v1")), 1);
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
        parts.send_trailers(trailers).await.unwrap();
        drop(parts);
        let trailers = loop {
            // The end may be announced by an empty part.
            let frame = answer.frame().await.unwrap().unwrap();
            if let Ok(trailers) = frame.into_trailers() {
                break trailers;
            }
        };
        assert_eq!(
            (&trailers["x-sum"], &trailers["x-seen"]),
            (&"7".parse().unwrap(), &"1".parse().unwrap())
        );
    }
    stop(proxy).await;
}

fn data(frame: Option<hyper::Result<Frame<Bytes>>>) -> Bytes {
    frame.unwrap().unwrap().into_data().unwrap()
}

#[tokio::test]
async fn large_bodies_pass_side_by_side_unchanged() {
    let backend = echo().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    let large: Bytes = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let echoed: Vec<_> = (0..4)
        .map(|_| {
            let (client, large) = (client.clone(), large.clone());
            tokio::spawn(async move {
                let (status, echoed) = client.ask(post2("/", full(large.clone()))).await.unwrap();
                assert!(echoed == large, "{} bytes came back", echoed.len());
                status
            })
        })
        .collect();
    for status in echoed {
        assert_eq!(status.await.unwrap(), StatusCode::OK);
    }
    stop(proxy).await;
}

#[tokio::test]
async fn limits_hold_for_each_request_and_spare_the_connection() {
    let (backend, seen) = witness().await;
    let limits = Limits::default()
        .with_head_bytes(2_000)
        .with_target_bytes(100);
    let limits = limits.with_headers(20).with_body_bytes(10);
    let proxy = proxy(config().with_limits(limits), &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    let status = async |request: Request<Content>| client.ask(request).await.unwrap().0;
    let with = |headers: usize, bytes: usize| {
        let mut request = get2("/heads");
        for number in 0..headers {
            let name = format!("x-{number}").parse::<http::HeaderName>().unwrap();
            request
                .headers_mut()
                .insert(name, "y".repeat(bytes).parse().unwrap());
        }
        request
    };
    let path = |length: usize| "/".to_owned() + &"p".repeat(length - 1);
    assert_eq!(status(with(20, 1)).await, StatusCode::OK);
    assert_eq!(
        status(with(21, 1)).await,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    assert_eq!(status(with(1, 1_500)).await, StatusCode::OK);
    assert_eq!(status(get2(&path(100))).await, StatusCode::OK);
    assert_eq!(status(get2(&path(101))).await, StatusCode::URI_TOO_LONG);
    assert_eq!(
        status(post2("/sized", full("y".repeat(10)))).await,
        StatusCode::OK
    );
    assert_eq!(
        status(post2("/no", full("y".repeat(11)))).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(seen.lock().unwrap().len(), 4);

    let (mut parts, body) = channel();
    let sending = tokio::spawn(async move {
        for _ in 0..11 {
            // Refused in the middle, nobody takes the rest.
            let _ = parts.send_data("y".into()).await;
        }
    });
    assert_eq!(
        status(post2("/parts", body)).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    sending.await.unwrap();
    assert_eq!(client.get("/").await.0, StatusCode::OK);
    stop(proxy).await;
}

/// A server that says when a request has come, and answers when it is told to.
async fn slow() -> (Backend, Arc<Notify>, Arc<Notify>) {
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (here, when) = (Arc::clone(&arrived), Arc::clone(&go));
    let backend = Backend::start(move |_| {
        let (here, when) = (Arc::clone(&here), Arc::clone(&when));
        async move {
            here.notify_one();
            when.notified().await;
            Response::new(full("at last"))
        }
    })
    .await;
    (backend, arrived, go)
}

#[tokio::test]
async fn stopping_answers_what_was_asked_and_takes_no_more() {
    let (backend, arrived, go) = slow().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut client = Frames::connect(&proxy).await;
    client.open(1, HEAD).await;
    arrived.notified().await;
    let stopping = tokio::spawn({
        let proxy = proxy.clone();
        async move { proxy.shutdown(PATIENCE).await }
    });
    let last = |payload: Vec<u8>| u32::from_be_bytes(payload[..4].try_into().unwrap());
    let soon = client.wait_for(GOAWAY, 0).await;
    assert_eq!(last(soon), u32::MAX >> 1, "what is on its way is taken");
    client.open(3, HEAD).await;
    arrived.notified().await;
    let ping = client.wait_for(PING, 0).await;
    client.send(PING, ACK, 0, &ping).await;
    assert_eq!(last(client.wait_for(GOAWAY, 0).await), 3);
    client.open(5, HEAD).await;

    go.notify_waiters();
    let mut answered = Vec::new();
    while let Some((kind, stream, _)) = client.next().await {
        if kind == HEADERS {
            answered.push(stream);
        }
    }
    answered.sort_unstable();
    assert_eq!(answered, [1, 3]);
    assert_eq!(stopping.await.unwrap(), 0);
}

#[tokio::test]
async fn one_request_given_up_leaves_the_others_alone() {
    let (backend, arrived, go) = slow().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    let ask = || {
        let client = client.clone();
        tokio::spawn(async move { client.get("/").await })
    };
    let (kept, given_up) = (ask(), ask());
    arrived.notified().await;
    arrived.notified().await;
    given_up.abort();
    let v1 = revision("v1");
    let gone = async {
        while proxy.totals(&v1).unwrap().client_aborts == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    assert_eq!(proxy.in_flight(&v1), 1);
    go.notify_waiters();
    assert_eq!(kept.await.unwrap().1, "at last");
    let totals = proxy.totals(&v1).unwrap();
    assert_eq!((totals.client_aborts, totals.requests()), (1, 1));
    stop(proxy).await;
}

#[tokio::test]
async fn draining_waits_for_requests_of_http_2() {
    let (backend, arrived, go) = slow().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    let asked = tokio::spawn(async move { client.get("/").await });
    arrived.notified().await;
    let v1 = revision("v1");
    assert_eq!(proxy.drain(&v1, backend.address, SHORT).await.unwrap(), 1);
    go.notify_one();
    assert_eq!(asked.await.unwrap().1, "at last");
    assert_eq!(
        proxy.drain(&v1, backend.address, PATIENCE).await.unwrap(),
        0
    );
    stop(proxy).await;
}

#[tokio::test]
async fn an_endpoint_or_a_client_that_falls_silent_is_given_up() {
    let (backend, _, _) = slow().await;
    let config = config().with_answer_timeout(SHORT);
    let proxy = proxy(config, &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.0, StatusCode::GATEWAY_TIMEOUT);
    let (parts, body) = channel();
    let (status, _) = client.ask(post2("/", body)).await.unwrap();
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    drop(parts);
    let totals = proxy.totals(&revision("v1")).unwrap();
    assert_eq!((totals.no_answer, totals.client_aborts), (1, 1));
    stop(proxy).await;
}

#[tokio::test]
async fn a_client_that_asks_nothing_is_let_go() {
    let proxy = proxy(config().with_header_timeout(SHORT), &[], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    let left_alone = async {
        while !client.is_closed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, left_alone).await.unwrap();
    assert_eq!(talk(proxy.local_addr(), "PRI * HTTP/2.0\r\n").await, "");
    stop(proxy).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_taken_for_complete() {
    let backend = Backend::raw(|mut stream: TcpStream| async move {
        use tokio::io::AsyncWriteExt;
        read_head(&mut stream).await;
        let part = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n";
        stream.write_all(part).await.unwrap();
    })
    .await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    assert!(client.ask(get2("/")).await.is_err());
    let totals = proxy.totals(&revision("v1")).unwrap();
    assert_eq!((totals.answers[1], totals.cut_short), (1, 1));
    stop(proxy).await;
}

#[tokio::test]
async fn tunnels_are_refused() {
    let proxy = proxy(config(), &[], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    let mut request = get2("/");
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = "shop:443".parse().unwrap();
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_IMPLEMENTED);
    stop(proxy).await;
}
