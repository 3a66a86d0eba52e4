//! Codedance on one machine: an [`Executor`](codedance_core::workload::Executor) whose replicas are
//! local server processes.
//!
//! Use it where a service runs as plain processes: on a single host, behind an embedded proxy, in a
//! development environment, in an end-to-end test. It is a small process supervisor as well: it starts
//! replicas, checks their health, restarts those that die, and stops them without losing a request.
//! Where something else supervises already (systemd, Docker, Kubernetes), use an executor that asks
//! that.
//!
//! ```text
//!   scale(fleet) ──▶ books ──▶ one task per replica              the child process
//!                      ▲           │
//!                      │           ├─ start ───────────────────▶ PORT=… program args, own group
//!   changes() ◀────────┤           ├─ GET /healthz ────────────▶ 2xx
//!   FleetStatus        │           ├─ Endpoints::add            gets traffic
//!                      │           │
//!                      │           ├─ it ends: failed at once, out of the endpoints, restarted
//!                      │           │    after a backoff, up to a limit
//!                      │           │
//!                      └───────────┴─ scaled away: Endpoints::drain ─▶ SIGTERM ─▶ grace ─▶ SIGKILL
//! ```
//!
//! # Example
//! ```no_run
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use codedance_core::workload::{Executor, Fleet, Group, Revision};
//! use codedance_process::{Config, ProcessExecutor, Template};
//!
//! # async fn example(proxy: Arc<dyn codedance_core::traffic::Endpoints>) -> Result<(), Box<dyn std::error::Error>> {
//! let (v1, v2) = (Revision::new("v1")?, Revision::new("v2")?);
//! let web = |revision: &Revision| {
//!     Template::new(format!("/opt/shop/{revision}/web"))
//!         .with_args(["--listen", "127.0.0.1:{port}"])
//!         .with_health_path("/healthz")
//! };
//! let executor = ProcessExecutor::new(Config::new().with_grace(Duration::from_secs(30)))
//!     .with_endpoints(proxy)
//!     .with_template(v1.clone(), web(&v1)?)
//!     .with_template(v2.clone(), web(&v2)?);
//!
//! let group = |revision: &Revision, replicas| Group { revision: revision.clone(), replicas };
//! let mut changes = executor.changes();
//! executor.scale(&Fleet { stable: group(&v1, Some(3)), canary: group(&v2, Some(1)) }).await?;
//! changes.wait_for(|fleet| fleet.of(&v1).ready == 3 && fleet.of(&v2).ready == 1).await?;
//!
//! let killed = executor.shutdown(Duration::from_secs(5)).await;
//! # Ok(()) }
//! ```
//!
//! # Status
//! A replica that starts, fails its health checks or is being stopped is `not_ready`. One whose process
//! ended, could not start, or was not healthy in time is `failed`, also while it waits for its restart;
//! after [`Config::with_restart_limit`] restarts it stays failed until it is scaled away.
//! [`ProcessExecutor::last_failure`] tells why, with the last lines of its output.
//!
//! # Ports
//! Each start gets a port that was free on `127.0.0.1` just before, and that no other replica of the
//! executor has. Nobody can keep it free until the replica listens on it: in the rare case that another
//! program is faster, the replica ends with its own error and is restarted on another port.
//!
//! # Processes
//! Each replica leads a process group, and signals go to the whole group, so that the children of a
//! shell script or a forking server go with it. A process that leaves its group, as daemons do, is not
//! found again: run servers in the foreground. If this process is killed with `SIGKILL`, its replicas
//! stay behind. In a container without an init process nobody waits for orphans, so that a replica
//! with children of its own takes its whole grace to stop: run the container with one (`--init`).
//!
//! The crate is empty on systems other than Unix.
#![cfg(unix)]

mod books;
mod config;
mod error;
mod executor;
mod health;
mod place;
mod process;
mod replica;
mod status;

pub use config::{Config, Output, Template};
pub use executor::ProcessExecutor;
pub use status::{Phase, ReplicaFailure, ReplicaStatus};
