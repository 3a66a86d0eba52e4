//! What is written, each within a transaction that it may share with others.
//!
//! Each begins with an update of the workload's row in `journals`, which locks it until the commit: two
//! transactions on one workload follow one another, in both databases.

use std::time::Duration;

use codedance_core::journal::Lease;
use codedance_core::workload::WorkloadName;
use codedance_core::{Error, ErrorKind, Result, Timestamp};
use sqlx::{Any, Transaction};

use crate::fault::fault;
use crate::row::Row;

/// A change that somebody waits for.
#[derive(Debug)]
pub(crate) enum Change {
    Acquire {
        workload: WorkloadName,
        owner: String,
        length: Duration,
    },
    Renew {
        lease: Lease,
        length: Duration,
    },
    Release(Lease),
    Append {
        lease: Lease,
        row: Row,
    },
}

/// What came of it: a lease where one was asked for.
pub(crate) type Answer = Result<Option<Lease>>;

/// The database failed, so that the whole transaction is void; or the change alone was refused.
pub(crate) enum Trouble {
    Database(Error),
    Refused(Error),
}

type Tried<T> = std::result::Result<T, Trouble>;

/// The head of a workload's journal.
#[derive(Debug, sqlx::FromRow)]
struct Head {
    next: i64,
    token: i64,
    owner: Option<String>,
    expires: i64,
}

impl Change {
    pub(crate) const fn workload(&self) -> &WorkloadName {
        match self {
            Self::Acquire { workload, .. } => workload,
            Self::Renew { lease, .. } | Self::Release(lease) | Self::Append { lease, .. } => {
                &lease.workload
            }
        }
    }

    pub(crate) async fn make(
        &self,
        tx: &mut Transaction<'_, Any>,
        now: Timestamp,
    ) -> Tried<Option<Lease>> {
        match self {
            Self::Acquire {
                workload,
                owner,
                length,
            } => acquire(tx, workload, owner, now, now + *length)
                .await
                .map(Some),
            Self::Renew { lease, length } => renew(tx, lease, now, now + *length).await.map(Some),
            Self::Release(lease) => release(tx, lease).await.map(|()| None),
            Self::Append { lease, row } => append(tx, lease, row, now).await.map(|()| None),
        }
    }
}

async fn acquire(
    tx: &mut Transaction<'_, Any>,
    workload: &WorkloadName,
    owner: &str,
    now: Timestamp,
    until: Timestamp,
) -> Tried<Lease> {
    let database =
        |error| Trouble::Database(fault(format!("acquire the lease on {workload}"), error));
    sqlx::query("INSERT INTO journals (workload) VALUES ($1) ON CONFLICT (workload) DO NOTHING")
        .bind(workload.as_str())
        .execute(&mut **tx)
        .await
        .map_err(database)?;
    let token: Option<i64> = sqlx::query_scalar(
        "UPDATE journals \
         SET token = CASE WHEN owner = $2 THEN token ELSE token + 1 END, owner = $2, expires = $3 \
         WHERE workload = $1 AND (owner IS NULL OR owner = $2 OR expires <= $4) \
         RETURNING token",
    )
    .bind(workload.as_str())
    .bind(owner)
    .bind(until.as_millis())
    .bind(now.as_millis())
    .fetch_optional(&mut **tx)
    .await
    .map_err(database)?;
    if let Some(token) = token {
        return Ok(Lease::new(
            workload.clone(),
            owner.to_owned(),
            token.unsigned_abs(),
            until,
        ));
    }
    let head = head(tx, workload).await?;
    let holder = head.and_then(|head| head.owner.map(|owner| (owner, head.expires)));
    let (owner, expires) = holder.unwrap_or_default();
    let until = Timestamp::from_millis(expires);
    let refused = Error::new(
        ErrorKind::Conflict,
        format!("acquire the lease on {workload}"),
    );
    Err(Trouble::Refused(
        refused.with_source(format!("{owner} holds it until {until}")),
    ))
}

async fn renew(
    tx: &mut Transaction<'_, Any>,
    lease: &Lease,
    now: Timestamp,
    until: Timestamp,
) -> Tried<Lease> {
    let renewed = sqlx::query(
        "UPDATE journals SET expires = $3 \
         WHERE workload = $1 AND token = $2 AND owner IS NOT NULL AND expires > $4",
    )
    .bind(lease.workload.as_str())
    .bind(token(lease))
    .bind(until.as_millis())
    .bind(now.as_millis())
    .execute(&mut **tx)
    .await;
    let operation = || format!("renew the lease on {}", lease.workload);
    match renewed {
        Ok(renewed) if renewed.rows_affected() == 1 => {
            let mut lease = lease.clone();
            lease.expires = until;
            Ok(lease)
        }
        Ok(_) => Err(Trouble::Refused(lost(operation(), lease))),
        Err(error) => Err(Trouble::Database(fault(operation(), error))),
    }
}

async fn release(tx: &mut Transaction<'_, Any>, lease: &Lease) -> Tried<()> {
    sqlx::query("UPDATE journals SET owner = NULL WHERE workload = $1 AND token = $2")
        .bind(lease.workload.as_str())
        .bind(token(lease))
        .execute(&mut **tx)
        .await
        .map_err(|error| {
            let operation = format!("release the lease on {}", lease.workload);
            Trouble::Database(fault(operation, error))
        })?;
    Ok(())
}

async fn append(
    tx: &mut Transaction<'_, Any>,
    lease: &Lease,
    row: &Row,
    now: Timestamp,
) -> Tried<()> {
    let operation = || format!("append entry {} of {}", row.sequence, lease.workload);
    let database = |error| Trouble::Database(fault(operation(), error));
    let moved = sqlx::query(
        "UPDATE journals SET next = next + 1 \
         WHERE workload = $1 AND token = $2 AND owner IS NOT NULL AND expires > $3 AND next = $4",
    )
    .bind(lease.workload.as_str())
    .bind(token(lease))
    .bind(now.as_millis())
    .bind(row.sequence)
    .execute(&mut **tx)
    .await
    .map_err(database)?;
    if moved.rows_affected() == 1 {
        sqlx::query(
            "INSERT INTO entries (workload, sequence, written, kind, body, checksum) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(lease.workload.as_str())
        .bind(row.sequence)
        .bind(row.written)
        .bind(row.kind)
        .bind(row.body.as_str())
        .bind(row.checksum)
        .execute(&mut **tx)
        .await
        .map_err(database)?;
        return Ok(());
    }
    let head = head(tx, &lease.workload).await?;
    let held = head.filter(|head| {
        head.token == token(lease) && head.owner.is_some() && head.expires > now.as_millis()
    });
    let Some(head) = held else {
        return Err(Trouble::Refused(lost(operation(), lease)));
    };
    if row.sequence == head.next - 1 {
        let there: Option<String> =
            sqlx::query_scalar("SELECT body FROM entries WHERE workload = $1 AND sequence = $2")
                .bind(lease.workload.as_str())
                .bind(row.sequence)
                .fetch_optional(&mut **tx)
                .await
                .map_err(database)?;
        if there.as_ref() == Some(&row.body) {
            return Ok(());
        }
    }
    let refused = Error::new(ErrorKind::Conflict, operation());
    Err(Trouble::Refused(
        refused.with_source(format!("the next is {}", head.next)),
    ))
}

async fn head(tx: &mut Transaction<'_, Any>, workload: &WorkloadName) -> Tried<Option<Head>> {
    sqlx::query_as("SELECT next, token, owner, expires FROM journals WHERE workload = $1")
        .bind(workload.as_str())
        .fetch_optional(&mut **tx)
        .await
        .map_err(|error| Trouble::Database(fault(format!("read the head of {workload}"), error)))
}

/// No token that the store gave out is beyond; any other matches none.
fn token(lease: &Lease) -> i64 {
    i64::try_from(lease.token).unwrap_or(-1)
}

fn lost(operation: String, lease: &Lease) -> Error {
    let source = format!("lease {} of {} is over", lease.token, lease.owner);
    Error::new(ErrorKind::LeaseLost, operation).with_source(source)
}
