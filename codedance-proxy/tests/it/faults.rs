//! Servers and clients that do not do their part.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use codedance_core::traffic::Endpoints;
use codedance_proxy::{Reuse, Totals};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use hyper::{Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::*;

const SHORT: Duration = Duration::from_millis(100);

fn totals(proxy: &codedance_proxy::Proxy) -> Totals {
    proxy.totals(&revision("v1")).unwrap()
}

#[tokio::test]
async fn others_take_over_when_a_server_dies() {
    let (a, b) = (Backend::saying("a").await, Backend::saying("b").await);
    let config = config().with_cool_down(Duration::ZERO);
    let proxy = proxy(config, &[&a, &b], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..4 {
        client.get("/").await;
        client.ask(post("/", "x")).await.unwrap();
    }
    assert!(a.accepted() > 0 && b.accepted() > 0);
    a.kill().await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await, (StatusCode::OK, "b".to_owned()));
        let (status, answer) = client.ask(post("/", "x")).await.unwrap();
        assert_eq!((status, &*answer), (StatusCode::OK, &b"b"[..]));
    }
    let totals = totals(&proxy);
    assert!(totals.refused_connections > 0);
    assert_eq!((totals.no_answer, totals.answers[1]), (0, 28));
    stop(proxy).await;
}

#[tokio::test]
async fn a_server_that_refuses_is_passed_over_for_a_while() {
    let (a, b) = (Backend::saying("a").await, Backend::saying("b").await);
    let config = config().with_cool_down(PATIENCE);
    let proxy = proxy(config, &[&a, &b], &[]).await;
    a.kill().await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.1, "b");
    }
    assert_eq!(totals(&proxy).refused_connections, 1);
    stop(proxy).await;
}

#[tokio::test]
async fn without_servers_the_proxy_says_so() {
    let backend = Backend::saying("v1").await;
    let address = backend.address;
    backend.kill().await;
    let proxy = proxy(config(), &[], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.0, StatusCode::SERVICE_UNAVAILABLE);
    proxy.add(&revision("v1"), address).await.unwrap();
    let (status, text) = client.get("/").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert_eq!(text.lines().count(), 1, "{text}");
    let totals = totals(&proxy);
    assert_eq!((totals.no_answer, totals.answers), (2, [0; 5]));
    stop(proxy).await;
}

#[tokio::test]
async fn a_request_that_was_read_is_not_sent_again() {
    let read = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&read);
    let serve = move |mut stream: TcpStream| {
        let count = Arc::clone(&count);
        async move {
            if read_head(&mut stream).await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let (a, b) = (Backend::raw(serve.clone()).await, Backend::raw(serve).await);
    let proxy = proxy(config(), &[&a, &b], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.0, StatusCode::BAD_GATEWAY);
    let (status, _) = client.ask(post("/", "x")).await.unwrap();
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert_eq!(read.load(Ordering::SeqCst), 2);
    let totals = totals(&proxy);
    assert_eq!((totals.no_answer, totals.resent), (2, 0));
    stop(proxy).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_counted_as_cut_short() {
    let backend = Backend::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let part = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this";
        stream.write_all(part).await.unwrap();
    })
    .await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    assert!(
        client.ask(get("/")).await.is_err(),
        "nobody takes it for complete"
    );
    let totals = totals(&proxy);
    assert_eq!((totals.answers[1], totals.cut_short), (1, 1));
    assert_eq!((totals.no_answer, totals.client_aborts), (0, 0));
    stop(proxy).await;
}

/// A server that closes each connection after a few answers without announcing it, and remembers
/// how often it saw which request.
async fn forgetful(seen: Arc<Mutex<BTreeMap<String, u32>>>) -> Backend {
    Backend::raw(move |mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            for _ in 0..3 {
                let Some(head) = read_head(&mut stream).await else {
                    return;
                };
                if head.starts_with("POST") {
                    assert_eq!(stream.read_u8().await.unwrap(), b'x');
                }
                let line = head.lines().next().unwrap().to_owned();
                *seen.lock().unwrap().entry(line.clone()).or_default() += 1;
                let length = line.len();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{line}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_closed_between_requests_lose_nothing_and_double_no_post() {
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let backend = forgetful(Arc::clone(&seen)).await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let address = proxy.local_addr();
    let clients: Vec<_> = (0..4)
        .map(|number| {
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                for turn in 0..500 {
                    let path = format!("/{number}/{turn}");
                    let (request, method) = match turn % 4 {
                        0 => (post(&path, "x"), "POST"),
                        _ => (get(&path), "GET"),
                    };
                    let (status, body) = client.ask(request).await.unwrap();
                    assert_eq!(status, StatusCode::OK, "{body:?}");
                    assert_eq!(body, format!("{method} {path} HTTP/1.1"));
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let totals = totals(&proxy);
    assert_eq!((totals.answers[1], totals.requests()), (2_000, 2_000));
    assert!(backend.accepted() < 2_000, "connections were kept");
    stop(proxy).await;
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2_000);
    for (request, times) in seen.iter() {
        assert!(
            *times == 1 || request.starts_with("GET"),
            "{request} × {times}"
        );
    }
}

/// A server that answers once, and closes when the second request has come: the worst moment.
async fn treacherous() -> Backend {
    Backend::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
        read_head(&mut stream).await;
    })
    .await
}

#[tokio::test]
async fn a_closed_connection_costs_no_request_anything() {
    let backend = treacherous().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.1, "ok");
        assert_eq!(client.ask(post("/", "x")).await.unwrap().1, "ok");
    }
    let totals = totals(&proxy);
    // Every GET but the first meets a connection that was kept; no POST does.
    assert_eq!((totals.answers[1], totals.no_answer), (10, 0));
    assert_eq!(totals.resent, 4);
    stop(proxy).await;
}

#[tokio::test]
async fn who_wants_every_request_on_kept_connections_gets_that() {
    let backend = Backend::saying("ok").await;
    let proxy = proxy(config().with_reuse(Reuse::Always), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..5 {
        assert_eq!(client.ask(post("/", "x")).await.unwrap().0, StatusCode::OK);
    }
    assert_eq!(backend.accepted(), 1);
    stop(proxy).await;
}

#[tokio::test]
async fn a_post_that_may_have_been_read_is_never_sent_again() {
    let backend = treacherous().await;
    let proxy = proxy(config().with_reuse(Reuse::Always), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.1, "ok");
    let (status, _) = client.ask(post("/", "x")).await.unwrap();
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    let totals = totals(&proxy);
    assert_eq!((totals.no_answer, totals.resent), (1, 0));
    assert_eq!(backend.accepted(), 1);
    stop(proxy).await;
}

/// A server that says when a request has come and when its client is gone, and answers nothing.
async fn silent() -> (Backend, Arc<Notify>, Arc<Notify>) {
    let (arrived, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (here, away) = (Arc::clone(&arrived), Arc::clone(&gone));
    let backend = Backend::raw(move |mut stream| {
        let (here, away) = (Arc::clone(&here), Arc::clone(&away));
        async move {
            read_head(&mut stream).await;
            here.notify_one();
            let _ = stream.read_to_end(&mut Vec::new()).await;
            away.notify_one();
        }
    })
    .await;
    (backend, arrived, gone)
}

#[tokio::test]
async fn a_server_that_stays_silent_is_given_up() {
    let (backend, _, gone) = silent().await;
    let config = config().with_answer_timeout(SHORT);
    let proxy = proxy(config, &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.0, StatusCode::GATEWAY_TIMEOUT);
    gone.notified().await;
    let (status, _) = client.ask(post("/", "x")).await.unwrap();
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    let totals = totals(&proxy);
    assert_eq!((totals.no_answer, totals.client_aborts), (2, 0));
    assert_eq!(proxy.in_flight(&revision("v1")), 0);
    stop(proxy).await;
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_along() {
    let (backend, arrived, gone) = silent().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let pending = tokio::spawn(async move { client.ask(get("/")).await });
    arrived.notified().await;
    pending.abort();
    gone.notified().await;
    let totals = totals(&proxy);
    assert_eq!((totals.client_aborts, totals.requests()), (1, 0));
    assert_eq!(proxy.in_flight(&revision("v1")), 0);
    stop(proxy).await;
}

#[tokio::test]
async fn a_client_that_stops_sending_is_not_the_servers_fault() {
    let (backend, _, gone) = silent().await;
    let config = config().with_answer_timeout(SHORT);
    let proxy = proxy(config, &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let (mut parts, body) = Channel::<Bytes>::new(1);
    parts.send_data("a part".into()).await.unwrap();
    let request = Request::post("/").header("host", "shop");
    let request = request.body(body.map_err(|error| panic!("{error}")).boxed());
    let response = client.send(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    gone.notified().await;
    let totals = totals(&proxy);
    assert_eq!((totals.client_aborts, totals.no_answer), (1, 0));
    drop(parts);
    stop(proxy).await;
}

#[tokio::test]
async fn a_long_upload_is_not_a_silent_server() {
    let backend = Backend::start(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(full(body.len().to_string()))
    })
    .await;
    let config = config().with_answer_timeout(Duration::from_secs(1));
    let proxy = proxy(config, &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let (mut parts, body) = Channel::<Bytes>::new(1);
    let sending = tokio::spawn(async move {
        // Longer than the limit in all, much shorter between two parts.
        for _ in 0..15 {
            parts.send_data("part".into()).await.unwrap();
            tokio::time::sleep(SHORT).await;
        }
    });
    let request = Request::post("/").header("host", "shop");
    let request = request.body(body.map_err(|error| panic!("{error}")).boxed());
    let (status, length) = client.ask(request.unwrap()).await.unwrap();
    assert_eq!((status, &*length), (StatusCode::OK, &b"60"[..]));
    sending.await.unwrap();
    stop(proxy).await;
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_let_go() {
    let proxy = proxy(config().with_header_timeout(SHORT), &[], &[]).await;
    talk(proxy.local_addr(), "GET / HTTP/1.1\r\nHost: sh").await;
    talk(proxy.local_addr(), "").await;
    let totals = totals(&proxy);
    assert_eq!((totals.requests(), totals.client_aborts), (0, 0));
    stop(proxy).await;
}
