//! What was measured, and the port that measures it.

mod histogram;
mod past;
mod question;
mod reading;

use std::fmt;

use async_trait::async_trait;

pub use histogram::{Histogram, HistogramError};
pub use question::{History, MetricQuery, Quantile, QuantileError, Question, Signal, Window};
pub use reading::{Reading, Sample};

use crate::error::Result;

/// Measures both sides of a rollout.
///
/// # Contract
/// - **One answer each.** One [`Reading`] for each query, in the order of the queries, with its name.
/// - **No data is a value.** What cannot be read for want of series, samples or traffic is
///   [`Sample::NoData`]; only what went wrong is an error. Never is an absence read as zero.
/// - **Of the window.** Counts are those of the window alone, differenced from counters where need be;
///   a counter that went backwards gives [`Sample::NoData`], not a negative count.
/// - **Histograms keep their bounds**: the same for both sides and in every window, so that they can be
///   compared and added. A quantile read from one lies in the bucket in which it truly lay.
/// - **The past, if it is asked for.** [`Reading::history`] has one sample of the stable revision for each
///   interval of [`Question::history`], oldest first, each what a window of that interval would have had:
///   [`Sample::NoData`] where there was no traffic, or nothing was written down yet or any longer. A
///   source that keeps no past leaves it empty, which is no error. Nobody is told a past unasked.
/// - **Repeatable.** Asked twice for the same window, a source gives the same answer, up to samples
///   that arrived late.
/// - **Bad queries are [`Invalid`](crate::ErrorKind::Invalid)**, with the server's message and the
///   metric's name; signals that the source cannot read are
///   [`Unsupported`](crate::ErrorKind::Unsupported).
/// - **Cancellation** is safe: measuring changes nothing.
#[async_trait]
pub trait MetricsSource: fmt::Debug + Send + Sync {
    /// Reads every metric of the question, of both sides, over its window.
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>>;
}
