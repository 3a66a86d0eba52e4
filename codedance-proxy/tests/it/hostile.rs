//! Clients that want a request to be read in two ways, or to be read for ever.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// Heads that are refused, without the empty line at their end, and the status that says why.
fn bad_heads() -> Vec<(u16, String)> {
    let post = |lines: &str| format!("POST /bad HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
    let mut heads: Vec<_> = [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 4\r\nContent-Length: 5",
        "Content-Length: 4\r\nContent-Length: 4",
        "Content-Length: 4, 4",
        "Content-Length: +4",
        "Content-Length: 4a",
        "Content-Length:",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Content-Length: 0\r\n Transfer-Encoding: chunked",
        "X: a\r\n folded",
        "X: a\r\n\tfolded",
        "X: a\rTransfer-Encoding: chunked",
        "X: a\r\r",
        "X: a\nTransfer-Encoding: chunked",
        "X: a\0b",
        "X",
        ": x",
        "Host: y",
        "X y: z",
    ]
    .map(|lines| (400, post(lines)))
    .into();
    heads.push((501, post("Transfer-Encoding: xchunked")));
    heads.push((501, post("Transfer-Encoding: chunked, chunked")));
    heads.push((501, post("Transfer-Encoding: gzip, chunked")));
    heads.push((431, post("X: y\r\n".repeat(101).trim_end())));
    heads.push((431, post(&format!("X: {}", "y".repeat(40_000)))));
    let long = "y".repeat(9_000);
    for (status, head) in [
        (400, "POST /bad HTTP/1.0\r\nTransfer-Encoding: chunked\r\n"),
        (400, "GET /bad HTTP/1.1\r\n"),
        (400, "GET /bad HTTP/1.1\r\nHost: a b\r\n"),
        (400, "GET /bad HTTP/1.1\r\nHost: a, b\r\n"),
        (400, "GET /bad HTTP/1.1\r\nHost: a/b\r\n"),
        (400, "GET  /bad HTTP/1.1\r\nHost: x\r\n"),
        (400, "GET /bad\tHTTP/1.1\r\nHost: x\r\n"),
        (400, "GET /bad x HTTP/1.1\r\nHost: x\r\n"),
        (400, "GET /bad#x HTTP/1.1\r\nHost: x\r\n"),
        (400, "GET bad:80 HTTP/1.1\r\nHost: x\r\n"),
        (400, "GET /bad\r\n"),
        (400, "G{T /bad HTTP/1.1\r\nHost: x\r\n"),
        (400, "GET /bad HTTP/1.1\nHost: x\n"),
        (505, "GET /bad HTTP/3.0\r\nHost: x\r\n"),
        (501, "CONNECT bad:80 HTTP/1.1\r\nHost: x\r\n"),
    ] {
        heads.push((status, head.to_owned()));
    }
    heads.push((414, format!("GET /{long} HTTP/1.1\r\nHost: x\r\n")));
    heads
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_is_refused() {
    let (backend, seen) = witness().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let heads = bad_heads();
    for (status, head) in &heads {
        let text = format!("GET /good HTTP/1.1\r\nHost: x\r\n\r\n{head}\r\n{SMUGGLED}");
        let answers = talk(proxy.local_addr(), &text).await;
        assert_eq!(statuses(&answers), [200, *status], "{head:?}: {answers}");
        assert!(answers.contains("connection: close"), "{head:?}: {answers}");
    }
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen, vec!["/good"; heads.len()]);
    assert_eq!(
        proxy.totals(&revision("v1")).unwrap().requests(),
        seen.len() as u64
    );
    stop(proxy).await;
}

#[tokio::test]
async fn it_does_not_matter_in_how_many_parts_a_head_comes() {
    let (backend, seen) = witness().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    for (status, head) in bad_heads().iter().filter(|(_, head)| head.len() < 1_000) {
        let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let text = format!("\r\nGET /good HTTP/1.1\r\nHost: x\r\n\r\n{head}\r\n{SMUGGLED}");
        for byte in text.bytes() {
            stream.write_all(&[byte]).await.unwrap();
        }
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        assert_eq!(statuses(&answers), [200, *status], "{head:?}: {answers}");
    }
    assert!(seen.lock().unwrap().iter().all(|path| path == "/good"));
    stop(proxy).await;
}

#[tokio::test]
async fn chunks_that_can_be_read_in_two_ways_are_refused() {
    let (backend, seen) = witness().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let long = "y".repeat(5_000);
    let bodies = [
        "1;a\n\r\nx\r\n0\r\n\r\n",
        "1;\r\nx\r\n0\r\n\r\n",
        "1;a\rb\r\nx\r\n0\r\n\r\n",
        "1 \r\nx\r\n0\r\n\r\n",
        "1\nx\n0\n\n",
        "1\r\nxx\r\n0\r\n\r\n",
        "0x1\r\nx\r\n0\r\n\r\n",
        "-1\r\nx\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\nx\r\n0\r\n\r\n",
        "0\r\nX: a\r\n folded\r\n\r\n",
        &format!("1;{long}\r\nx\r\n0\r\n\r\n"),
        "1;name=value\r\nx\r\n0\r\n\r\n",
    ];
    for body in bodies {
        let head = "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answers = talk(proxy.local_addr(), &format!("{head}{body}{SMUGGLED}")).await;
        assert_eq!(statuses(&answers), [400], "{body:.40?}: {answers}");
    }
    assert!(seen.lock().unwrap().iter().all(|path| path == "/upload"));
    let totals = proxy.totals(&revision("v1")).unwrap();
    assert_eq!(totals.client_aborts, bodies.len() as u64);
    assert_eq!(totals.requests(), 0);
    stop(proxy).await;
}

#[tokio::test]
async fn proper_messages_pass_however_they_are_cut() {
    let (backend, seen) = witness().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let text = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nGET / HT\
        POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\n\r\n\r\r\n0\r\nX-Sum: 1\r\n\r\n\
        GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(statuses(&talk(proxy.local_addr(), text).await), [200; 3]);
    let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in text.bytes() {
        stream.write_all(&[byte]).await.unwrap();
    }
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert_eq!(statuses(&answers), [200; 3]);
    assert_eq!(*seen.lock().unwrap(), ["/a", "/b", "/c", "/a", "/b", "/c"]);
    stop(proxy).await;
}

#[tokio::test]
async fn a_head_without_end_is_not_kept() {
    let proxy = proxy(config(), &[], &[]).await;
    let endless = "y".repeat(900_000);
    let target = talk(proxy.local_addr(), &format!("GET /{endless}")).await;
    assert_eq!(statuses(&target), [414]);
    let head = format!("GET / HTTP/1.1\r\nX: {endless}");
    assert_eq!(statuses(&talk(proxy.local_addr(), &head).await), [431]);
    stop(proxy).await;
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_of_a_head_is_told() {
    let proxy = proxy(config(), &[], &[]).await;
    let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert_eq!(statuses(&answers), [400]);
    stop(proxy).await;
}
