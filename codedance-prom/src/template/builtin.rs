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
    /// | `istio` | the standard metrics of `{{reporter}}` | `destination_version`, the Pods' label `version` |
    /// | `linkerd` | inbound responses by `classification` | the Pods' label `version` |
    /// | `envoy` | an Envoy with a cluster for each revision | `envoy_cluster_name`: `WORKLOAD-REVISION` |
    /// | `envoy_gateway` | Envoy Gateway, one cluster for each backend of a rule | `envoy_cluster_name`: the rule's first backend is stable, the second the canary |
    /// | `nginx_ingress` | ingress-nginx with a canary Ingress | its label `canary`, empty for stable |
    /// | `traefik` | Traefik with a service for each revision | `service`: `NAMESPACE-WORKLOAD-REVISION-PORT@…` |
    ///
    /// What is not everywhere the same is a [variable](crate::Prometheus::with_variable): `service` and
    /// `reporter` for `istio`, `ingress` and `namespace_label` for `nginx_ingress`, `route` for
    /// `envoy_gateway`.
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
        let istio_series = r#"{reporter="{{reporter}}",destination_workload_namespace="{{namespace}}",destination_service_name="{{service}}"}"#;
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
        let linkerd_series =
            r#"{direction="inbound",namespace="{{namespace}}",app="{{workload}}"}"#;
        let mut linkerd = Self::new("version")
            .with_requests(format!("response_total{linkerd_series}"), "classification")
            .with_latency(
                format!("response_latency_ms{linkerd_series}"),
                classic,
                TimeUnit::Milliseconds,
            );
        if let Some(requests) = &mut linkerd.requests {
            requests.bad = "failure".to_owned();
            requests.good = "success".to_owned();
        }
        // A service's name ends in its port, and in who knows of it, such as `@kubernetescrd`.
        let service =
            |revision: &str| format!("{{{{namespace}}}}-{{{{workload}}}}-{revision}-[^-@]+@.+");
        let traefik = Self::new("service")
            .with_sides(service("{{stable}}"), service("{{canary}}"))
            .with_requests("traefik_service_requests_total", "code")
            .with_latency(
                "traefik_service_request_duration_seconds",
                classic,
                TimeUnit::Seconds,
            );
        // It counts the backends of a rule apart if one of them has a filter.
        let backend = |index: u32| {
            format!("(http|grpc)route/{{{{namespace}}}}/{{{{route}}}}/rule/[0-9]+/backend/{index}")
        };
        let nginx_series = r#"{ {{namespace_label}}="{{namespace}}",ingress="{{ingress}}"}"#;
        let nginx = Self::new("canary")
            .with_sides("-?", ".+")
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
            ("envoy_gateway", envoy(&backend(0), &backend(1))),
            ("linkerd", linkerd),
            ("nginx_ingress", nginx),
            ("traefik", traefik),
        ]
        .map(|(name, template)| (name.to_owned(), template))
        .into()
    }
}
