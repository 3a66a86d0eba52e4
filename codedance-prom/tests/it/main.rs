//! The source against the real servers.

mod servers;
mod smoke;
mod target;
