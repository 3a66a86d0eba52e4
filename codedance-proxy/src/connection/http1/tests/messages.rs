//! What is sent for what is asked.

use super::*;

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// What comes back for one request, and whether another might follow.
async fn ask(first_line: &str, headers: &str) -> (String, bool) {
    talk(&[format!("{first_line}\r\nhost: x\r\n{headers}\r\n").as_bytes()]).await
}

fn kept(answer: &str) -> (String, bool) {
    (answer.to_owned(), true)
}

fn last(answer: &str) -> (String, bool) {
    (answer.to_owned(), false)
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_where_it_ends() {
    assert_eq!(ask("GET / HTTP/1.1", "").await, kept(HELLO));
    let sized = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(ask("HEAD / HTTP/1.1", "").await, kept(sized));
    let none = "HTTP/1.1 204 No Content\r\n\r\n";
    assert_eq!(ask("GET /none HTTP/1.1", "").await, kept(none));
    let known = "HTTP/1.1 304 Not Modified\r\n\r\n";
    assert_eq!(ask("GET /known HTTP/1.1", "").await, kept(known));
    let parts = "HTTP/1.1 200 OK\r\ntrailer: x-sum, host\r\ntransfer-encoding: chunked\r\n\r\n\
        2\r\nab\r\n11\r\ncdefghijklmnopqrs\r\n0\r\n";
    let (without, with) = (format!("{parts}\r\n"), format!("{parts}x-sum: 1\r\n\r\n"));
    assert_eq!(ask("GET /parts HTTP/1.1", "").await, kept(&without));
    let te = "te: gzip, Trailers\r\n";
    assert_eq!(ask("GET /parts HTTP/1.1", te).await, kept(&with));
    let unsized_head = "HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(ask("HEAD /parts HTTP/1.1", "").await, kept(unsized_head));
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd";
    assert_eq!(ask("GET /long HTTP/1.1", "").await, kept(cut));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_whole_is_not_taken_for_whole() {
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nababab";
    assert_eq!(ask("GET /short HTTP/1.1", "").await, last(short));
    let (broken, is_kept) = ask("GET /broken HTTP/1.1", "").await;
    assert!(broken.ends_with("\r\ncdefghijklmnopqrs\r\n"), "{broken:?}");
    assert!(!is_kept);
}

#[tokio::test(start_paused = true)]
async fn a_connection_goes_on_as_both_sides_say() {
    let closed = HELLO.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    for close in ["close", "keep-alive, Close", "x\r\nconnection: close"] {
        let close = format!("connection: {close}\r\n");
        assert_eq!(ask("GET / HTTP/1.1", &close).await, last(&closed));
    }
    let old = HELLO.replace("1.1", "1.0");
    assert_eq!(ask("GET / HTTP/1.0", "").await, last(&old));
    let keep = "connection: Keep-Alive\r\n";
    let kept_alive = old.replace("\r\n\r\n", "\r\nconnection: keep-alive\r\n\r\n");
    assert_eq!(ask("GET / HTTP/1.0", keep).await, kept(&kept_alive));
    // Nothing but the end of the connection could end it.
    let parts = "HTTP/1.0 200 OK\r\n\r\nabcdefghijklmnopqrs";
    assert_eq!(ask("GET /parts HTTP/1.0", keep).await, last(parts));
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_in_their_order_however_they_are_cut() {
    let text = "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n\
        POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nG\r\n\n\
        POST /echo HTTP/1.1\r\nhost: x\r\nTransfer-Encoding:  Chunked \r\n\r\n\
        3\r\n\n\n\n\r\n00A\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\n\
        POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n\
        GET / HTTP/1.1\r\nhost: x\r\nbad\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let echo = |body: &str, trailers| {
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nx-trailers: {trailers}\r\n");
        format!("{head}content-length: {length}\r\n\r\n{body}")
    };
    let error = "a header of the request is malformed";
    let length = error.len();
    let refused = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{error}"
    );
    let echoes = echo("G\r\n\n", 0) + &echo("\n\n\n0123456789", 1) + &echo("", 0);
    let expected = last(&format!("{HELLO}{echoes}{refused}"));
    assert_eq!(talk(&[text.as_bytes()]).await, expected);
    let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
    assert_eq!(talk(&bytes).await, expected);
    for cut in 1..text.len() {
        let (a, b) = text.as_bytes().split_at(cut);
        assert_eq!(talk(&[a, b]).await, expected, "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_read_ends_the_connection() {
    let head = "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let (answer, is_kept) = talk(&[head.as_bytes(), b"1\r\nab\r\n0\r\n\r\n", REQUEST]).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!((answer.matches("HTTP/1.1").count(), is_kept), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_a_word_gets_it_when_its_body_is_wanted() {
    let head = |path: &str| {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n");
        format!("{head}expect: 100-continue\r\n\r\n")
    };
    let (answer, is_kept) = talk(&[head("/echo").as_bytes(), b"ab"]).await;
    let word = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n";
    assert!(answer.starts_with(word), "{answer}");
    assert!(answer.ends_with("\r\n\r\nab") && is_kept, "{answer}");

    let (answer, is_kept) = talk(&[format!("{}ab", head("/echo")).as_bytes()]).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(is_kept, "it did not wait");

    let (answer, is_kept) = talk(&[head("/").as_bytes()]).await;
    let closed = HELLO.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    assert_eq!((answer, is_kept), last(&closed), "nobody wants it");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_wants_is_skipped_where_it_has_come() {
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n";
    let whole = format!("{head}ab{head}ab");
    let both = format!("{HELLO}{HELLO}");
    assert_eq!(talk(&[whole.as_bytes()]).await, kept(&both));
    let (answer, is_kept) = talk(&[head.as_bytes(), b"ab", REQUEST]).await;
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!((answer.matches("HTTP/1.1").count(), is_kept), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_body_may_come_after_the_answer() {
    let head = "POST /early HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let parts: [&[u8]; 4] = [head.as_bytes(), b"1\r\na\r\n", b"0\r\n\r\n", REQUEST];
    let (answers, is_kept) = talk(&parts).await;
    assert!(answers.ends_with(HELLO), "{answers}");
    assert_eq!((answers.matches("HTTP/1.1").count(), is_kept), (2, true));
}
