//! What happened in a rollout, told from its journal alone.
//!
//! A rollout is a pure machine, so its journal is all that one needs to see it again. [`Story`] is what
//! happened as data: the stages with their times, every look at the metrics with its verdict and its
//! reasons, the series behind them, the end and its cause. [`html`] shows it as one page that needs
//! nothing else: no script, no network, light or dark as the reader likes it, and good to print.
//!
//! ```no_run
//! use codedance_core::journal::Journal;
//! use codedance_core::workload::WorkloadName;
//! use codedance_report::{Options, Story, html};
//!
//! async fn report(journal: &dyn Journal) -> Result<(), Box<dyn std::error::Error>> {
//!     let entries = journal.load(&WorkloadName::new("shop")?).await?;
//!     let story = Story::from_entries(&entries)?;
//!     std::fs::write("report.html", html(&story, &Options::new()))?;
//!     Ok(())
//! }
//! ```
//!
//! Several rollouts go into one [`Page`]; those of a journal in which one superseded another are told
//! by [`Story::all`]. All functions are pure: the same journal gives the
//! same page, byte for byte.

mod chart;
mod decisions;
mod frame;
mod glyph;
mod markup;
mod number;
mod page;
mod path;
mod replay;
mod scale;
mod series;
mod story;
mod tables;
mod telling;
mod words;

pub use page::{Options, Page, html};
pub use replay::StoryError;
pub use story::{
    Counts, Ending, Look, MetricLook, Point, ReplicaPoint, Series, Spoken, StageStory, Story,
    Tally, Told, Value, WeightPoint,
};
