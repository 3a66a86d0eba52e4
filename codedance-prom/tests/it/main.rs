//! The source against the real servers.

mod conformance;
mod counts;
mod kinds;
mod readme;
mod refusals;
mod servers;
mod smoke;
mod target;
mod templates;
