//! The source against the real servers.

mod conformance;
mod servers;
mod smoke;
mod target;
