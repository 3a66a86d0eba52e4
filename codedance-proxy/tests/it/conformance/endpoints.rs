//! Servers that hold every request until they are told to answer.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::testing::{EndpointsHarness, endpoints_conformance};
use codedance_core::traffic::Endpoints;
use codedance_core::workload::Revision;
use codedance_proxy::Proxy;
use hyper::{Response, StatusCode};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::support::*;

struct Harness {
    proxy: Proxy,
    world: Mutex<World>,
    arrive: mpsc::UnboundedSender<Arrival>,
    arrivals: tokio::sync::Mutex<mpsc::UnboundedReceiver<Arrival>>,
}

#[derive(Default)]
struct World {
    servers: Vec<Backend>,
    held: Vec<Held>,
}

/// A request that a server has, and what makes it answer.
struct Arrival {
    server: usize,
    answer: oneshot::Sender<()>,
}

/// The same, with the client that waits for the answer.
struct Held {
    address: SocketAddr,
    answer: oneshot::Sender<()>,
    client: JoinHandle<StatusCode>,
}

async fn harness() -> Harness {
    let (arrive, arrivals) = mpsc::unbounded_channel();
    Harness {
        proxy: proxy(config(), &[], &[]).await,
        world: Mutex::default(),
        arrive,
        arrivals: arrivals.into(),
    }
}

endpoints_conformance!(harness);

impl Harness {
    fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl EndpointsHarness for Harness {
    fn endpoints(&self) -> &dyn Endpoints {
        &self.proxy
    }

    /// All traffic goes there as long as no split is applied.
    fn revision(&self) -> Revision {
        revision("v1")
    }

    async fn server(&self) -> SocketAddr {
        let server = self.world(|world| world.servers.len());
        let arrive = self.arrive.clone();
        let backend = Backend::start(move |_| {
            let arrive = arrive.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                // Nobody waits for either any more when the test is over.
                let _ = arrive.send(Arrival { server, answer });
                let _ = answered.await;
                Response::new(full("at last"))
            }
        })
        .await;
        let address = backend.address;
        self.world(|world| world.servers.push(backend));
        address
    }

    async fn begin(&self) -> Option<SocketAddr> {
        let mut client = Client::connect(self.proxy.local_addr()).await;
        let mut client = tokio::spawn(async move { client.ask(get("/")).await.unwrap().0 });
        let mut arrivals = self.arrivals.lock().await;
        tokio::select! {
            arrival = arrivals.recv() => {
                let Arrival { server, answer } = arrival.unwrap();
                Some(self.world(|world| {
                    let address = world.servers[server].address;
                    world.held.push(Held { address, answer, client });
                    address
                }))
            }
            status = &mut client => {
                assert_eq!(status.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
                None
            }
        }
    }

    async fn finish(&self, address: SocketAddr) {
        let held = self.world(|world| {
            let place = world.held.iter().position(|held| held.address == address);
            world.held.remove(place.unwrap())
        });
        held.answer.send(()).unwrap();
        assert_eq!(held.client.await.unwrap(), StatusCode::OK);
    }

    async fn pass(&self, length: Duration) {
        tokio::time::pause();
        tokio::time::advance(length).await;
        tokio::time::resume();
    }
}
