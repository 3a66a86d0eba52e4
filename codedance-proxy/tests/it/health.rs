//! Endpoints that are not well, and how the proxy finds out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use codedance_core::Percent;
use codedance_core::traffic::Endpoints;
use codedance_proxy::{EndpointStatus, Health, HealthCheck, OutlierDetection, Proxy};
use hyper::{Response, StatusCode};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::support::*;

const SOON: Duration = Duration::from_millis(5);

fn status(proxy: &Proxy, backend: &Backend) -> EndpointStatus {
    let endpoints = proxy.endpoint_status(&revision("v1"));
    let of_backend = |status: &EndpointStatus| status.address == backend.address;
    endpoints.into_iter().find(of_backend).unwrap()
}

/// Waits until the checks of the endpoint say this.
async fn becomes(proxy: &Proxy, backend: &Backend, health: Health) {
    let changed = async {
        while status(proxy, backend).health != health {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let patience = timeout(PATIENCE, changed).await;
    patience.unwrap_or_else(|_| panic!("never {health:?}"));
}

/// A server that answers checks with a status that can be changed, and everything else with its name.
async fn checked(name: &'static str, status: u16) -> (Backend, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(status));
    let current = Arc::clone(&status);
    let backend = Backend::start(move |request| {
        let is_check = request.uri() == "/healthz?full=1";
        if is_check {
            assert_eq!(request.headers()["host"], "checks.shop");
            assert_eq!(request.headers()["user-agent"], "codedance-health-check");
        }
        let status = if is_check {
            current.load(Ordering::SeqCst)
        } else {
            200
        };
        async move {
            let answer = Response::builder().status(status);
            answer.body(full(name)).unwrap()
        }
    })
    .await;
    (backend, status)
}

fn check() -> HealthCheck {
    HealthCheck::new("/healthz?full=1")
        .with_host("checks.shop")
        .with_interval(SOON)
        .with_timeout(PATIENCE)
}

#[tokio::test]
async fn an_endpoint_that_fails_its_checks_gets_no_requests_until_it_passes_them() {
    let (a, state) = checked("a", 200).await;
    let (b, _) = checked("b", 399).await;
    let config = config().with_health_check(check()).with_admin(NOWHERE);
    let proxy = proxy(config, &[&a, &b], &[]).await;
    becomes(&proxy, &a, Health::Healthy).await;
    becomes(&proxy, &b, Health::Healthy).await;

    state.store(400, Ordering::SeqCst);
    becomes(&proxy, &a, Health::Unhealthy).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.1, "b");
    }
    let mut admin = Client::connect(proxy.admin_addr().unwrap()).await;
    let page = admin.get("/metrics").await.1;
    for (backend, healthy) in [(&a, 0), (&b, 1)] {
        let labels = format!("{{revision=\"v1\",endpoint=\"{}\"}}", backend.address);
        let line = format!("\ncodedance_proxy_endpoint_healthy{labels} {healthy}\n");
        assert!(page.contains(&line), "{line} is not in {page}");
    }

    state.store(200, Ordering::SeqCst);
    becomes(&proxy, &a, Health::Healthy).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(client.get("/").await.1);
    }
    assert!(answers.contains(&"a".to_owned()), "{answers:?}");
    let totals = proxy.totals(&revision("v1")).unwrap();
    assert_eq!(totals.requests(), 14, "checks are not counted");
    stop(proxy).await;
}

#[tokio::test]
async fn when_none_is_healthy_all_are_tried() {
    let (a, _) = checked("a", 500).await;
    let (b, _) = checked("b", 302).await;
    let check = check().with_statuses(200..=299);
    let proxy = proxy(config().with_health_check(check), &[&a, &b], &[]).await;
    becomes(&proxy, &a, Health::Unhealthy).await;
    becomes(&proxy, &b, Health::Unhealthy).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(client.get("/").await.1);
    }
    answers.sort();
    assert_eq!(answers, ["a", "a", "b", "b"]);
    stop(proxy).await;
}

#[tokio::test]
async fn a_new_endpoint_gets_requests_before_its_first_check_has_ended() {
    let backend = Backend::start(|request| async move {
        if request.uri().path() == "/healthz" {
            std::future::pending::<()>().await;
        }
        Response::new(full("ok"))
    })
    .await;
    let check = HealthCheck::new("/healthz").with_timeout(PATIENCE);
    let proxy = proxy(config().with_health_check(check), &[&backend], &[]).await;
    assert_eq!(status(&proxy, &backend).health, Health::Unchecked);
    let mut client = Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await, (StatusCode::OK, "ok".to_owned()));
    stop(proxy).await;
}

#[tokio::test]
async fn a_server_that_is_dead_or_silent_fails_its_check() {
    let dead = Backend::saying("a").await;
    let silent =
        Backend::raw(|mut stream| async move { while read_head(&mut stream).await.is_some() {} })
            .await;
    let check = HealthCheck::new("/").with_timeout(Duration::from_millis(50));
    let proxy = proxy(config().with_health_check(check), &[&silent], &[]).await;
    let address = dead.address;
    dead.kill().await;
    proxy.add(&revision("v1"), address).await.unwrap();
    becomes(&proxy, &silent, Health::Unhealthy).await;
    let unhealthy = async {
        let is_unhealthy = |status: &EndpointStatus| status.health == Health::Unhealthy;
        while !(proxy.endpoint_status(&revision("v1")).iter()).all(is_unhealthy) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, unhealthy).await.expect("it is dead");
    stop(proxy).await;
}

/// A server that is slow to answer, knows how many connections are open at once, and says when the
/// last is gone.
#[derive(Clone, Default)]
struct Crowd {
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    empty: Arc<Notify>,
}

impl Crowd {
    async fn start(&self) -> Backend {
        let crowd = self.clone();
        Backend::raw(move |mut stream| {
            let crowd = crowd.clone();
            async move {
                let open = crowd.open.fetch_add(1, Ordering::SeqCst) + 1;
                crowd.most.fetch_max(open, Ordering::SeqCst);
                // The check is given up long before it is answered.
                while read_head(&mut stream).await.is_some() {}
                if crowd.open.fetch_sub(1, Ordering::SeqCst) == 1 {
                    crowd.empty.notify_one();
                }
            }
        })
        .await
    }
}

#[tokio::test]
async fn checks_come_one_at_a_time_and_end_with_the_endpoint_and_the_proxy() {
    let (crowd, other) = (Crowd::default(), Crowd::default());
    let (a, b) = (crowd.start().await, other.start().await);
    let check = HealthCheck::new("/").with_interval(Duration::from_millis(1));
    let short = check.clone().with_timeout(Duration::from_millis(20));
    let first = proxy(config().with_health_check(short), &[&a], &[]).await;
    let several = async {
        while a.accepted() < 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, several).await.unwrap();
    assert!(
        crowd.most.load(Ordering::SeqCst) <= 2,
        "the one before is being closed"
    );
    stop(first).await;

    // One that would go on for long.
    let long = check.with_timeout(10 * PATIENCE);
    let second = proxy(config().with_health_check(long), &[&b], &[]).await;
    let begun = async {
        while other.open.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, begun).await.unwrap();
    let drained = second.drain(&revision("v1"), b.address, PATIENCE).await;
    assert_eq!(drained.unwrap(), 0);
    timeout(PATIENCE, other.empty.notified())
        .await
        .expect("the check goes on");
    second.add(&revision("v1"), b.address).await.unwrap();
    timeout(PATIENCE, async {
        while b.accepted() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("who comes back is checked again");
    stop(second).await;
    timeout(PATIENCE, other.empty.notified())
        .await
        .expect("the check goes on");
}

fn detection() -> OutlierDetection {
    OutlierDetection::default().with_consecutive_failures(3)
}

#[tokio::test]
async fn an_endpoint_that_fails_requests_is_ejected() {
    let (good, bad) = (
        obedient().await,
        Backend::start(|_| async { Response::builder().status(503).body(full("bad")).unwrap() })
            .await,
    );
    let config = config()
        .with_outlier_detection(detection())
        .with_admin(NOWHERE);
    let proxy = proxy(config, &[&good, &bad], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let mut failures = 0;
    for _ in 0..20 {
        failures += u32::from(client.get("/200").await.0 != StatusCode::OK);
    }
    assert_eq!(failures, 3);
    let ejected = status(&proxy, &bad);
    assert!(
        ejected
            .ejected_for
            .is_some_and(|left| left <= Duration::from_secs(30))
    );
    assert_eq!((ejected.ejections, ejected.consecutive_failures), (1, 0));

    // The other fails now too, and stays: at most one of two is ejected.
    for _ in 0..10 {
        assert_eq!(
            client.get("/500").await.0,
            StatusCode::INTERNAL_SERVER_ERROR
        );
    }
    let only = status(&proxy, &good);
    assert_eq!((only.ejected_for, only.consecutive_failures), (None, 10));
    client.get("/501").await;
    assert_eq!(status(&proxy, &good).consecutive_failures, 0);

    let mut admin = Client::connect(proxy.admin_addr().unwrap()).await;
    let page = admin.get("/metrics").await.1;
    let labels = format!("{{revision=\"v1\",endpoint=\"{}\"}}", bad.address);
    for line in ["ejected", "ejections_total"] {
        let line = format!("\ncodedance_proxy_endpoint_{line}{labels} 1\n");
        assert!(page.contains(&line), "{line} is not in {page}");
    }
    stop(proxy).await;
}

#[tokio::test]
async fn connections_refused_or_closed_and_silence_are_failures_too() {
    let dead = Backend::saying("a").await;
    let closing = Backend::raw(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let silent =
        Backend::raw(|mut stream| async move { while read_head(&mut stream).await.is_some() {} })
            .await;
    let good = Backend::saying("good").await;
    let config = config()
        .with_cool_down(Duration::ZERO)
        .with_answer_timeout(Duration::from_millis(50))
        .with_outlier_detection(detection().with_max_ejected(Percent::HUNDRED));
    let proxy = proxy(config, &[&dead, &closing, &silent, &good], &[]).await;
    let address = dead.address;
    dead.kill().await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..60 {
        client.get("/").await;
    }
    for status in proxy.endpoint_status(&revision("v1")) {
        let is_good = status.address == good.address;
        assert_eq!(
            status.ejections,
            u64::from(!is_good),
            "{status:?}, dead: {address}"
        );
    }
    for _ in 0..10 {
        assert_eq!(client.get("/").await.1, "good");
    }
    stop(proxy).await;
}
