//! Endpoints that speak HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use codedance_core::traffic::Endpoints;
use codedance_proxy::{Config, Limits, Transport};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use hyper::{Response, StatusCode, Version};
use tokio::sync::{Barrier, Notify};

use crate::support::*;

pub(super) fn http2() -> Config {
    config().with_transport(Transport::new().with_http2())
}

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    headers
}

#[tokio::test]
async fn many_requests_share_one_connection() {
    let all = Arc::new(Barrier::new(60));
    let backend = Backend::start_http2(move |_| {
        let all = Arc::clone(&all);
        async move {
            all.wait().await;
            Response::new(full("ok"))
        }
    })
    .await;
    let proxy = proxy(http2(), &[&backend], &[]).await;
    let address = proxy.local_addr();
    let clients: Vec<_> = (0..60)
        .map(|_| tokio::spawn(async move { Client::connect(address).await.get("/").await }))
        .collect();
    for client in clients {
        assert_eq!(client.await.unwrap().1, "ok");
    }
    assert_eq!(backend.accepted(), 1);
    stop(proxy).await;
}

#[tokio::test]
async fn an_endpoint_gets_no_more_at_once_than_it_allows() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (current, highest) = (Arc::clone(&now), Arc::clone(&most));
    let answer = move |_| {
        let (current, highest) = (Arc::clone(&current), Arc::clone(&highest));
        async move {
            let under_way = current.fetch_add(1, Ordering::SeqCst) + 1;
            highest.fetch_max(under_way, Ordering::SeqCst);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            current.fetch_sub(1, Ordering::SeqCst);
            Response::new(full("ok"))
        }
    };
    let backend = Backend::raw(move |stream| serve_http2(stream, answer.clone(), 4)).await;
    let proxy = proxy(http2(), &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.1, "ok", "the limit is known then");
    let asked: Vec<_> = (0..40)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("/").await })
        })
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().0, StatusCode::OK);
    }
    let connections = backend.accepted();
    assert!((2..=11).contains(&connections), "{connections} connections");
    let most = most.load(Ordering::SeqCst);
    assert!(most <= 4 * connections, "{most} on {connections}");
    let totals = proxy.totals(&revision("v1")).unwrap();
    assert_eq!(totals.resent, 0, "it never had to refuse one");
    stop(proxy).await;
}

#[tokio::test]
async fn a_call_of_grpc_passes_end_to_end() {
    let backend = Backend::start_http2(|request| async move {
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.uri(), "http://shop/shop.Cart/Add");
        let head = request.headers();
        assert_eq!(head["te"], "trailers");
        assert_eq!(head["content-type"], "application/grpc");
        assert!(!head.contains_key("host") && !head.contains_key("connection"));
        assert!(!head.contains_key("content-length"));
        assert_eq!(head["x-forwarded-for"], "127.0.0.1");
        if head.contains_key("x-fail") {
            // An error that comes without a body: all is in the head.
            let mut response = Response::new(full(""));
            *response.headers_mut() = headers(&[("grpc-status", "5")]);
            return response;
        }
        let body = request.into_body().map_err(|error| panic!("{error}"));
        let status = async { Some(Ok(headers(&[("grpc-status", "0")]))) };
        let mut response = Response::new(body.with_trailers(status).boxed());
        *response.headers_mut() = headers(&[("content-type", "application/grpc")]);
        response
    })
    .await;
    let proxy = proxy(http2(), &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    let call = |body| {
        let mut request = post2("/shop.Cart/Add", body);
        let grpc = [("te", "trailers"), ("content-type", "application/grpc")];
        *request.headers_mut() = headers(&grpc);
        request
    };
    let (mut messages, body) = channel();
    messages.send_data("one".into()).await.unwrap();
    let response = client.send(call(body)).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let mut answer = response.into_body();
    for message in ["one", "two", "three"] {
        let frame = answer.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), message);
        let next = if message == "one" { "two" } else { "three" };
        if message != "three" {
            messages.send_data(next.into()).await.unwrap();
        }
    }
    drop(messages);
    let rest = answer.collect().await.unwrap();
    assert_eq!(rest.trailers().unwrap()["grpc-status"], "0");

    let mut failing = call(full("x"));
    failing.headers_mut().remove("content-length");
    failing.headers_mut().insert("x-fail", "1".parse().unwrap());
    let (_messages, body) = channel();
    *failing.body_mut() = body;
    let response = client.send(failing).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "5");
    drop(response);
    stop(proxy).await;
}

#[tokio::test]
async fn clients_of_http_1_notice_nothing() {
    let backend = Backend::start_http2(|request| async move {
        let mut answer = request.headers().clone();
        answer.remove("content-length");
        let target = HeaderValue::from_str(&request.uri().to_string()).unwrap();
        answer.insert("x-target", target);
        let body = request.into_body().map_err(|error| panic!("{error}"));
        let mut response = Response::new(body.boxed());
        *response.headers_mut() = answer;
        response
    })
    .await;
    let proxy = proxy(http2(), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let large: Bytes = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut request = post("/a?b", large.clone());
    let hop = [
        ("connection", "x-hop, upgrade"),
        ("x-hop", "1"),
        ("upgrade", "websocket"),
    ];
    request.headers_mut().extend(headers(&hop[..2]));
    let response = client.send(request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_11);
    let head = response.headers().clone();
    assert_eq!(head["x-target"], "http://shop/a?b");
    assert_eq!(head["x-forwarded-proto"], "http");
    for gone in ["host", "x-hop", "connection", "upgrade"] {
        assert!(!head.contains_key(gone), "{gone}");
    }
    let echoed = response.into_body().collect().await.unwrap().to_bytes();
    assert!(echoed == large, "{} bytes came back", echoed.len());

    let mut upgrade = get("/");
    upgrade.headers_mut().extend(headers(&hop));
    let (status, _) = client.ask(upgrade).await.unwrap();
    assert_eq!(status, StatusCode::OK, "it is not passed on");
    assert_eq!(backend.accepted(), 1);

    let old = talk(proxy.local_addr(), "GET / HTTP/1.0\r\n\r\n").await;
    let target = format!("x-target: http://{}/\r\n", backend.address);
    assert!(old.contains(&target), "{old}");
    stop(proxy).await;
}

#[tokio::test]
async fn limits_on_time_and_bodies_hold_on_shared_connections() {
    let backend = Backend::start_http2(|request| async move {
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        // Broken off bodies are the client's business.
        let _ = request.into_body().collect().await;
        Response::new(full("ok"))
    })
    .await;
    let config = http2().with_answer_timeout(Duration::from_secs(1));
    let config = config.with_limits(Limits::default().with_body_bytes(10));
    let proxy = proxy(config, &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.1, "ok");
    assert_eq!(client.get("/never").await.0, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(client.get("/").await.1, "ok");
    assert_eq!(
        backend.accepted(),
        2,
        "who is silent is not asked again there"
    );

    let (mut parts, body) = channel();
    parts.send_data("y".into()).await.unwrap();
    let (status, _) = client.ask(post2("/", body)).await.unwrap();
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    drop(parts);
    let (mut parts, body) = channel();
    let sending = tokio::spawn(async move {
        for _ in 0..11 {
            let _ = parts.send_data("y".into()).await;
        }
    });
    let (status, _) = client.ask(post2("/", body)).await.unwrap();
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    sending.await.unwrap();
    let totals = proxy.totals(&revision("v1")).unwrap();
    assert_eq!((totals.no_answer, totals.client_aborts), (1, 2));
    stop(proxy).await;
}

/// Tells when it is dropped.
struct Gone(Arc<Notify>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_request_and_no_other() {
    let (arrived, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (here, away) = (Arc::clone(&arrived), Arc::clone(&gone));
    let backend = Backend::start_http2(move |request| {
        let (here, away) = (Arc::clone(&here), Gone(Arc::clone(&away)));
        async move {
            if request.uri().path() == "/never" {
                let _away = away;
                here.notify_one();
                std::future::pending::<()>().await;
            }
            Response::new(full("ok"))
        }
    })
    .await;
    let proxy = proxy(http2(), &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    let never = tokio::spawn({
        let client = client.clone();
        async move { client.get("/never").await }
    });
    arrived.notified().await;
    never.abort();
    tokio::time::timeout(PATIENCE, gone.notified())
        .await
        .unwrap();
    assert_eq!(client.get("/").await.1, "ok");
    assert_eq!(backend.accepted(), 1);
    let v1 = revision("v1");
    assert_eq!(proxy.totals(&v1).unwrap().client_aborts, 1);
    assert_eq!(
        proxy.drain(&v1, backend.address, PATIENCE).await.unwrap(),
        0
    );
    stop(proxy).await;
}

#[tokio::test]
async fn a_server_that_speaks_only_http_1_is_a_bad_gateway() {
    let (backend, seen) = witness().await;
    let proxy = proxy(http2(), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.0, StatusCode::BAD_GATEWAY);
    assert!(seen.lock().unwrap().is_empty());
    stop(proxy).await;
}
