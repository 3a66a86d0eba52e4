//! Many who ask at once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use codedance_core::ErrorKind;
use futures::FutureExt;
use futures::future::join_all;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::gate::Gate;
use super::upstream::{Upstream, answer, one};
use super::{AT, client, config, told, value};
use crate::client::Client;

/// A server that answers when the test lets it, and says how many it holds.
struct Held {
    upstream: Upstream,
    allowed: Arc<Semaphore>,
    waiting: watch::Receiver<usize>,
    most: watch::Receiver<usize>,
}

impl Held {
    async fn start() -> Self {
        let allowed = Arc::new(Semaphore::new(0));
        let (waiting, waits) = watch::channel(0);
        let (most, highest) = watch::channel(0);
        let allow = Arc::clone(&allowed);
        let (waiting, most) = (Arc::new(waiting), Arc::new(most));
        let upstream = Upstream::start(move |_| {
            let (allow, waiting) = (Arc::clone(&allow), Arc::clone(&waiting));
            let most = Arc::clone(&most);
            async move {
                waiting.send_modify(|waiting| *waiting += 1);
                most.send_modify(|most| *most = (*most).max(*waiting.borrow()));
                allow.acquire().await.unwrap().forget();
                waiting.send_modify(|waiting| *waiting -= 1);
                one("1")
            }
        })
        .await;
        Self {
            upstream,
            allowed,
            waiting: waits,
            most: highest,
        }
    }

    async fn until_it_holds(&mut self, count: usize) {
        // Or more, which is then found to be too many.
        self.waiting
            .wait_for(|waiting| *waiting >= count)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn fifty_who_ask_the_same_are_one_request() {
    let upstream = Upstream::answering([|| one("1"), || one("2")]).await;
    let client = client(upstream.address).await;
    let clones: Vec<_> = (0..50).map(|_| client.clone()).collect();
    let answers = join_all(clones.iter().map(|client| client.instant("up", AT))).await;
    for rows in answers {
        assert_eq!(value(&rows.unwrap()), 1.0);
    }
    assert_eq!(upstream.asked().len(), 1);
    // Nothing is kept.
    assert_eq!(value(&client.instant("up", AT).await.unwrap()), 2.0);
}

#[tokio::test]
async fn fifty_who_ask_the_same_are_refused_alike() {
    let body = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
    let upstream =
        Upstream::start(move |_| async move { answer(400, "application/json", body) }).await;
    let client = client(upstream.address).await;
    for refused in join_all((0..50).map(|_| client.instant("up{", AT))).await {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(told(&error).ends_with(": parse error"), "{}", told(&error));
    }
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test]
async fn other_questions_are_other_requests() {
    let upstream = Upstream::answering([|| one("1")]).await;
    let client = client(upstream.address).await;
    let (a, b, c) = tokio::join!(
        client.instant("up", AT),
        client.instant("up", AT + Duration::from_millis(1)),
        client.instant("down", AT),
    );
    for rows in [a, b, c] {
        assert_eq!(value(&rows.unwrap()), 1.0);
    }
    assert_eq!(upstream.asked().len(), 3);
}

#[tokio::test]
async fn who_goes_does_not_take_the_answer_from_the_others() {
    let mut held = Held::start().await;
    let client = client(held.upstream.address).await;
    let asking = client.clone();
    let first = tokio::spawn(async move { asking.instant("up", AT).await });
    held.until_it_holds(1).await;
    let mut second = pin!(client.instant("up", AT));
    assert!(second.as_mut().now_or_never().is_none(), "it has joined");
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    held.allowed.add_permits(1);
    assert_eq!(value(&second.await.unwrap()), 1.0);
    assert_eq!(held.upstream.asked().len(), 1);
}

#[tokio::test]
async fn who_goes_gives_the_turn_back() {
    let mut held = Held::start().await;
    let config = config(held.upstream.address).with_concurrency(1);
    let client = Client::open(config).await.unwrap();
    let asking = client.clone();
    let first = tokio::spawn(async move { asking.instant("a", AT).await });
    held.until_it_holds(1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    // One each, as the server may not have seen yet that the first has gone.
    held.allowed.add_permits(2);
    assert_eq!(value(&client.instant("b", AT).await.unwrap()), 1.0);
}

#[tokio::test]
async fn nothing_stays_open_when_the_last_clone_has_gone() {
    let upstream = Upstream::answering([|| one("1")]).await;
    let gate = Gate::to(upstream.address).await;
    let client = client(gate.address).await;
    let clone = client.clone();
    client.instant("up", AT).await.unwrap();
    drop(client);
    clone.instant("down", AT).await.unwrap();
    assert_eq!(gate.connections(), 1, "it was kept");
    drop(clone);
    // Much sooner than idle connections are.
    let closed = timeout(Duration::from_secs(30), gate.until_all_are_closed()).await;
    assert!(closed.is_ok());
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_allowed() {
    let mut held = Held::start().await;
    let config = config(held.upstream.address).with_concurrency(3);
    let client = Client::open(config).await.unwrap();
    let asking = (0..12).map(|id| {
        let client = client.clone();
        tokio::spawn(async move { client.instant(&format!("q{id:02}"), AT).await })
    });
    let asking: Vec<_> = asking.collect();
    held.until_it_holds(3).await;
    held.allowed.add_permits(12);
    for rows in join_all(asking).await {
        assert_eq!(value(&rows.unwrap().unwrap()), 1.0);
    }
    assert_eq!(*held.most.borrow(), 3);
    assert_eq!(held.upstream.asked().len(), 12);
}

#[tokio::test]
async fn who_comes_first_is_served_first() {
    let upstream = Upstream::answering([|| one("1")]).await;
    let config = config(upstream.address).with_concurrency(1);
    let client = Client::open(config).await.unwrap();
    let queries: Vec<_> = (0..20).map(|id| format!("q{id:02}")).collect();
    for rows in join_all(queries.iter().map(|query| client.instant(query, AT))).await {
        assert_eq!(value(&rows.unwrap()), 1.0);
    }
    let seen: Vec<_> = upstream
        .asked()
        .into_iter()
        .map(|asked| asked.fields["query"].clone())
        .collect();
    assert_eq!(seen, queries);
}
