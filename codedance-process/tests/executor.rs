//! The executor with real processes.

mod conformance;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::traffic::Endpoints;
use codedance_core::workload::{Executor, Fleet, FleetStatus, Group, Progress, Revision};
use codedance_core::{ErrorKind, Result};
use codedance_process::{Config, Output, Phase, Template};

use support::endpoints::{Recorder, Told};
use support::server::{self, get};
use support::{
    as_pid, executor, exists, fleet, in_time, kill, only_replica, pids, quick, scale_until_settled,
    shell, until, v1, v2,
};

/// A time that no test waits for.
const NEVER: Duration = Duration::from_secs(3600);

fn has(fleet: &FleetStatus, ready: u32, restarts: u32) -> bool {
    (fleet.of(&v1()).ready, fleet.of(&v1()).restarts) == (ready, restarts)
}

#[tokio::test]
async fn replicas_become_ready_and_get_traffic() {
    let endpoints = Arc::new(Recorder::new());
    let executor = executor(quick(), server::template()).with_endpoints(endpoints.clone());
    scale_until_settled(&executor, 3).await;

    let replicas = executor.replicas(&v1());
    assert_eq!(replicas.len(), 3);
    for replica in &replicas {
        let address = replica.address.unwrap();
        let answer = get(address, "/pid").await.unwrap();
        assert_eq!(answer, format!("200 {}", replica.pid.unwrap()));
        assert!(endpoints.told().contains(&Told::Add(address)));
    }
    assert_eq!(endpoints.told().len(), 3);
    assert_eq!(executor.shutdown(NEVER).await, 0);
}

#[tokio::test]
async fn scaling_to_what_is_there_changes_nothing() {
    let executor = executor(quick(), server::template());
    scale_until_settled(&executor, 2).await;
    let (changes, before) = (executor.changes(), executor.replicas(&v1()));
    for _ in 0..3 {
        let status = executor.scale(&fleet(2)).await.unwrap();
        assert_eq!((status.of(&v1()).desired, status.of(&v1()).ready), (2, 2));
    }
    assert_eq!(executor.replicas(&v1()), before);
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test]
async fn scaling_asked_twice_before_the_first_is_done_starts_no_more() {
    let executor = executor(quick(), server::template());
    executor.scale(&fleet(2)).await.unwrap();
    scale_until_settled(&executor, 2).await;
    assert_eq!(executor.replicas(&v1()).len(), 2);
}

#[tokio::test]
async fn a_replica_is_drained_before_it_is_told_to_end() {
    let endpoints = Arc::new(Recorder::gated());
    let config = quick().with_drain_deadline(NEVER);
    let executor = executor(config, server::template()).with_endpoints(endpoints.clone());
    scale_until_settled(&executor, 2).await;
    let (stays, goes) = (pids(&executor)[0], pids(&executor)[1]);
    let address = executor.replicas(&v1())[1].address.unwrap();

    let status = executor.scale(&fleet(1)).await.unwrap();
    assert_eq!(
        (status.of(&v1()).desired, status.of(&v1()).not_ready),
        (1, 1)
    );
    endpoints
        .until(|told| told.last() == Some(&Told::Drain(address, NEVER)))
        .await;
    for _ in 0..20 {
        assert_eq!(get(address, "/healthz").await.unwrap(), "200 well");
    }
    endpoints.let_drain();
    until(&mut executor.changes(), |fleet| {
        fleet.of(&v1()).not_ready == 0
    })
    .await;
    assert_eq!(pids(&executor), [stays]);
    assert!(!exists(goes));
    assert_eq!(endpoints.told().last(), Some(&Told::Drained(address)));
}

#[tokio::test]
async fn a_request_in_flight_is_answered_when_its_replica_is_scaled_away() {
    let endpoints = Arc::new(Recorder::gated());
    let executor = executor(quick(), server::template()).with_endpoints(endpoints.clone());
    scale_until_settled(&executor, 1).await;
    let address = only_replica(&executor).address.unwrap();
    let request = tokio::spawn(async move { get(address, "/hold").await });
    in_time(get(address, "/held")).await.unwrap();

    executor.scale(&fleet(0)).await.unwrap();
    endpoints
        .until(|told| matches!(told.last(), Some(Told::Drain(..))))
        .await;
    get(address, "/release").await.unwrap();
    assert_eq!(in_time(request).await.unwrap().unwrap(), "200 done");
    endpoints.let_drain();
    scale_until_settled(&executor, 0).await;
}

#[tokio::test]
async fn a_killed_replica_is_failed_at_once_and_gets_no_traffic() {
    let endpoints = Arc::new(Recorder::new());
    // Neither a health check nor a restart can explain what is seen.
    let config = Config::new()
        .with_health_interval(NEVER)
        .with_restart_backoff(NEVER, NEVER);
    let executor = executor(config, server::template()).with_endpoints(endpoints.clone());
    scale_until_settled(&executor, 2).await;
    let victim = executor.replicas(&v1())[0].clone();
    let (pid, address) = (victim.pid.unwrap(), victim.address.unwrap());

    kill(pid);
    let mut changes = executor.changes();
    let status = until(&mut changes, |fleet| fleet.of(&v1()).failed == 1)
        .await
        .of(&v1());
    assert_eq!((status.desired, status.ready, status.restarts), (2, 1, 0));
    endpoints
        .until(|told| told.contains(&Told::Drain(address, Duration::ZERO)))
        .await;
    let dead = &executor.replicas(&v1())[0];
    assert_eq!((dead.phase, dead.pid), (Phase::BackingOff, None));
    assert!(
        executor
            .last_failure(&v1())
            .unwrap()
            .cause
            .contains("SIGKILL")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_died_comes_back_on_another_port() {
    let config = quick()
        .with_restart_limit(1)
        .with_restart_backoff(Duration::ZERO, Duration::ZERO);
    let executor = executor(config, server::template());
    scale_until_settled(&executor, 1).await;
    let before = only_replica(&executor);

    kill(before.pid.unwrap());
    let mut changes = executor.changes();
    // The executor may be asked while its status is looked at.
    until(&mut changes, |fleet| {
        has(fleet, 1, 1) && pids(&executor).len() == 1
    })
    .await;
    let after = only_replica(&executor);
    assert_ne!(after.address, before.address);

    // The limit is reached now.
    kill(after.pid.unwrap());
    until(&mut changes, |fleet| fleet.of(&v1()).failed == 1).await;
    assert_eq!(only_replica(&executor).phase, Phase::Failed);
}

#[tokio::test]
async fn a_replica_that_served_long_enough_is_forgiven_its_restarts() {
    let config = quick()
        .with_restart_limit(1)
        .with_restart_backoff(Duration::ZERO, Duration::ZERO)
        .with_forgiven_after(Duration::ZERO);
    let executor = executor(config, server::template());
    scale_until_settled(&executor, 1).await;
    let mut changes = executor.changes();
    for restarts in 1..=3 {
        kill(only_replica(&executor).pid.unwrap());
        until(&mut changes, |fleet| has(fleet, 1, restarts)).await;
    }
}

#[tokio::test]
async fn a_crash_loop_ends_at_the_restart_limit() {
    let config = Config::new()
        .with_restart_limit(2)
        .with_restart_backoff(Duration::from_millis(1), Duration::from_millis(1));
    let crashes = shell("echo starting; echo 'no such database: shop' >&2; exit 3");
    let executor = executor(config, crashes);
    let mut changes = executor.changes();
    executor.scale(&fleet(1)).await.unwrap();
    let status = until(&mut changes, |fleet| {
        let status = fleet.of(&v1());
        (status.failed, status.restarts) == (1, 2)
    });
    assert_eq!(status.await.of(&v1()).ready, 0);

    let replica = only_replica(&executor);
    assert_eq!((replica.phase, replica.restarts), (Phase::Failed, 2));
    let mut failure = executor.last_failure(&v1()).unwrap();
    failure.output.sort();
    assert_eq!(
        failure.to_string(),
        "ended with exit code 3 before it was healthy\n  | no such database: shop\n  | starting"
    );
    // It stays so, whatever is asked, until it is scaled away.
    executor.scale(&fleet(1)).await.unwrap();
    assert_eq!(only_replica(&executor), replica);
    scale_until_settled(&executor, 0).await;
    assert!(executor.last_failure(&v1()).is_some());
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_a_failed_replica() {
    let executor = executor(quick(), Template::new("/nonexistent/web"));
    let mut changes = executor.changes();
    executor.scale(&fleet(2)).await.unwrap();
    until(&mut changes, |fleet| fleet.of(&v1()).failed == 2).await;
    let failure = executor.last_failure(&v1()).unwrap();
    assert!(
        failure
            .cause
            .starts_with("cannot start `/nonexistent/web`: "),
        "{failure}"
    );
    assert_eq!(executor.replicas(&v1())[0].trouble, Some(failure.cause));
}

#[tokio::test]
async fn a_replica_that_is_never_healthy_fails_at_the_startup_deadline() {
    let config = quick().with_startup_deadline(Duration::from_secs(1));
    let executor = executor(config, shell("echo $$; exec sleep 3600"));
    let mut changes = executor.changes();
    let status = executor.scale(&fleet(1)).await.unwrap();
    assert_eq!(
        (status.of(&v1()).not_ready, status.of(&v1()).failed),
        (1, 0)
    );
    until(&mut changes, |fleet| fleet.of(&v1()).failed == 1).await;
    let failure = executor.last_failure(&v1()).unwrap();
    assert!(
        failure
            .cause
            .starts_with("not healthy within 1s: it does not accept connections")
    );
    scale_until_settled(&executor, 0).await;
    assert!(!exists(failure.output[0].parse().unwrap()));
}

#[tokio::test]
async fn a_replica_is_started_as_its_template_says() {
    let template = shell("echo $PORT {port} $URL; pwd; exit 1")
        .with_env("URL", "http://localhost:{port}/")
        .with_working_dir("/");
    let executor = executor(quick(), template);
    executor.scale(&fleet(1)).await.unwrap();
    until(&mut executor.changes(), |fleet| fleet.of(&v1()).failed == 1).await;
    let port = only_replica(&executor).address.unwrap().port();
    let output = executor.last_failure(&v1()).unwrap().output;
    assert_eq!(
        output,
        [
            format!("{port} {port} http://localhost:{port}/"),
            "/".to_owned()
        ]
    );
}

#[tokio::test]
async fn one_failed_check_in_two_is_not_unhealthy() {
    let template = server::template()
        .with_health_path("/healthz-now-and-then")
        .unwrap();
    let executor = executor(quick().with_unhealthy_threshold(2), template);
    scale_until_settled(&executor, 1).await;
    let changes = executor.changes();
    let address = only_replica(&executor).address.unwrap();
    in_time(get(address, "/checked-10-times")).await.unwrap();
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test]
async fn one_good_check_in_two_is_not_healthy() {
    let template = server::template()
        .with_health_path("/healthz-now-and-then")
        .unwrap();
    let config = quick()
        .with_healthy_threshold(2)
        .with_startup_deadline(Duration::from_secs(1));
    let executor = executor(config, template);
    let mut changes = executor.changes();
    executor.scale(&fleet(1)).await.unwrap();
    let ended = until(&mut changes, |fleet| {
        fleet.of(&v1()).failed + fleet.of(&v1()).ready > 0
    });
    assert_eq!(ended.await.of(&v1()).failed, 1);
}

#[tokio::test]
async fn a_sick_replica_gets_no_traffic_until_it_is_well() {
    let endpoints = Arc::new(Recorder::new());
    let executor = executor(quick(), server::template()).with_endpoints(endpoints.clone());
    scale_until_settled(&executor, 1).await;
    let before = only_replica(&executor);
    let address = before.address.unwrap();
    let mut changes = executor.changes();

    get(address, "/sick").await.unwrap();
    until(&mut changes, |fleet| fleet.of(&v1()).not_ready == 1).await;
    assert_eq!(only_replica(&executor).phase, Phase::Unhealthy);
    let trouble = only_replica(&executor).trouble.unwrap();
    assert_eq!(trouble, "GET /healthz answered 503 Service Unavailable");
    endpoints
        .until(|told| told.last() == Some(&Told::Drained(address)))
        .await;

    get(address, "/well").await.unwrap();
    until(&mut changes, |fleet| fleet.of(&v1()).ready == 1).await;
    assert_eq!(endpoints.told().last(), Some(&Told::Add(address)));
    assert_eq!(only_replica(&executor).pid, before.pid);
}

#[tokio::test]
async fn endpoints_that_fail_are_asked_again() {
    let endpoints = Arc::new(Recorder::new());
    endpoints.fail_next(2);
    let executor = executor(quick(), server::template()).with_endpoints(endpoints.clone());
    scale_until_settled(&executor, 1).await;
    endpoints.fail_next(2);
    scale_until_settled(&executor, 0).await;
    let adds = endpoints
        .told()
        .iter()
        .filter(|told| matches!(told, Told::Add(_)))
        .count();
    let drains = endpoints
        .told()
        .iter()
        .filter(|told| matches!(told, Told::Drain(..)))
        .count();
    assert_eq!((adds, drains), (3, 3));
    assert!(matches!(endpoints.told().last(), Some(Told::Drained(_))));
}

#[derive(Debug)]
struct Panics;

#[async_trait]
impl Endpoints for Panics {
    async fn add(&self, _: &Revision, _: SocketAddr) -> Result<()> {
        panic!("as the test wants");
    }

    async fn drain(&self, _: &Revision, _: SocketAddr, _: Duration) -> Result<u64> {
        Ok(0)
    }
}

#[tokio::test]
async fn a_replica_lost_to_a_panic_is_not_counted_and_started_anew() {
    let executor = executor(quick(), server::template()).with_endpoints(Arc::new(Panics));
    let mut changes = executor.changes();
    for _ in 0..2 {
        let status = executor.scale(&fleet(1)).await.unwrap();
        assert_eq!(
            (status.of(&v1()).desired, status.of(&v1()).not_ready),
            (1, 1)
        );
        until(&mut changes, |fleet| fleet.of(&v1()).not_ready == 0).await;
        assert!(executor.replicas(&v1()).is_empty());
    }
}

#[tokio::test]
async fn a_replica_that_ignores_the_request_to_end_is_killed() {
    let stubborn = || server::started_by("trap '' TERM; exec $SERVER");
    let config = quick().with_grace(Duration::from_millis(100));
    let executor = executor(config, stubborn()).with_template(v2(), stubborn());
    scale_until_settled(&executor, 2).await;
    let goes = pids(&executor)[1];
    scale_until_settled(&executor, 1).await;
    assert!(!exists(goes));

    let stays = pids(&executor)[0];
    assert_eq!(
        in_time(executor.shutdown(Duration::from_millis(100))).await,
        1
    );
    assert!(!exists(stays));
}

#[tokio::test]
async fn shutdown_has_no_more_patience_than_it_was_given() {
    let endpoints = Arc::new(Recorder::gated());
    let config = quick()
        .with_grace(NEVER)
        .with_drain_deadline(Duration::ZERO);
    let executor = executor(config, server::started_by("trap '' TERM; exec $SERVER"))
        .with_endpoints(endpoints.clone());
    scale_until_settled(&executor, 1).await;
    // Told to stop, with an hour to do so.
    endpoints.let_drain();
    executor.scale(&fleet(0)).await.unwrap();
    endpoints
        .until(|told| matches!(told.last(), Some(Told::Drained(_))))
        .await;
    endpoints.let_drain();
    assert_eq!(in_time(executor.shutdown(Duration::ZERO)).await, 1);

    let refused = executor.scale(&fleet(1)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn the_children_of_a_replica_end_with_it() {
    let executor = executor(quick(), server::started_by("$SERVER & wait"));
    scale_until_settled(&executor, 1).await;
    let address = only_replica(&executor).address.unwrap();
    let child = get(address, "/pid").await.unwrap();
    assert_ne!(child, format!("200 {}", pids(&executor)[0]));
    scale_until_settled(&executor, 0).await;
    assert!(get(address, "/pid").await.is_err());

    // Also when it died without a word to them.
    scale_until_settled(&executor, 1).await;
    let address = only_replica(&executor).address.unwrap();
    kill(pids(&executor)[0]);
    until(&mut executor.changes(), |fleet| fleet.of(&v1()).failed == 1).await;
    scale_until_settled(&executor, 0).await;
    assert!(get(address, "/pid").await.is_err());
}

#[tokio::test]
async fn retirement_is_pending_until_nothing_is_left() {
    let endpoints = Arc::new(Recorder::gated());
    let executor = executor(quick(), server::template()).with_endpoints(endpoints.clone());
    scale_until_settled(&executor, 2).await;
    let all = Progress::Pending("2 of 2 replicas stopping".to_owned());
    assert_eq!(executor.retire(&v1()).await.unwrap(), all);
    assert_eq!(executor.retire(&v1()).await.unwrap(), all);

    endpoints.let_drain();
    let mut changes = executor.changes();
    until(&mut changes, |fleet| fleet.of(&v1()).not_ready == 1).await;
    let half = Progress::Pending("1 of 2 replicas stopping".to_owned());
    assert_eq!(executor.retire(&v1()).await.unwrap(), half);

    endpoints.let_drain();
    let status = until(&mut changes, |fleet| fleet.of(&v1()).not_ready == 0).await;
    assert_eq!(status.iter().count(), 0);
    assert_eq!(executor.retire(&v1()).await.unwrap(), Progress::Done);
    let unknown = Revision::new("v9").unwrap();
    assert_eq!(executor.retire(&unknown).await.unwrap(), Progress::Done);
}

#[tokio::test]
async fn a_revision_without_a_template_is_refused_and_nothing_is_done() {
    let executor = executor(quick(), server::template());
    let group = |revision, replicas| Group { revision, replicas };
    let both = Fleet {
        stable: group(v1(), Some(1)),
        canary: group(v2(), Some(1)),
    };
    let refused = executor.scale(&both).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let told = codedance_core::Failure::from(&refused).message;
    assert_eq!(
        told,
        "failed to start v2 (invalid): no template says how to start a replica of it; \
         give one to `ProcessExecutor::define`"
    );
    assert_eq!(executor.status().await.unwrap().iter().count(), 0);
    assert_eq!(executor.stable(), None);
    assert_eq!(
        executor.promote(&v2()).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );

    // A rollback wants nothing of the canary, and must be possible.
    let none = Fleet {
        stable: group(v1(), Some(0)),
        canary: group(v2(), Some(0)),
    };
    executor.scale(&none).await.unwrap();
}

#[tokio::test]
async fn roles_follow_the_fleet_and_its_owner_keeps_a_count() {
    let executor = executor(quick(), server::template()).with_template(v2(), server::template());
    scale_until_settled(&executor, 2).await;
    assert_eq!(executor.stable(), Some(v1()));

    let group = |revision, replicas| Group { revision, replicas };
    let canary = Fleet {
        stable: group(v1(), None),
        canary: group(v2(), Some(1)),
    };
    executor.scale(&canary).await.unwrap();
    let status = until(&mut executor.changes(), |fleet| fleet.of(&v2()).ready == 1).await;
    assert_eq!((status.of(&v1()).desired, status.of(&v1()).ready), (2, 2));

    let before = pids(&executor);
    assert_eq!(executor.promote(&v2()).await.unwrap(), Progress::Done);
    assert_eq!(executor.stable(), Some(v2()));
    assert_eq!(pids(&executor), before);
    // A rollback after the promotion needs no word of its own.
    executor.scale(&canary).await.unwrap();
    assert_eq!(executor.stable(), Some(v1()));
}

#[tokio::test]
async fn dropping_the_executor_leaves_no_process() {
    let stubborn = server::started_by("trap '' TERM; exec $SERVER");
    let executor = executor(
        quick().with_grace(NEVER),
        stubborn.with_output(Output::Discard),
    );
    scale_until_settled(&executor, 2).await;
    let (pids, mut changes) = (pids(&executor), executor.changes());
    drop(executor);
    // The channel closes when the last replica is gone.
    in_time(async { while changes.changed().await.is_ok() {} }).await;
    assert_eq!(pids.len(), 2);
    assert!(!pids.into_iter().any(exists));
}

#[test]
fn processes_end_with_their_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let executor = executor(quick(), server::template());
    runtime.block_on(scale_until_settled(&executor, 1));
    let pid = pids(&executor)[0];
    drop(runtime);
    // Waits until it ended; an error means that it was waited for already, and is gone.
    let waited = rustix::process::waitpid(Some(as_pid(pid)), rustix::process::WaitOptions::empty());
    if let Ok(Some((_, status))) = waited {
        assert_eq!(
            status.terminating_signal(),
            Some(rustix::process::Signal::KILL.as_raw())
        );
    }
    assert!(executor.replicas(&v1()).is_empty());
}
