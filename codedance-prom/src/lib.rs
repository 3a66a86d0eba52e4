//! Metrics of both revisions of a workload from Prometheus and VictoriaMetrics, as counts.
