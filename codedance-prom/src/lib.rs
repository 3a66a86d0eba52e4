//! Metrics of both revisions of a workload from Prometheus and VictoriaMetrics, as counts.

mod client;

pub use client::{Authorization, BaseUrl, BaseUrlError, Client, Config, Secret};
