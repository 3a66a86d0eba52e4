//! What a user may know of a replica.

use std::fmt;
use std::net::SocketAddr;

/// How far a replica has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Its process starts and was not healthy yet.
    #[default]
    Starting,
    /// It is healthy and gets traffic.
    Ready,
    /// It was ready and fails its health checks now; it gets no traffic until it is healthy again.
    Unhealthy,
    /// Its process ended, or could not start; it is started again after the backoff.
    BackingOff,
    /// As `BackingOff`, but the restart limit is reached: it stays so until it is scaled away.
    Failed,
    /// It is drained and told to end.
    Stopping,
}

/// One replica as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaStatus {
    /// How far it has come.
    pub phase: Phase,
    /// The process that serves, leader of a process group of its own. `None`: there is none now.
    pub pid: Option<u32>,
    /// Where the process listens, or listened last. `None` before the first start.
    pub address: Option<SocketAddr>,
    /// How often it was restarted.
    pub restarts: u32,
    /// What is or was wrong with it last, such as `GET /healthz answered 503 Service Unavailable`.
    pub trouble: Option<String>,
}

/// Why a replica failed, with its last words. Shown, it is the cause and the output, line by line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaFailure {
    /// Why it failed, such as `ended with exit code 3`.
    pub cause: String,
    /// Its last lines of output, at most 20, oldest first; empty unless the template says
    /// [`Output::Keep`](crate::Output::Keep).
    pub output: Vec<String>,
}

impl fmt::Display for ReplicaFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)?;
        for line in &self.output {
            write!(f, "\n  | {line}")?;
        }
        Ok(())
    }
}

impl Phase {
    /// What is worth least is scaled away first.
    pub(crate) fn worth(self) -> u8 {
        match self {
            Self::Stopping | Self::Failed => 0,
            Self::BackingOff => 1,
            Self::Unhealthy => 2,
            Self::Starting => 3,
            Self::Ready => 4,
        }
    }
}
