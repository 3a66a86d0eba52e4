//! How much of the past is kept.

use std::time::Duration;

use codedance_core::journal::Journal;
use codedance_core::workload::WorkloadName;
use codedance_core::{Result, Timestamp};

use crate::fault::fault;
use crate::store::Store;

/// Which rollouts of a workload stay in its audit trail. The last one always does, whole, whether it has
/// ended or not; by default all others, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// How many rollouts are kept beside the last; `None` keeps any number.
    pub rollouts: Option<u32>,
    /// A rollout is kept that began no longer ago than this; `None` keeps any age.
    pub age: Option<Duration>,
}

/// What compaction removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// How many entries.
    pub entries: u64,
}

impl Retention {
    /// Keeps everything.
    #[must_use]
    pub const fn everything() -> Self {
        Self {
            rollouts: None,
            age: None,
        }
    }

    /// Keeps so many rollouts beside the last.
    #[must_use]
    pub const fn with_rollouts(mut self, rollouts: u32) -> Self {
        self.rollouts = Some(rollouts);
        self
    }

    /// Keeps what began no longer ago than this.
    #[must_use]
    pub const fn with_age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }
}

impl Store {
    /// Removes the rollouts that `retention` does not keep, oldest first, of every workload. A rollout
    /// goes as a whole. Needs no lease: what is removed is over.
    ///
    /// # Errors
    /// When the database fails; what was removed until then stays removed.
    pub async fn compact(&self, retention: Retention, now: Timestamp) -> Result<Compacted> {
        let mut compacted = Compacted::default();
        for workload in self.list().await? {
            compacted.entries += self.compact_one(&workload, retention, now).await?;
        }
        Ok(compacted)
    }

    async fn compact_one(
        &self,
        workload: &WorkloadName,
        retention: Retention,
        now: Timestamp,
    ) -> Result<u64> {
        let failed = |error| fault(format!("compact the journal of {workload}"), error);
        let mut begun: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT sequence, written FROM entries WHERE workload = $1 AND kind = 0 \
             ORDER BY sequence DESC",
        )
        .bind(workload.as_str())
        .fetch_all(self.pool())
        .await
        .map_err(failed)?;
        // The last and those beside it that are kept, newest first.
        let most = retention
            .rollouts
            .map_or(usize::MAX, |rollouts| rollouts as usize);
        begun.truncate(most.saturating_add(1));
        let oldest = retention.age.map(|age| {
            now.as_millis()
                .saturating_sub(age.as_millis().try_into().unwrap_or(i64::MAX))
        });
        let kept = begun
            .iter()
            .enumerate()
            .take_while(|(place, (_, written))| {
                *place == 0 || oldest.is_none_or(|oldest| *written >= oldest)
            })
            .last();
        let Some((_, (first, _))) = kept else {
            return Ok(0);
        };
        let removed = sqlx::query("DELETE FROM entries WHERE workload = $1 AND sequence < $2")
            .bind(workload.as_str())
            .bind(first)
            .execute(self.pool())
            .await
            .map_err(failed)?;
        Ok(removed.rows_affected())
    }
}
