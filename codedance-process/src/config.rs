//! How replicas are started, watched and stopped.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use codedance_core::Result;
use hyper::http::uri::PathAndQuery;

use crate::error::ProcessError;

/// How a replica of one revision is started, and where its health is asked for.
///
/// A replica listens on a port of `127.0.0.1` that the executor chooses. It learns the port from the
/// environment variable `PORT`, and wherever `{port}` stands in an argument or in the value of an
/// environment variable. Everything else of the environment is inherited.
///
/// # Example
/// ```
/// use codedance_process::Template;
///
/// let web = Template::new("/opt/shop/v2/web")
///     .with_args(["--listen", "127.0.0.1:{port}"])
///     .with_env("LOG", "warn")
///     .with_health_path("/healthz")?;
/// # Ok::<(), codedance_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Template {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) working_dir: Option<PathBuf>,
    pub(crate) health_path: PathAndQuery,
    pub(crate) output: Output,
}

/// What becomes of what a replica writes to its standard output and standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// The last 20 lines are kept, each cut after 1 KiB, and told by
    /// [`last_failure`](crate::ProcessExecutor::last_failure). This is the default.
    #[default]
    Keep,
    /// It goes where the output of this process goes.
    Inherit,
    /// It is thrown away.
    Discard,
}

impl Template {
    /// Runs `program`, a path or a name to be looked up in `PATH`, without arguments; `GET /` asks
    /// for its health.
    #[must_use]
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            working_dir: None,
            health_path: PathAndQuery::from_static("/"),
            output: Output::default(),
        }
    }

    /// Adds one argument; `{port}` in it becomes the port.
    #[must_use]
    pub fn with_arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments in order; `{port}` in them becomes the port.
    #[must_use]
    pub fn with_args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable, also over an inherited one and over `PORT`; `{port}` in the
    /// value becomes the port.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs in `dir`. Default: the directory of this process. Give the program as an absolute path
    /// then: whether a relative one starts from `dir` differs between systems.
    #[must_use]
    pub fn with_working_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.working_dir = Some(dir.into());
        self
    }

    /// Asks for health by `GET path`: any 2xx answer is healthy. Default `/`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](codedance_core::ErrorKind::Invalid) when `path` does not start with `/`
    /// or holds what a request line cannot.
    pub fn with_health_path(mut self, path: &str) -> Result<Self> {
        let parsed = path.parse::<PathAndQuery>().ok();
        self.health_path = parsed
            .filter(|_| path.starts_with('/'))
            .ok_or_else(|| ProcessError::HealthPath(path.to_owned()))?;
        Ok(self)
    }

    /// What becomes of the output. Default [`Output::Keep`].
    #[must_use]
    pub fn with_output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }
}

/// Puts the port where the text has `{port}`. What is not Unicode is left as it is.
pub(crate) fn with_port(text: &OsStr, port: u16) -> OsString {
    match text.to_str() {
        Some(text) => text.replace("{port}", &port.to_string()).into(),
        None => text.to_owned(),
    }
}

/// How all replicas of an executor are watched, restarted and stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    pub(crate) startup_deadline: Duration,
    pub(crate) health_interval: Duration,
    pub(crate) health_timeout: Duration,
    pub(crate) healthy_threshold: u32,
    pub(crate) unhealthy_threshold: u32,
    pub(crate) drain_deadline: Duration,
    pub(crate) grace: Duration,
    pub(crate) first_backoff: Duration,
    pub(crate) longest_backoff: Duration,
    pub(crate) restart_limit: u32,
    pub(crate) forgiven_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            startup_deadline: Duration::from_secs(30),
            health_interval: Duration::from_secs(1),
            health_timeout: Duration::from_secs(1),
            healthy_threshold: 1,
            unhealthy_threshold: 3,
            drain_deadline: Duration::from_secs(10),
            grace: Duration::from_secs(10),
            first_backoff: Duration::from_millis(200),
            longest_backoff: Duration::from_secs(10),
            restart_limit: 3,
            forgiven_after: Duration::from_secs(600),
        }
    }
}

impl Config {
    /// The defaults, each told at the method that changes it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long after its start a replica must be healthy; later it is stopped and has failed.
    /// Default 30 s.
    #[must_use]
    pub fn with_startup_deadline(mut self, deadline: Duration) -> Self {
        self.startup_deadline = deadline;
        self
    }

    /// How long to wait between two health checks, at least 10 ms. A replica that starts is asked
    /// more often: every 100 ms. Default 1 s.
    #[must_use]
    pub fn with_health_interval(mut self, interval: Duration) -> Self {
        self.health_interval = interval.max(Duration::from_millis(10));
        self
    }

    /// How long a health check may take; later it counts as failed. Default 1 s.
    #[must_use]
    pub fn with_health_timeout(mut self, timeout: Duration) -> Self {
        self.health_timeout = timeout;
        self
    }

    /// How many health checks in a row must succeed before a replica is ready, at least 1.
    /// Default 1.
    #[must_use]
    pub fn with_healthy_threshold(mut self, checks: u32) -> Self {
        self.healthy_threshold = checks.max(1);
        self
    }

    /// How many health checks in a row must fail before a ready replica is not, at least 1.
    /// Default 3.
    #[must_use]
    pub fn with_unhealthy_threshold(mut self, checks: u32) -> Self {
        self.unhealthy_threshold = checks.max(1);
        self
    }

    /// How long a replica that is to stop may go on answering requests in flight before it is told
    /// to end. Default 10 s. Without [`Endpoints`](codedance_core::traffic::Endpoints) nothing is
    /// drained.
    #[must_use]
    pub fn with_drain_deadline(mut self, deadline: Duration) -> Self {
        self.drain_deadline = deadline;
        self
    }

    /// How long a replica and its children have between `SIGTERM` and `SIGKILL`. Default 10 s.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long to wait before a failed replica is started again: `first`, then twice as long each
    /// time, at most `longest`. Default 200 ms and 10 s.
    #[must_use]
    pub fn with_restart_backoff(mut self, first: Duration, longest: Duration) -> Self {
        (self.first_backoff, self.longest_backoff) = (first, longest);
        self
    }

    /// How often a replica is restarted before it stays failed. Default 3; 0 restarts nothing.
    #[must_use]
    pub fn with_restart_limit(mut self, restarts: u32) -> Self {
        self.restart_limit = restarts;
        self
    }

    /// How long a replica must have been ready without a break for its earlier restarts not to count
    /// towards the limit any more. Default 10 min.
    #[must_use]
    pub fn with_forgiven_after(mut self, ready: Duration) -> Self {
        self.forgiven_after = ready;
        self
    }

    /// How long to wait before the restart that follows `restarts` others.
    pub(crate) fn backoff(&self, restarts: u32) -> Duration {
        let doubled = self
            .first_backoff
            .saturating_mul(2_u32.saturating_pow(restarts));
        doubled.min(self.longest_backoff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_goes_where_its_name_stands() {
        let replaced = with_port(OsStr::new("--listen=[::1]:{port},{port}"), 8080);
        assert_eq!(replaced, "--listen=[::1]:8080,8080");
        assert_eq!(with_port(OsStr::new("{host}"), 8080), "{host}");
    }

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let config = Config::new();
        let millis = [0, 1, 2, 5, 6, 40].map(|restarts| config.backoff(restarts).as_millis());
        assert_eq!(millis, [200, 400, 800, 6_400, 10_000, 10_000]);
    }

    #[test]
    fn a_health_path_is_checked_where_it_enters() {
        for path in ["", "healthz", "http://elsewhere/", "*", "/a b", "/\n"] {
            let refused = Template::new("web").with_health_path(path);
            let kind = refused.map_err(|error| error.kind()).unwrap_err();
            assert_eq!(kind, codedance_core::ErrorKind::Invalid, "{path:?}");
        }
        assert!(
            Template::new("web")
                .with_health_path("/healthz?deep=1")
                .is_ok()
        );
    }
}
