//! Traffic that moves while it flows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use codedance_core::traffic::{CohortKey, Endpoints, Split, TrafficRouter};
use codedance_proxy::{Proxy, in_cohort};
use http_body_util::BodyExt;
use hyper::{Request, Response, StatusCode};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::*;

/// A server that answers with its name and the request's body.
async fn echo(name: &'static str) -> Backend {
    Backend::start(move |request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut answer = format!("{name} ").into_bytes();
        answer.extend_from_slice(&body);
        Response::new(full(answer))
    })
    .await
}

/// Clients that keep asking, each over one connection, and check every answer.
struct Load {
    clients: JoinSet<()>,
    stopped: Arc<AtomicBool>,
    /// Answers by v1 and by v2.
    answers: Arc<[AtomicU64; 2]>,
}

impl Load {
    async fn start(address: SocketAddr, count: usize) -> Self {
        let mut load = Self {
            clients: JoinSet::new(),
            stopped: Arc::default(),
            answers: Arc::default(),
        };
        for number in 0..count {
            let mut client = Client::connect(address).await;
            let (stopped, answers) = (Arc::clone(&load.stopped), Arc::clone(&load.answers));
            load.clients.spawn(async move {
                for turn in 0.. {
                    if stopped.load(Ordering::SeqCst) {
                        break;
                    }
                    let sent = format!("{number}-{turn}").repeat(1 + turn % 500);
                    let (request, expected) = match turn % 2 {
                        0 => (get("/"), ""),
                        _ => (post("/", sent.clone()), &*sent),
                    };
                    let (status, body) = client.ask(request).await.unwrap();
                    assert_eq!(status, StatusCode::OK, "{body:?}");
                    let body = std::str::from_utf8(&body).unwrap();
                    let (name, echoed) = body.split_once(' ').unwrap();
                    assert_eq!(echoed, expected);
                    let place = ["v1", "v2"].iter().position(|known| *known == name);
                    answers[place.unwrap()].fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        load
    }

    /// Stops, and returns how many answers came from v1 and from v2, all of them right.
    async fn stop(mut self) -> [u64; 2] {
        self.stopped.store(true, Ordering::SeqCst);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        [0, 1].map(|place| self.answers[place].load(Ordering::SeqCst))
    }
}

fn counted(proxy: &Proxy) -> [u64; 2] {
    ["v1", "v2"].map(|name| {
        let totals = proxy.totals(&revision(name)).unwrap();
        let trouble = (totals.no_answer, totals.cut_short, totals.client_aborts);
        assert_eq!(trouble, (0, 0, 0), "{name}");
        totals.requests()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_changes_a_second_lose_no_request() {
    let (a, b, c) = (echo("v1").await, echo("v1").await, echo("v2").await);
    let proxy = proxy(config(), &[&a, &b], &[&c]).await;
    let load = Load::start(proxy.local_addr(), 8).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    for change in 0..400_u32 {
        ticks.tick().await;
        let points = u16::try_from(change * 7_919 % 10_001).unwrap();
        let cohort = (change % 3 == 0).then_some(CohortKey::Header("host".into()));
        apply(&proxy, &split(points).with_cohort(cohort)).await;
    }
    let answers = load.stop().await;
    assert!(answers.iter().all(|count| *count > 100), "{answers:?}");
    assert_eq!(counted(&proxy), answers);
    stop(proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_every_server_under_load_loses_no_request() {
    let mut serving = echo("v1").await;
    let proxy = proxy(config(), &[&serving], &[]).await;
    let load = Load::start(proxy.local_addr(), 8).await;
    for _ in 0..30 {
        let next = echo("v1").await;
        proxy.add(&revision("v1"), next.address).await.unwrap();
        let old = std::mem::replace(&mut serving, next);
        let left = proxy.drain(&revision("v1"), old.address, PATIENCE).await;
        assert_eq!(left.unwrap(), 0);
        old.kill().await;
    }
    let [answers, _] = load.stop().await;
    assert!(answers > 0);
    let totals = proxy.totals(&revision("v1")).unwrap();
    assert_eq!(totals.requests(), answers);
    assert_eq!((totals.no_answer, totals.refused_connections), (0, 0));
    stop(proxy).await;
}

#[tokio::test]
async fn a_change_is_in_force_for_the_next_request() {
    let (v1, v2) = (Backend::saying("v1").await, Backend::saying("v2").await);
    let proxy = proxy(config(), &[&v1], &[&v2]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for turn in 0..200 {
        let (points, expected) = if turn % 2 == 0 {
            (0, "v1")
        } else {
            (10_000, "v2")
        };
        apply(&proxy, &split(points)).await;
        assert_eq!(client.get("/").await.1, expected);
    }
    assert_eq!(proxy.observe().await.unwrap(), split(10_000));
    stop(proxy).await;
}

#[tokio::test]
async fn users_of_a_cohort_stay_together_as_it_grows() {
    let (v1, v2) = (Backend::saying("v1").await, Backend::saying("v2").await);
    let proxy = proxy(config(), &[&v1], &[&v2]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let with = |name: &'static str, value: String| {
        let mut request = get("/");
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    for points in [0, 500, 2_500, 5_000, 9_999, 10_000] {
        for user in 0..40 {
            let user = format!("user-{user}");
            let expected = match in_cohort(user.as_bytes(), split(points).weight()) {
                true => "v2",
                false => "v1",
            };
            let header = CohortKey::Header("X-User".into());
            apply(&proxy, &split(points).with_cohort(Some(header))).await;
            let (_, found) = client.ask(with("x-user", user.clone())).await.unwrap();
            assert_eq!(found, expected, "{user} by header");

            let cookie = CohortKey::Cookie("session".into());
            apply(&proxy, &split(points).with_cohort(Some(cookie))).await;
            let cookies = format!("theme=dark; session={user}; other=1");
            let (_, found) = client.ask(with("cookie", cookies)).await.unwrap();
            assert_eq!(found, expected, "{user} by cookie");
        }
        let anonymous = client.get("/").await.1;
        assert_eq!(anonymous, if points == 10_000 { "v2" } else { "v1" });
    }
    stop(proxy).await;
}

#[tokio::test]
async fn a_cohort_by_address_ignores_the_port() {
    let (v1, v2) = (Backend::saying("v1").await, Backend::saying("v2").await);
    let proxy = proxy(config().with_trust_forwarded(true), &[&v1], &[&v2]).await;
    let sticky = split(5_000).with_cohort(Some(CohortKey::ClientAddress));
    apply(&proxy, &sticky).await;
    for last in 1..20 {
        let address = format!("10.0.0.{last}");
        let mut expected = "v1";
        if in_cohort(address.as_bytes(), sticky.weight()) {
            expected = "v2";
        }
        let mut client = Client::connect(proxy.local_addr()).await;
        let mut request = get("/");
        let chain = format!("spoofed, {address}").parse().unwrap();
        request.headers_mut().insert("x-forwarded-for", chain);
        assert_eq!(client.ask(request).await.unwrap().1, expected, "{address}");
    }
    // The peer itself, when nobody in front says otherwise.
    let mut client = Client::connect(proxy.local_addr()).await;
    let local = in_cohort(b"127.0.0.1", sticky.weight());
    assert_eq!(client.get("/").await.1, if local { "v2" } else { "v1" });
    stop(proxy).await;
}

#[tokio::test]
async fn draining_waits_for_what_is_in_flight_and_for_nothing_else() {
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, held) = (Arc::clone(&arrived), Arc::clone(&go));
    let slow = Backend::start(move |_: Request<_>| {
        let (seen, held) = (Arc::clone(&seen), Arc::clone(&held));
        async move {
            seen.notify_one();
            held.notified().await;
            Response::new(full("slow"))
        }
    })
    .await;
    let proxy = proxy(config(), &[&slow], &[]).await;
    let v1 = revision("v1");

    let mut client = Client::connect(proxy.local_addr()).await;
    let pending = tokio::spawn(async move { client.get("/").await });
    arrived.notified().await;
    let quick = Backend::saying("quick").await;
    proxy.add(&v1, quick.address).await.unwrap();

    let now = proxy.drain(&v1, slow.address, Duration::ZERO).await;
    assert_eq!((now.unwrap(), proxy.in_flight(&v1)), (1, 1));
    assert_eq!(proxy.endpoints(&v1), [quick.address]);
    let mut other = Client::connect(proxy.local_addr()).await;
    for _ in 0..10 {
        assert_eq!(other.get("/").await.1, "quick");
    }

    let drained = proxy.drain(&v1, slow.address, PATIENCE);
    go.notify_one();
    assert_eq!(drained.await.unwrap(), 0);
    assert_eq!(pending.await.unwrap().1, "slow");
    assert_eq!(
        proxy
            .drain(&v1, slow.address, Duration::ZERO)
            .await
            .unwrap(),
        0
    );
    assert_eq!(proxy.drain_revision(&v1, Duration::ZERO).await, 0);
    assert_eq!(other.get("/").await.0, StatusCode::SERVICE_UNAVAILABLE);
    stop(proxy).await;
}

#[tokio::test]
async fn an_answer_is_in_flight_until_its_body_ends() {
    let (send, body) = http_body_util::channel::Channel::<bytes::Bytes>::new(1);
    let body = std::sync::Mutex::new(Some(body.map_err(|error| panic!("{error}")).boxed()));
    let body = Arc::new(body);
    let backend = Backend::start(move |_: Request<_>| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Response::new(body) }
    })
    .await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let response = client.send(get("/")).await.unwrap();

    let v1 = revision("v1");
    let left = proxy.drain(&v1, backend.address, Duration::ZERO).await;
    assert_eq!(left.unwrap(), 1);
    let mut send = send;
    send.send_data("the end".into()).await.unwrap();
    drop(send);
    let (left, body) = tokio::join!(
        proxy.drain(&v1, backend.address, PATIENCE),
        response.into_body().collect()
    );
    assert_eq!(left.unwrap(), 0);
    assert_eq!(body.unwrap().to_bytes(), "the end");
    stop(proxy).await;
}

#[tokio::test]
async fn adding_and_draining_state_a_desired_end() {
    let backend = Backend::saying("v1").await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let v1 = revision("v1");
    for _ in 0..3 {
        proxy.add(&v1, backend.address).await.unwrap();
    }
    assert_eq!(proxy.endpoints(&v1), [backend.address]);
    for _ in 0..2 {
        let left = proxy.drain(&v1, backend.address, Duration::ZERO).await;
        assert_eq!(left.unwrap(), 0);
    }
    assert!(proxy.endpoints(&v1).is_empty());
    proxy.add(&v1, backend.address).await.unwrap();
    let mut client = Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.1, "v1");

    let same = Split::new(v1.clone(), v1.clone(), split(3_000).weight());
    apply(&proxy, &same).await;
    assert_eq!(client.get("/").await.1, "v1");
    let shut = timeout(PATIENCE, proxy.shutdown(PATIENCE)).await;
    assert_eq!(shut.expect("an idle client keeps nothing open"), 0);
}
