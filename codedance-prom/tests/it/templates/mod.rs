//! Each built-in template reads what its project shows.

pub(crate) mod projects;

use codedance_core::Timestamp;
use codedance_core::metrics::{
    MetricQuery, MetricsSource, Quantile, Question, Sample, Signal, Window,
};
use codedance_core::workload::Revision;
use codedance_prom::{Prometheus, Template};
use futures::future::join_all;

use crate::conformance::{client, next_second, now, source};
use crate::servers::{Job, Kind, Server};
use crate::target::{Layout, Target};
use projects::{PROJECTS, Project};

pub(crate) fn revision(name: &str) -> Revision {
    Revision::new(name).unwrap()
}

/// The question about these metrics of `v1` and `v2` in a window.
pub(crate) fn question(metrics: Vec<MetricQuery>, window: Window) -> Question {
    Question {
        stable: revision("v1"),
        canary: revision("v2"),
        metrics,
        window,
        history: None,
    }
}

/// Until a window can begin that holds nothing of what was shown before.
pub(crate) async fn begin() -> Timestamp {
    let begin = next_second();
    tokio::time::sleep(begin.since(now()) + std::time::Duration::from_millis(50)).await;
    begin
}

/// Requests of one revision, answered by one replica.
#[derive(Clone, Copy, Default)]
struct Answered {
    /// With 200, 404 and 500.
    by_status: [u32; 3],
    /// How many took so many seconds.
    took: &'static [(f64, u32)],
}

impl Project {
    /// Counts requests of series with these labels.
    fn count(&self, target: &Target, labels: &[(&str, &str)], answered: Answered) {
        let all = |status: &'static str| {
            let own = self.labels.iter().chain(labels).copied();
            own.chain([(self.status.0, status)]).collect::<Vec<_>>()
        };
        for (status, count) in self.status.1.into_iter().zip(answered.by_status) {
            if count > 0 {
                target.count(self.requests, &all(status), f64::from(count));
            }
        }
        let mut labels = all(self.status.1[0]);
        if !self.status_on_latency {
            labels.pop();
        }
        for (seconds, times) in answered.took {
            let value = seconds / self.unit;
            target.observe(self.latency, self.layout, &labels, value, *times);
        }
    }

    /// The counts of all those latencies, by the bounds of the layout in seconds.
    fn expected(&self, all: &[(f64, u32)]) -> (Vec<f64>, Vec<u64>) {
        let Layout::Classic(bounds) = self.layout else {
            panic!("projects have classic histograms");
        };
        let bounds: Vec<_> = bounds.iter().map(|bound| bound * self.unit).collect();
        let mut counts = vec![0; bounds.len() + 1];
        for (seconds, times) in all {
            counts[bounds.partition_point(|bound| bound < seconds)] += u64::from(*times);
        }
        (bounds, counts)
    }

    fn queries(&self) -> Vec<MetricQuery> {
        let quantile = |share| Signal::Latency(Quantile::new(share).unwrap());
        let signals = [
            ("errors", Signal::ErrorRate),
            ("success", Signal::SuccessRate),
            ("p50", quantile(0.5)),
            ("p99", quantile(0.99)),
        ];
        let query = |(name, signal)| MetricQuery::new(name, signal).with_template(self.template);
        signals.map(query).into()
    }
}

const BEFORE: Answered = Answered {
    by_status: [40, 3, 2],
    took: &[(0.04, 40), (3.0, 5)],
};
const STABLE: [Answered; 2] = [
    Answered {
        by_status: [90, 6, 4],
        took: &[(0.04, 60), (0.2, 39), (0.9, 1)],
    },
    Answered {
        by_status: [50, 0, 0],
        took: &[(0.04, 50)],
    },
];
const CANARY: [Answered; 2] = [
    Answered {
        by_status: [17, 1, 2],
        took: &[(0.2, 12), (4.0, 8)],
    },
    Answered {
        by_status: [8, 0, 3],
        took: &[(0.2, 11)],
    },
];

/// Two replicas that have been scraped, each with all that all projects show.
pub(crate) async fn replicas(kind: Kind) -> (Server, [Target; 2]) {
    let targets = [Target::start().await, Target::start().await];
    for target in &targets {
        for project in PROJECTS {
            project.count(target, project.stable, BEFORE);
            // The canary has had no request yet: its series are born later.
        }
    }
    let job = Job::new("web");
    let job = targets
        .iter()
        .fold(job, |job, target| job.with_target(target, &[]));
    let server = Server::start(kind, &[job]).await;
    for target in &targets {
        server.scraped(target, 1).await;
    }
    (server, targets)
}

/// Requests of both revisions and of others, answered by both replicas and scraped.
pub(crate) async fn answer(server: &Server, targets: &[Target; 2]) {
    for project in PROJECTS {
        for ((target, stable), canary) in targets.iter().zip(STABLE).zip(CANARY) {
            project.count(target, project.stable, stable);
            project.count(target, project.canary, canary);
            for others in project.others {
                project.count(target, others, BEFORE);
            }
        }
    }
    for target in targets {
        server.scraped(target, 1).await;
    }
}

async fn read_what_the_projects_show(kind: Kind) {
    let (server, targets) = replicas(kind).await;
    let from = begin().await;
    answer(&server, &targets).await;
    let window = Window::new(from, next_second());
    let source = source(&client(&server, kind).await, "shop/web");
    join_all(
        PROJECTS
            .iter()
            .map(|project| reads(&source, project, window)),
    )
    .await;
}

async fn reads(source: &Prometheus, project: &Project, window: Window) {
    let name = project.template;
    let readings = source.measure(&question(project.queries(), window)).await;
    let readings = readings.unwrap_or_else(|error| panic!("{name}: {error:#?}"));
    for (side, answered) in [("stable", STABLE), ("canary", CANARY)] {
        let sample = |index: usize| match side {
            "stable" => &readings[index].stable,
            _ => &readings[index].canary,
        };
        let status = |index: usize| {
            answered
                .iter()
                .map(|a| u64::from(a.by_status[index]))
                .sum::<u64>()
        };
        let (ok, missing, failed) = (status(0), status(1), status(2));
        let total = ok + missing + failed;
        assert_eq!(
            sample(0),
            &Sample::Counts { bad: failed, total },
            "{name}, {side}"
        );
        // Linkerd takes 404 for a success.
        let bad = if project.status.1[0] == project.status.1[1] {
            failed
        } else {
            failed + missing
        };
        assert_eq!(sample(1), &Sample::Counts { bad, total }, "{name}, {side}");

        let took: Vec<_> = answered
            .iter()
            .flat_map(|answered| answered.took)
            .copied()
            .collect();
        let (bounds, counts) = project.expected(&took);
        for (index, share) in [(2, 0.5), (3, 0.99)] {
            let Sample::Histogram(histogram) = sample(index) else {
                panic!("{name}, {side}: {:?}", sample(index));
            };
            assert_eq!(histogram.counts(), counts, "{name}, {side}");
            let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9 * b;
            assert!(
                histogram.bounds().len() == bounds.len()
                    && histogram.bounds().iter().zip(&bounds).all(close),
                "{name}, {side}: {histogram:?}"
            );
            // In the bucket in which it truly was.
            let mut times: Vec<_> = took
                .iter()
                .flat_map(|(seconds, times)| std::iter::repeat_n(*seconds, *times as usize))
                .collect();
            times.sort_by(f64::total_cmp);
            let truth = times[(share * times.len() as f64).ceil() as usize - 1];
            let upper = bounds.partition_point(|bound| *bound < truth);
            let read = histogram.quantile(Quantile::new(share).unwrap()).unwrap();
            let lower = upper.checked_sub(1).map_or(0.0, |below| bounds[below]);
            assert!(
                (lower..=bounds[upper] * (1.0 + 1e-9)).contains(&read),
                "{name}, {side}: {read} for {truth}"
            );
        }
    }
}

#[test]
fn every_template_is_tested() {
    let mut tested: Vec<_> = PROJECTS.iter().map(|project| project.template).collect();
    tested.sort_unstable();
    let built_in = Template::built_in();
    assert_eq!(built_in.keys().collect::<Vec<_>>(), tested);
}

#[tokio::test]
async fn on_prometheus_3() {
    read_what_the_projects_show(Kind::Prometheus3).await;
}

#[tokio::test]
async fn on_prometheus_2() {
    read_what_the_projects_show(Kind::Prometheus2).await;
}

#[tokio::test]
async fn on_victoria_metrics() {
    read_what_the_projects_show(Kind::VictoriaMetrics).await;
}
