//! The life of one replica: a task that starts its process, watches it, and stops it.
//!
//! ```text
//!              ┌────────────────── backoff ──────────────────┐
//!              ▼                                             │
//!  Launching ──▶ Starting ──▶ Ready ◀──▶ Unhealthy ──▶ Down ─┘   ended, or not healthy in time
//!                    │          │            │          │
//!                    └──────────┴─────┬──────┴──────────┘        an order to stop, at any time
//!                                     ▼
//!                                 Stopping ──▶ Gone
//! ```

use std::sync::Arc;
use std::time::Duration;

use codedance_core::traffic::Endpoints;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::books::{Books, Newcomer, Order, ReplicaId};
use crate::config::Config;
use crate::place::Place;
use crate::process::Process;
use crate::status::{Phase, ReplicaFailure, ReplicaStatus};

/// How often a replica that starts is asked for its health, unless the interval is shorter.
const STARTUP_INTERVAL: Duration = Duration::from_millis(100);

/// Where a replica stands, with the process if there is one.
#[derive(Debug)]
enum State {
    /// A port is chosen and the process started.
    Launching,
    /// The process runs and was not healthy yet.
    Starting(Process),
    /// It is healthy and gets traffic.
    Ready(Process),
    /// It was ready, fails its health checks, and gets no traffic.
    Unhealthy(Process),
    /// There is no process. One is started after the backoff, unless the limit is reached.
    Down,
    /// It is drained, and told to end.
    Stopping(Process),
    /// Nothing is left.
    Gone,
}

/// What ends a phase before its time.
enum Interruption {
    /// The process ended; the text says how.
    Ended(String),
    /// There is an order to stop.
    Ordered,
}

/// A replica and all that its task needs. It is in the books for as long as this lives.
#[derive(Debug)]
pub(crate) struct Replica {
    id: ReplicaId,
    place: Place,
    books: Arc<Books>,
    orders: watch::Receiver<Order>,
    /// Whether the address of the process may be known to the endpoints.
    registered: bool,
    /// Restarts that count towards the limit.
    strikes: u32,
    killed: bool,
}

impl Replica {
    pub(crate) fn new(
        newcomer: Newcomer,
        config: Arc<Config>,
        endpoints: Option<Arc<dyn Endpoints>>,
        books: Arc<Books>,
    ) -> Self {
        let Newcomer {
            id,
            revision,
            template,
            orders,
        } = newcomer;
        let place = Place {
            revision,
            template,
            config,
            endpoints,
        };
        Self {
            id,
            place,
            books,
            orders,
            registered: false,
            strikes: 0,
            killed: false,
        }
    }

    /// Lives until it is told to stop.
    pub(crate) async fn live(mut self) {
        let mut state = State::Launching;
        loop {
            state = match state {
                State::Launching => self.launch(),
                State::Starting(process) => self.start(process).await,
                State::Ready(process) => self.serve(process).await,
                State::Unhealthy(process) => self.recover(process).await,
                State::Down => self.back_off().await,
                State::Stopping(process) => self.stop(process).await,
                State::Gone => return,
            };
        }
    }

    fn launch(&self) -> State {
        if *self.orders.borrow() != Order::Run {
            return State::Gone;
        }
        let id = self.id;
        let started = self
            .books
            .change(|books| books.assign_port(id))
            .map_err(|error| format!("no port on the loopback interface is free: {error}"))
            .and_then(|address| {
                Process::start(&self.place.template, address).map_err(|error| error.to_string())
            });
        match started {
            Ok(process) => {
                self.update(|status| {
                    (status.phase, status.pid) = (Phase::Starting, process.running());
                });
                State::Starting(process)
            }
            Err(cause) => {
                self.failed(cause, Vec::new(), None);
                State::Down
            }
        }
    }

    async fn start(&mut self, mut process: Process) -> State {
        let (deadline, mut trouble) = (self.place.config.startup_deadline, None);
        let interval = self.place.config.health_interval.min(STARTUP_INTERVAL);
        let until_ready = timeout(
            deadline,
            self.place.until_ready(
                process.address(),
                interval,
                &mut self.registered,
                &mut trouble,
            ),
        );
        match undisturbed(&mut self.orders, &mut process, until_ready).await {
            Ok(Ok(())) => State::Ready(process),
            Ok(Err(_)) => {
                let trouble = trouble.unwrap_or_else(|| "it was never asked".to_owned());
                self.fail(
                    process,
                    format!("not healthy within {deadline:?}: {trouble}"),
                )
                .await
            }
            Err(Interruption::Ended(how)) => {
                self.fail(process, format!("{how} before it was healthy"))
                    .await
            }
            Err(Interruption::Ordered) => State::Stopping(process),
        }
    }

    async fn serve(&mut self, mut process: Process) -> State {
        info!(revision = %self.place.revision, address = %process.address(), "replica ready");
        self.update(|status| status.phase = Phase::Ready);
        let since = Instant::now();
        let until_unhealthy = self.place.until_unhealthy(process.address());
        let outcome = undisturbed(&mut self.orders, &mut process, until_unhealthy).await;
        if since.elapsed() >= self.place.config.forgiven_after {
            self.strikes = 0;
        }
        match outcome {
            Ok(trouble) => {
                warn!(revision = %self.place.revision, %trouble, "replica unhealthy");
                self.update(|status| {
                    (status.phase, status.trouble) = (Phase::Unhealthy, Some(trouble));
                });
                State::Unhealthy(process)
            }
            Err(Interruption::Ended(how)) => self.fail(process, how).await,
            Err(Interruption::Ordered) => State::Stopping(process),
        }
    }

    async fn recover(&mut self, mut process: Process) -> State {
        let (address, mut trouble) = (process.address(), None);
        let again = async {
            self.place.drain(address, Duration::ZERO).await;
            let interval = self.place.config.health_interval;
            self.place
                .until_ready(address, interval, &mut self.registered, &mut trouble)
                .await;
        };
        match undisturbed(&mut self.orders, &mut process, again).await {
            Ok(()) => State::Ready(process),
            Err(Interruption::Ended(how)) => self.fail(process, how).await,
            Err(Interruption::Ordered) => State::Stopping(process),
        }
    }

    /// Enters the failure and takes the address out of the endpoints, both at once; then ends what
    /// still runs.
    async fn fail(&mut self, mut process: Process, cause: String) -> State {
        let (address, mut orders) = (process.address(), self.orders.clone());
        let end = async {
            let leave = async {
                if self.registered {
                    self.place.drain(address, Duration::ZERO).await;
                }
            };
            let tell = async {
                let output = process.last_output().await;
                self.failed(cause, output, process.running());
            };
            tokio::join!(leave, tell);
            process.terminate(self.place.config.grace).await
        };
        tokio::select! {
            _ = end => {}
            () = told_to_stop(&mut orders) => return State::Stopping(process),
        }
        self.registered = false;
        self.update(|status| status.pid = None);
        State::Down
    }

    async fn back_off(&mut self) -> State {
        if self.strikes >= self.place.config.restart_limit {
            told_to_stop(&mut self.orders).await;
            return State::Gone;
        }
        tokio::select! {
            () = sleep(self.place.config.backoff(self.strikes)) => {}
            () = told_to_stop(&mut self.orders) => return State::Gone,
        }
        self.strikes += 1;
        self.update(|status| {
            (status.phase, status.restarts) = (Phase::Starting, status.restarts.saturating_add(1));
        });
        State::Launching
    }

    async fn stop(&mut self, mut process: Process) -> State {
        loop {
            let order = *self.orders.borrow_and_update();
            let end = async {
                let Order::Stop { grace } = order else {
                    process.kill().await;
                    return true;
                };
                if self.registered {
                    let deadline = self.place.config.drain_deadline;
                    self.place.drain(process.address(), deadline).await;
                }
                process.terminate(grace).await
            };
            tokio::select! {
                killed = end => {
                    self.killed = killed;
                    info!(revision = %self.place.revision, killed, "replica stopped");
                    return State::Gone;
                }
                // A new order may have less patience. Draining again changes nothing, says the port.
                Ok(()) = self.orders.changed() => {}
            }
        }
    }

    fn failed(&self, cause: String, output: Vec<String>, pid: Option<u32>) {
        let Place {
            revision, config, ..
        } = &self.place;
        warn!(%revision, %cause, "replica failed");
        let last = self.strikes >= config.restart_limit;
        self.books.change(|books| {
            books.update(self.id, |status| {
                status.phase = if last {
                    Phase::Failed
                } else {
                    Phase::BackingOff
                };
                (status.pid, status.trouble) = (pid, Some(cause.clone()));
            });
            books
                .failures
                .insert(revision.clone(), ReplicaFailure { cause, output });
        });
    }

    fn update(&self, update: impl FnOnce(&mut ReplicaStatus)) {
        self.books.change(|books| books.update(self.id, update));
    }
}

/// However the task ends, also by a panic of somebody's `Endpoints` or with its runtime, the books
/// do not count on the replica any more. The next `scale` then starts another.
impl Drop for Replica {
    fn drop(&mut self) {
        self.books
            .change(|books| books.remove(self.id, self.killed));
    }
}

/// Does `work`, unless the process ends or an order comes first.
async fn undisturbed<T>(
    orders: &mut watch::Receiver<Order>,
    process: &mut Process,
    work: impl Future<Output = T>,
) -> Result<T, Interruption> {
    tokio::select! {
        // An order to stop explains an end; an end explains a failing health check.
        biased;
        () = told_to_stop(orders) => Err(Interruption::Ordered),
        how = process.ended() => Err(Interruption::Ended(how)),
        done = work => Ok(done),
    }
}

/// Waits for any order but to run. It may be asked again.
async fn told_to_stop(orders: &mut watch::Receiver<Order>) {
    // The sender lives in the books as long as the replica; without it there is nobody to serve.
    let _ = orders.wait_for(|order| *order != Order::Run).await;
}
