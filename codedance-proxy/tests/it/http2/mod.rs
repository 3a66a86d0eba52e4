//! Clients that speak HTTP/2.

mod frames;
mod hostile;
mod passing;
