//! Answers of endpoints by the letter.

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::*;

/// A server that answers with these bytes, in parts of this size, as often as it is asked; it closes
/// the connection then if it is told so.
async fn saying(answer: &str, size: usize, closes: bool) -> Backend {
    let answer = Arc::new(answer.to_owned());
    Backend::raw(move |mut stream: TcpStream| {
        let answer = Arc::clone(&answer);
        async move {
            while read_head(&mut stream).await.is_some() {
                for part in answer.as_bytes().chunks(size) {
                    // The proxy may have heard enough before.
                    let _ = stream.write_all(part).await;
                }
                if closes {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_makes_no_sense_is_never_whole() {
    let chunked =
        |body: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
    let answers = [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok".to_owned(),
        chunked(""),
        chunked("2"),
        chunked("2\r\n"),
        chunked("2\r\no"),
        chunked("2\r\nok"),
        chunked("2\r\nok\r\n"),
        chunked("2\r\nok\r\n0"),
        chunked("2\r\nok\r\n0\r\n"),
        chunked("2\r\nok\r\n0\r\nx-sum: 1\r\n"),
        chunked("2\r\nok0\r\n\r\n"),
        chunked("2\r\nokay\r\n0\r\n\r\n"),
        chunked("-2\r\nok\r\n0\r\n\r\n"),
        chunked("0x2\r\nok\r\n0\r\n\r\n"),
        chunked("fffffffffffffffff\r\nok\r\n0\r\n\r\n"),
        chunked("2\nok\n0\n\n"),
    ];
    for answer in answers {
        let backend = saying(&answer, answer.len(), true).await;
        let proxy = proxy(config(), &[&backend], &[]).await;
        let mut client = Client::connect(proxy.local_addr()).await;
        let whole = client.ask(get("/")).await;
        assert!(whole.is_err(), "{answer:?}: {whole:?}");
        let totals = proxy.totals(&revision("v1")).unwrap();
        let counted = (totals.answers[1], totals.cut_short, totals.no_answer);
        assert_eq!(counted, (1, 1, 0), "{answer:?}");
        stop(proxy).await;
    }
}

#[tokio::test]
async fn an_answer_that_could_end_in_two_places_is_none() {
    for lines in [
        "content-length: 2\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 2",
        "content-length: 2\r\ncontent-length: 3",
        "content-length: 2, 3",
        "transfer-encoding: gzip",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: gzip, chunked",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        let backend = saying(&answer, answer.len(), true).await;
        let proxy = proxy(config(), &[&backend], &[]).await;
        let mut client = Client::connect(proxy.local_addr()).await;
        assert_eq!(client.get("/").await.0, StatusCode::BAD_GATEWAY, "{lines}");
        assert_eq!(proxy.totals(&revision("v1")).unwrap().no_answer, 1);
        stop(proxy).await;
    }
}

#[tokio::test]
async fn an_answer_is_the_same_however_it_is_cut() {
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let sized = "HTTP/1.1 200 Fine\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        1;x\r\no\r\n1\r\nk\r\n0\r\n\r\n";
    let hinted = format!("{early}{sized}");
    for answer in [sized, chunked, &hinted] {
        for size in [1, 7, answer.len()] {
            let backend = saying(answer, size, false).await;
            let proxy = proxy(config(), &[&backend], &[]).await;
            let mut client = Client::connect(proxy.local_addr()).await;
            for _ in 0..3 {
                assert_eq!(client.get("/").await, (StatusCode::OK, "ok".to_owned()));
            }
            assert_eq!(backend.accepted(), 1, "{answer:?} by {size}");
            assert_eq!(proxy.totals(&revision("v1")).unwrap().answers[0], 0);
            stop(proxy).await;
        }
    }
}

#[tokio::test]
async fn interim_answers_come_to_an_end() {
    let hint = "HTTP/1.1 103 Early Hints\r\n\r\n";
    for (hints, status) in [(32, StatusCode::OK), (33, StatusCode::BAD_GATEWAY)] {
        let answer = hint.repeat(hints) + "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let backend = saying(&answer, answer.len(), false).await;
        let proxy = proxy(config(), &[&backend], &[]).await;
        let mut client = Client::connect(proxy.local_addr()).await;
        assert_eq!(client.get("/").await.0, status, "{hints}");
        stop(proxy).await;
    }
}

#[tokio::test]
async fn answers_that_have_no_body_whatever_they_say_leave_the_connection_usable() {
    let lengths = "content-length: 100";
    for (method, status, lines) in [
        (Method::HEAD, 200, lengths),
        (Method::HEAD, 200, "transfer-encoding: chunked"),
        (Method::HEAD, 200, "x: y"),
        (Method::GET, 304, lengths),
        (Method::GET, 304, "transfer-encoding: chunked"),
        (Method::GET, 204, lengths),
        (Method::GET, 204, "x: y"),
    ] {
        let answer = format!("HTTP/1.1 {status} X\r\n{lines}\r\n\r\n");
        let backend = saying(&answer, answer.len(), false).await;
        let proxy = proxy(config(), &[&backend], &[]).await;
        let mut client = Client::connect(proxy.local_addr()).await;
        for _ in 0..3 {
            let mut request = get("/");
            *request.method_mut() = method.clone();
            let (answered, body) = client.ask(request).await.unwrap();
            assert_eq!((answered.as_u16(), &*body), (status, &b""[..]), "{answer}");
        }
        assert_eq!(backend.accepted(), 1, "{method} {answer}");
        stop(proxy).await;
    }
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_its_connection() {
    for version in ["1.0", "1.1"] {
        let large = "y".repeat(200_000);
        let answer = format!("HTTP/{version} 200 OK\r\nx: y\r\n\r\n{large}");
        let backend = saying(&answer, 1_000, true).await;
        let proxy = proxy(config(), &[&backend], &[]).await;
        let mut client = Client::connect(proxy.local_addr()).await;
        for _ in 0..3 {
            let (status, body) = client.get("/").await;
            assert_eq!((status, body.len()), (StatusCode::OK, large.len()));
        }
        assert_eq!(backend.accepted(), 3);
        let totals = proxy.totals(&revision("v1")).unwrap();
        assert_eq!((totals.cut_short, totals.resent), (0, 0));
        stop(proxy).await;
    }
}

#[tokio::test]
async fn connections_persist_as_long_as_endpoints_say_so() {
    for (head, persists) in [
        ("1.1 200 OK\r\nx: y", true),
        ("1.1 200 OK\r\nconnection: x, close", false),
        ("1.0 200 OK\r\nx: y", false),
        ("1.0 200 OK\r\nconnection: keep-alive", true),
    ] {
        let answer = format!("HTTP/{head}\r\ncontent-length: 2\r\n\r\nok");
        let backend = saying(&answer, answer.len(), false).await;
        let proxy = proxy(config(), &[&backend], &[]).await;
        let mut client = Client::connect(proxy.local_addr()).await;
        for _ in 0..3 {
            assert_eq!(client.get("/").await.1, "ok");
        }
        let accepted = if persists { 1 } else { 3 };
        assert_eq!(backend.accepted(), accepted, "{head}");
        stop(proxy).await;
    }
}

#[tokio::test]
async fn trailers_of_an_answer_reach_a_client_who_wants_them() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
        2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n";
    let backend = saying(answer, answer.len(), false).await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..3 {
        let mut request = get("/");
        let headers = request.headers_mut();
        headers.insert("te", "trailers".parse().unwrap());
        headers.insert("connection", "te".parse().unwrap());
        let response = client.send(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["x-sum"], "7");
        assert_eq!(body.to_bytes(), "ok");
    }
    assert_eq!(backend.accepted(), 1);
    stop(proxy).await;
}
