//! What the proxy says is in force is compared with what it does.

use async_trait::async_trait;
use codedance_core::testing::{RouterHarness, router_conformance};
use codedance_core::traffic::{Capability, CohortKey, Split, TrafficRouter};
use codedance_core::workload::Revision;
use codedance_core::{Percent, Result};
use codedance_proxy::{Proxy, in_cohort};
use hyper::{Request, Response};

use crate::support::*;

/// How many users ask whenever somebody looks.
const USERS: usize = 16;
/// Names the revision that answered.
const SERVED: &str = "x-served-by";

struct Harness {
    router: Believed,
    _backends: [Backend; 2],
}

/// The proxy, whose word is believed when its traffic agrees.
#[derive(Debug)]
struct Believed(Proxy);

async fn harness() -> Harness {
    let backends = [mirror("v1").await, mirror("v2").await];
    let proxy = proxy(config(), &[&backends[0]], &[&backends[1]]).await;
    Harness {
        router: Believed(proxy),
        _backends: backends,
    }
}

router_conformance!(harness);

#[async_trait]
impl RouterHarness for Harness {
    fn router(&self) -> &dyn TrafficRouter {
        &self.router
    }

    /// By another handle.
    async fn set_outside(&self, split: &Split) {
        apply(&self.router.0.clone(), split).await;
    }

    /// The endpoints, and a request as it arrives at one.
    async fn other_settings(&self) -> String {
        let proxy = &self.router.0;
        let mut client = Client::connect(proxy.local_addr()).await;
        let (status, arrived) = client.ask(request("user")).await.unwrap();
        let endpoints = ["v1", "v2"].map(|name| proxy.endpoints(&revision(name)));
        format!("{endpoints:?} {status} {arrived:?}")
    }
}

#[async_trait]
impl TrafficRouter for Believed {
    fn capability(&self) -> Capability {
        self.0.capability()
    }

    async fn apply(&self, split: &Split) -> Result<()> {
        self.0.apply(split).await
    }

    async fn observe(&self) -> Result<Split> {
        let split = self.0.observe().await?;
        let mut client = Client::connect(self.0.local_addr()).await;
        for number in 0..USERS {
            let user = format!("user-{number}");
            let response = client.send(request(&user)).await.unwrap();
            let served = revision(response.headers()[SERVED].to_str().unwrap());
            let right = expected(&split, &user).map_or_else(
                || split.share_of(&served) > Percent::ZERO,
                |expected| served == expected,
            );
            assert!(right, "{served} answered {user} under {split}");
        }
        Ok(split)
    }
}

/// Who must answer the user, where that is no matter of chance.
fn expected(split: &Split, user: &str) -> Option<Revision> {
    let canary = split.canary.as_ref()?;
    let user = match split.cohort.as_ref()? {
        CohortKey::Header(_) | CohortKey::Cookie(_) => user.as_bytes(),
        _ => return None,
    };
    let belongs = in_cohort(user, canary.weight);
    Some(
        if belongs {
            &canary.revision
        } else {
            &split.stable
        }
        .clone(),
    )
}

fn request(user: &str) -> Request<Content> {
    let mut request = get("/mirror");
    let headers = request.headers_mut();
    headers.insert("x-user", user.parse().unwrap());
    headers.insert("cookie", format!("session={user}").parse().unwrap());
    request
}

/// A server that answers with the request it got.
async fn mirror(name: &'static str) -> Backend {
    Backend::start(move |request| async move {
        let arrived = format!("{} {:?}", request.uri(), request.headers());
        let response = Response::builder().header(SERVED, name);
        response.body(full(arrived)).unwrap()
    })
    .await
}
