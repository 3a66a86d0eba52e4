//! The pure heart of Codedance. (Book to come.)
pub mod config;
pub mod decision;
#[cfg(feature = "driver")]
pub mod driver;
pub mod error;
pub mod journal;
#[cfg(feature = "memory")]
pub mod memory;
pub mod metrics;
pub mod percent;
pub mod plan;
pub mod rollout;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
pub mod traffic;
pub mod workload;
pub mod wrapper;

pub use error::{Error, ErrorKind, Failure, Result};
pub use percent::Percent;
pub use time::Timestamp;
