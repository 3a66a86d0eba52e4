//! An executor of one's own: servers that run already, which Codedance neither starts nor stops.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use codedance::traffic::Endpoints;
use codedance::workload::{Executor, Fleet, FleetStatus, GroupStatus, Progress, Revision};
use http_body_util::Empty;
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper::http::uri::Authority;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// How long a server may take to answer when it is asked whether it is there.
const PATIENCE: Duration = Duration::from_secs(1);

/// A server as it is given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// For people and for the `Host` header: `127.0.0.1:8001`.
    pub(crate) authority: String,
    pub(crate) path: String,
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write one such as `http://127.0.0.1:8001/`";
        let url: Uri = text
            .parse()
            .map_err(|_| format!("it is no URL; {example}"))?;
        match url.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(
                    "the proxy speaks plain HTTP to servers; give their `http://` address, \
                            behind what ends TLS"
                        .to_owned(),
                );
            }
            _ => return Err(format!("it does not begin with `http://`; {example}")),
        }
        let authority = url
            .authority()
            .ok_or_else(|| format!("it names no host; {example}"))?;
        if authority.as_str().contains('@') {
            return Err("a user name in it would be ignored; leave it out".to_owned());
        }
        Ok(Self {
            authority: authority.to_string(),
            path: url
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }
}

impl Server {
    /// The first of its addresses that answers, else the first of all.
    pub(crate) async fn resolve(&self) -> anyhow::Result<SocketAddr> {
        let has_port = self.authority.parse::<Authority>()?.port().is_some();
        let named = match has_port {
            true => self.authority.clone(),
            false => format!("{}:80", self.authority),
        };
        let unknown = || format!("{named} has no address");
        let addresses: Vec<_> = lookup_host(&named).await.with_context(unknown)?.collect();
        for address in &addresses {
            if self.answers(*address).await {
                return Ok(*address);
            }
        }
        addresses.first().copied().with_context(unknown)
    }

    /// Whether it gives any answer at all: a server that answers 500 is there, and its metrics will say
    /// what is wrong with it.
    pub(crate) async fn answers(&self, address: SocketAddr) -> bool {
        let ask = async {
            let stream = TcpStream::connect(address).await?;
            let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(connection);
            let request = Request::get(&self.path)
                .header(HOST, &self.authority)
                .body(Empty::<Bytes>::new())?;
            let answer = sender.send_request(request).await;
            connection.abort();
            answer.map(drop).map_err(anyhow::Error::from)
        };
        matches!(timeout(PATIENCE, ask).await, Ok(Ok(())))
    }
}

/// Two servers as two revisions of one replica each. To start one is to send it traffic as soon as it
/// answers; to stop one is to drain it.
#[derive(Debug)]
pub(crate) struct Addresses {
    servers: BTreeMap<Revision, (Server, SocketAddr)>,
    /// How many replicas of each revision are wanted: 1, or 0.
    wanted: Mutex<BTreeMap<Revision, u32>>,
    endpoints: Arc<dyn Endpoints>,
}

impl Addresses {
    pub(crate) fn new(
        servers: impl IntoIterator<Item = (Revision, (Server, SocketAddr))>,
        endpoints: Arc<dyn Endpoints>,
    ) -> Self {
        Self {
            servers: servers.into_iter().collect(),
            wanted: Mutex::default(),
            endpoints,
        }
    }

    fn wanted(&self) -> BTreeMap<Revision, u32> {
        let wanted = self.wanted.lock();
        wanted.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn want(&self, revision: &Revision, count: u32) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.insert(revision.clone(), count);
    }

    /// No new request goes there; those in flight have a few seconds.
    async fn drain(&self, revision: &Revision) -> codedance::Result<()> {
        if let Some((_, address)) = self.servers.get(revision) {
            let within = Duration::from_secs(5);
            self.endpoints.drain(revision, *address, within).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Executor for Addresses {
    async fn scale(&self, fleet: &Fleet) -> codedance::Result<FleetStatus> {
        for group in [&fleet.stable, &fleet.canary] {
            match group.replicas {
                Some(0) => {
                    self.want(&group.revision, 0);
                    self.drain(&group.revision).await?;
                }
                Some(count) => self.want(&group.revision, count),
                None => {}
            }
        }
        self.status().await
    }

    async fn status(&self) -> codedance::Result<FleetStatus> {
        let mut status = FleetStatus::new();
        for (revision, wanted) in self.wanted() {
            let Some((server, address)) = self.servers.get(&revision).filter(|_| wanted > 0) else {
                continue;
            };
            let mut ready = 0;
            if server.answers(*address).await {
                // From here on the proxy may send it requests; adding it again changes nothing.
                self.endpoints.add(&revision, *address).await?;
                ready = wanted;
            }
            status = status.with(revision, GroupStatus::new(wanted, ready));
        }
        Ok(status)
    }

    async fn promote(&self, _: &Revision) -> codedance::Result<Progress> {
        // There are no books in which one of the servers is the stable one.
        Ok(Progress::Done)
    }

    async fn retire(&self, revision: &Revision) -> codedance::Result<Progress> {
        self.want(revision, 0);
        self.drain(revision).await?;
        Ok(Progress::Done)
    }
}
