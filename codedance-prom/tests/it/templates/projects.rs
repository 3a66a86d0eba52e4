//! How each project shows the requests of both revisions.

use crate::target::Layout;

type Pairs = &'static [(&'static str, &'static str)];

/// What one project shows.
pub(crate) struct Project {
    /// The name of its template.
    pub(crate) template: &'static str,
    pub(crate) requests: &'static str,
    /// The label with the status, and how it says 200, 404 and 500.
    pub(crate) status: (&'static str, [&'static str; 3]),
    pub(crate) latency: &'static str,
    pub(crate) layout: Layout,
    /// How many seconds the unit of the latencies is.
    pub(crate) unit: f64,
    /// Whether the latencies have the status, too.
    pub(crate) status_on_latency: bool,
    /// The labels that all its series have.
    pub(crate) labels: Pairs,
    pub(crate) stable: Pairs,
    pub(crate) canary: Pairs,
    /// Series that look alike and are none of ours: labels instead of those of a revision.
    pub(crate) others: &'static [Pairs],
}

const SECONDS: Layout = Layout::Classic(&[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
]);
const ENVOY: Layout = Layout::Classic(&[
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
]);
const LINKERD: Layout = Layout::Classic(&[
    1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 100.0, 200.0, 300.0, 400.0, 500.0,
    1_000.0, 2_000.0, 3_000.0, 4_000.0, 5_000.0, 10_000.0, 20_000.0, 30_000.0, 40_000.0, 50_000.0,
]);
const CODES: [&str; 3] = ["200", "404", "500"];
const ENVOY_CLUSTERS: Project = Project {
    template: "envoy",
    requests: "envoy_cluster_upstream_rq_xx",
    status: ("envoy_response_code_class", ["2", "4", "5"]),
    latency: "envoy_cluster_upstream_rq_time",
    layout: ENVOY,
    unit: 1e-3,
    status_on_latency: false,
    labels: &[],
    stable: &[("envoy_cluster_name", "web-v1")],
    canary: &[("envoy_cluster_name", "web-v2")],
    others: &[
        &[("envoy_cluster_name", "web-v10")],
        &[("envoy_cluster_name", "xds_cluster")],
    ],
};

/// All that have a template.
pub(crate) const PROJECTS: &[Project] = &[
    Project {
        template: "http",
        requests: "http_requests_total",
        status: ("code", CODES),
        latency: "http_request_duration_seconds",
        layout: SECONDS,
        unit: 1.0,
        status_on_latency: false,
        labels: &[("namespace", "shop"), ("handler", "/cart")],
        stable: &[("app", "web"), ("version", "v1")],
        canary: &[("app", "web"), ("version", "v2")],
        others: &[
            &[("app", "web"), ("version", "v3")],
            &[("app", "api"), ("version", "v2")],
        ],
    },
    Project {
        template: "codedance_proxy",
        requests: "codedance_proxy_requests_total",
        status: ("class", ["2xx", "4xx", "none"]),
        latency: "codedance_proxy_request_duration_seconds",
        layout: SECONDS,
        unit: 1.0,
        status_on_latency: false,
        labels: &[],
        stable: &[("revision", "v1")],
        canary: &[("revision", "v2")],
        others: &[&[("revision", "v0")]],
    },
    Project {
        template: "istio",
        requests: "istio_requests_total",
        status: ("response_code", CODES),
        latency: "istio_request_duration_milliseconds",
        layout: ENVOY,
        unit: 1e-3,
        status_on_latency: true,
        labels: &[
            ("request_protocol", "http"),
            ("source_workload", "istio-ingressgateway"),
            ("destination_workload_namespace", "shop"),
            ("destination_service", "web.shop.svc.cluster.local"),
            ("destination_service_namespace", "shop"),
            ("connection_security_policy", "mutual_tls"),
            ("response_flags", "-"),
        ],
        stable: &[
            ("reporter", "destination"),
            ("destination_service_name", "web"),
            ("destination_workload", "web"),
            ("destination_version", "v1"),
        ],
        canary: &[
            ("reporter", "destination"),
            ("destination_service_name", "web"),
            ("destination_workload", "web-canary"),
            ("destination_version", "v2"),
        ],
        others: &[
            // The caller's sidecar counts the same requests.
            &[
                ("reporter", "source"),
                ("destination_service_name", "web"),
                ("destination_version", "v2"),
            ],
            &[
                ("reporter", "destination"),
                ("destination_service_name", "api"),
                ("destination_version", "v2"),
            ],
        ],
    },
    Project {
        template: "linkerd",
        requests: "response_total",
        status: ("classification", ["success", "success", "failure"]),
        latency: "response_latency_ms",
        layout: LINKERD,
        unit: 1e-3,
        status_on_latency: false,
        labels: &[("namespace", "shop"), ("app", "web"), ("tls", "true")],
        stable: &[
            ("direction", "inbound"),
            ("deployment", "web"),
            ("version", "v1"),
        ],
        canary: &[
            ("direction", "inbound"),
            ("deployment", "web-canary"),
            ("version", "v2"),
        ],
        // What it asked of others.
        others: &[&[("direction", "outbound"), ("version", "v2")]],
    },
    ENVOY_CLUSTERS,
    Project {
        template: "envoy_gateway",
        stable: &[("envoy_cluster_name", "httproute/shop/web/rule/0/backend/0")],
        canary: &[("envoy_cluster_name", "httproute/shop/web/rule/0/backend/1")],
        others: &[
            &[("envoy_cluster_name", "httproute/shop/api/rule/0/backend/1")],
            // A rule whose backends are counted together.
            &[("envoy_cluster_name", "httproute/shop/web/rule/1")],
        ],
        ..ENVOY_CLUSTERS
    },
    Project {
        template: "nginx_ingress",
        requests: "nginx_ingress_controller_requests",
        status: ("status", CODES),
        latency: "nginx_ingress_controller_request_duration_seconds",
        layout: SECONDS,
        unit: 1.0,
        status_on_latency: true,
        labels: &[
            ("controller_class", "k8s.io/ingress-nginx"),
            ("controller_namespace", "ingress-nginx"),
            ("method", "GET"),
            ("path", "/"),
            ("namespace", "shop"),
            ("service", "web"),
        ],
        stable: &[("ingress", "web"), ("canary", "")],
        canary: &[("ingress", "web"), ("canary", "shop-web-canary-80")],
        others: &[&[("ingress", "api"), ("canary", "")]],
    },
    Project {
        template: "traefik",
        requests: "traefik_service_requests_total",
        status: ("code", CODES),
        latency: "traefik_service_request_duration_seconds",
        layout: Layout::Classic(&[0.1, 0.3, 1.2, 5.0]),
        unit: 1.0,
        status_on_latency: true,
        labels: &[("method", "GET"), ("protocol", "http")],
        stable: &[("service", "shop-web-v1-80@kubernetescrd")],
        canary: &[("service", "shop-web-v2-80@kubernetescrd")],
        others: &[
            &[("service", "shop-web-v2-rc1-80@kubernetescrd")],
            &[("service", "shop-web@kubernetescrd")],
        ],
    },
];
