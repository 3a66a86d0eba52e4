//! Requests that go to one side whatever the weight says.

use codedance_core::traffic::CohortKey;
use codedance_proxy::{Network, Rules, Side};
use hyper::Request;

use crate::support::*;

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn with(headers: &[(&'static str, &'static str)]) -> Request<Content> {
    let mut request = get("/");
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

async fn answered_by(client: &mut Client, headers: &[(&'static str, &'static str)]) -> String {
    let (_, body) = client.ask(with(headers)).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn rules_come_before_weights_and_cohorts() {
    let (v1, v2) = (Backend::saying("v1").await, Backend::saying("v2").await);
    let rules = Rules::new()
        .with_header("X-Preview", "yes", Side::Canary)
        .and_then(|rules| rules.with_cookie("safe", "1", Side::Stable))
        .unwrap();
    let proxy = proxy(config().with_rules(rules), &[&v1], &[&v2]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for cohort in [None, Some(CohortKey::Header("x-user".into()))] {
        apply(&proxy, &split(1).with_cohort(cohort.clone())).await;
        for _ in 0..50 {
            assert_eq!(
                answered_by(&mut client, &[("x-preview", "yes")]).await,
                "v2"
            );
        }
        apply(&proxy, &split(9_999).with_cohort(cohort)).await;
        for _ in 0..50 {
            let cookie = ("cookie", "a=b; safe=1");
            assert_eq!(answered_by(&mut client, &[cookie]).await, "v1");
        }
    }
    // Who is not named gets what the weight says.
    apply(
        &proxy,
        &split(9_999).with_cohort(Some(CohortKey::Header("x-user".into()))),
    )
    .await;
    assert_eq!(
        answered_by(&mut client, &[("x-user", "user-1")]).await,
        "v2"
    );
    stop(proxy).await;
}

#[tokio::test]
async fn no_rule_sends_anybody_to_a_side_without_a_share() {
    let (v1, v2) = (Backend::saying("v1").await, Backend::saying("v2").await);
    let rules = Rules::new()
        .with_header("x-side", "canary", Side::Canary)
        .and_then(|rules| rules.with_header("x-side", "stable", Side::Stable))
        .unwrap();
    let proxy = proxy(config().with_rules(rules), &[&v1], &[&v2]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    assert_eq!(
        answered_by(&mut client, &[("x-side", "canary")]).await,
        "v1"
    );
    apply(&proxy, &split(0)).await;
    assert_eq!(
        answered_by(&mut client, &[("x-side", "canary")]).await,
        "v1"
    );
    apply(&proxy, &split(10_000)).await;
    assert_eq!(
        answered_by(&mut client, &[("x-side", "stable")]).await,
        "v2"
    );
    stop(proxy).await;
}

#[tokio::test]
async fn networks_go_by_the_address_that_trusted_proxies_saw() {
    let (v1, v2) = (Backend::saying("v1").await, Backend::saying("v2").await);
    let rules = Rules::new()
        .with_network(network("192.0.2.0/24"), Side::Canary)
        .and_then(|rules| rules.with_network(network("192.0.2.7"), Side::Stable))
        .and_then(|rules| rules.with_network(network("2001:db8::/32"), Side::Canary))
        .and_then(|rules| rules.with_network(network("0.0.0.0/0"), Side::Stable))
        .unwrap();
    let trusted = vec![network("127.0.0.0/8"), network("10.0.0.0/8")];
    let config = config().with_rules(rules).with_trusted_proxies(trusted);
    let proxy = proxy(config, &[&v1], &[&v2]).await;
    apply(&proxy, &split(5_000)).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for (forwarded, expected) in [
        ("192.0.2.1", "v2"),
        ("192.0.2.7", "v1"),
        ("198.51.100.1", "v1"),
        ("2001:db8::1", "v2"),
        ("192.0.2.1, 10.0.0.1", "v2"),
        // What an untrusted one says it was told.
        ("192.0.2.1, 198.51.100.1, 10.0.0.1", "v1"),
    ] {
        for _ in 0..20 {
            let answer = answered_by(&mut client, &[("x-forwarded-for", forwarded)]).await;
            assert_eq!(answer, expected, "{forwarded}");
        }
    }
    stop(proxy).await;
}

#[tokio::test]
async fn an_untrusted_client_cannot_choose_its_address() {
    let (v1, v2) = (Backend::saying("v1").await, Backend::saying("v2").await);
    let proxy = proxy(config(), &[&v1], &[&v2]).await;
    apply(&proxy, &split(5_000)).await;
    let rules = Rules::new().with_network(network("192.0.2.0/24"), Side::Canary);
    let rules = rules.and_then(|rules| rules.with_network(network("127.0.0.0/8"), Side::Stable));
    // In force for the next request.
    proxy.set_rules(rules.unwrap());
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..50 {
        let answer = answered_by(&mut client, &[("x-forwarded-for", "192.0.2.1")]).await;
        assert_eq!(answer, "v1");
    }
    stop(proxy).await;
}
