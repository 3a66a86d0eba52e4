//! What a proxy is told when it is made.

use std::net::SocketAddr;
use std::time::Duration;

use codedance_core::workload::Revision;

use crate::access_log::AccessLog;
use crate::error::ProxyError;
use crate::health::{HealthCheck, OutlierDetection};
use crate::limits::Limits;
use crate::mirror::Mirror;
use crate::network::Network;
use crate::retries::Retries;
use crate::rules::Rules;
use crate::tls::Tls;
use crate::transport::Transport;

/// The settings of a [`Proxy`](crate::Proxy): the two required ones in [`Config::new`], the others
/// with defaults that suit most services.
///
/// ```
/// # use std::time::Duration;
/// use codedance_core::workload::Revision;
/// use codedance_proxy::Config;
///
/// let config = Config::new("127.0.0.1:0".parse()?, Revision::new("v1")?)
///     .with_admin("127.0.0.1:0".parse()?)
///     .with_answer_timeout(Duration::from_secs(10));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where clients connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether clients have to speak TLS, and who the proxy is to them. Default `None`: they speak in
    /// clear text.
    pub tls: Option<Tls>,
    /// The revision that gets all traffic until a split is applied.
    pub stable: Revision,
    /// Where Prometheus reads the counters; port 0 takes a free one. Default `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// The path of the counters on the admin listener, beginning with `/`. Default `/metrics`.
    pub metrics_path: String,
    /// How the endpoints of a revision are spoken to, unless
    /// [`Proxy::set_transport`](crate::Proxy::set_transport) says otherwise for it. Default HTTP/1.1 in
    /// clear text.
    pub transport: Transport,
    /// How long an endpoint may take to accept a connection, and to agree on TLS there. Default 1 s.
    pub connect_timeout: Duration,
    /// How long an endpoint may take from the last byte of the request that it took to the head of
    /// its answer, before the client is answered with 504. The answer's body may take any time.
    /// Default 30 s.
    pub answer_timeout: Duration,
    /// How long a client may take to send the head of a request, counted from the end of the one
    /// before, and up to a tenth of a second more. Then a client that has begun is answered with 408,
    /// and others are just closed. Default 60 s.
    pub header_timeout: Duration,
    /// How long a client of HTTP/1.1 may take nothing while there is something to send to it, and up
    /// to a tenth of a second more. Then its connection is cut. Other protocols that it has switched
    /// to may pause as they like. Default 60 s.
    pub send_timeout: Duration,
    /// How long a connection to an endpoint is kept for the next request. Default 15 s.
    pub idle_timeout: Duration,
    /// How many connections to each endpoint are kept for the next request. Default 128.
    pub idle_connections: usize,
    /// How long an endpoint that did not accept a connection is passed over while others of its
    /// revision remain. Default 1 s.
    pub cool_down: Duration,
    /// How endpoints are asked whether they are well. Default `None`: they are not.
    pub health_check: Option<HealthCheck>,
    /// When an endpoint that fails requests is passed over. Default `None`: only for
    /// [`Config::cool_down`], and only when it did not accept a connection.
    pub outlier_detection: Option<OutlierDetection>,
    /// When another endpoint is tried.
    pub retries: Retries,
    /// Which requests may go over a connection that was kept. Default [`Reuse::Repeatable`].
    pub reuse: Reuse,
    /// Whether whatever connects to this proxy is trustworthy and sets `X-Forwarded-*`: its
    /// `X-Forwarded-Proto` and `-Host` then stand, and the last address in `X-Forwarded-For` is the
    /// client's. Where only some are, [`Config::trusted_proxies`] names them. Default false.
    pub trust_forwarded: bool,
    /// The proxies in front of this one that are believed. From one of them, `X-Forwarded-Proto` and
    /// `-Host` stand, and the client's address is the last one in `X-Forwarded-For` that is not
    /// theirs. Default empty: nobody.
    pub trusted_proxies: Vec<Network>,
    /// Who gets which side of a split whatever its weight. Default none. They can be changed with
    /// [`Proxy::set_rules`](crate::Proxy::set_rules).
    pub rules: Rules,
    /// Who gets copies of requests. Default `None`: nobody. It can be changed with
    /// [`Proxy::set_mirror`](crate::Proxy::set_mirror).
    pub mirror: Option<Mirror>,
    /// A log with one line for each request. Default `None`: there is none.
    pub access_log: Option<AccessLog>,
    /// How much clients may send, and how many of them there may be at once.
    pub limits: Limits,
    /// The upper bounds of the latency histogram's buckets in seconds: finite, positive, ascending,
    /// 1 to 64 of them. Default .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10.
    pub latency_bounds: Vec<f64>,
    /// How often the counters are noted for [`MetricsSource`](codedance_core::metrics::MetricsSource),
    /// which is the precision of its windows. Default 250 ms.
    pub sampling: Duration,
    /// How far back those notes reach; a window that begins earlier has no data. Default 1 h.
    pub history: Duration,
}

/// Which requests may go over a connection to an endpoint that was kept open after an earlier one.
///
/// An endpoint may close such a connection at the moment a request is sent over it. Then nobody can
/// know whether the request was read, and HTTP forbids a proxy to send it again unless doing it twice
/// is the same as doing it once.
///
/// This is about HTTP/1.1. In HTTP/2 an endpoint says which requests it has looked at when it ends a
/// connection, and all go over connections that were kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reuse {
    /// Requests that can be sent again: idempotent ones without a body. Others get a new connection,
    /// which costs a round trip and loses none.
    #[default]
    Repeatable,
    /// All requests. One that cannot be sent again is answered with 502 when it meets a connection
    /// that the endpoint just closed, as with most proxies.
    Always,
}

impl Config {
    /// A proxy that listens on `listen` and sends everything to `stable`.
    #[must_use]
    pub fn new(listen: SocketAddr, stable: Revision) -> Self {
        Self {
            listen,
            tls: None,
            stable,
            admin: None,
            metrics_path: "/metrics".to_owned(),
            transport: Transport::new(),
            connect_timeout: Duration::from_secs(1),
            answer_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(15),
            idle_connections: 128,
            cool_down: Duration::from_secs(1),
            health_check: None,
            outlier_detection: None,
            retries: Retries::default(),
            reuse: Reuse::default(),
            trust_forwarded: false,
            trusted_proxies: Vec::new(),
            rules: Rules::new(),
            mirror: None,
            access_log: None,
            limits: Limits::default(),
            latency_bounds: vec![
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            ],
            sampling: Duration::from_millis(250),
            history: Duration::from_secs(3_600),
        }
    }

    /// Has clients speak TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Serves the counters to Prometheus on `address`.
    #[must_use]
    pub fn with_admin(mut self, address: SocketAddr) -> Self {
        self.admin = Some(address);
        self
    }

    /// Sets the path of the counters; see [`Config::metrics_path`].
    #[must_use]
    pub fn with_metrics_path(mut self, path: impl Into<String>) -> Self {
        self.metrics_path = path.into();
        self
    }

    /// Sets [`Config::transport`].
    #[must_use]
    pub fn with_transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Sets [`Config::connect_timeout`].
    #[must_use]
    pub fn with_connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets [`Config::answer_timeout`].
    #[must_use]
    pub fn with_answer_timeout(mut self, limit: Duration) -> Self {
        self.answer_timeout = limit;
        self
    }

    /// Sets [`Config::header_timeout`].
    #[must_use]
    pub fn with_header_timeout(mut self, limit: Duration) -> Self {
        self.header_timeout = limit;
        self
    }

    /// Sets [`Config::send_timeout`].
    #[must_use]
    pub fn with_send_timeout(mut self, limit: Duration) -> Self {
        self.send_timeout = limit;
        self
    }

    /// Sets [`Config::idle_timeout`].
    #[must_use]
    pub fn with_idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = limit;
        self
    }

    /// Sets [`Config::idle_connections`].
    #[must_use]
    pub fn with_idle_connections(mut self, count: usize) -> Self {
        self.idle_connections = count;
        self
    }

    /// Sets [`Config::cool_down`].
    #[must_use]
    pub fn with_cool_down(mut self, length: Duration) -> Self {
        self.cool_down = length;
        self
    }

    /// Sets [`Config::health_check`].
    #[must_use]
    pub fn with_health_check(mut self, check: HealthCheck) -> Self {
        self.health_check = Some(check);
        self
    }

    /// Sets [`Config::outlier_detection`].
    #[must_use]
    pub fn with_outlier_detection(mut self, detection: OutlierDetection) -> Self {
        self.outlier_detection = Some(detection);
        self
    }

    /// Sets [`Config::retries`].
    #[must_use]
    pub fn with_retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// Sets [`Config::reuse`].
    #[must_use]
    pub fn with_reuse(mut self, reuse: Reuse) -> Self {
        self.reuse = reuse;
        self
    }

    /// Sets [`Config::trust_forwarded`].
    #[must_use]
    pub fn with_trust_forwarded(mut self, trust: bool) -> Self {
        self.trust_forwarded = trust;
        self
    }

    /// Sets [`Config::trusted_proxies`].
    #[must_use]
    pub fn with_trusted_proxies(mut self, proxies: impl Into<Vec<Network>>) -> Self {
        self.trusted_proxies = proxies.into();
        self
    }

    /// Sets [`Config::rules`].
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Sets [`Config::mirror`].
    #[must_use]
    pub fn with_mirror(mut self, mirror: Mirror) -> Self {
        self.mirror = Some(mirror);
        self
    }

    /// Sets [`Config::access_log`].
    #[must_use]
    pub fn with_access_log(mut self, log: AccessLog) -> Self {
        self.access_log = Some(log);
        self
    }

    /// Sets [`Config::limits`].
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets [`Config::latency_bounds`], in seconds.
    #[must_use]
    pub fn with_latency_bounds(mut self, bounds: impl Into<Vec<f64>>) -> Self {
        self.latency_bounds = bounds.into();
        self
    }

    /// Sets [`Config::sampling`].
    #[must_use]
    pub fn with_sampling(mut self, interval: Duration) -> Self {
        self.sampling = interval;
        self
    }

    /// Sets [`Config::history`].
    #[must_use]
    pub fn with_history(mut self, length: Duration) -> Self {
        self.history = length;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ProxyError> {
        let refuse = |key, wanted| Err(ProxyError::Config { key, wanted });
        for (key, limit) in [
            ("connect_timeout", self.connect_timeout),
            ("answer_timeout", self.answer_timeout),
            ("header_timeout", self.header_timeout),
            ("send_timeout", self.send_timeout),
            ("idle_timeout", self.idle_timeout),
            ("sampling", self.sampling),
            ("history", self.history),
        ] {
            if limit.is_zero() {
                return refuse(key, "longer than nothing");
            }
        }
        let bounds = &self.latency_bounds;
        let usable = bounds.iter().all(|bound| bound.is_finite() && *bound > 0.0);
        if !usable || !bounds.is_sorted_by(|a, b| a < b) || !(1..=64).contains(&bounds.len()) {
            return refuse(
                "latency_bounds",
                "1 to 64 positive, finite, ascending seconds",
            );
        }
        if !self.metrics_path.starts_with('/') {
            return refuse("metrics_path", "a path that begins with `/`");
        }
        if let Some(tls) = &self.tls {
            tls.check()?;
        }
        if let Some(check) = &self.health_check {
            check.check()?;
        }
        if let Some(detection) = &self.outlier_detection {
            detection.check()?;
        }
        if let Some(mirror) = &self.mirror {
            mirror.check()?;
        }
        if let Some(log) = &self.access_log {
            log.check()?;
        }
        self.retries.check()?;
        self.limits.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let config = Config::new("127.0.0.1:0".parse().unwrap(), Revision::new("v1").unwrap());
        config.check().unwrap();
        let refused = |config: Config| config.check().unwrap_err().to_string();
        for bounds in [
            vec![],
            vec![1.0, 1.0],
            vec![2.0, 1.0],
            vec![0.0],
            vec![f64::NAN],
        ] {
            let text = refused(config.clone().with_latency_bounds(bounds));
            assert!(text.starts_with("latency_bounds"), "{text}");
        }
        let text = refused(config.clone().with_answer_timeout(Duration::ZERO));
        assert!(text.starts_with("answer_timeout"), "{text}");
        let tls = Tls::new("a.crt", "a.key").with_handshake_timeout(Duration::ZERO);
        let text = refused(config.clone().with_tls(tls));
        assert!(text.starts_with("tls.handshake_timeout"), "{text}");
        let text = refused(config.with_metrics_path("metrics"));
        assert!(text.starts_with("metrics_path"), "{text}");
    }
}
