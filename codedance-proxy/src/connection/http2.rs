//! A client that speaks HTTP/2.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::Request;
use http::header::CONNECTION;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::client::Client;
use crate::forward::{forward, refuse};
use crate::inbound::{Inbound, settle};
use crate::phase::Phase;
use crate::server::Plane;

/// How much of requests' bodies a client may send ahead, over one connection and for one request.
/// What endpoints take is made up for at once.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const STREAM_WINDOW: u32 = 256 * 1024;
/// How much of an answer waits for a client that does not read.
const SEND_BUFFER: usize = 64 * 1024;

/// A client that gave up so many requests before they were answered, and more than half of all, is
/// not there for the answers: opening and resetting them is cheap for it and not for the endpoints.
const GIVEN_UP_MOST: u64 = 200;

/// Serves one connection until its client is done or the proxy is over.
pub(crate) async fn serve<S>(plane: Arc<Plane>, stream: S, client: Client)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let phases = plane.wakeups.phases.clone();
    let limits = plane.config.limits;
    let quiet = plane.config.header_timeout;
    let streams = Streams::default();
    let record = Arc::new(Record::default());
    let client = Arc::new(client);
    let address = client.own_address().clone();
    let answer = {
        let record = Arc::clone(&record);
        move |mut request: Request<Incoming>| {
            let asked = Asked::new(&record);
            let (plane, client) = (Arc::clone(&plane), Arc::clone(&client));
            async move {
                let mut response = match settle(&mut request, &limits) {
                    Err(refusal) => refuse(&plane, &client, &request, refusal),
                    Ok(()) => forward(&plane, &client, Box::new(request.map(Inbound::Http2))).await,
                };
                // A refusal says that the connection ends, which HTTP/2 says in another way. Hyper would
                // take it away as well, with a warning.
                response.headers_mut().remove(CONNECTION);
                asked.answered();
                Ok::<_, Infallible>(response)
            }
        }
    };
    let mut connection = http2::Builder::new(streams.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(quiet)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .serve_connection(TokioIo::new(stream), service_fn(answer));

    let finish = async {
        let idle = || record.asks_nothing_for(quiet, &streams.0);
        tokio::select! {
            biased;
            ended = &mut connection => return note_end(ended),
            () = phases.reached(Phase::Finishing) => {}
            () = idle() => {}
            () = record.abuse.notified() => {
                return debug!(?address, "a client gave up nearly all of its requests");
            }
        }
        // Announces it: what the client has sent before it knows is answered.
        Pin::new(&mut connection).graceful_shutdown();
        tokio::select! {
            biased;
            ended = connection => note_end(ended),
            () = idle() => {}
        }
    };
    tokio::select! {
        biased;
        () = finish => {}
        () = phases.reached(Phase::Over) => {}
    }
    // Without their connection they have nobody to answer.
    streams.0.close();
    streams.0.wait().await;
}

/// What a client has asked over one connection.
#[derive(Debug, Default)]
struct Record {
    asked: AtomicU64,
    given_up: AtomicU64,
    abuse: Notify,
}

impl Record {
    /// Waits until no request has been under way for so long.
    async fn asks_nothing_for(&self, quiet: Duration, streams: &TaskTracker) {
        loop {
            let before = self.asked.load(Relaxed);
            sleep(quiet).await;
            if streams.is_empty() && self.asked.load(Relaxed) == before {
                return;
            }
        }
    }
}

/// A request that has been asked. Dropped before it is answered, its client gave it up.
struct Asked(Option<Arc<Record>>);

impl Asked {
    fn new(record: &Arc<Record>) -> Self {
        record.asked.fetch_add(1, Relaxed);
        Self(Some(Arc::clone(record)))
    }

    fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Some(record) = &self.0 else { return };
        let given_up = record.given_up.fetch_add(1, Relaxed) + 1;
        if given_up >= GIVEN_UP_MOST && given_up > record.asked.load(Relaxed) / 2 {
            record.abuse.notify_one();
        }
    }
}

/// The tasks that answer the requests of one connection.
#[derive(Clone, Debug, Default)]
struct Streams(TaskTracker);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

fn note_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(%error, "a client's connection ended badly");
    }
}
