//! From metrics to one query, and from its rows to readings.

mod group;
mod histogram;
mod increase;
mod look;
mod rows;
mod selector;
mod sides;

pub(crate) use increase::Grid;
pub(crate) use look::Look;
pub(crate) use sides::Both;
