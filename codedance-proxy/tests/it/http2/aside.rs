//! What goes to endpoints of HTTP/2 besides requests, and what is said of clients of HTTP/2.

use std::io::{self, Write};
use std::sync::mpsc;
use std::time::Duration;

use codedance_core::Percent;
use codedance_proxy::{AccessLog, Health, HealthCheck, Mirror, Retries};
use http_body_util::BodyExt;
use hyper::{Response, StatusCode, Version};
use tokio::time::timeout;

use super::endpoints::http2;
use crate::support::*;

#[tokio::test]
async fn checks_are_passed_and_failed_in_http2() {
    let backend = Backend::start_http2(|request| async move {
        assert_eq!(request.version(), Version::HTTP_2);
        let status = match request.uri().path() {
            "/healthz" => 500,
            _ => 200,
        };
        let answer = Response::builder().status(status);
        answer.body(full("ok")).unwrap()
    })
    .await;
    for (path, health) in [("/", Health::Healthy), ("/healthz", Health::Unhealthy)] {
        let check = HealthCheck::new(path).with_timeout(PATIENCE);
        let proxy = proxy(http2().with_health_check(check), &[&backend], &[]).await;
        let checked = async {
            while proxy.endpoint_status(&revision("v1"))[0].health == Health::Unchecked {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, checked).await.unwrap();
        assert_eq!(proxy.endpoint_status(&revision("v1"))[0].health, health);
        stop(proxy).await;
    }
}

#[tokio::test]
async fn copies_arrive_in_http2_with_their_bodies() {
    let v1 = Backend::start_http2(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(full(body))
    })
    .await;
    let (sender, mut copies) = tokio::sync::mpsc::unbounded_channel();
    let v2 = Backend::start_http2(move |request| {
        let sender = sender.clone();
        async move {
            let mirrored = request.headers()["x-codedance-mirrored"].clone();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            sender.send((mirrored, body)).unwrap();
            Response::new(full("copy"))
        }
    })
    .await;
    let mirror = Mirror::new(revision("v2"), Percent::HUNDRED).with_unsafe_methods(true);
    let proxy = proxy(http2().with_mirror(mirror), &[&v1], &[&v2]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for body in ["a body", ""] {
        let (status, answer) = client.ask(post("/", body)).await.unwrap();
        assert_eq!((status, &*answer), (StatusCode::OK, body.as_bytes()));
        let (mirrored, copy) = timeout(PATIENCE, copies.recv()).await.unwrap().unwrap();
        assert_eq!((mirrored.as_bytes(), &*copy), (&b"1"[..], body.as_bytes()));
    }
    let answered = async {
        while proxy.mirror_totals(&revision("v2")).unwrap().answers[1] < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, answered).await.unwrap();
    stop(proxy).await;
}

#[tokio::test]
async fn an_endpoint_that_breaks_off_is_left_for_another_on_request() {
    let breaking = Backend::raw(|stream| async move { drop(stream) }).await;
    let good = Backend::start_http2(|_| async { Response::new(full("good")) }).await;
    let config = http2()
        .with_cool_down(Duration::ZERO)
        .with_retries(Retries::default().with_unanswered(true));
    let proxy = proxy(config, &[&breaking, &good], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await, (StatusCode::OK, "good".to_owned()));
    }
    assert_eq!(proxy.totals(&revision("v1")).unwrap().no_answer, 0);
    stop(proxy).await;
}

struct Lines(mpsc::Sender<String>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.0.send(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn requests_in_http2_have_their_lines() {
    let (sender, lines) = mpsc::channel();
    let backend = Backend::saying("hello").await;
    let config = config().with_access_log(AccessLog::combined(Lines(sender)));
    let proxy = proxy(config, &[&backend], &[]).await;
    let client = Http2Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/x?y").await.1, "hello");
    drop(client);
    stop(proxy).await;
    let text: String = lines.try_iter().collect();
    assert!(text.contains("] \"GET /x?y HTTP/2.0\" 200 5 "), "{text}");
}
