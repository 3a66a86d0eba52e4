//! Clients that send more than they may, or take longer.

use std::time::Duration;

use codedance_proxy::Limits;
use hyper::StatusCode;
use tokio::net::TcpStream;

use crate::support::*;

fn limits(change: impl Fn(Limits) -> Limits) -> codedance_proxy::Config {
    config().with_limits(change(Limits::default()))
}

#[tokio::test]
async fn heads_are_taken_up_to_their_limits_and_not_beyond() {
    let (backend, seen) = witness().await;
    let config = limits(|limits| {
        let limits = limits.with_head_bytes(1_000).with_target_bytes(100);
        limits.with_headers(120)
    });
    let proxy = proxy(config, &[&backend], &[]).await;
    let ask = async |target: usize, headers: usize, bytes: usize| {
        let target = "/".to_owned() + &"t".repeat(target - 1);
        let mut text = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        text += &"x:\r\n".repeat(headers - 2);
        if bytes > 0 {
            text += "y: ";
            text += &"y".repeat(bytes - text.len() - 4);
            text += "\r\n";
        }
        text += "\r\n";
        statuses(&talk(proxy.local_addr(), &text).await)
    };
    assert_eq!(ask(100, 2, 0).await, [200]);
    assert_eq!(ask(101, 2, 0).await, [414]);
    assert_eq!(ask(1, 120, 0).await, [200]);
    assert_eq!(ask(1, 121, 0).await, [431]);
    assert_eq!(ask(1, 2, 1_000).await, [200]);
    assert_eq!(ask(1, 2, 1_001).await, [431]);
    assert_eq!(seen.lock().unwrap().len(), 3);
    stop(proxy).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let (backend, seen) = witness().await;
    let config = limits(|limits| limits.with_body_bytes(10));
    let proxy = proxy(config, &[&backend], &[]).await;
    let head = "POST /sized HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length:";
    let sized = async |bytes: usize| {
        let text = format!("{head} {bytes}\r\n\r\n{}", "y".repeat(bytes));
        statuses(&talk(proxy.local_addr(), &text).await)
    };
    assert_eq!(sized(10).await, [200]);
    // Its body is never asked for, and the server behind is never troubled.
    assert_eq!(sized(11).await, [413]);
    assert_eq!(sized(500_000).await, [413]);
    assert_eq!(*seen.lock().unwrap(), ["/sized"]);

    let head = "POST /chunked HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let chunked = async |chunks: &str| {
        let text = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}");
        statuses(&talk(proxy.local_addr(), &text).await)
    };
    let five = "5\r\nyyyyy\r\n";
    assert_eq!(chunked(&format!("{five}{five}0\r\n\r\n")).await, [200]);
    assert_eq!(
        chunked(&format!("{five}{five}1\r\ny\r\n0\r\n\r\n")).await,
        [413]
    );
    stop(proxy).await;
}

#[tokio::test]
async fn a_client_that_takes_too_long_with_its_head_is_told() {
    let config = config().with_header_timeout(Duration::from_millis(300));
    let proxy = proxy(config, &[], &[]).await;
    let late = talk(proxy.local_addr(), "GET / HTTP/1.1\r\nHost: sh").await;
    assert_eq!(statuses(&late), [408], "{late}");
    assert_eq!(talk(proxy.local_addr(), "").await, "");
    let second = "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /";
    let answers = talk(proxy.local_addr(), second).await;
    assert_eq!(statuses(&answers), [503, 408], "{answers}");
    stop(proxy).await;
}

#[tokio::test]
async fn one_client_too_many_is_turned_away() {
    let backend = Backend::saying("ok").await;
    let config = limits(|limits| limits.with_connections(2));
    let proxy = proxy(config, &[&backend], &[]).await;
    let idle = TcpStream::connect(proxy.local_addr()).await.unwrap();
    let mut client = Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.0, StatusCode::OK);

    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let turned_away = talk(proxy.local_addr(), request).await;
    assert_eq!(statuses(&turned_away), [503], "{turned_away}");
    assert!(turned_away.contains("connection: close"), "{turned_away}");
    assert_eq!(
        client.get("/").await.0,
        StatusCode::OK,
        "others notice nothing"
    );

    drop(idle);
    let admitted = async { while statuses(&talk(proxy.local_addr(), request).await) != [200] {} };
    tokio::time::timeout(PATIENCE, admitted).await.unwrap();
    stop(proxy).await;
}

#[tokio::test]
async fn limits_that_cannot_be_are_refused_by_name() {
    let config = limits(|limits| limits.with_connections(0));
    let error = codedance_proxy::Proxy::bind(config).await.unwrap_err();
    assert_eq!(error.kind(), codedance_core::ErrorKind::Invalid);
}
