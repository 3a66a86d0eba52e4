//! What a policy would have decided: a rollout, replayed against recorded metrics.
//!
//! A rollout is a pure machine that is told what was measured. Tell it what was measured on some other
//! day, and it shows how it would have gone: where it had advanced, where it had waited and why, and
//! after how many of the canary's requests a bad release had been sent back. No server is touched, and an
//! hour takes milliseconds.
//!
//! ```
//! use codedance_backtest::{Ending, History, backtest};
//! use codedance_core::decision::{Limits, Metric, Policy};
//! use codedance_core::metrics::Signal;
//! use codedance_core::plan::{Exponential, Strategy};
//! use codedance_core::workload::{Revision, Workload, WorkloadName};
//! use codedance_core::Percent;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut table = "time,metric,side,bad,total\n".to_owned();
//! for half_minute in 1..=60 {
//!     let time = half_minute * 30;
//!     table += &format!("{time},errors,canary,12,150\n{time},errors,stable,3,1350\n");
//! }
//! let history = History::from_csv("monday.csv", table.as_bytes())?;
//!
//! let name = WorkloadName::new("shop/web")?;
//! let workload = Workload::new(name, Revision::new("1.41")?, Revision::new("1.42")?, 10);
//! let plan = Exponential::default().plan(&workload)?;
//! let errors = Metric::new("errors", Signal::ErrorRate, Limits::fail(Percent::new(1)?));
//! let policy = Policy::builder().with_metric(errors).build()?;
//!
//! let gone = backtest(policy, plan, &history)?;
//! assert!(matches!(gone.ending, Ending::RolledBack { .. }));
//! // “rolled back after 1m, at stage 1 with 1 % of the traffic, because errors …; the canary had got 300
//! // requests, 24 of them bad”
//! assert!(gone.to_string().starts_with("rolled back after"));
//! assert!(gone.canary.is_some_and(|requests| requests.bad < 50));
//! # Ok(())
//! # }
//! ```
//!
//! # What it can tell, and what it cannot
//! The machine, the judges and the plan are the real ones. The world is an obedient one: replicas are
//! ready and traffic moves at once, and whoever keeps a gate agrees at once. The readings are those of the
//! [`History`], whatever weight the machine has set by then: **the canary got the share of the traffic that
//! it got on the day of the recording**, and its numbers of requests are those. What depends on the
//! share, above all how fast a small one gathers evidence, is as good as the recording's share is near to
//! the plan's.
//!
//! [`Backtest::journal`] is the rollout's journal, as the driver would have written it: whatever reads
//! journals, such as the HTML report of `codedance-report`, tells of a backtest too.

mod error;
mod history;
mod outcome;
mod run;
mod world;

pub use error::{BacktestError, HistoryError};
pub use history::{Field, History, RangeQueries, Recorded, Side, SideLabel};
pub use outcome::{Backtest, Ending, Look, Requests, StageRun};
pub use run::{Backtester, backtest};
