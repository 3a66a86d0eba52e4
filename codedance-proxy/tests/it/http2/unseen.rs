//! Endpoints that do not look at a request, or end their connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use codedance_core::traffic::Endpoints;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::endpoints::http2;
use crate::support::*;

/// Takes one of what is left, if there is something.
fn one_of(left: &AtomicUsize) -> bool {
    let one_less = |left: usize| left.checked_sub(1);
    let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
    taken.is_ok()
}

/// A server that refuses the first requests, and echoes all later ones.
async fn refusing(times: usize) -> Backend {
    let left = Arc::new(AtomicUsize::new(times));
    Backend::raw(move |stream| {
        let left = Arc::clone(&left);
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let unwilling = one_of(&left);
                if !unwilling {
                    tokio::spawn(async move {
                        let mut body = request.into_body();
                        let mut stream = respond.send_response(Response::new(()), false).unwrap();
                        while let Some(part) = body.data().await {
                            stream.send_data(part.unwrap(), false).unwrap();
                        }
                        stream.send_data(Bytes::new(), true).unwrap();
                    });
                    continue;
                }
                respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
        }
    })
    .await
}

/// A server that ends its first connections as soon as there is a request on them, before which it
/// says that they are over; later ones are served.
async fn departing(times: usize) -> Backend {
    let left = Arc::new(AtomicUsize::new(times));
    Backend::raw(move |mut stream| {
        let left = Arc::clone(&left);
        async move {
            let unwilling = one_of(&left);
            if !unwilling {
                let echo = |request: Request<Incoming>| async move {
                    let body = request.into_body().map_err(|error| panic!("{error}"));
                    Response::new(body.boxed())
                };
                return serve_http2(stream, echo, 200).await;
            }
            // Empty SETTINGS; on the first HEADERS a GOAWAY that says: none was looked at.
            stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
            stream.read_exact(&mut [0; 24]).await.unwrap();
            loop {
                let mut head = [0; 9];
                stream.read_exact(&mut head).await.unwrap();
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                stream
                    .read_exact(&mut vec![0; length as usize])
                    .await
                    .unwrap();
                if head[3] == 1 {
                    break;
                }
            }
            let goaway = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
            stream.write_all(goaway).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await
}

#[tokio::test]
async fn what_an_endpoint_did_not_look_at_is_sent_again() {
    for backend in [refusing(2).await, departing(2).await] {
        let proxy = proxy(http2(), &[&backend], &[]).await;
        let client = Http2Client::connect(proxy.local_addr()).await;
        // Neither can be repeated otherwise, and one comes piece by piece.
        let (mut parts, body) = channel();
        let sending = async {
            for part in ["some ", "body", "."] {
                parts.send_data(part.into()).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(parts);
        };
        let (answer, ()) = tokio::join!(client.ask(post2("/", body)), sending);
        let answer = answer.unwrap();
        assert_eq!(answer, (StatusCode::OK, "some body.".into()));
        let totals = proxy.totals(&revision("v1")).unwrap();
        assert_eq!(
            (totals.resent, totals.requests(), totals.no_answer),
            (2, 1, 0)
        );
        stop(proxy).await;
    }
}

#[tokio::test]
async fn a_body_that_was_not_kept_is_not_sent_again() {
    let backend = Backend::raw(|stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                let mut body = request.into_body();
                let mut read = 0;
                while let Some(part) = body.data().await {
                    let part = part.unwrap().len();
                    read += part;
                    let _ = body.flow_control().release_capacity(part);
                    if read > 100_000 {
                        return respond.send_reset(h2::Reason::REFUSED_STREAM);
                    }
                }
            });
        }
    })
    .await;
    let proxy = proxy(http2(), &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    let (status, _) = client
        .ask(post2("/", full(vec![0; 500_000])))
        .await
        .unwrap();
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert_eq!(proxy.totals(&revision("v1")).unwrap().resent, 0);
    stop(proxy).await;
}

/// A server that answers the first request of each connection, and does something else with the second.
async fn fickle(breaks_off: bool) -> Backend {
    Backend::raw(move |stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut is_first = true;
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            if is_first {
                respond.send_response(Response::new(()), true).unwrap();
            } else if breaks_off {
                return;
            } else {
                respond.send_reset(h2::Reason::INTERNAL_ERROR);
            }
            is_first = false;
        }
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_breaks_costs_nothing_that_can_be_repeated() {
    let backend = fickle(true).await;
    let proxy = proxy(http2(), &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.0, StatusCode::OK);
    assert_eq!(client.get("/").await.0, StatusCode::OK);
    let (status, _) = client.ask(post2("/", full("x"))).await.unwrap();
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    let totals = proxy.totals(&revision("v1")).unwrap();
    assert_eq!((totals.resent, totals.no_answer), (1, 1));
    assert_eq!(backend.accepted(), 2);
    stop(proxy).await;
}

#[tokio::test]
async fn a_request_that_an_endpoint_breaks_off_is_not_sent_again() {
    let backend = fickle(false).await;
    let proxy = proxy(http2(), &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.0, StatusCode::OK);
    assert_eq!(client.get("/").await.0, StatusCode::BAD_GATEWAY);
    let totals = proxy.totals(&revision("v1")).unwrap();
    assert_eq!((totals.resent, totals.no_answer), (0, 1));
    stop(proxy).await;
}

#[tokio::test]
async fn another_endpoint_is_tried_when_one_refuses_all() {
    let refusing = refusing(usize::MAX).await;
    let willing = Backend::start_http2(|_| async { Response::new(full("ok")) }).await;
    let proxy = proxy(http2(), &[&refusing], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let (status, text) = client.get("/").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("no more requests"), "{text}");
    proxy.add(&revision("v1"), willing.address).await.unwrap();
    for _ in 0..4 {
        assert_eq!(client.ask(post("/", "x")).await.unwrap().1, "ok");
    }
    stop(proxy).await;
}

#[tokio::test]
async fn a_connection_that_breaks_costs_only_what_cannot_be_repeated() {
    let break_now = Arc::new(Notify::new());
    let signal = Arc::clone(&break_now);
    let backend = Backend::raw(move |stream| {
        let signal = Arc::clone(&signal);
        async move {
            let answer = |request: Request<Incoming>| async move {
                if request.uri().path() == "/never" {
                    std::future::pending::<()>().await;
                }
                Response::new(full("ok"))
            };
            tokio::select! {
                () = serve_http2(stream, answer, 200) => {}
                () = signal.notified() => {}
            }
        }
    })
    .await;
    let proxy = proxy(http2(), &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.1, "ok");
    let never = tokio::spawn({
        let client = client.clone();
        async move { client.ask(post2("/never", full("x"))).await.unwrap().0 }
    });
    let v1 = revision("v1");
    while proxy.in_flight(&v1) == 0 {
        tokio::task::yield_now().await;
    }
    break_now.notify_one();
    assert_eq!(never.await.unwrap(), StatusCode::BAD_GATEWAY);
    assert_eq!(client.get("/").await.1, "ok");
    assert_eq!(proxy.totals(&v1).unwrap().no_answer, 1);
    stop(proxy).await;
}
