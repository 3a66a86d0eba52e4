//! What compaction removes, and what it never does.

use std::time::Duration;

use codedance_core::journal::{Entry, Journal};
use codedance_store::Retention;

use crate::support::{World, at, began, hold, told, workload};

/// Five rollouts of four entries each, one minute an entry.
async fn five_rollouts(world: &World) -> Vec<Entry> {
    let web = workload("shop/web");
    let lease = hold(&world.store, &web).await;
    let entries = (0..20).map(|sequence| match sequence % 4 {
        0 => began(sequence, &web),
        _ => told(sequence),
    });
    let entries = entries.collect::<Vec<_>>();
    for entry in &entries {
        world.store.append(&lease, entry).await.unwrap();
    }
    entries
}

#[tokio::test]
async fn rollouts_go_as_a_whole_and_the_last_stays() {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let world = World::new().await;
    let web = workload("shop/web");
    let entries = five_rollouts(&world).await;
    let now = at(20);
    for (retention, left) in [
        (Retention::everything(), 20),
        (Retention::everything().with_rollouts(9), 20),
        (Retention::everything().with_rollouts(3), 16),
        // The second began 16 minutes ago.
        (Retention::everything().with_age(minutes(16)), 16),
        (Retention::everything().with_age(minutes(15)), 12),
        (
            Retention::everything()
                .with_rollouts(2)
                .with_age(minutes(11)),
            8,
        ),
        (Retention::everything().with_rollouts(0), 4),
        (Retention::everything().with_age(Duration::ZERO), 4),
    ] {
        let before = world.store.export(&web).await.unwrap().len();
        let compacted = world.store.compact(retention, now).await.unwrap();
        assert_eq!(compacted.entries, (before - left) as u64, "{retention:?}");
        let kept = world.store.export(&web).await.unwrap();
        assert_eq!(kept, entries[20 - left..], "{retention:?}");
        assert_eq!(world.store.load(&web).await.unwrap(), entries[16..]);
    }
    // The sequence goes on.
    let lease = hold(&world.store, &web).await;
    world.store.append(&lease, &told(20)).await.unwrap();
}
