//! Harnesses over the memory adapters, and the memory adapters themselves.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::Timestamp;
use codedance_core::journal::Journal;
use codedance_core::memory::{
    MemoryEndpoints, MemoryExecutor, MemoryJournal, MemoryRequests, MemoryRouter,
};
use codedance_core::metrics::{MetricsSource, Quantile, Signal, Window};
use codedance_core::testing::{
    EndpointsHarness, ExecutorHarness, JournalHarness, MetricsHarness, Requests, RouterHarness,
};
use codedance_core::traffic::{Endpoints, Split, TrafficRouter};
use codedance_core::workload::{Executor, Revision, WorkloadName};

pub(crate) fn revision(name: &str) -> Revision {
    Revision::new(name).unwrap()
}

/// An executor over any number of worlds, and these worlds.
pub(crate) struct Fleets {
    pub(crate) port: Box<dyn Executor>,
    pub(crate) worlds: Vec<MemoryExecutor>,
}

/// A world in which `broken` cannot start and `missing` is unknown.
pub(crate) fn executor_world() -> MemoryExecutor {
    let world = MemoryExecutor::new();
    world.cannot_start(&revision("broken"));
    world.set_unknown(&revision("missing"));
    world
}

#[async_trait]
impl ExecutorHarness for Fleets {
    fn executor(&self) -> &dyn Executor {
        &*self.port
    }

    fn broken(&self) -> Revision {
        revision("broken")
    }

    fn missing(&self) -> Revision {
        revision("missing")
    }

    async fn disturb(&self, revision: &Revision) {
        self.worlds.iter().for_each(|world| world.lose(revision, 1));
    }

    async fn settle(&self) {
        tokio::task::yield_now().await;
    }

    fn promptness(&self) -> Duration {
        Duration::from_millis(100)
    }
}

pub(crate) struct Splits {
    pub(crate) port: Box<dyn TrafficRouter>,
    pub(crate) worlds: Vec<MemoryRouter>,
}

pub(crate) fn router_world() -> MemoryRouter {
    MemoryRouter::new(Split::all(revision("v1")))
}

#[async_trait]
impl RouterHarness for Splits {
    fn router(&self) -> &dyn TrafficRouter {
        &*self.port
    }

    async fn set_outside(&self, split: &Split) {
        self.worlds
            .iter()
            .for_each(|world| world.set_outside(split.clone()));
    }

    async fn other_settings(&self) -> String {
        String::new()
    }
}

pub(crate) struct Addresses {
    pub(crate) port: Box<dyn Endpoints>,
    pub(crate) world: MemoryEndpoints,
    pub(crate) last_port: Mutex<u16>,
}

impl Addresses {
    pub(crate) fn new(port: Box<dyn Endpoints>, world: MemoryEndpoints) -> Self {
        Self {
            port,
            world,
            last_port: Mutex::new(0),
        }
    }
}

#[async_trait]
impl EndpointsHarness for Addresses {
    fn endpoints(&self) -> &dyn Endpoints {
        &*self.port
    }

    fn revision(&self) -> Revision {
        revision("v1")
    }

    async fn server(&self) -> SocketAddr {
        let mut port = self.last_port.lock().unwrap();
        *port += 1;
        SocketAddr::from(([127, 0, 0, 1], *port))
    }

    async fn begin(&self) -> Option<SocketAddr> {
        self.world.begin(&self.revision())
    }

    async fn finish(&self, address: SocketAddr) {
        self.world.finish(&self.revision(), address);
    }

    async fn pass(&self, length: Duration) {
        self.world.pass(length);
    }
}

pub(crate) struct Traffic {
    pub(crate) port: Box<dyn MetricsSource>,
    pub(crate) world: MemoryRequests,
    pub(crate) hours: Mutex<i64>,
    pub(crate) reads_queries: bool,
    /// By whom, when and how fast requests were answered.
    made: Mutex<Vec<(Revision, Timestamp, Duration)>>,
}

impl Traffic {
    pub(crate) fn new(port: Box<dyn MetricsSource>, world: MemoryRequests) -> Self {
        Self {
            port,
            world,
            hours: Mutex::new(0),
            reads_queries: true,
            made: Mutex::default(),
        }
    }
}

#[async_trait]
impl MetricsHarness for Traffic {
    fn source(&self) -> &dyn MetricsSource {
        &*self.port
    }

    async fn requests(&self, canary: Requests, stable: Requests) -> Window {
        let mut hours = self.hours.lock().unwrap();
        *hours += 1;
        let from = Timestamp::from_millis(*hours * 3_600_000);
        for (revision, requests) in [(self.canary(), canary), (self.stable(), stable)] {
            for number in 0..requests.total {
                let at = from + Duration::from_millis(number * 17);
                let took = Duration::from_millis(10 + number * 7 % 50);
                let mut made = self.made.lock().unwrap();
                made.push((revision.clone(), at, took));
                self.world
                    .record(&revision, at, number >= requests.bad, took);
            }
        }
        Window::new(from, from + Duration::from_secs(60))
    }

    fn reads(&self, signal: &Signal) -> bool {
        self.reads_queries || !matches!(signal, Signal::Query(_))
    }

    fn took(&self, revision: &Revision, window: Window, quantile: Quantile) -> RangeInclusive<f64> {
        let made = self.made.lock().unwrap();
        let mut took: Vec<f64> = made
            .iter()
            .filter(|(by, at, _)| by == revision && window.from <= *at && *at < window.to)
            .map(|(_, _, took)| took.as_secs_f64())
            .collect();
        took.sort_by(f64::total_cmp);
        let truth = took[(quantile.share() * took.len() as f64).ceil() as usize - 1];
        truth..=truth
    }

    fn query(&self) -> String {
        "requests".to_owned()
    }

    fn malformed_query(&self) -> String {
        "sum(rate(".to_owned()
    }
}

pub(crate) struct Books {
    pub(crate) port: Box<dyn Journal>,
    pub(crate) world: MemoryJournal,
    /// Tearing damages, as where nobody looks at how an entry ends.
    pub(crate) tears_badly: bool,
}

#[async_trait]
impl JournalHarness for Books {
    fn journal(&self) -> &dyn Journal {
        &*self.port
    }

    async fn pass(&self, length: Duration) {
        self.world.pass(length);
    }

    async fn damage(&self, workload: &WorkloadName, sequence: u64) {
        self.world.damage(workload, sequence);
    }

    async fn tear_last(&self, workload: &WorkloadName) {
        if self.tears_badly {
            let last = self.world.entries(workload).len() as u64 - 1;
            self.world.damage(workload, last);
        } else {
            self.world.tear_last(workload);
        }
    }
}

mod executor {
    use super::{Fleets, executor_world};

    mod at_once {
        use super::{Fleets, executor_world};

        async fn harness() -> Fleets {
            let world = executor_world();
            Fleets {
                port: Box::new(world.clone()),
                worlds: vec![world],
            }
        }

        codedance_core::testing::executor_conformance!(harness);
    }

    mod slowly {
        use super::{Fleets, executor_world};

        async fn harness() -> Fleets {
            let world = executor_world();
            world.ready_after(3);
            world.promotion_takes(2);
            world.retirement_takes(2);
            Fleets {
                port: Box::new(world.clone()),
                worlds: vec![world],
            }
        }

        codedance_core::testing::executor_conformance!(harness);
    }
}

mod router {
    mod to_the_basis_point {
        use crate::memory::{Splits, router_world};

        async fn harness() -> Splits {
            let world = router_world();
            Splits {
                port: Box::new(world.clone()),
                worlds: vec![world],
            }
        }

        codedance_core::testing::router_conformance!(harness);
    }

    mod coarsely {
        use std::time::Duration;

        use codedance_core::Percent;
        use codedance_core::traffic::Capability;

        use crate::memory::{Splits, router_world};

        async fn harness() -> Splits {
            let seventh = Percent::ratio(1, 7);
            let world = router_world().with_capability(Capability::new(seventh, Duration::ZERO));
            Splits {
                port: Box::new(world.clone()),
                worlds: vec![world],
            }
        }

        codedance_core::testing::router_conformance!(harness);
    }

    mod all_or_nothing {
        use std::time::Duration;

        use codedance_core::Percent;
        use codedance_core::traffic::Capability;

        use crate::memory::{Splits, router_world};

        async fn harness() -> Splits {
            let whole = Capability::new(Percent::HUNDRED, Duration::ZERO);
            let world = router_world().with_capability(whole);
            Splits {
                port: Box::new(world.clone()),
                worlds: vec![world],
            }
        }

        codedance_core::testing::router_conformance!(harness);
    }
}

mod endpoints {
    use codedance_core::memory::MemoryEndpoints;

    use super::Addresses;

    async fn harness() -> Addresses {
        let world = MemoryEndpoints::new();
        Addresses::new(Box::new(world.clone()), world)
    }

    codedance_core::testing::endpoints_conformance!(harness);
}

mod metrics {
    mod as_histograms {
        use codedance_core::memory::MemoryRequests;

        use crate::memory::Traffic;

        async fn harness() -> Traffic {
            let world = MemoryRequests::new();
            Traffic::new(Box::new(world.clone()), world)
        }

        codedance_core::testing::metrics_conformance!(harness);
    }

    /// As a source answers that knows no more of latencies than quantiles.
    mod as_quantiles {
        use async_trait::async_trait;
        use codedance_core::Result;
        use codedance_core::memory::MemoryRequests;
        use codedance_core::metrics::{MetricsSource, Question, Reading, Sample, Signal};

        use crate::memory::Traffic;

        #[derive(Debug)]
        struct Quantiles(MemoryRequests);

        #[async_trait]
        impl MetricsSource for Quantiles {
            async fn measure(&self, question: &Question) -> Result<Vec<Reading>> {
                let mut readings = self.0.measure(question).await?;
                for (reading, query) in readings.iter_mut().zip(&question.metrics) {
                    let sides = [&mut reading.canary, &mut reading.stable];
                    for sample in sides.into_iter().chain(&mut reading.history) {
                        if let (Sample::Histogram(read), Signal::Latency(quantile)) =
                            (&*sample, &query.signal)
                        {
                            let value = read.quantile(*quantile).unwrap();
                            let count = read.total();
                            *sample = Sample::Quantile { value, count };
                        }
                    }
                }
                Ok(readings)
            }
        }

        async fn harness() -> Traffic {
            let world = MemoryRequests::new();
            Traffic::new(Box::new(Quantiles(world.clone())), world)
        }

        codedance_core::testing::metrics_conformance!(harness);
    }
}

mod journal {
    use codedance_core::memory::MemoryJournal;

    use super::Books;

    async fn harness() -> Books {
        let world = MemoryJournal::new();
        Books {
            port: Box::new(world.clone()),
            world,
            tears_badly: false,
        }
    }

    codedance_core::testing::journal_conformance!(harness);
}
