//! Requests that the first endpoint did not answer, and what becomes of them at the next.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use codedance_core::Percent;
use codedance_core::traffic::Endpoints;
use codedance_proxy::{Config, Proxy, Retries, Totals};
use hyper::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::*;

fn totals(proxy: &Proxy) -> Totals {
    proxy.totals(&revision("v1")).unwrap()
}

fn unanswered() -> Config {
    config().with_retries(Retries::default().with_unanswered(true))
}

/// A server that notes the first line of what it reads, sends `part`, and closes.
async fn closing(part: &'static str) -> (Backend, Seen) {
    let seen = Seen::default();
    let lines = Arc::clone(&seen);
    let backend = Backend::raw(move |mut stream: TcpStream| {
        let lines = Arc::clone(&lines);
        async move {
            if let Some(head) = read_head(&mut stream).await {
                let line = head.lines().next().unwrap_or_default();
                lines.lock().unwrap().push(line.to_owned());
                stream.write_all(part.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    (backend, seen)
}

fn count(seen: &Seen) -> usize {
    seen.lock().unwrap().len()
}

#[tokio::test]
async fn a_request_that_nobody_saw_goes_to_as_many_endpoints_as_are_allowed() {
    let last = Backend::saying("last").await;
    let config = config()
        .with_cool_down(Duration::ZERO)
        .with_retries(Retries::default().with_attempts(2));
    let proxy = proxy(config, &[], &[]).await;
    let mut dead = Vec::new();
    for _ in 0..5 {
        dead.push(Backend::saying("dead").await);
    }
    for backend in &dead {
        proxy.add(&revision("v1"), backend.address).await.unwrap();
    }
    for backend in dead {
        backend.kill().await;
    }
    let mut client = Client::connect(proxy.local_addr()).await;
    let (status, _) = client.ask(post("/", "never sent")).await.unwrap();
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    let counted = totals(&proxy);
    assert_eq!((counted.refused_connections, counted.retried), (3, 2));

    // The dead are five, and who is tried third may be alive.
    proxy.add(&revision("v1"), last.address).await.unwrap();
    let mut answered = 0;
    for _ in 0..6 {
        let (status, body) = client.ask(post("/", "sent")).await.unwrap();
        if status == StatusCode::OK {
            assert_eq!(body, "last");
            answered += 1;
        }
    }
    assert_eq!(answered, 3, "of six turns, those that come to it in three");
    stop(proxy).await;
}

#[tokio::test]
async fn an_unanswered_request_is_repeated_only_if_it_can_be() {
    let (a, seen) = closing("HTTP/1.1 200 OK\r\ncontent-le").await;
    let (b, witnessed) = witness().await;
    let (other, others) = witness().await;
    let proxy = proxy(unanswered(), &[&a, &b], &[&other]).await;
    apply(&proxy, &split(0)).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..6 {
        assert_eq!(client.get("/").await, (StatusCode::OK, "ok".to_owned()));
    }
    assert_eq!((count(&seen), count(&witnessed), count(&others)), (3, 6, 0));
    let counted = totals(&proxy);
    assert_eq!((counted.retried, counted.retries_denied), (3, 0));
    assert_eq!((counted.answers[1], counted.no_answer), (6, 0));

    let mut lost = 0;
    for _ in 0..6 {
        let (status, _) = client.ask(post("/", "x")).await.unwrap();
        lost += usize::from(status == StatusCode::BAD_GATEWAY);
    }
    assert_eq!((lost, count(&seen), count(&witnessed)), (3, 6, 9));
    // A PUT with a body could be repeated, but the body is gone.
    for _ in 0..2 {
        let mut put = post("/", "x");
        *put.method_mut() = hyper::Method::PUT;
        let (status, _) = client.ask(put).await.unwrap();
        lost += usize::from(status == StatusCode::BAD_GATEWAY);
    }
    assert_eq!((lost, totals(&proxy).retried), (4, 3));
    stop(proxy).await;
}

#[tokio::test]
async fn an_answer_that_has_begun_is_not_asked_for_again() {
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this";
    let (a, seen) = closing(begun).await;
    let (b, others) = closing(begun).await;
    let proxy = proxy(unanswered(), &[&a, &b], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    assert!(client.ask(get("/")).await.is_err());
    assert_eq!(count(&seen) + count(&others), 1);
    assert_eq!(totals(&proxy).retried, 0);
    stop(proxy).await;
}

#[tokio::test]
async fn a_request_that_everybody_drops_is_tried_a_few_times_and_given_up() {
    let mut backends = Vec::new();
    for _ in 0..6 {
        backends.push(closing("").await);
    }
    let endpoints: Vec<_> = backends.iter().map(|(backend, _)| backend).collect();
    let proxy = proxy(unanswered(), &endpoints, &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.0, StatusCode::BAD_GATEWAY);
    let seen: Vec<_> = backends.iter().map(|(_, seen)| count(seen)).collect();
    assert_eq!(seen.iter().sum::<usize>(), 4, "{seen:?}");
    assert!(seen.iter().all(|times| *times <= 1), "{seen:?}");
    assert_eq!(totals(&proxy).no_answer, 1);
    stop(proxy).await;
}

/// Holds every request until it is told to go on.
#[derive(Clone, Default)]
struct Gate {
    arrived: Arc<AtomicUsize>,
    open: Arc<Mutex<bool>>,
    opened: Arc<Notify>,
}

impl Gate {
    async fn pass(&self) {
        let mut opened = std::pin::pin!(self.opened.notified());
        opened.as_mut().enable();
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let is_open = *self.open.lock().unwrap();
        if !is_open {
            opened.await;
        }
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_waiters();
    }

    async fn have_arrived(&self, count: usize) {
        let all = async {
            while self.arrived.load(Ordering::SeqCst) < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, all).await.expect("not all arrived");
    }
}

#[tokio::test]
async fn repeats_end_with_their_budget() {
    let (breaking, slow) = (Gate::default(), Gate::default());
    let serve = |gate: &Gate, answer: &'static [u8]| {
        let gate = gate.clone();
        move |mut stream: TcpStream| {
            let gate = gate.clone();
            async move {
                if read_head(&mut stream).await.is_some() {
                    gate.pass().await;
                    // Whoever was given up does not listen.
                    let _ = stream.write_all(answer).await;
                }
            }
        }
    };
    let a = Backend::raw(serve(&breaking, b"")).await;
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let b = Backend::raw(serve(&slow, ok)).await;
    let retries = Retries::default()
        .with_unanswered(true)
        .with_budget(Percent::ZERO)
        .with_min_concurrent(1);
    let proxy = proxy(config().with_retries(retries), &[&a, &b], &[]).await;

    let mut requests = JoinSet::new();
    for _ in 0..8 {
        let mut client = Client::connect(proxy.local_addr()).await;
        requests.spawn(async move { client.get("/").await.0 });
    }
    breaking.have_arrived(4).await;
    slow.have_arrived(4).await;
    breaking.open();
    // One of them is repeated, and waits.
    for _ in 0..3 {
        let status = requests.join_next().await.unwrap().unwrap();
        assert_eq!(status, StatusCode::BAD_GATEWAY);
    }
    slow.have_arrived(5).await;
    slow.open();
    while let Some(status) = requests.join_next().await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
    let counted = totals(&proxy);
    assert_eq!((counted.retried, counted.retries_denied), (1, 3));
    assert_eq!((counted.answers[1], counted.no_answer), (5, 3));

    // The budget is free again, for the next.
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.0, StatusCode::OK);
    }
    assert_eq!(totals(&proxy).retries_denied, 3);
    stop(proxy).await;
}
