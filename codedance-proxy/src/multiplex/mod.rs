//! Connections of HTTP/2 to endpoints: many requests share one.

mod connection;
mod head;
mod shared;
mod watched;

pub(crate) use connection::Lease;
pub(crate) use head::settle_head;
pub(crate) use shared::Shared;
