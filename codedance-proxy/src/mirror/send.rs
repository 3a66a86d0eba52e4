//! Copies on their way.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Instant;

use http::Request;
use hyper::body::Body;
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

use super::copy::Job;
use crate::attempt::{Attempt, attempt};
use crate::carrier::Carrier;
use crate::outgoing::Outgoing;
use crate::stats::Event;
use crate::upload::Upload;

/// Sends a copy, and reads its answer for nobody.
pub(super) async fn send(request: Request<Upload>, mut job: Job) {
    let limit = job.target.mirroring.settings.timeout;
    let in_time = timeout(limit, exchange(request, &mut job)).await;
    if in_time.is_err() && !job.settled {
        no_answer(&mut job);
    }
}

async fn exchange(request: Request<Upload>, job: &mut Job) {
    let begun = Instant::now();
    let target = &job.target;
    let config = &target.mirroring.config;
    let counters = &target.route.revision.mirrored.exchanges;
    let mut outgoing = Outgoing::new(request, false);
    let most = config.retries.attempts as usize + 1;
    for endpoint in target.route.order().take(most) {
        let Some(_flight) = endpoint.enter() else {
            continue;
        };
        match attempt(config, endpoint, counters, &mut outgoing).await {
            Ok(response) => {
                counters.answered(response.status(), begun.elapsed());
                job.settled = true;
                let mut carrier = response.into_body();
                if discard(&mut carrier).await {
                    carrier.give_back(&endpoint.pool);
                }
                return;
            }
            Err(Attempt::NotAccepted(_)) => {}
            Err(Attempt::Unanswered | Attempt::Failed(_)) => break,
        }
    }
    no_answer(job);
}

fn no_answer(job: &mut Job) {
    let counters = &job.target.route.revision.mirrored.exchanges;
    counters.count(Event::NoAnswer);
    job.settled = true;
}

/// Reads an answer to its end. False when it broke off.
async fn discard(carrier: &mut Carrier) -> bool {
    loop {
        match poll_fn(|cx| Pin::new(&mut *carrier).poll_frame(cx)).await {
            Some(Ok(_)) => consume_budget().await,
            Some(Err(_)) => return false,
            None => return true,
        }
    }
}
