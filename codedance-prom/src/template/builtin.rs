//! What the common meshes and gateways write down.

use std::collections::BTreeMap;

use super::{LatencyKind, Template, TimeUnit};

impl Template {
    /// The name of the template that is used where nothing else is said.
    pub const DEFAULT: &'static str = "http";

    /// The templates that are there from the start, by name:
    ///
    /// | name | counts | revisions are told apart by |
    /// |---|---|---|
    /// | `http` | `http_requests_total` by `code`, `http_request_duration_seconds` | the label `version` |
    /// | `codedance_proxy` | the embedded proxy's own | its label `revision` |
    /// | `istio` | the sidecars of the servers | `destination_version`, the Pods' label `version` |
    /// | `envoy` | an Envoy with a cluster for each revision | `envoy_cluster_name`: `WORKLOAD-REVISION` |
    /// | `envoy_gateway` | Envoy Gateway, a backend for each revision | `envoy_cluster_name`, which ends in `/WORKLOAD-REVISION` |
    /// | `nginx_ingress` | ingress-nginx with a canary Ingress | its label `canary`, empty for stable |
    ///
    /// Names of services, where they are not the workload's, are variables of the source: `service` for
    /// `istio`, `ingress` for `nginx_ingress`.
    #[must_use]
    pub fn built_in() -> BTreeMap<String, Self> {
        let classic = LatencyKind::Classic;
        let http = Self::new("version")
            .with_requests(
                r#"http_requests_total{namespace="{{namespace}}",app="{{workload}}"}"#,
                "code",
            )
            .with_latency(
                r#"http_request_duration_seconds{namespace="{{namespace}}",app="{{workload}}"}"#,
                classic,
                TimeUnit::Seconds,
            );
        let mut proxy = Self::new("revision")
            .with_requests("codedance_proxy_requests_total", "class")
            .with_latency(
                "codedance_proxy_request_duration_seconds",
                classic,
                TimeUnit::Seconds,
            );
        if let Some(requests) = &mut proxy.requests {
            requests.bad = "5xx|none".to_owned();
            requests.good = "[23]xx".to_owned();
        }
        let istio_series = r#"{reporter="destination",destination_workload_namespace="{{namespace}}",destination_service_name="{{service}}"}"#;
        let istio = Self::new("destination_version")
            .with_requests(
                format!("istio_requests_total{istio_series}"),
                "response_code",
            )
            .with_latency(
                format!("istio_request_duration_milliseconds{istio_series}"),
                classic,
                TimeUnit::Milliseconds,
            );
        let envoy = |stable: &str, canary: &str| {
            let mut template = Self::new("envoy_cluster_name")
                .with_sides(stable, canary)
                .with_requests("envoy_cluster_upstream_rq_xx", "envoy_response_code_class")
                .with_latency(
                    "envoy_cluster_upstream_rq_time",
                    classic,
                    TimeUnit::Milliseconds,
                );
            if let Some(requests) = &mut template.requests {
                requests.bad = "5".to_owned();
                requests.good = "[23]".to_owned();
            }
            template
        };
        let nginx_series = r#"{namespace="{{namespace}}",ingress="{{ingress}}"}"#;
        let nginx = Self::new("canary")
            .with_sides("", ".+")
            .with_requests(
                format!("nginx_ingress_controller_requests{nginx_series}"),
                "status",
            )
            .with_latency(
                format!("nginx_ingress_controller_request_duration_seconds{nginx_series}"),
                classic,
                TimeUnit::Seconds,
            );
        [
            ("http", http),
            ("codedance_proxy", proxy),
            ("istio", istio),
            (
                "envoy",
                envoy("{{workload}}-{{stable}}", "{{workload}}-{{canary}}"),
            ),
            (
                "envoy_gateway",
                envoy(".*/{{workload}}-{{stable}}", ".*/{{workload}}-{{canary}}"),
            ),
            ("nginx_ingress", nginx),
        ]
        .map(|(name, template)| (name.to_owned(), template))
        .into()
    }
}
