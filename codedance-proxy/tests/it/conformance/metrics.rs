//! Requests that end as their paths say, counted and noted.

use std::ops::RangeInclusive;
use std::sync::Mutex as StdMutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use codedance_core::Timestamp;
use codedance_core::metrics::{
    MetricQuery, MetricsSource, Quantile, Question, Sample, Signal, Window,
};
use codedance_core::testing::{MetricsHarness, Requests, metrics_conformance};
use codedance_core::workload::Revision;
use codedance_proxy::Proxy;
use tokio::sync::Mutex;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::support::*;

struct Harness {
    proxy: Proxy,
    /// The end of the last window.
    last: Mutex<Timestamp>,
    /// How long clients waited for the answers of a revision in a window, in seconds.
    waited: StdMutex<Vec<(Window, Revision, Vec<f64>)>>,
    _backends: [Backend; 2],
}

async fn harness() -> Harness {
    let backends = [obedient().await, obedient().await];
    let config = config().with_sampling(Duration::from_millis(1));
    Harness {
        proxy: proxy(config, &[&backends[0]], &[&backends[1]]).await,
        last: now().into(),
        waited: StdMutex::default(),
        _backends: backends,
    }
}

metrics_conformance!(harness);

#[async_trait]
impl MetricsHarness for Harness {
    fn source(&self) -> &dyn MetricsSource {
        &self.proxy
    }

    async fn requests(&self, canary: Requests, stable: Requests) -> Window {
        let mut last = self.last.lock().await;
        let from = *last;
        // What is noted in the millisecond in which a window ends belongs to it.
        while now() <= from {
            yield_now().await;
        }
        let mut client = Client::connect(self.proxy.local_addr()).await;
        let mut waited = Vec::new();
        for (points, revision, requests) in
            [(0, self.stable(), stable), (10_000, self.canary(), canary)]
        {
            apply(&self.proxy, &split(points)).await;
            let mut times = Vec::new();
            for number in 0..requests.total {
                let status = if number < requests.bad { 500 } else { 200 };
                let begun = Instant::now();
                let (answered, _) = client.get(&format!("/{status}")).await;
                assert_eq!(answered, status);
                times.push(begun.elapsed().as_secs_f64());
            }
            waited.push((revision, times));
        }
        let noted = self.noted(from, canary, stable);
        let window = timeout(PATIENCE, noted).await.expect("nothing was noted");
        *last = window.to;
        let waited = waited.into_iter();
        let waited = waited.map(|(revision, times)| (window, revision, times));
        self.waited.lock().unwrap().extend(waited);
        window
    }

    /// No longer than its client waited.
    fn took(&self, revision: &Revision, window: Window, quantile: Quantile) -> RangeInclusive<f64> {
        let waited = self.waited.lock().unwrap();
        let mut times = waited
            .iter()
            .find(|(during, of, _)| *during == window && of == revision)
            .map(|(_, _, times)| times.clone())
            .unwrap();
        times.sort_by(f64::total_cmp);
        0.0..=times[(quantile.share() * times.len() as f64).ceil() as usize - 1]
    }

    fn reads(&self, signal: &Signal) -> bool {
        !matches!(signal, Signal::Query(_))
    }

    fn query(&self) -> String {
        "requests".to_owned()
    }

    fn malformed_query(&self) -> String {
        "requests{".to_owned()
    }
}

impl Harness {
    /// The first window from `from` in which so many requests are noted.
    async fn noted(&self, from: Timestamp, canary: Requests, stable: Requests) -> Window {
        loop {
            let window = Window::new(from, now());
            let errors = MetricQuery::new("errors", Signal::ErrorRate);
            let question = Question {
                stable: self.stable(),
                canary: self.canary(),
                metrics: vec![errors],
                window,
                history: None,
            };
            let reading = self.proxy.measure(&question).await.unwrap().remove(0);
            if total(reading.canary) >= canary.total && total(reading.stable) >= stable.total {
                return window;
            }
            yield_now().await;
        }
    }
}

fn total(sample: Sample) -> u64 {
    match sample {
        Sample::Counts { total, .. } => total,
        _ => 0,
    }
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(since_epoch.as_millis().try_into().unwrap())
}
