//! What becomes of messages on their way through.

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use hyper::{Request, Response, StatusCode};

use crate::support::*;

/// A server that answers with the head of the request as it came, a line for each header.
async fn mirror() -> Backend {
    Backend::start(|request| async move {
        let mut lines = vec![format!("{} {}", request.method(), request.uri())];
        for (name, value) in request.headers() {
            lines.push(format!("{name}: {}", value.to_str().unwrap()));
        }
        Response::builder()
            .header("connection", "x-private")
            .header("x-private", "1")
            .header("keep-alive", "timeout=5")
            .header("x-public", "1")
            .body(full(lines.join("\n")))
            .unwrap()
    })
    .await
}

#[tokio::test]
async fn end_to_end_headers_pass_and_others_do_not() {
    let backend = mirror().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;

    let mut request = get("/a/b?c=%20d");
    let headers = request.headers_mut();
    for (name, value) in [
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic x"),
        ("x-forwarded-for", "198.51.100.1"),
        ("cookie", "a=1"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    let response = client.send(request).await.unwrap();
    let expect_none = ["x-private", "keep-alive", "connection", "transfer-encoding"];
    assert!(
        expect_none
            .iter()
            .all(|name| !response.headers().contains_key(*name))
    );
    assert_eq!(response.headers()["x-public"], "1");

    let seen = response.into_body().collect().await.unwrap().to_bytes();
    let seen = String::from_utf8(seen.to_vec()).unwrap();
    let mut lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines.remove(0), "GET /a/b?c=%20d");
    lines.sort_unstable();
    let expected = [
        "cookie: a=1",
        "host: shop",
        "x-forwarded-for: 198.51.100.1, 127.0.0.1",
        "x-forwarded-host: shop",
        "x-forwarded-proto: http",
    ];
    assert_eq!(lines, expected);
    stop(proxy).await;
}

#[tokio::test]
async fn clients_of_http_1_0_are_served_and_then_closed() {
    let backend = mirror().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let answer = talk(proxy.local_addr(), "GET /old HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    assert!(answer.contains("GET /old\n"), "{answer}");
    assert!(
        answer.contains(&format!("host: {}", backend.address)),
        "{answer}"
    );
    stop(proxy).await;
}

#[tokio::test]
async fn what_the_proxy_cannot_do_it_says_itself() {
    let backend = mirror().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let close = "Connection: close\r\n\r\n";
    let ask = async |head: &str| {
        let answer = talk(proxy.local_addr(), &format!("{head}\r\n{close}")).await;
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(ask("GET / HTTP/1.1").await, "400");
    assert_eq!(ask("CONNECT shop:443 HTTP/1.1\r\nHost: shop").await, "501");
    let h2c = "GET / HTTP/1.1\r\nHost: shop\r\nUpgrade: h2c\r\nConnection: upgrade, http2-settings";
    assert_eq!(ask(h2c).await, "200");
    let smuggled = "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\nTransfer-Encoding: gzip";
    assert_eq!(ask(smuggled).await, "400");
    assert_eq!(proxy.totals(&revision("v1")).unwrap().requests(), 1);
    stop(proxy).await;
}

#[tokio::test]
async fn an_absolute_target_becomes_a_path_and_a_host() {
    let backend = mirror().await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let request = "GET http://inner:81/x?y HTTP/1.1\r\nHost: outer\r\nConnection: close\r\n\r\n";
    let answer = talk(proxy.local_addr(), request).await;
    assert!(answer.contains("GET /x?y\nhost: inner:81"), "{answer}");
    stop(proxy).await;
}

#[tokio::test]
async fn large_bodies_pass_unchanged_both_ways() {
    let backend = Backend::start(|request| async move {
        let length = request.headers().get("content-length").cloned();
        let body = request.into_body().map_err(|error| panic!("{error}"));
        let mut response = Response::new(body.boxed());
        if let Some(length) = length {
            response.headers_mut().insert("content-length", length);
        }
        response
    })
    .await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let large: Bytes = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
    for _ in 0..2 {
        let (status, echoed) = client.ask(post("/", large.clone())).await.unwrap();
        assert_eq!(status, StatusCode::OK);
        assert!(echoed == large, "{} bytes came back", echoed.len());
    }
    let totals = proxy.totals(&revision("v1")).unwrap();
    assert_eq!((totals.client_aborts, totals.cut_short), (0, 0));
    stop(proxy).await;
}

#[tokio::test]
async fn an_answer_comes_while_the_request_still_goes() {
    let backend = Backend::start(|request| async move {
        // Echoes each part as it comes.
        Response::new(
            request
                .into_body()
                .map_err(|error| panic!("{error}"))
                .boxed(),
        )
    })
    .await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;

    let (mut parts, body) = Channel::<Bytes>::new(1);
    let request = Request::post("/").header("host", "shop");
    let body = body.map_err(|error| panic!("{error}")).boxed();
    parts.send_data("first".into()).await.unwrap();
    let response = client.send(request.body(body).unwrap()).await.unwrap();
    let mut answer = response.into_body();
    let next = async |answer: &mut hyper::body::Incoming| {
        answer.frame().await.unwrap().unwrap().into_data().unwrap()
    };
    assert_eq!(next(&mut answer).await, "first");
    assert_eq!(proxy.in_flight(&revision("v1")), 1);
    for n in 0..100 {
        let part = format!("part {n}");
        parts.send_data(part.clone().into()).await.unwrap();
        assert_eq!(next(&mut answer).await, part);
    }
    drop(parts);
    assert!(answer.frame().await.is_none());
    stop(proxy).await;
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_usable() {
    let backend = Backend::start(|request| async move {
        let mut response = Response::new(full("not for HEAD"));
        if request.uri().path() == "/none" {
            response = Response::new(full(""));
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        response
    })
    .await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..3 {
        let mut head = get("/");
        *head.method_mut() = hyper::Method::HEAD;
        let response = client.send(head).await.unwrap();
        assert_eq!(response.headers()["content-length"], "12");
        assert_eq!(client.get("/none").await.0, StatusCode::NO_CONTENT);
        assert_eq!(client.get("/").await.1, "not for HEAD");
    }
    assert_eq!(
        backend.accepted(),
        1,
        "the connection to the endpoint was kept"
    );
    assert_eq!(proxy.in_flight(&revision("v1")), 0);
    stop(proxy).await;
}
