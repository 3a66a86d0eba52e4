//! How one process follows another: by its death, a shutdown, a rival, or unnoticed.

use std::sync::Arc;
use std::time::Duration;

use super::super::lock;
use super::super::process::{Live, Process};
use super::Run;
use crate::driver::{Driver, DriverError, RolloutHandle, StartError};
use crate::rollout::Outcome;

/// A process that drives the rollout.
pub(super) struct Driven {
    pub(super) process: Arc<Process>,
    pub(super) driver: Driver,
    pub(super) handle: RolloutHandle,
}

/// How a process came to its end.
pub(super) enum End {
    Finished(Outcome),
    Left(DriverError),
    Died,
    ToldToGo,
}

impl Run {
    /// Until the process ends, one way or the other. Rivals may come meanwhile.
    pub(super) async fn drive(&mut self, driven: &mut Driven) -> End {
        loop {
            *lock(&self.world.live) = Some(Live {
                process: Arc::clone(&driven.process),
                handle: driven.handle.clone(),
            });
            let end = tokio::select! {
                biased;
                () = self.world.crash.notified() => End::Died,
                () = self.world.restart.notified() => End::ToldToGo,
                end = driven.handle.wait() => match end {
                    Ok(outcome) => End::Finished(outcome),
                    Err(error) => End::Left(error),
                },
            };
            *lock(&self.world.live) = None;
            // The same owner may take its own lease from itself: after a restart it need not wait.
            let rivals = !self.world.scenario.same_owner && self.random.one_in(3);
            if !matches!(end, End::ToldToGo) || !rivals {
                return end;
            }
            if !self.compete(driven).await {
                return End::Died;
            }
        }
    }

    /// Another process tries to take the rollout from one that lives. False if they die over it.
    async fn compete(&mut self, driven: &mut Driven) -> bool {
        let world = Arc::clone(&self.world);
        let (process, driver) = self.process();
        world.note(|| format!("== process {} is a rival", process.number));
        let ports = self.ports(&process);
        let resumed = tokio::select! {
            biased;
            () = world.crash.notified() => None,
            resumed = driver.resume(world.scenario.plan.workload(), ports) => Some(resumed),
        };
        match resumed {
            Some(Ok(handle)) => {
                // The lease was free, and the other one does not know yet that it has lost it.
                self.saw("rivals that took over");
                let rival = Driven {
                    process,
                    driver,
                    handle,
                };
                let beaten = std::mem::replace(driven, rival);
                self.gone.push((beaten.process, beaten.driver));
                return true;
            }
            Some(Err(StartError::Busy { .. })) => self.saw("rivals refused"),
            Some(Err(_)) | None => {}
        }
        process.dies();
        resumed.is_some()
    }

    /// A process goes because it is told to: by a shutdown, by a crash, or without noticing.
    pub(super) async fn replace(
        &mut self,
        process: &Arc<Process>,
        driver: Driver,
        handle: &RolloutHandle,
    ) {
        if !self.world.scenario.same_owner && process.clock.lost_time() {
            self.world
                .note(|| format!("== process {} is given up", process.number));
            self.saw("drivers left behind");
            self.world.audit().spoil();
            self.gone.push((Arc::clone(process), driver));
            return;
        }
        if self.random.one_in(4) {
            self.world
                .note(|| format!("== process {} shuts down", process.number));
            let deadline = Duration::from_secs(self.random.between(0, 20));
            driver.shutdown(deadline).await;
            let end = handle.wait().await;
            if let Err(DriverError::Panicked(_) | DriverError::Gone) = end {
                let what = format!("after a shutdown it ended with {end:?}");
                self.world.check(Err(what));
            }
            process.dies();
            self.saw("shutdowns");
            return;
        }
        self.dies(process, driver).await;
    }

    pub(super) async fn dies(&mut self, process: &Arc<Process>, driver: Driver) {
        self.world
            .note(|| format!("== process {} dies", process.number));
        self.saw("crashes");
        process.dies();
        drop(driver);
        let wait = self.random.between(1, 30_000);
        self.world.time.sleep(Duration::from_millis(wait)).await;
    }

    pub(super) fn bury(&mut self) {
        for (process, _driver) in self.gone.drain(..) {
            process.dies();
        }
    }
}
