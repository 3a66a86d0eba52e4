#![doc = include_str!("../README.md")]

mod client;
mod dialect;
mod moment;
mod query;
mod source;
mod template;

pub use client::{Authorization, BaseUrl, BaseUrlError, Client, Config, Secret};
pub use dialect::Dialect;
pub use source::{Checked, Prometheus};
pub use template::{FillError, Latency, LatencyKind, Requests, Template, TimeUnit};
