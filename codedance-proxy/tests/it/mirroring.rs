//! Copies of requests, and users who notice nothing of them.

use std::time::Duration;

use bytes::Bytes;
use codedance_core::traffic::Endpoints;
use codedance_core::{ErrorKind, Percent};
use codedance_proxy::{Limits, Mirror, MirrorTotals, Proxy};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::*;

fn mirror() -> Mirror {
    Mirror::new(revision("v2"), Percent::HUNDRED)
}

fn totals(proxy: &Proxy) -> MirrorTotals {
    proxy.mirror_totals(&revision("v2")).unwrap()
}

/// Waits until the counts of copies are such.
async fn until(proxy: &Proxy, reached: impl Fn(&MirrorTotals) -> bool) -> MirrorTotals {
    let counted = async {
        while !reached(&totals(proxy)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let patience = timeout(PATIENCE, counted).await;
    patience.unwrap_or_else(|_| panic!("{:?}", totals(proxy)));
    totals(proxy)
}

type Copies = mpsc::UnboundedReceiver<(String, HeaderMap, Bytes)>;

/// A server that hands over what it is asked.
async fn recorder() -> (Backend, Copies) {
    let (sender, copies) = mpsc::unbounded_channel();
    let backend = Backend::start(move |request| {
        let sender = sender.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let line = format!("{} {}", parts.method, parts.uri);
            // Nobody may want to know any more.
            let _ = sender.send((line, parts.headers, body));
            Response::builder().status(404).body(full("copy")).unwrap()
        }
    })
    .await;
    (backend, copies)
}

async fn next(copies: &mut Copies) -> (String, HeaderMap, Bytes) {
    let next = timeout(PATIENCE, copies.recv()).await;
    next.expect("no copy came").unwrap()
}

#[tokio::test]
async fn copies_are_what_users_sent_and_nobody_sees_their_answers() {
    let (v1, mut originals) = recorder().await;
    let (v2, mut copies) = recorder().await;
    let config = config().with_mirror(mirror()).with_admin(NOWHERE);
    let proxy = proxy(config, &[&v1], &[&v2]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for path in ["/a?b=c", "/d"] {
        let request = Request::get(path)
            .header("host", "shop")
            .header("cookie", "id=1")
            .header("x-codedance-mirrored", "1");
        let (status, _) = client.ask(request.body(full("")).unwrap()).await.unwrap();
        assert_eq!(status, StatusCode::NOT_FOUND);
        let (line, mut headers, body) = next(&mut copies).await;
        assert_eq!((line, body), (format!("GET {path}"), Bytes::new()));
        assert_eq!(headers.remove("x-codedance-mirrored").unwrap(), "1");
        let (_, original, _) = next(&mut originals).await;
        assert_eq!(headers, original, "nothing else tells them apart");
    }
    // Methods that may change something are only copied for who asks for it.
    client.ask(post("/", "x")).await.unwrap();
    client.get("/last").await;
    assert_eq!(next(&mut copies).await.0, "GET /last");

    let counted = until(&proxy, |totals| totals.answers[3] == 3).await;
    assert_eq!(counted.answers, [0, 0, 0, 3, 0]);
    assert_eq!(counted.latency_buckets.iter().sum::<u64>(), 3);
    assert!(counted.latency_sum > Duration::ZERO);
    let of_users = proxy.totals(&revision("v2")).unwrap();
    assert_eq!((of_users.requests(), of_users.resent), (0, 0));
    assert_eq!(proxy.totals(&revision("v1")).unwrap().requests(), 4);
    assert!(v2.accepted() <= 3);

    let mut admin = Client::connect(proxy.admin_addr().unwrap()).await;
    let page = admin.get("/metrics").await.1;
    for line in [
        "mirrored_requests_total{revision=\"v2\",class=\"4xx\"} 3",
        "mirrored_no_answer_total{revision=\"v2\"} 0",
        "mirror_skipped_total{revision=\"v2\",reason=\"dropped\"} 0",
        "mirrored_request_duration_seconds_count{revision=\"v2\"} 3",
    ] {
        assert!(
            page.contains(&format!("\ncodedance_proxy_{line}\n")),
            "{line}: {page}"
        );
    }

    // What the revision answers itself is not copied to it.
    apply(&proxy, &split(10_000)).await;
    client.get("/own").await;
    assert_eq!(next(&mut copies).await.0, "GET /own");
    apply(&proxy, &split(0)).await;
    proxy.set_mirror(None).unwrap();
    client.get("/unseen").await;
    proxy.set_mirror(Some(mirror())).unwrap();
    client.get("/seen").await;
    assert_eq!(next(&mut copies).await.0, "GET /seen");
    stop(proxy).await;
}

#[tokio::test]
async fn a_share_is_copied() {
    let (v1, v2) = (Backend::saying("v1").await, Backend::saying("v2").await);
    let mut half = mirror().with_in_flight(10_000);
    half.share = Percent::new(50).unwrap();
    let proxy = proxy(config().with_mirror(half), &[&v1], &[&v2]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..400 {
        assert_eq!(client.get("/").await.1, "v1");
    }
    // 400 tosses of a coin: eight deviations off is out of the question.
    let counted = until(&proxy, |totals| totals.answers[1] >= 120).await;
    assert!(counted.answers[1] <= 280, "{counted:?}");
    assert_eq!(counted.dropped, 0);
    stop(proxy).await;
}

#[tokio::test]
async fn users_do_not_wait_for_a_mirror_that_does_not_answer() {
    let v1 = Backend::saying("v1").await;
    let silent = Backend::raw(|mut stream: TcpStream| async move {
        while read_head(&mut stream).await.is_some() {}
        std::future::pending::<()>().await;
    })
    .await;
    let mirror = mirror().with_in_flight(2).with_timeout(10 * PATIENCE);
    let proxy = proxy(config().with_mirror(mirror), &[&v1], &[&silent]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await, (StatusCode::OK, "v1".to_owned()));
    }
    let counted = totals(&proxy);
    assert_eq!((counted.dropped, counted.answers), (8, [0; 5]));
    let both = async {
        while silent.accepted() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, both).await.unwrap();
    // Nor does the end wait for it.
    let other = proxy.clone();
    stop(proxy).await;
    assert_eq!(totals(&other).abandoned, 2);
    assert_eq!(other.in_flight(&revision("v2")), 0);
}

#[tokio::test]
async fn a_mirror_that_fails_is_only_counted() {
    let v1 = Backend::saying("v1").await;
    let endless = Backend::raw(|mut stream: TcpStream| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut sent = stream.write_all(head).await;
        while sent.is_ok() {
            sent = stream.write_all(b"4\r\nmore\r\n").await;
        }
    })
    .await;
    let mirror = mirror().with_timeout(Duration::from_millis(200));
    let config = config().with_mirror(mirror).with_cool_down(Duration::ZERO);
    let proxy = proxy(config, &[&v1], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    client.get("/").await;
    until(&proxy, |totals| totals.no_answer == 1).await;

    let dead = Backend::saying("dead").await;
    let address = dead.address;
    dead.kill().await;
    proxy.add(&revision("v2"), address).await.unwrap();
    assert_eq!(client.get("/").await.1, "v1");
    until(&proxy, |totals| totals.no_answer == 2).await;

    proxy.add(&revision("v2"), endless.address).await.unwrap();
    assert_eq!(client.get("/").await.1, "v1");
    assert_eq!(client.get("/").await.1, "v1");
    until(&proxy, |totals| totals.answers[1] == 2).await;
    let read = async {
        while proxy.in_flight(&revision("v2")) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, read).await.expect("it is read for ever");
    let of_users = proxy.totals(&revision("v2")).unwrap();
    assert_eq!((of_users.no_answer, of_users.refused_connections), (0, 0));
    stop(proxy).await;
}

#[tokio::test]
async fn bodies_are_copied_up_to_a_bound() {
    let (v1, seen) = witness().await;
    let (v2, mut copies) = recorder().await;
    let mirror = mirror().with_unsafe_methods(true).with_body_bytes(10);
    let limits = Limits::default().with_body_bytes(100);
    let config = config().with_mirror(mirror).with_limits(limits);
    let proxy = proxy(config, &[&v1], &[&v2]).await;
    let chunks = |chunks: &[&str]| {
        let chunks: String = chunks
            .iter()
            .map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len()))
            .collect();
        let head = "POST /chunked HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
            Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
        format!("{head}{chunks}0\r\nX-Sum: 1\r\n\r\n")
    };
    let mut client = Client::connect(proxy.local_addr()).await;
    for body in ["0123456789", "", "0123456789a"] {
        client.ask(post("/sized", body)).await.unwrap();
    }
    for parts in [&["01234", "56789"][..], &["01234", "56789", "a"]] {
        let answer = talk(proxy.local_addr(), &chunks(parts)).await;
        assert_eq!(statuses(&answer), [200], "{answer}");
    }
    let mut found = Vec::new();
    for _ in 0..3 {
        let (line, headers, body) = next(&mut copies).await;
        assert_eq!(headers.get("trailer"), None);
        if !body.is_empty() {
            assert_eq!(headers["content-length"], body.len().to_string());
        }
        found.push((line, body));
    }
    found.sort();
    let found: Vec<_> = found
        .iter()
        .map(|(line, body)| (&**line, &**body))
        .collect();
    let whole = &b"0123456789"[..];
    assert_eq!(
        found,
        [
            ("POST /chunked", whole),
            ("POST /sized", b""),
            ("POST /sized", whole)
        ]
    );
    let counted = until(&proxy, |totals| totals.answers[3] == 3).await;
    assert_eq!((counted.too_large, counted.abandoned), (2, 0));
    assert_eq!(
        seen.lock().unwrap().len(),
        5,
        "users' requests all went through"
    );

    // Of what never comes in whole there is no copy.
    let (mut parts, body) = Channel::<Bytes>::new(1);
    parts.send_data("012".into()).await.unwrap();
    let request = Request::post("/broken").header("host", "shop");
    let request = request.body(body.map_err(|error| panic!("{error}")).boxed());
    let broken = tokio::spawn(async move { client.ask(request.unwrap()).await });
    let arrived = async {
        while seen.lock().unwrap().len() < 6 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, arrived).await.unwrap();
    broken.abort();
    until(&proxy, |totals| totals.abandoned == 1).await;
    assert!(copies.try_recv().is_err());
    stop(proxy).await;
}

#[tokio::test]
async fn other_protocols_are_not_copied() {
    let v1 = Backend::saying("v1").await;
    let (v2, mut copies) = recorder().await;
    let proxy = proxy(config().with_mirror(mirror()), &[&v1], &[&v2]).await;
    let upgrade =
        "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let last = "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers = talk(proxy.local_addr(), &format!("{upgrade}{last}")).await;
    assert_eq!(statuses(&answers), [200, 200], "{answers}");
    assert_eq!(next(&mut copies).await.0, "GET /last");
    stop(proxy).await;
}

#[tokio::test]
async fn a_mirror_that_cannot_be_is_refused_and_changes_nothing() {
    let v1 = Backend::saying("v1").await;
    let (v2, mut copies) = recorder().await;
    let proxy = proxy(config().with_mirror(mirror()), &[&v1], &[&v2]).await;
    let refused = proxy.set_mirror(Some(mirror().with_in_flight(0)));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    Client::connect(proxy.local_addr())
        .await
        .get("/still")
        .await;
    assert_eq!(next(&mut copies).await.0, "GET /still");
    stop(proxy).await;
}
