//! Clients and endpoints that speak HTTP/2.

mod aside;
mod endpoints;
mod frames;
mod hostile;
mod passing;
mod unseen;
