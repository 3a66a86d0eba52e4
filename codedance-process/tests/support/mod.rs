//! What the tests share: a server to be a replica, a client, and endpoints that remember.

pub(crate) mod endpoints;
pub(crate) mod server;

use std::time::Duration;

use codedance_core::workload::{Executor, Fleet, FleetStatus, Group, Revision};
use codedance_process::{Config, Phase, ProcessExecutor, ReplicaStatus, Template};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::sync::watch;

/// Long enough that only what hangs meets it.
const HANGS: Duration = Duration::from_secs(60);

pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS, what)
        .await
        .expect("it should not hang")
}

pub(crate) fn v1() -> Revision {
    Revision::new("v1").unwrap()
}

pub(crate) fn v2() -> Revision {
    Revision::new("v2").unwrap()
}

/// Health checks that follow each other closely, and no restarts.
pub(crate) fn quick() -> Config {
    Config::new()
        .with_health_interval(Duration::from_millis(20))
        .with_restart_limit(0)
}

/// An executor that serves v1 from `template`.
pub(crate) fn executor(config: Config, template: Template) -> ProcessExecutor {
    ProcessExecutor::new(config).with_template(v1(), template)
}

/// `count` replicas of v1, and v2 left alone.
pub(crate) fn fleet(count: u32) -> Fleet {
    let group = |revision, replicas| Group { revision, replicas };
    Fleet {
        stable: group(v1(), Some(count)),
        canary: group(v2(), None),
    }
}

/// Scales v1, and waits until that many replicas are ready and no others are left.
pub(crate) async fn scale_until_settled(executor: &ProcessExecutor, count: u32) {
    let mut changes = executor.changes();
    executor.scale(&fleet(count)).await.unwrap();
    until(&mut changes, |fleet| {
        let status = fleet.of(&v1());
        (status.ready, status.not_ready, status.failed) == (count, 0, 0)
    })
    .await;
}

pub(crate) async fn until(
    changes: &mut watch::Receiver<FleetStatus>,
    holds: impl FnMut(&FleetStatus) -> bool,
) -> FleetStatus {
    in_time(changes.wait_for(holds))
        .await
        .expect("the executor lives")
        .clone()
}

pub(crate) fn only_replica(executor: &ProcessExecutor) -> ReplicaStatus {
    let mut replicas = executor.replicas(&v1());
    assert_eq!(replicas.len(), 1, "{replicas:?}");
    replicas.remove(0)
}

pub(crate) fn pids(executor: &ProcessExecutor) -> Vec<u32> {
    let replicas = executor.replicas(&v1());
    let running = replicas
        .iter()
        .filter(|replica| replica.phase != Phase::Stopping);
    running.filter_map(|replica| replica.pid).collect()
}

/// Whether there is a process of that number: running, or ended and not waited for.
pub(crate) fn exists(pid: u32) -> bool {
    test_kill_process(as_pid(pid)).is_ok()
}

pub(crate) fn kill(pid: u32) {
    kill_process(as_pid(pid), Signal::KILL).unwrap();
}

pub(crate) fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed()).unwrap()
}

/// A replica that is a line of shell.
pub(crate) fn shell(script: &str) -> Template {
    Template::new("/bin/sh").with_args(["-c", script])
}
