//! The journal on disk: what is in it already, and that nobody else writes it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use codedance::report::{Ending, Story};
use codedance::store::Store;
use codedance::workload::{Revision, WorkloadName};

/// The journal of one workload, in a directory that this process has to itself.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) store: Store,
    workload: WorkloadName,
    /// Locked until the process ends, however it ends.
    _lock: File,
    /// The directory, if nobody wants it afterwards.
    passing: Option<PathBuf>,
}

/// Where the rollout to a revision stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    New,
    UnderWay,
    Promoted,
    Over,
}

impl Standing {
    /// Where the rollout to `canary` stands in these stories.
    pub(crate) fn of(canary: &Revision, stories: &[Story]) -> Self {
        let story = stories.iter().find(|story| &story.canary == canary);
        match story.map(|story| story.outcome) {
            None => Self::New,
            Some(Ending::Unfinished) => Self::UnderWay,
            Some(Ending::Completed) => Self::Promoted,
            Some(_) => Self::Over,
        }
    }
}

impl Books {
    /// Opens the journal in `directory`; without one, in a new directory that is removed at the end.
    pub(crate) async fn open(directory: Option<&Path>, workload: &WorkloadName) -> Result<Self> {
        let passing = directory.is_none().then(|| {
            std::env::temp_dir().join(format!("codedance-quickstart-{}", std::process::id()))
        });
        let directory = directory.or(passing.as_deref());
        let directory = directory.context("one of them is there")?;
        let at = || format!("cannot keep the journal in {}", directory.display());
        fs::create_dir_all(directory).with_context(at)?;
        let lock = File::create(directory.join("lock")).with_context(at)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "another process keeps its journal in {}",
                    directory.display()
                )
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(at),
        }
        Ok(Self {
            store: Store::in_directory(directory).await.with_context(at)?,
            workload: workload.clone(),
            _lock: lock,
            passing,
        })
    }

    /// Every rollout in it, as a story.
    pub(crate) async fn stories(&self) -> Result<Vec<Story>> {
        let entries = self.store.export(&self.workload).await?;
        Ok(Story::all(&entries)?)
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.store.close().await;
        if let Some(directory) = self.passing {
            fs::remove_dir_all(directory)?;
        }
        Ok(())
    }
}
