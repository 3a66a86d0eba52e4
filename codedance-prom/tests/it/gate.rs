//! A network between a client and a server that does what the test says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What happens to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Everything passes.
    Fair,
    /// The first byte of the answer comes so much later.
    Delay(Duration),
    /// Connections are reset as soon as they are there.
    Reset,
    /// Connections are reset after so many bytes of the answer.
    ResetAfter(u64),
    /// The server is not asked; to the first bytes that come, this is the answer, and the end.
    Answer(Vec<u8>),
    /// All is taken in, and nothing comes back.
    Swallow,
}

/// The way to a server; it ends, with all its connections, when dropped.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    weather: Arc<Mutex<Forecast>>,
    connections: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    open: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

/// For the connections to come.
#[derive(Debug)]
struct Forecast {
    next: VecDeque<Weather>,
    then: Weather,
}

impl Gate {
    /// At first everything passes.
    pub(crate) async fn to(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Arc::new(Mutex::new(Forecast {
            next: VecDeque::new(),
            then: Weather::Fair,
        }));
        let connections = Arc::new(AtomicU64::new(0));
        let answered = Arc::new(AtomicU64::new(0));
        let (opened, passed) = (Arc::clone(&connections), Arc::clone(&answered));
        let forecast = Arc::clone(&weather);
        let (open, opens) = watch::channel(0);
        let open = Arc::new(open);
        let task = tokio::spawn(async move {
            let mut streams = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                opened.fetch_add(1, Ordering::SeqCst);
                let weather = {
                    let mut forecast = forecast.lock().unwrap();
                    let next = forecast.next.pop_front();
                    next.unwrap_or_else(|| forecast.then.clone())
                };
                open.send_modify(|open| *open += 1);
                let (passed, open) = (Arc::clone(&passed), Arc::clone(&open));
                streams.spawn(async move {
                    carry(stream, upstream, weather, passed).await;
                    open.send_modify(|open| *open -= 1);
                });
            }
        });
        Self {
            address,
            weather,
            connections,
            answered,
            open: opens,
            task,
        }
    }

    /// What happens to every connection from the next one on.
    pub(crate) fn set(&self, weather: Weather) {
        self.script([], weather);
    }

    /// What happens to each of the next connections, and to all after them.
    pub(crate) fn script<const N: usize>(&self, next: [Weather; N], then: Weather) {
        let next = next.into();
        *self.weather.lock().unwrap() = Forecast { next, then };
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until the client or the server has closed every connection.
    pub(crate) async fn until_all_are_closed(&self) {
        let mut open = self.open.clone();
        open.wait_for(|open| *open == 0).await.unwrap();
    }

    /// How many bytes of answers it has read from the server.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    mut client: TcpStream,
    upstream: SocketAddr,
    weather: Weather,
    answered: Arc<AtomicU64>,
) {
    let (delay, reset_after) = match weather {
        Weather::Fair => (Duration::ZERO, u64::MAX),
        Weather::Delay(delay) => (delay, u64::MAX),
        Weather::ResetAfter(bytes) => (Duration::ZERO, bytes),
        Weather::Reset => return reset(&client),
        Weather::Answer(answer) => {
            // How it ends is the client's business.
            let _ = client.read(&mut [0; 4096]).await;
            let _ = client.write_all(&answer).await;
            let _ = client.shutdown().await;
            return swallow(&mut client).await;
        }
        Weather::Swallow => return swallow(&mut client).await,
    };
    let mut server = TcpStream::connect(upstream).await.unwrap();
    let (mut from_server, mut to_server) = server.split();
    let (mut from_client, mut to_client) = client.split();
    let back = async {
        let mut left = reset_after;
        let mut buffer = vec![0; 16 * 1024];
        let mut late = delay;
        loop {
            let Ok(read @ 1..) = from_server.read(&mut buffer).await else {
                return false;
            };
            tokio::time::sleep(std::mem::take(&mut late)).await;
            answered.fetch_add(read as u64, Ordering::SeqCst);
            let passes = left.min(read as u64);
            left -= passes;
            if to_client
                .write_all(&buffer[..passes as usize])
                .await
                .is_err()
            {
                return false;
            }
            if left == 0 {
                return true;
            }
        }
    };
    let is_reset = tokio::select! {
        is_reset = back => is_reset,
        _ = tokio::io::copy(&mut from_client, &mut to_server) => false,
    };
    if is_reset {
        reset(&client);
    }
}

fn reset(client: &TcpStream) {
    client.set_zero_linger().unwrap();
}

async fn swallow(client: &mut TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(1..) = client.read(&mut buffer).await {}
}
