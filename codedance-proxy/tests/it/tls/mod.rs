//! Connections that are secured.

mod authority;
mod clients;
mod endpoints;
