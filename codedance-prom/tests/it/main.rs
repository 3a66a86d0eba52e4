//! The source against the real servers.

mod conformance;
mod counts;
mod servers;
mod smoke;
mod target;
