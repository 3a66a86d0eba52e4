//! One task writes for all: what waits at the same time shares a commit.

use codedance_core::{Error, ErrorKind};
use sqlx::{Any, AnyPool, Transaction};
use tokio::sync::{mpsc, oneshot};

use crate::fault::fault;
use crate::store::Kind;
use crate::write::{Answer, Change, Trouble};

/// How many changes may wait. Whoever comes later waits for a place.
const WAITING: usize = 1_024;
/// How many changes share a commit at most.
const TOGETHER: usize = 256;

/// A change and who waits for it.
#[derive(Debug)]
struct Order {
    change: Change,
    reply: oneshot::Sender<Answer>,
}

/// Where changes are handed in. The task ends with its last clone.
#[derive(Clone, Debug)]
pub(crate) struct Writer(mpsc::Sender<Order>);

impl Writer {
    pub(crate) fn start(pool: AnyPool, kind: Kind) -> Self {
        let (orders, inbox) = mpsc::channel(WAITING);
        tokio::spawn(write(pool, kind, inbox));
        Self(orders)
    }

    /// Makes the change, durably. If the future is dropped, it is made or not.
    pub(crate) async fn make(&self, change: Change) -> Answer {
        let gone = || Error::new(ErrorKind::Unavailable, "write to a store that is closed");
        let (reply, answer) = oneshot::channel();
        let order = Order { change, reply };
        self.0.send(order).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn write(pool: AnyPool, kind: Kind, mut inbox: mpsc::Receiver<Order>) {
    let mut orders = Vec::new();
    while inbox.recv_many(&mut orders, TOGETHER).await > 0 {
        // Always in the same order, so that two processes cannot wait for each other's rows.
        orders.sort_by(|a, b| a.change.workload().cmp(b.change.workload()));
        let changes = orders.iter().map(|order| &order.change).collect::<Vec<_>>();
        match together(&pool, kind, &changes).await {
            Ok(answers) => {
                for (order, answer) in orders.drain(..).zip(answers) {
                    // Whoever waited may have gone.
                    order.reply.send(answer).ok();
                }
            }
            Err(error) if orders.len() == 1 => {
                for order in orders.drain(..) {
                    order.reply.send(Err(again(&error))).ok();
                }
            }
            // One of them may be what the database cannot bear; the others shall not suffer for it.
            Err(error) => {
                tracing::warn!(%error, "a commit of {} changes failed; each is tried alone", orders.len());
                for order in orders.drain(..) {
                    let alone = together(&pool, kind, &[&order.change]).await;
                    let answer = alone.and_then(|mut answers| {
                        answers.pop().unwrap_or_else(|| Err(again(&error)))
                    });
                    order.reply.send(answer).ok();
                }
            }
        }
    }
}

/// Makes all changes in one transaction. An error says that none was made, or that nobody knows.
async fn together(
    pool: &AnyPool,
    kind: Kind,
    changes: &[&Change],
) -> codedance_core::Result<Vec<Answer>> {
    let failed = |error| fault("write to the journal", error);
    let mut tx: Transaction<'_, Any> = pool.begin().await.map_err(failed)?;
    let now = kind.now(&mut tx).await?;
    let mut answers = Vec::with_capacity(changes.len());
    for change in changes {
        answers.push(match change.make(&mut tx, now).await {
            Ok(lease) => Ok(lease),
            Err(Trouble::Refused(error)) => Err(error),
            Err(Trouble::Database(error)) => return Err(error),
        });
    }
    tx.commit().await.map_err(failed)?;
    Ok(answers)
}

/// The same error for somebody else.
fn again(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.operation().to_owned());
    match std::error::Error::source(error) {
        Some(source) => copy.with_source(source.to_string()),
        None => copy,
    }
}
