//! A process with metrics, as a server that scrapes it sees it. What it shows, and when, is up to the
//! test, and the test can wait for the scrapes.

mod exposition;
mod protobuf;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use exposition::{Exposition, samples_of_observation};
pub(crate) use exposition::{Labels, Layout, sample};

/// Longer than anything here takes: a test that comes near it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A process with metrics, scraped by one server at most. It ends when it is dropped.
///
/// A sample is what one line of the text format holds: of a histogram, each bucket (`…_bucket` with its
/// `le`), `…_sum` and `…_count`.
pub(crate) struct Target {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

/// How a scrape fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The answer is 503.
    Unavailable,
    /// No answer comes until the scraper gives up.
    Hang,
}

#[derive(Default)]
struct State {
    shop: Mutex<Shop>,
    scrapes: watch::Sender<Scrapes>,
}

/// What is counted, and what of it has been shown.
#[derive(Default)]
struct Shop {
    exposition: Exposition,
    /// By sample, over all restarts.
    counted: BTreeMap<String, f64>,
    /// The same, as far as it can be known from the scrapes.
    known: BTreeMap<String, f64>,
    /// What the last scrape that showed a sample has shown of it.
    shown: BTreeMap<String, f64>,
    failure: Option<Failure>,
    /// Whether the last scrape was answered, until the next one proves that the server has taken it in.
    last: Option<bool>,
}

/// Scrapes that are over, their samples in the server: a server begins the next one only then.
#[derive(Clone, Copy, Debug, Default)]
struct Scrapes {
    answered: u64,
    failed: u64,
}

impl Target {
    /// Starts without any metric.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self {
            address,
            state,
            task,
        }
    }

    /// Where `/metrics` is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds to a counter, which is there from then on.
    pub(crate) fn count(&self, name: &str, labels: Labels<'_>, by: f64) {
        let mut shop = self.shop();
        shop.exposition.count(name, labels, by);
        shop.add(sample(name, labels), by);
    }

    /// Sets a gauge.
    pub(crate) fn gauge(&self, name: &str, labels: Labels<'_>, value: f64) {
        self.shop().exposition.gauge(name, labels, value);
    }

    /// Observes a value so many times in a histogram, which is there from then on; none shows it empty.
    ///
    /// # Panics
    /// If the histogram had another layout before.
    pub(crate) fn observe(
        &self,
        name: &str,
        layout: Layout,
        labels: Labels<'_>,
        value: f64,
        times: u32,
    ) {
        let mut shop = self.shop();
        shop.exposition.observe(name, layout, labels, value, times);
        for (key, by) in samples_of_observation(name, layout, labels, value, times) {
            shop.add(key, by);
        }
    }

    /// Shows a series no more; it begins at 0 if it comes again.
    ///
    /// # Panics
    /// If it is not there.
    pub(crate) fn remove(&self, name: &str, labels: Labels<'_>) {
        assert!(
            self.shop().exposition.remove(name, labels),
            "{} is not there",
            sample(name, labels)
        );
    }

    /// Forgets all series, as a process does that starts anew.
    pub(crate) fn restart(&self) {
        self.shop().exposition = Exposition::default();
    }

    /// Lets every scrape from now on fail.
    pub(crate) fn fail(&self, failure: Failure) {
        self.shop().failure = Some(failure);
    }

    /// Lets scrapes succeed again. One that hangs goes on hanging.
    pub(crate) fn recover(&self) {
        self.shop().failure = None;
    }

    /// What was counted in a sample since the beginning, over all restarts.
    pub(crate) fn counted(&self, sample: &str) -> f64 {
        self.shop().counted.get(sample).copied().unwrap_or(0.0)
    }

    /// What of [`Self::counted`] can be known from the scrapes so far. A sample that was shown for the first
    /// time, or lower than before, has begun at 0; what was counted between the last scrape and a restart
    /// no server can know.
    pub(crate) fn known(&self, sample: &str) -> f64 {
        self.shop().known.get(sample).copied().unwrap_or(0.0)
    }

    /// Returns when the server has scraped it so many times since now, and has what was shown. It knows by
    /// the beginning of one scrape more.
    pub(crate) async fn scraped(&self, times: u64) {
        // An answer that has not been taken in yet may have been given before what the test did last.
        let (scrapes, now, under_way) = self.now();
        let goal = now.answered + u64::from(under_way == Some(true)) + times;
        self.settled(scrapes, |scrapes| scrapes.answered >= goal)
            .await;
    }

    /// Returns when so many scrapes since now have failed.
    pub(crate) async fn missed(&self, times: u64) {
        let (scrapes, now, under_way) = self.now();
        let goal = now.failed + u64::from(under_way == Some(false)) + times;
        self.settled(scrapes, |scrapes| scrapes.failed >= goal)
            .await;
    }

    fn now(&self) -> (watch::Receiver<Scrapes>, Scrapes, Option<bool>) {
        // The lock keeps the two together.
        let shop = self.shop();
        let scrapes = self.state.scrapes.subscribe();
        let now = *scrapes.borrow();
        (scrapes, now, shop.last)
    }

    async fn settled(
        &self,
        mut scrapes: watch::Receiver<Scrapes>,
        reached: impl FnMut(&Scrapes) -> bool,
    ) {
        let waiting = tokio::time::timeout(PATIENCE, scrapes.wait_for(reached)).await;
        let address = self.address;
        let reached = waiting.unwrap_or_else(|_| panic!("{address} is not scraped often enough"));
        drop(reached.expect("the target lives"));
    }

    fn shop(&self) -> MutexGuard<'_, Shop> {
        self.state.shop.lock().unwrap()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shop {
    /// None where the scraper waits in vain.
    fn answer(&mut self, accept: Option<&HeaderValue>) -> Option<Response<Full<Bytes>>> {
        match self.failure {
            None => {
                self.show();
                Some(self.exposition.answer(accept))
            }
            Some(Failure::Unavailable) => {
                let mut refusal = Response::default();
                *refusal.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                Some(refusal)
            }
            Some(Failure::Hang) => None,
        }
    }

    fn add(&mut self, sample: String, by: f64) {
        *self.counted.entry(sample).or_default() += by;
    }

    /// Takes note of what a scrape now shows.
    fn show(&mut self) {
        // What is not shown any more begins at 0 if it comes again.
        let before = std::mem::take(&mut self.shown);
        for (key, value) in self.exposition.samples() {
            self.shown.insert(key.clone(), value);
            let more = match before.get(&key) {
                Some(&before) if value >= before => value - before,
                _ => value,
            };
            *self.known.entry(key).or_default() += more;
        }
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(converse(stream, Arc::clone(&state)));
    }
}

async fn converse(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(move |request| scrape(request, Arc::clone(&state)));
    // How a connection ends is the scraper's business.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn scrape(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let answer = {
        let mut shop = state.shop.lock().unwrap();
        let settled = shop.last.take();
        shop.last = Some(shop.failure.is_none());
        state.scrapes.send_modify(|scrapes| match settled {
            Some(true) => scrapes.answered += 1,
            Some(false) => scrapes.failed += 1,
            None => {}
        });
        shop.answer(request.headers().get(ACCEPT))
    };
    match answer {
        Some(answer) => Ok(answer),
        None => std::future::pending().await,
    }
}

impl Exposition {
    /// In protobuf for those who can read it, since the text has no native histograms.
    fn answer(&self, accept: Option<&HeaderValue>) -> Response<Full<Bytes>> {
        let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or("");
        let (kind, body) = if accept.contains("proto=io.prometheus.client.MetricFamily") {
            (protobuf::CONTENT_TYPE, self.protobuf())
        } else {
            (exposition::CONTENT_TYPE, self.text().into_bytes())
        };
        let mut answer = Response::new(Full::new(body.into()));
        let kind = HeaderValue::from_static(kind);
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        answer
    }
}
