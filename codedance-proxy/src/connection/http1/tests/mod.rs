//! Clients and a connection between which nothing but bytes pass, on a clock of their own.

mod messages;
mod patience;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue, TRAILER};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::phase::Phases;

const PATIENCE: Duration = Duration::from_secs(20);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const BODY: usize = 1_000;

type Content = BoxBody<Bytes, Box<dyn Error + Send + Sync>>;
type Served = JoinHandle<()>;

fn full(text: impl Into<Bytes>) -> Content {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed()
}

/// Answers as the path says.
async fn obey(request: Box<Request<Inbound>>) -> Response<Content> {
    let (head, body) = request.into_parts();
    let status = |status| {
        let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
        *response.status_mut() = status;
        response
    };
    match head.uri.path() {
        "/echo" => match body.collect().await {
            Ok(body) => {
                let trailers = body.trailers().map_or(0, HeaderMap::len);
                let mut response = Response::new(full(body.to_bytes()));
                response.headers_mut().insert("x-trailers", trailers.into());
                response
            }
            Err(_) => status(StatusCode::BAD_REQUEST),
        },
        // Its body is read by another task, sooner or later.
        "/early" => {
            tokio::spawn(body.collect());
            Response::new(full(vec![b'x'; BODY]))
        }
        "/slow" => {
            sleep(PATIENCE / 4).await;
            tokio::spawn(body.collect());
            Response::new(full(vec![b'x'; BODY]))
        }
        "/none" => status(StatusCode::NO_CONTENT),
        "/known" => {
            let mut response = status(StatusCode::NOT_MODIFIED);
            let length = HeaderValue::from_static("7");
            response.headers_mut().insert(CONTENT_LENGTH, length);
            response
        }
        path @ ("/parts" | "/broken" | "/short" | "/long") => {
            let (mut sender, body) = Channel::new(3);
            let mut response = Response::new(body.boxed());
            let headers = response.headers_mut();
            match path {
                "/short" => _ = headers.insert(CONTENT_LENGTH, HeaderValue::from_static("9")),
                "/long" => _ = headers.insert(CONTENT_LENGTH, HeaderValue::from_static("4")),
                _ => _ = headers.insert(TRAILER, HeaderValue::from_static("x-sum, host")),
            }
            for part in ["ab", "", "cdefghijklmnopqrs"] {
                let part = if path == "/short" { "ab" } else { part };
                sender.send_data(part.into()).await.unwrap();
            }
            let is_broken = path == "/broken";
            tokio::spawn(async move {
                if is_broken {
                    return sender.abort("the endpoint is gone".into());
                }
                let trailers = ["x-sum", "x-other", "host"].map(|name| {
                    let value = HeaderValue::from_static("1");
                    (http::HeaderName::from_static(name), value)
                });
                // Some are not sent as far as that.
                let _ = sender.send_trailers(trailers.into_iter().collect()).await;
            });
            response
        }
        _ => Response::new(full("hello")),
    }
}

struct Obedient(Wakeups);

impl Service for Obedient {
    type Body = Content;

    fn terms(&self) -> Terms {
        Terms {
            limits: Limits::default(),
            header_timeout: PATIENCE,
            send_timeout: PATIENCE,
        }
    }

    fn wakeups(&self) -> &Wakeups {
        &self.0
    }

    async fn answer(&self, question: Question) -> Response<Content> {
        match question {
            Ok(request) => obey(request).await,
            Err(refusal) => {
                let mut response = Response::new(full(refusal.text));
                *response.status_mut() = refusal.status;
                response
            }
        }
    }
}

/// A client, where so many bytes fit between it and the proxy, and the phases of that.
fn connect(room: usize) -> (DuplexStream, Served, Phases) {
    let (client, mut stream) = duplex(room);
    let phases = Phases::default();
    let service = Arc::new(Obedient(Wakeups::new(phases.clone())));
    let keeper = Arc::clone(&service);
    tokio::spawn(async move { keeper.0.keep().await });
    let served = async move {
        let other = serve(&mut stream, &*service, false).await;
        assert_eq!(other, None);
    };
    (client, tokio::spawn(served), phases)
}

/// Sends the parts one after the other, and returns what comes back, and whether the client may ask on
/// then. The dates are left out.
async fn talk(parts: &[&[u8]]) -> (String, bool) {
    let (mut client, mut served, phases) = connect(64 * 1024);
    for part in parts {
        // It may have heard enough before.
        let _ = client.write_all(part).await;
        sleep(Duration::from_millis(1)).await;
    }
    let goes_on = timeout(PATIENCE / 2, &mut served).await.is_err();
    if goes_on {
        phases.enter(Phase::Finishing);
        served.await.unwrap();
    }
    let mut answers = String::new();
    client.read_to_string(&mut answers).await.unwrap();
    let lines = answers.split_inclusive("\r\n");
    let undated = lines.filter(|line| !line.starts_with("date: "));
    (undated.collect(), goes_on)
}
