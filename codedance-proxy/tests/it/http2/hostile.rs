//! Clients that use HTTP/2 to make work.

use std::time::Duration;

use codedance_proxy::Limits;
use tokio::time::timeout;

use super::frames::*;
use crate::support::*;

/// A server that accepts connections and nothing else.
async fn deaf() -> Backend {
    Backend::raw(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn requests_opened_and_reset_over_and_over_end_the_connection() {
    let (backend, _) = witness().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut attacker = Frames::connect(&proxy).await;
    let mut opened = 0;
    for number in 0..100_000_u32 {
        let stream = 2 * number + 1;
        if !attacker.open(stream, HEAD).await || !attacker.give_up(stream).await {
            break;
        }
        opened += 1;
    }
    assert!(opened < 100_000, "nothing stopped it");
    let good = Http2Client::connect(proxy.local_addr()).await;
    assert_eq!(good.get("/").await.1, "ok");
    assert!(proxy.totals(&revision("v1")).unwrap().client_aborts < 1_000);
    stop(proxy).await;
}

#[tokio::test]
async fn giving_up_what_is_under_way_ends_the_connection_in_the_end() {
    let backend = deaf().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut attacker = Frames::connect(&proxy).await;
    let v1 = revision("v1");
    let given_up = || proxy.totals(&v1).unwrap().client_aborts;
    let attack = async {
        for number in 0..1_000_u32 {
            let stream = 2 * number + 1;
            attacker.open(stream, HEAD).await;
            // Each is on its way to the server when it is given up.
            let begun = async {
                while proxy.in_flight(&v1) == 0 {
                    tokio::task::yield_now().await;
                }
            };
            if timeout(Duration::from_secs(1), begun).await.is_err() {
                break;
            }
            attacker.give_up(stream).await;
            while proxy.in_flight(&v1) != 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    timeout(PATIENCE, attack).await.unwrap();
    assert!((100..400).contains(&given_up()), "{}", given_up());
    attacker.is_cut_off().await;
    stop(proxy).await;
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let proxy = proxy(config(), &[], &[]).await;
    let mut attacker = Frames::connect(&proxy).await;
    attacker.send(HEADERS, END_STREAM, 1, HEAD).await;
    let mut sent = 0;
    // Headers of which nothing is compressed.
    let more = [&b"\x00\x01x\x7f\x81\x01"[..], &[b'y'; 256]]
        .concat()
        .repeat(4);
    while sent < 100_000 && attacker.send(CONTINUATION, 0, 1, &more).await {
        sent += 1;
    }
    assert!(sent < 100_000, "nothing stopped it");
    stop(proxy).await;
}

#[tokio::test]
async fn a_small_head_that_unpacks_to_a_large_one_is_refused() {
    let (backend, seen) = witness().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut attacker = Frames::connect(&proxy).await;
    // One header of 3,000 bytes for the table of the connection, and then only its number.
    let mut bomb = HEAD.to_vec();
    bomb.extend(b"\x40\x01x\x7f\xb9\x16");
    bomb.extend([b'y'; 3_000]);
    attacker.open(1, &[&bomb[..], &[0xbe; 20]].concat()).await;
    let head = attacker.wait_for(HEADERS, 1).await;
    assert!(
        head.ends_with(b"\x83\x69\x90\xff"),
        "431, packed: {head:x?}"
    );

    attacker.open(3, &[0xbe; 10_000]).await;
    attacker.is_cut_off().await;
    assert!(seen.lock().unwrap().is_empty());
    stop(proxy).await;
}

#[tokio::test]
async fn one_request_too_many_is_refused_as_not_seen() {
    let backend = deaf().await;
    let config = config().with_limits(Limits::default().with_streams(3));
    let proxy = proxy(config, &[&backend], &[]).await;
    let mut client = Frames::connect(&proxy).await;
    for stream in [1, 3, 5, 7] {
        client.open(stream, HEAD).await;
    }
    const REFUSED_STREAM: u32 = 7;
    let reason = client.wait_for(RST_STREAM, 7).await;
    assert_eq!(reason, REFUSED_STREAM.to_be_bytes());
    assert_eq!(proxy.in_flight(&revision("v1")), 3);
    drop(client);
    stop(proxy).await;
}

#[tokio::test]
async fn headers_that_http_2_forbids_are_malformed() {
    let (backend, seen) = witness().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    for (name, value) in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "x"),
        ("keep-alive", "x"),
        ("te", "gzip"),
        ("X-Upper", "x"),
        (":path", "/again"),
        ("x-split", "a\r\nx: b"),
    ] {
        let mut client = Frames::connect(&proxy).await;
        let length = |text: &str| [u8::try_from(text.len()).unwrap()];
        let (name_length, value_length) = (length(name), length(value));
        let line = [
            &name_length,
            name.as_bytes(),
            &value_length,
            value.as_bytes(),
        ];
        client.open(1, &[HEAD, &[0], &line.concat()].concat()).await;
        // Some spoil the request, some the connection.
        loop {
            match client.next().await {
                Some((HEADERS, ..)) => panic!("{name} was taken"),
                Some((RST_STREAM, ..)) | None => break,
                Some(_) => {}
            }
        }
    }
    assert!(seen.lock().unwrap().is_empty());
    stop(proxy).await;
}

#[tokio::test]
async fn who_asks_nothing_is_let_go_with_an_announcement() {
    let config = config().with_header_timeout(Duration::from_millis(200));
    let proxy = proxy(config, &[], &[]).await;
    let mut client = Frames::connect(&proxy).await;
    let mut announced = false;
    while let Some((kind, ..)) = client.next().await {
        announced |= kind == GOAWAY;
    }
    assert!(announced);
    stop(proxy).await;
}
