//! The users: real requests over several connections, every answer checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::server::VERSION;

/// How long a user waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked for, and what the answer must be.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// The demo server, by GET and POST in turn: it says its version and sends back what it got.
    Demo,
    /// Any server, by GET: whatever it answers is an answer.
    Any { host: String, path: String },
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) well: u64,
    /// Answers with a status of 5xx, by the version that gave them; empty where it is not known.
    pub(crate) errors: BTreeMap<String, u64>,
    /// No answer, none by any version, or not the right one.
    pub(crate) lost: u64,
    pub(crate) first_loss: Option<String>,
}

impl Tally {
    pub(crate) fn errors_of(&self, version: &str) -> u64 {
        self.errors.get(version).copied().unwrap_or_default()
    }

    pub(crate) fn sent(&self) -> u64 {
        self.well + self.errors.values().sum::<u64>() + self.lost
    }
}

/// Users at work, until they are stopped or dropped.
#[derive(Debug)]
pub(crate) struct Load {
    tally: Arc<Mutex<Tally>>,
    stop: watch::Sender<bool>,
    users: JoinSet<()>,
}

impl Load {
    /// Sends `rate` requests a second to `target`. An open loop: who has to wait for an answer sends the
    /// next request late, and then those that are due at once, so that a slow server is not spared.
    pub(crate) fn start(target: SocketAddr, ask: &Ask, rate: u32) -> Self {
        let tally: Arc<Mutex<Tally>> = Arc::default();
        let (stop, stopped) = watch::channel(false);
        let mut users = JoinSet::new();
        let count = rate.min(32);
        for user in 0..count {
            let between = Duration::from_secs_f64(1.0 / f64::from(rate));
            let mut ticks = interval_at(Instant::now() + between * user, between * count);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let (ask, tally, mut stopped) = (ask.clone(), Arc::clone(&tally), stopped.clone());
            users.spawn(async move {
                let mut connection = None;
                for number in 0_u64.. {
                    tokio::select! {
                        _ = ticks.tick() => {}
                        _ = stopped.changed() => return,
                    }
                    let exchange = exchange(&mut connection, target, &ask, number);
                    let came = match timeout(PATIENCE, exchange).await {
                        Ok(came) => came,
                        Err(_) => Err(anyhow::anyhow!("no answer within {PATIENCE:?}")),
                    };
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    count_in(&mut tally, came, &mut connection);
                }
            });
        }
        Self { tally, stop, users }
    }

    /// Sends nothing more, waits for what is in flight, and says what became of all.
    pub(crate) async fn stop(self) -> Tally {
        let _ = self.stop.send(true);
        let Self { tally, users, .. } = self;
        users.join_all().await;
        let tally = tally.lock();
        tally.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

type Connection = SendRequest<Full<Bytes>>;

/// What a good exchange ends with: nothing more to say, or the version that answered with an error.
type Came = Result<Option<String>>;

fn count_in(tally: &mut Tally, came: Came, connection: &mut Option<Connection>) {
    match came {
        Ok(None) => tally.well += 1,
        Ok(Some(version)) => *tally.errors.entry(version).or_default() += 1,
        Err(loss) => {
            *connection = None;
            tally.lost += 1;
            tally.first_loss.get_or_insert_with(|| format!("{loss:#}"));
        }
    }
}

/// One request over the user's connection, which is kept for the next.
async fn exchange(
    connection: &mut Option<Connection>,
    target: SocketAddr,
    ask: &Ask,
    number: u64,
) -> Came {
    // The proxy may have closed what was kept.
    if let Some(kept) = connection
        && kept.ready().await.is_err()
    {
        *connection = None;
    }
    let sender = match connection {
        Some(kept) => kept,
        None => connection.insert(connect(target).await?),
    };
    let (request, sent) = ask.request(number)?;
    let response = sender.send_request(request).await.context("no answer")?;
    let status = response.status();
    let version = response.headers().get(VERSION).cloned();
    let version = version.and_then(|version| version.to_str().map(str::to_owned).ok());
    let body = response.into_body().collect().await;
    let body = body.context("the answer broke off")?.to_bytes();
    match (ask, version) {
        (Ask::Demo, None) => anyhow::bail!("{status} by no version"),
        (_, version) if status.is_server_error() => Ok(Some(version.unwrap_or_default())),
        (Ask::Any { .. }, _) => Ok(None),
        (Ask::Demo, Some(version)) => {
            ensure!(status == StatusCode::OK, "{status} by {version}");
            ensure!(body == sent, "{version} did not send back what it got");
            Ok(None)
        }
    }
}

async fn connect(target: SocketAddr) -> Result<Connection> {
    let stream = TcpStream::connect(target).await.context("no connection")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with the sender; what goes wrong is told by the request.
    tokio::spawn(connection);
    Ok(sender)
}

impl Ask {
    /// The request, and its body.
    fn request(&self, number: u64) -> Result<(Request<Full<Bytes>>, Bytes)> {
        let (method, path, host, body) = match self {
            Self::Demo if number.is_multiple_of(2) => ("GET", "/", "demo", Bytes::new()),
            Self::Demo => {
                let body = format!("{number} {}", "x".repeat(fastrand::usize(..4_096)));
                ("POST", "/echo", "demo", body.into())
            }
            Self::Any { host, path } => ("GET", path.as_str(), host.as_str(), Bytes::new()),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .body(Full::new(body.clone()))?;
        Ok((request, body))
    }
}
