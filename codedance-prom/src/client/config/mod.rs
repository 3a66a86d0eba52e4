//! What a user sets.

mod check;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::secret::Secret;
use super::url::BaseUrl;
use crate::dialect::Dialect;

/// How to reach a server, and within which bounds.
///
/// ```
/// use std::time::Duration;
///
/// use codedance_prom::{Authorization, Config, Secret};
///
/// let config = Config::new("https://metrics.example.com/prometheus".parse()?)
///     .with_authorization(Authorization::Bearer(Secret::file("/run/secrets/token")))
///     .with_header("X-Scope-OrgID", "shop")
///     .with_timeout(Duration::from_secs(10));
/// # Ok::<(), codedance_prom::BaseUrlError>(())
/// ```
///
/// The same in YAML; every key but `url` may be left out, and unknown keys are errors:
///
/// ```
/// # use codedance_prom::{Authorization, Config, Secret};
/// let config: Config = codedance_core::config::from_yaml(
///     "
///     url: https://metrics.example.com/prometheus
///     authorization:
///       bearer: { file: /run/secrets/token }
///     headers:
///       X-Scope-OrgID: shop
///     timeout: 10s
///     ",
/// )?;
/// # let token = Authorization::Bearer(Secret::file("/run/secrets/token"));
/// # assert_eq!(config.authorization, Some(token));
/// # Ok::<(), codedance_core::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where the server is.
    pub url: BaseUrl,
    /// Who asks. Default: nobody in particular.
    #[serde(default)]
    pub authorization: Option<Authorization>,
    /// More headers of each request, such as the tenant in `X-Scope-OrgID`; not those that HTTP itself
    /// needs, such as `Host`. Default: none.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// A file in PEM with the authorities that may vouch for the server; they are trusted instead of
    /// those of the operating system. Default: those of the operating system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long an answer may take, from the call to its last byte, with the wait for a turn and all
    /// attempts. The server is told, too. 1 ms to 1 h. Default 10 s: with the wait
    /// for what was scraped to arrive it fits within the 30 s that a driver gives a look.
    #[serde(
        default = "default_timeout",
        deserialize_with = "codedance_core::time::duration::deserialize"
    )]
    pub timeout: Duration,
    /// How long a connection may take, with TLS. 1 ms to 1 h. Default 5 s.
    #[serde(
        default = "default_connect_timeout",
        deserialize_with = "codedance_core::time::duration::deserialize"
    )]
    pub connect_timeout: Duration,
    /// How many requests are under way at once; more wait for their turn, first come, first served.
    /// 1 to 1,000. Default 8.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// The most bytes of an answer, decompressed; a longer one is an error and is not read to its end.
    /// 1,024 to 1,073,741,824. Default 16,777,216.
    #[serde(default = "default_max_answer_bytes")]
    pub max_answer_bytes: usize,
    /// Whose PromQL the server speaks. Default: found out by asking it.
    #[serde(default)]
    pub dialect: Option<Dialect>,
    /// How often a request is sent at most, where the server could not be reached, broke off, or says that
    /// it is overloaded. 1 to 10. Default 4.
    #[serde(default = "default_attempts")]
    pub attempts: u32,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Authorization {
    /// A user with a password, sent as `Authorization: Basic …`.
    Basic {
        /// The user's name, without a colon.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token, sent as `Authorization: Bearer …`.
    Bearer(Secret),
}

const fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

const fn default_connect_timeout() -> Duration {
    Duration::from_secs(5)
}

const fn default_concurrency() -> usize {
    8
}

const fn default_max_answer_bytes() -> usize {
    16 * 1024 * 1024
}

const fn default_attempts() -> u32 {
    4
}

impl Config {
    /// Nothing but where the server is.
    #[must_use]
    pub fn new(url: BaseUrl) -> Self {
        Self {
            url,
            authorization: None,
            headers: BTreeMap::new(),
            ca_file: None,
            timeout: default_timeout(),
            connect_timeout: default_connect_timeout(),
            concurrency: default_concurrency(),
            max_answer_bytes: default_max_answer_bytes(),
            dialect: None,
            attempts: default_attempts(),
        }
    }

    /// Sets [`Config::authorization`].
    #[must_use]
    pub fn with_authorization(mut self, authorization: Authorization) -> Self {
        self.authorization = Some(authorization);
        self
    }

    /// Adds one of the [`Config::headers`].
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Sets [`Config::ca_file`].
    #[must_use]
    pub fn with_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Sets [`Config::timeout`].
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Sets [`Config::connect_timeout`].
    #[must_use]
    pub fn with_connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets [`Config::concurrency`].
    #[must_use]
    pub fn with_concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests;
        self
    }

    /// Sets [`Config::max_answer_bytes`].
    #[must_use]
    pub fn with_max_answer_bytes(mut self, bytes: usize) -> Self {
        self.max_answer_bytes = bytes;
        self
    }

    /// Sets [`Config::attempts`].
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What serde derives, which is not the trait's method of the same name.
        let config = Self::deserialize(deserializer)?;
        config.check().map_err(serde::de::Error::custom)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use codedance_core::config::from_yaml;

    use super::*;

    fn config() -> Config {
        Config::new("https://p".parse().unwrap())
    }

    #[test]
    fn what_is_read_is_what_can_be_built() {
        let yaml = "\
url: https://p/prometheus/
authorization:
  basic: { username: shop, password: { env: PASSWORD } }
headers:
  X-Scope-OrgID: team-a
  X-Token: { file: /run/token }
ca_file: /etc/own.pem
timeout: 10s
connect_timeout: 500ms
concurrency: 2
max_answer_bytes: 1048576
attempts: 1
";
        let built = Config::new("https://p/prometheus/".parse().unwrap())
            .with_authorization(Authorization::Basic {
                username: "shop".to_owned(),
                password: Secret::env("PASSWORD"),
            })
            .with_header("X-Scope-OrgID", "team-a")
            .with_header("X-Token", Secret::file("/run/token"))
            .with_ca_file("/etc/own.pem")
            .with_timeout(Duration::from_secs(10))
            .with_connect_timeout(Duration::from_millis(500))
            .with_concurrency(2)
            .with_max_answer_bytes(1 << 20)
            .with_attempts(1);
        assert_eq!(from_yaml::<Config>(yaml).unwrap(), built);
        assert_eq!(from_yaml::<Config>("url: https://p").unwrap(), config());
        let bearer = "url: https://p\nauthorization: { bearer: s3cr3t }";
        let bearer = from_yaml::<Config>(bearer).unwrap();
        let expected = Authorization::Bearer(Secret::new("s3cr3t"));
        assert_eq!(bearer, config().with_authorization(expected));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let config = config()
            .with_authorization(Authorization::Bearer("hunter2".into()))
            .with_header("X-Key", "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    }
}
