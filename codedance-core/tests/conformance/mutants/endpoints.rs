//! Endpoints that break their contract.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::memory::MemoryEndpoints;
use codedance_core::testing::{ENDPOINTS, EndpointsHarness};
use codedance_core::traffic::Endpoints;
use codedance_core::workload::Revision;
use codedance_core::{Error, ErrorKind, Result};

use super::{Busy, each_is_noticed};
use crate::memory::Addresses;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    KnowsOneAddressOnly,
    CountsHowOftenItWasAdded,
    DrainsNothing,
    KeepsTheLast,
    RefusesToDrainAgain,
    RefusesToDrainStrangers,
    DoesNotWait,
    SaysThatNothingIsLeft,
    RemovesWhenDrained,
    WaitsForAll,
    NeverTakesBack,
    StaysBusyWhenDropped,
}

#[test]
fn each_fault_is_noticed() {
    use Fault::*;
    each_is_noticed(
        ENDPOINTS,
        &[
            (None, &[]),
            (
                KnowsOneAddressOnly,
                &[
                    "every_added_address_gets_requests",
                    "adding_twice_is_once",
                    "a_drained_address_gets_no_request",
                    "draining_twice_is_once",
                    "no_request_comes_while_draining",
                ],
            ),
            (CountsHowOftenItWasAdded, &["adding_twice_is_once"]),
            (
                DrainsNothing,
                &[
                    "adding_twice_is_once",
                    "a_drained_address_gets_no_request",
                    "the_last_address_can_be_drained",
                    "draining_twice_is_once",
                    "draining_waits_for_what_is_in_flight",
                    "draining_gives_up_in_time_and_says_how_many_are_left",
                    "no_request_comes_while_draining",
                    "a_dropped_drain_can_be_repeated",
                ],
            ),
            (
                KeepsTheLast,
                &[
                    "the_last_address_can_be_drained",
                    "draining_waits_for_what_is_in_flight",
                    "draining_gives_up_in_time_and_says_how_many_are_left",
                    "a_dropped_drain_can_be_repeated",
                ],
            ),
            (
                RefusesToDrainAgain,
                &["draining_twice_is_once", "a_dropped_drain_can_be_repeated"],
            ),
            (
                RefusesToDrainStrangers,
                &["draining_what_is_not_there_is_done"],
            ),
            (
                DoesNotWait,
                &[
                    "draining_waits_for_what_is_in_flight",
                    "draining_gives_up_in_time_and_says_how_many_are_left",
                ],
            ),
            (
                SaysThatNothingIsLeft,
                &["draining_gives_up_in_time_and_says_how_many_are_left"],
            ),
            (RemovesWhenDrained, &["no_request_comes_while_draining"]),
            (WaitsForAll, &["draining_does_not_wait_for_the_others"]),
            (
                NeverTakesBack,
                &[
                    "a_drained_address_can_be_added_again",
                    "a_dropped_drain_can_be_repeated",
                ],
            ),
            (StaysBusyWhenDropped, &["a_dropped_drain_can_be_repeated"]),
        ],
        |fault| {
            let world = MemoryEndpoints::new();
            let inner = world.clone();
            let port = Mutant {
                inner,
                fault,
                busy: Busy::default(),
                past: Mutex::default(),
            };
            Box::new(Addresses::new(Box::new(port), world)) as Box<dyn EndpointsHarness>
        },
    );
}

#[derive(Debug)]
struct Mutant {
    inner: MemoryEndpoints,
    fault: Fault,
    busy: Busy,
    past: Mutex<Past>,
}

#[derive(Debug, Default)]
struct Past {
    added: BTreeMap<SocketAddr, u32>,
    drained: BTreeSet<SocketAddr>,
}

#[async_trait]
impl Endpoints for Mutant {
    async fn add(&self, revision: &Revision, address: SocketAddr) -> Result<()> {
        let serving = self.inner.serving(revision);
        let drained = {
            let mut past = self.past.lock().unwrap();
            *past.added.entry(address).or_default() += 1;
            past.drained.contains(&address)
        };
        match self.fault {
            Fault::KnowsOneAddressOnly if !serving.is_empty() => Ok(()),
            Fault::NeverTakesBack if drained => Ok(()),
            _ => self.inner.add(revision, address).await,
        }
    }

    async fn drain(
        &self,
        revision: &Revision,
        address: SocketAddr,
        within: Duration,
    ) -> Result<u64> {
        let serving = self.inner.serving(revision);
        let (again, stranger, more) = {
            let mut past = self.past.lock().unwrap();
            let stranger = !past.added.contains_key(&address);
            let count = past.added.entry(address).or_default();
            *count = count.saturating_sub(1);
            let more = *count > 0;
            (!past.drained.insert(address), stranger, more)
        };
        match self.fault {
            Fault::CountsHowOftenItWasAdded if more => return Ok(0),
            Fault::DrainsNothing => return Ok(0),
            Fault::KeepsTheLast if serving == [address] => return Ok(0),
            Fault::RefusesToDrainAgain if again => {
                return Err(Error::new(ErrorKind::NotFound, "drain what is drained"));
            }
            Fault::RefusesToDrainStrangers if stranger => {
                return Err(Error::new(ErrorKind::NotFound, "drain what never was"));
            }
            Fault::DoesNotWait => return self.inner.drain(revision, address, Duration::ZERO).await,
            Fault::SaysThatNothingIsLeft => {
                self.inner.drain(revision, address, within).await?;
                return Ok(0);
            }
            Fault::RemovesWhenDrained => {
                let draining = self.inner.drain(revision, address, within);
                let (drained, added) = tokio::join!(draining, self.inner.add(revision, address));
                added?;
                self.inner.drain(revision, address, Duration::ZERO).await?;
                return drained;
            }
            Fault::WaitsForAll => {
                for other in serving.into_iter().filter(|other| *other != address) {
                    let draining = self.inner.drain(revision, other, within);
                    let (left, added) = tokio::join!(draining, self.inner.add(revision, other));
                    added?;
                    if left? > 0 {
                        return Ok(1);
                    }
                }
            }
            Fault::StaysBusyWhenDropped => {
                let held = async {
                    self.busy.hold().await?;
                    self.inner.drain(revision, address, within).await
                };
                return held.await;
            }
            _ => {}
        }
        self.inner.drain(revision, address, within).await
    }
}
