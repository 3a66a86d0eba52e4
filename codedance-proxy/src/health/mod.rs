//! Which endpoints are fit to answer: by asking them, and by watching what becomes of requests.

mod check;
mod outlier;
mod probe;
mod standing;
mod status;

pub use check::HealthCheck;
pub use outlier::OutlierDetection;
pub use status::{EndpointStatus, Health};

pub(crate) use outlier::{note_answer, note_failure};
pub(crate) use probe::keep_checking;
pub(crate) use standing::{Rank, Standing};
