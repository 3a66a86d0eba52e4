//! Where a server is.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;
use serde::{Deserialize, Deserializer};

/// The address of a server, up to and without `/api/v1`: a scheme, a host, perhaps a port and a path.
///
/// | server | address |
/// |---|---|
/// | Prometheus, VictoriaMetrics (single node) | `http://prometheus:9090` |
/// | Prometheus with `--web.route-prefix` | `https://metrics.example.com/prometheus` |
/// | a VictoriaMetrics cluster | `http://vmselect:8481/select/0/prometheus` |
///
/// A slash at the end may be left out. Credentials do not belong into it: addresses are shown in errors
/// and logs.
///
/// ```
/// use codedance_prom::BaseUrl;
///
/// let url: BaseUrl = "http://vmselect:8481/select/0/prometheus/".parse()?;
/// assert_eq!(url.to_string(), "http://vmselect:8481/select/0/prometheus");
/// # Ok::<(), codedance_prom::BaseUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// What is asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Endpoint {
    Query,
    QueryRange,
}

impl Endpoint {
    const fn path(self) -> &'static str {
        match self {
            Self::Query => "/api/v1/query",
            Self::QueryRange => "/api/v1/query_range",
        }
    }
}

impl BaseUrl {
    pub(super) fn endpoint(&self, endpoint: Endpoint) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{}", self.path(), endpoint.path()));
        url
    }

    pub(super) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether it is on this machine, where no proxy for others is of use.
    pub(super) fn is_loopback(&self) -> bool {
        self.0.host_str().is_some_and(|host| {
            let address = host.trim_start_matches('[').trim_end_matches(']');
            let address = address.parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        })
    }

    fn path(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        // No variant shows the text: a password may be in it, also where it is malformed.
        let url: Url = text
            .trim()
            .parse()
            .map_err(|error: <Url as FromStr>::Err| BaseUrlError::Malformed {
                reason: error.to_string(),
            })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BaseUrlError::Scheme {
                found: url.scheme().to_owned(),
            });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BaseUrlError::Credentials);
        }
        if url.query().is_some() {
            return Err(BaseUrlError::Query);
        }
        if url.fragment().is_some() {
            return Err(BaseUrlError::Fragment);
        }
        let base = Self(url);
        // Only at the end: the API server of Kubernetes is a gateway with `/api/v1` in its paths.
        let endpoints = ["/api/v1", "/api/v1/query", "/api/v1/query_range"];
        if endpoints.iter().any(|path| base.path().ends_with(path)) {
            return Err(BaseUrlError::Endpoint);
        }
        Ok(base)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BaseUrl({self})")
    }
}

impl<'de> Deserialize<'de> for BaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Not the address of a server, and how to mend it. The address itself is not shown, as it may hold a
/// password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaseUrlError {
    /// Not a URL.
    #[error(
        "is not a URL, {reason}; write scheme, host and port, such as `http://prometheus:9090`"
    )]
    Malformed {
        /// Why not.
        reason: String,
    },
    /// Neither `http` nor `https`.
    #[error("has the scheme `{found}`; write `http://` or `https://` before the host")]
    Scheme {
        /// The scheme it has.
        found: String,
    },
    /// A user's name or password before the host.
    #[error("has credentials in it, which errors would show; give them under `authorization`")]
    Credentials,
    /// Something after a question mark.
    #[error(
        "has a query, the part from `?` on; leave it out, the parameters are added to each request"
    )]
    Query,
    /// Something after a hash.
    #[error("has a fragment, the part from `#` on; leave it out, servers never see it")]
    Fragment,
    /// The address of one endpoint, not of the server.
    #[error("goes on to `/api/v1`; end it before, as each request adds its own path")]
    Endpoint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_to_the_prefix_with_or_without_its_slash() {
        for (base, expected) in [
            ("http://p:9090", "http://p:9090/api/v1/query"),
            ("http://p:9090/", "http://p:9090/api/v1/query"),
            (
                "https://m.example/prometheus",
                "https://m.example/prometheus/api/v1/query",
            ),
            (
                "http://vm:8481/select/0/prometheus//",
                "http://vm:8481/select/0/prometheus/api/v1/query",
            ),
            (
                "https://k8s/api/v1/namespaces/m/services/p:9090/proxy",
                "https://k8s/api/v1/namespaces/m/services/p:9090/proxy/api/v1/query",
            ),
        ] {
            let base: BaseUrl = base.parse().unwrap();
            assert_eq!(base.endpoint(Endpoint::Query).as_str(), expected);
            let range = base.endpoint(Endpoint::QueryRange);
            assert_eq!(range.as_str(), format!("{expected}_range"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_mend_and_without_the_password() {
        for (text, mend) in [
            ("prometheus:9090", "write `http://` or `https://`"),
            ("/prometheus", "such as `http://prometheus:9090`"),
            (
                "http://me:hunter2@p:99999",
                "such as `http://prometheus:9090`",
            ),
            ("ftp://p", "scheme `ftp`"),
            ("http://me:hunter2@p", "under `authorization`"),
            ("http://hunter2@p", "under `authorization`"),
            ("http://p?x=1", "from `?` on"),
            ("http://p/#top", "from `#` on"),
            ("http://p/x/api/v1/query", "end it before"),
            ("http://p/api/v1", "end it before"),
        ] {
            let refused = text.parse::<BaseUrl>().unwrap_err();
            assert!(refused.to_string().contains(mend), "{text}: {refused}");
            assert!(
                !format!("{refused} {refused:?}").contains("hunter2"),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        let is_loopback = |text: &str| text.parse::<BaseUrl>().unwrap().is_loopback();
        for text in [
            "http://localhost:9090",
            "http://127.0.0.1",
            "http://[::1]:9090",
        ] {
            assert!(is_loopback(text), "{text}");
        }
        for text in [
            "http://prometheus",
            "http://10.0.0.1",
            "http://[2001:db8::1]",
        ] {
            assert!(!is_loopback(text), "{text}");
        }
    }
}
