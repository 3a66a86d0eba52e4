//! Requests for another protocol, and what follows them.

use codedance_core::traffic::Endpoints;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: shop\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A server that agrees to another protocol, in which it greets first and then echoes.
async fn echo() -> Backend {
    Backend::raw(|mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.contains("upgrade: websocket\r\n"), "{head}");
        assert!(head.contains("connection: upgrade\r\n"), "{head}");
        assert!(head.contains("sec-websocket-key: dGhl"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (mut from, mut to) = stream.split();
        // However the client leaves, the echo is over then.
        let _ = tokio::io::copy(&mut from, &mut to).await;
    })
    .await
}

/// A client that has been greeted in the other protocol.
async fn greeted(proxy: &codedance_proxy::Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    stream.write_all(ASK.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("connection: upgrade\r\n"), "{head}");
    assert!(head.contains("upgrade: websocket\r\n"), "{head}");
    assert!(head.contains("sec-websocket-accept: x\r\n"), "{head}");
    let mut greeting = [0; 5];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"hello");
    stream
}

async fn echoed(stream: &mut TcpStream, sent: &[u8]) {
    let (mut from, mut to) = stream.split();
    let mut back = vec![0; sent.len()];
    let (written, read) = tokio::join!(to.write_all(sent), from.read_exact(&mut back));
    written.unwrap();
    read.unwrap();
    assert!(back == sent, "{} bytes came back changed", back.len());
}

#[tokio::test]
async fn another_protocol_passes_unread_both_ways() {
    let backend = echo().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut stream = greeted(&proxy).await;
    // Nothing of it would pass as HTTP.
    echoed(&mut stream, b"\n\n\0GET / HTTP/1.1\nbad\r\r\n\r\n").await;
    let much: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    echoed(&mut stream, &much).await;

    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"", "the end is passed on too, and comes back");
    stop(proxy).await;
}

#[tokio::test]
async fn a_tunnel_is_in_flight_until_it_is_closed() {
    let backend = echo().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let v1 = revision("v1");
    let mut stream = greeted(&proxy).await;
    assert_eq!(proxy.in_flight(&v1), 1);
    let totals = proxy.totals(&v1).unwrap();
    assert_eq!((totals.answers, totals.requests()), ([1, 0, 0, 0, 0], 1));

    let draining = proxy.drain(&v1, backend.address, PATIENCE);
    let closing = async {
        echoed(&mut stream, b"still there").await;
        drop(stream);
    };
    let (left, ()) = tokio::join!(draining, closing);
    assert_eq!(left.unwrap(), 0);
    assert_eq!(proxy.in_flight(&v1), 0);
    stop(proxy).await;
}

#[tokio::test]
async fn stopping_cuts_a_tunnel_when_the_wait_is_over() {
    let backend = echo().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut stream = greeted(&proxy).await;
    let cut = proxy.shutdown(std::time::Duration::from_millis(50)).await;
    assert_eq!(cut, 1);
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_server_that_does_not_agree_answers_as_usual() {
    let backend = Backend::saying("no").await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let next = "GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
    let answers = talk(proxy.local_addr(), &format!("{ASK}{next}")).await;
    assert_eq!(statuses(&answers), [200, 200], "{answers}");
    stop(proxy).await;
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_not_passed_on() {
    let backend = Backend::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let switch = b"HTTP/1.1 101 Hm\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK";
        stream.write_all(switch).await.unwrap();
    })
    .await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let request = "GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
    let answers = talk(proxy.local_addr(), request).await;
    assert_eq!(statuses(&answers), [502], "{answers}");
    stop(proxy).await;
}

#[tokio::test]
async fn a_request_for_another_protocol_has_no_body() {
    let (backend, seen) = witness().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let request = "POST / HTTP/1.1\r\nHost: shop\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Content-Length: 1\r\n\r\nx";
    assert_eq!(statuses(&talk(proxy.local_addr(), request).await), [400]);
    assert!(seen.lock().unwrap().is_empty());
    stop(proxy).await;
}
