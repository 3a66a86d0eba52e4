//! A rollout from its start to its end, with whoever sits at the keyboard as its operator.

use anyhow::Result;
use codedance::decision::Policy;
use codedance::driver::{Driver, Ports};
use codedance::plan::Plan;
use codedance::rollout::Outcome;
use futures::StreamExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::show::View;

/// Starts a rollout or goes on with it, shows each event, does what the operator says, and returns how it
/// ended.
pub(crate) async fn conduct(
    driver: &Driver,
    plan: Plan,
    begin: Begin,
    ports: Ports,
    view: &mut View,
    operator: &mut Operator,
) -> Result<Outcome> {
    // Subscribed to before the start, so as to have the very first event.
    let mut events = driver.events();
    view.begin(&plan);
    let rollout = match begin {
        Begin::Anew(policy) => driver.start(plan, *policy, ports).await?,
        Begin::Again => driver.resume(plan.workload(), ports).await?,
    };
    let ended = rollout.wait();
    tokio::pin!(ended);
    let mut aborted = false;
    let outcome = loop {
        let rejected = tokio::select! {
            // What happened is shown before the end is.
            biased;
            Some(event) = events.next() => {
                // A view that was too slow has missed some, and shows the others.
                if let Ok(event) = event {
                    view.event(&event);
                }
                continue;
            }
            Some(()) = operator.confirmed.recv() => rollout.promote().await,
            () = interrupted(&operator.interrupted), if !aborted => {
                aborted = true;
                view.say("interrupted: everything goes back to the stable version");
                rollout.abort().await
            }
            outcome = &mut ended => break outcome,
        };
        if let Err(rejected) = rejected {
            view.say(&rejected.to_string());
        }
    };
    view.end();
    Ok(outcome?)
}

/// Whether the rollout is new, or in the journal already.
#[derive(Debug)]
pub(crate) enum Begin {
    Anew(Box<Policy>),
    Again,
}

/// Whoever sits at the keyboard.
#[derive(Debug)]
pub(crate) struct Operator {
    interrupted: watch::Receiver<bool>,
    confirmed: mpsc::Receiver<()>,
}

impl Operator {
    /// Listens for Ctrl-C and `SIGTERM`, which from now on end nothing by themselves; and, if it `asks`,
    /// for Enter, which ends the present wait.
    pub(crate) fn listen(asks: bool) -> Result<Self> {
        let mut int = signal(SignalKind::interrupt())?;
        let mut term = signal(SignalKind::terminate())?;
        let (say, interrupted) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
            say.send_replace(true);
        });
        let (confirm, confirmed) = mpsc::channel(1);
        if asks {
            // A thread of its own, because nothing can end a read from the terminal.
            std::thread::spawn(move || {
                for _ in std::io::stdin().lines().map_while(Result::ok) {
                    if confirm.blocking_send(()).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self {
            interrupted,
            confirmed,
        })
    }

    /// Whether it was Ctrl-C.
    pub(crate) fn interrupted(&self) -> bool {
        *self.interrupted.borrow()
    }

    /// Returns when Ctrl-C comes.
    pub(crate) async fn wait(&self) {
        interrupted(&self.interrupted).await;
    }
}

async fn interrupted(heard: &watch::Receiver<bool>) {
    if heard.clone().wait_for(|came| *came).await.is_err() {
        // Nobody listens any more, so it will not come.
        std::future::pending::<()>().await;
    }
}
