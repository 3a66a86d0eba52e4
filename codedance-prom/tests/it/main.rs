//! The source against the real servers.

mod conformance;
mod kinds;
mod servers;
mod smoke;
mod target;
mod templates;
