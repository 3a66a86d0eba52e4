//! When a look is taken: after what it looks at has arrived, and not when everybody looks.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use codedance_core::Timestamp;
use codedance_core::metrics::Window;
use codedance_core::workload::WorkloadName;

use crate::dialect::Dialect;

/// The moment of one workload among many.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// What scrapes take to arrive; `None` for what is usual of the server.
    pub(crate) lag: Option<Duration>,
    /// Over which time all workloads are spread.
    pub(crate) spread: Duration,
    /// Where in the spread this workload is, 0 to 1.
    phase: f64,
}

impl Moment {
    pub(crate) fn of(workload: &WorkloadName) -> Self {
        let mut hasher = DefaultHasher::new();
        workload.as_str().hash(&mut hasher);
        Self {
            lag: None,
            spread: Duration::from_secs(10),
            phase: hasher.finish() as f64 / u64::MAX as f64,
        }
    }

    /// How long what was scraped takes to arrive.
    pub(crate) fn lag(&self, dialect: Dialect) -> Duration {
        self.lag.unwrap_or(match dialect {
            Dialect::Prometheus => Duration::from_secs(2),
            Dialect::VictoriaMetrics => Duration::from_secs(12),
        })
    }

    /// When to look at a window: what was scraped in it has arrived, and it is this workload's moment.
    pub(crate) fn after(&self, window: Window, dialect: Dialect) -> Timestamp {
        let spread = self.spread.min(window.length()).mul_f64(self.phase);
        window.to + self.lag(dialect) + spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_workloads_are_spread_over_the_interval() {
        let window = |seconds| {
            let end = Timestamp::EPOCH + Duration::from_secs(seconds);
            Window::new(Timestamp::EPOCH, end)
        };
        for (interval, spread) in [(4, 4), (10, 10), (60, 10)] {
            let mut parts = [0; 10];
            for number in 0..1_000 {
                let name = WorkloadName::new(format!("shop/web-{number}")).unwrap();
                let moment = Moment::of(&name);
                let at = moment.after(window(interval), Dialect::Prometheus);
                assert_eq!(
                    at,
                    Moment::of(&name).after(window(interval), Dialect::Prometheus)
                );
                let late = at.since(window(interval).to + moment.lag(Dialect::Prometheus));
                let part = late.as_secs_f64() / spread as f64 * parts.len() as f64;
                parts[part as usize] += 1;
            }
            // Five standard deviations of what chance does.
            assert!(
                parts.iter().all(|count| (53..=147).contains(count)),
                "{interval} s: {parts:?}"
            );
        }
    }
}
