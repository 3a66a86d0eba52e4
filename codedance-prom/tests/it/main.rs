//! The source against the real servers.
