//! Clients that ask for nothing for a while, and then again.

use std::time::Duration;

use codedance_proxy::Proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::*;

/// A pause after which a client may well ask again.
const QUIET: Duration = Duration::from_millis(1_500);

const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

/// Sends the parts one after the other, and reads so many answers.
async fn ask(stream: &mut TcpStream, parts: &[&str], answers: usize) {
    for part in parts {
        stream.write_all(part.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    hear(stream, answers).await;
}

/// Reads so many answers.
async fn hear(stream: &mut TcpStream, answers: usize) {
    for _ in 0..answers {
        let reading = timeout(PATIENCE, read_head(stream));
        let head = reading.await.expect("no answer comes");
        assert!(head.expect("it is closed").starts_with("HTTP/1.1 200"));
        let mut body = [0; 2];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"ok");
    }
}

/// A connection over which one request was answered, a while ago.
async fn quiet(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    ask(&mut stream, &[REQUEST], 1).await;
    sleep(QUIET).await;
    stream
}

/// Everything that comes until the other side closes.
async fn rest(mut stream: TcpStream) -> String {
    let mut rest = String::new();
    let reading = timeout(PATIENCE, stream.read_to_string(&mut rest));
    reading.await.expect("it stays open").unwrap();
    rest
}

#[tokio::test]
async fn a_quiet_client_may_ask_again_in_any_way() {
    let (backend, seen) = witness().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let body = "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
    let both = [REQUEST, body].concat();
    let ways: [(&[&str], _); 5] = [
        (&[REQUEST], 1),
        (&[&both], 2),
        (&["G", "ET /a HTTP/1.1\r\nHo", "st: x\r\n\r\n"], 1),
        (&["\r\n", REQUEST], 1),
        (&[&both[..both.len() - 2], "bc"], 2),
    ];
    let mut stream = quiet(&proxy).await;
    for (parts, answers) in ways {
        seen.lock().unwrap().clear();
        ask(&mut stream, parts, answers).await;
        assert_eq!(*seen.lock().unwrap(), ["/a", "/b"][..answers], "{parts:?}");
        sleep(QUIET).await;
    }
    drop(stream);
    stop(proxy).await;
}

#[tokio::test]
async fn a_request_at_the_moment_of_rest_is_not_lost() {
    let backend = Backend::saying("ok").await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut clients = JoinSet::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
        clients.spawn(async move {
            // Each comes as soon as the answer before it, while the connection is put to rest.
            for _ in 0..20 {
                stream.write_all(REQUEST.as_bytes()).await.unwrap();
                hear(&mut stream, 1).await;
            }
        });
    }
    clients.join_all().await;
    stop(proxy).await;
}

#[tokio::test]
async fn quiet_clients_are_let_go_at_once_in_the_end() {
    let backend = Backend::saying("ok").await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let stream = quiet(&proxy).await;
    stop(proxy).await;
    assert_eq!(rest(stream).await, "");
}

#[tokio::test]
async fn quiet_clients_are_let_go_when_their_time_is_over() {
    let backend = Backend::saying("ok").await;
    let patience = Duration::from_secs(3);
    let proxy = proxy(config().with_header_timeout(patience), &[&backend], &[]).await;
    let silent = quiet(&proxy).await;
    let mut slow = quiet(&proxy).await;
    // Beginning late gives no more time.
    slow.write_all(b"GET /a HTTP/1.1\r\n").await.unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(rest(silent).await, "");
    assert_eq!(statuses(&rest(slow).await), [408]);
    assert!(begun.elapsed() < patience);
    stop(proxy).await;
}

#[tokio::test]
async fn what_a_quiet_client_sends_is_still_looked_at() {
    let backend = Backend::saying("ok").await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    for (text, status) in [
        ("GET /a HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ] {
        let mut stream = quiet(&proxy).await;
        stream.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(statuses(&rest(stream).await), [status], "{text:?}");
    }
    stop(proxy).await;
}
