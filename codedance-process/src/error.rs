//! What this adapter refuses, and why.

use codedance_core::workload::Revision;
use codedance_core::{Error, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    #[error("no template says how to start a replica of it; give one to `ProcessExecutor::define`")]
    NoTemplate {
        doing: &'static str,
        revision: Revision,
    },
    #[error("write the path and query of a URL, such as `/healthz`")]
    HealthPath(String),
    #[error("the executor was shut down")]
    ShutDown,
}

impl From<ProcessError> for Error {
    fn from(error: ProcessError) -> Self {
        let (kind, operation) = match &error {
            ProcessError::NoTemplate { doing, revision } => {
                (ErrorKind::Invalid, format!("{doing} {revision}"))
            }
            ProcessError::HealthPath(path) => {
                (ErrorKind::Invalid, format!("use `{path}` as a health path"))
            }
            // A rollout must not be sent back because its process ends: it goes on elsewhere.
            ProcessError::ShutDown => (ErrorKind::Unavailable, "start replicas".to_owned()),
        };
        Self::new(kind, operation).with_source(error)
    }
}
