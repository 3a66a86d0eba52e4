//! One line for each request.

mod combined;
mod config;
mod json;
mod queue;
mod record;

pub use config::AccessLog;

pub(crate) use queue::Queue;
pub(crate) use record::Record;
