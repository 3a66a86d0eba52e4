//! From metrics to one query, and from its rows to readings.

mod group;
mod increase;
mod look;
mod rows;
mod selector;

pub(crate) use group::Both;
pub(crate) use increase::Grid;
pub(crate) use look::Look;
