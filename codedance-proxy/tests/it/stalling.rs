//! Peers that take their time, leave early, or send what nobody understands.

use std::sync::Arc;
use std::time::Duration;

use codedance_proxy::Proxy;
use hyper::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::support::*;

const SHORT: Duration = Duration::from_millis(300);

/// Waits until nothing is in flight any more.
async fn idle(proxy: &Proxy) {
    let over = async {
        while proxy.in_flight(&revision("v1")) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, over)
        .await
        .expect("it is still in flight");
}

/// A server that says when its client is gone, after `answer` sent as often as it is taken.
async fn endless(head: &'static str, part: &'static [u8]) -> (Backend, Arc<Notify>, Arc<Notify>) {
    let (arrived, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (here, away) = (Arc::clone(&arrived), Arc::clone(&gone));
    let backend = Backend::raw(move |mut stream: TcpStream| {
        let (here, away) = (Arc::clone(&here), Arc::clone(&away));
        async move {
            read_head(&mut stream).await;
            here.notify_one();
            let mut sent = stream.write_all(head.as_bytes()).await;
            while sent.is_ok() && !part.is_empty() {
                sent = stream.write_all(part).await;
            }
            let _ = stream.read_to_end(&mut Vec::new()).await;
            away.notify_one();
        }
    })
    .await;
    (backend, arrived, gone)
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
    let (backend, _, gone) = endless(head, &[b'x'; 65_536]).await;
    let proxy = proxy(config().with_send_timeout(SHORT), &[&backend], &[]).await;
    let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    timeout(PATIENCE, gone.notified())
        .await
        .expect("the server is kept waiting");
    idle(&proxy).await;
    let totals = proxy.totals(&revision("v1")).unwrap();
    assert_eq!((totals.client_aborts, totals.cut_short), (1, 0));
    stop(proxy).await;
}

#[tokio::test]
async fn a_client_that_takes_its_answer_slowly_gets_it() {
    let large = "x".repeat(8_000_000);
    let backend = Backend::start(move |_| {
        let large = large.clone();
        async move { hyper::Response::new(full(large)) }
    })
    .await;
    let limit = Duration::from_secs(2);
    let proxy = proxy(config().with_send_timeout(limit), &[&backend], &[]).await;
    let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    // Longer than the limit in all, much shorter between two parts.
    let mut part = vec![0; 500_000];
    let mut read = 0;
    while let Ok(length @ 1..) = stream.read(&mut part).await {
        read += length;
        if read < 4_000_000 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert!(read > 8_000_000, "{read}");
    stop(proxy).await;
}

#[tokio::test]
async fn a_client_that_closes_its_side_is_taken_for_gone() {
    let (backend, arrived, gone) = endless("", b"").await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    arrived.notified().await;
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("the connection stays open").unwrap();
    assert!(answer.is_empty());
    timeout(PATIENCE, gone.notified())
        .await
        .expect("the server is kept waiting");
    let totals = proxy.totals(&revision("v1")).unwrap();
    assert_eq!((totals.client_aborts, totals.no_answer), (1, 0));
    stop(proxy).await;
}

#[tokio::test]
async fn a_head_that_drips_in_is_late_all_the_same() {
    let proxy = proxy(config().with_header_timeout(SHORT), &[], &[]).await;
    let stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let dripping = tokio::spawn(async move {
        let mut sent = writing.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nx: ").await;
        while sent.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            sent = writing.write_all(b"y").await;
        }
    });
    let mut answer = [0; 12];
    let read = timeout(PATIENCE, reading.read_exact(&mut answer)).await;
    read.expect("it is waited for").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    dripping.abort();
    stop(proxy).await;
}

#[tokio::test]
async fn an_answer_whose_head_drips_in_is_late_all_the_same() {
    let backend = Backend::raw(|mut stream: TcpStream| async move {
        read_head(&mut stream).await;
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while sent.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            sent = stream.write_all(b"y").await;
        }
    })
    .await;
    let proxy = proxy(config().with_answer_timeout(SHORT), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.0, StatusCode::GATEWAY_TIMEOUT);
    stop(proxy).await;
}

#[tokio::test]
async fn answers_that_nobody_understands_are_none() {
    let endless_head = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(1_000_000));
    for answer in [
        "garbage\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx\0y: z\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        &endless_head,
    ] {
        let text = answer.to_owned();
        let backend = Backend::raw(move |mut stream: TcpStream| {
            let text = text.clone();
            async move {
                read_head(&mut stream).await;
                // The proxy may have heard enough before.
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        })
        .await;
        let proxy = proxy(config(), &[&backend], &[]).await;
        let mut client = Client::connect(proxy.local_addr()).await;
        let (status, _) = client.get("/").await;
        assert_eq!(status, StatusCode::BAD_GATEWAY, "{answer:.60?}");
        let totals = proxy.totals(&revision("v1")).unwrap();
        assert_eq!(
            (totals.no_answer, totals.answers),
            (1, [0; 5]),
            "{answer:.60?}"
        );
        stop(proxy).await;
    }
}

#[tokio::test]
async fn what_follows_an_answer_is_not_the_next_one() {
    let backend = Backend::raw(|mut stream: TcpStream| async move {
        while read_head(&mut stream).await.is_some() {
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\
                HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
            // The proxy may close the connection at any time.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await, (StatusCode::OK, "ok".to_owned()));
    }
    assert_eq!(backend.accepted(), 10, "no connection is used again");
    stop(proxy).await;
}
