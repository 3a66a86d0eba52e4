//! Journals that grow while something else is done with the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use codedance_core::journal::Journal;
use codedance_core::workload::WorkloadName;
use codedance_store::Store;
use futures::future::join_all;
use tokio::task::JoinHandle;

use crate::support::{hold, told, workload};

/// Appends to several journals without a pause, until it is dropped.
pub(crate) struct Writers {
    pub(crate) names: Vec<WorkloadName>,
    /// How many entries of each are durable.
    durable: Vec<Arc<AtomicU64>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    pub(crate) async fn start(store: &Store) -> Self {
        let names = (0..20).map(|number| workload(&format!("shop/{number}")));
        let names = names.collect::<Vec<_>>();
        let durable: Vec<_> = names.iter().map(|_| Arc::new(AtomicU64::new(0))).collect();
        let leases = join_all(names.iter().map(|name| hold(store, name))).await;
        let tasks = leases.into_iter().zip(&durable).map(|(lease, durable)| {
            let (store, durable) = (store.clone(), Arc::clone(durable));
            tokio::spawn(async move {
                for sequence in 0.. {
                    store.append(&lease, &told(sequence)).await.unwrap();
                    durable.store(sequence + 1, Relaxed);
                }
            })
        });
        let tasks = tasks.collect();
        Self {
            names,
            durable,
            tasks,
        }
    }

    pub(crate) fn durable(&self) -> Vec<u64> {
        self.durable
            .iter()
            .map(|count| count.load(Relaxed))
            .collect()
    }

    /// Waits until each journal has grown.
    pub(crate) async fn go_on(&self) {
        let before = self.durable();
        while self
            .durable()
            .iter()
            .zip(&before)
            .any(|(now, then)| now <= then)
        {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The copy has what was durable before it began, and nothing that came after it was done.
pub(crate) async fn is_a_moment(copy: &Store, names: &[WorkloadName], least: &[u64], most: &[u64]) {
    for (name, (least, most)) in names.iter().zip(least.iter().zip(most)) {
        let entries = copy.export(name).await.unwrap();
        let count = entries.len() as u64;
        // The last may have become durable before its writer knew.
        assert!(
            (*least..=*most + 1).contains(&count),
            "{least}, {count}, {most}"
        );
        assert!(entries.into_iter().eq((0..count).map(told)));
    }
}
