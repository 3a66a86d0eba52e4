//! Many write at once, and none disturbs another.

use codedance_core::ErrorKind;
use codedance_core::journal::Journal;
use codedance_store::Store;
use futures::future::join_all;

use crate::support::{TERM, World, hold, told, workload};

#[tokio::test]
async fn a_refused_append_does_not_disturb_the_others() {
    let world = World::new().await;
    let store = &world.store;
    let appended = (0..200_u64).map(|number| async move {
        let name = workload(&format!("shop/{number}"));
        let lease = hold(store, &name).await;
        // Every third has a gap.
        let entry = told(u64::from(number % 3 == 0));
        (number, store.append(&lease, &entry).await)
    });
    for (number, answer) in join_all(appended).await {
        match answer {
            Ok(()) => assert_ne!(number % 3, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                assert_eq!(number % 3, 0, "{error}");
            }
        }
    }
    assert_eq!(store.list().await.unwrap().len(), 133);
}

/// Two processes, as far as the database can tell.
#[tokio::test]
async fn of_two_stores_one_holds_each_workload() {
    let world = World::new().await;
    let other = Store::open(&world.url).await.unwrap();
    let names = (0..50).map(|number| workload(&format!("shop/{number}")));
    let names = names.collect::<Vec<_>>();
    let take = |store: Store, owner: &'static str| {
        let names = names.clone();
        async move {
            let taken = names.iter().map(|name| store.acquire(name, owner, TERM));
            let mut leases = Vec::new();
            for answer in join_all(taken).await {
                match answer {
                    Ok(lease) => leases.push(lease),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                }
            }
            for lease in &leases {
                store.append(lease, &told(0)).await.unwrap();
            }
            leases.len()
        }
    };
    let (ours, theirs) = tokio::join!(take(world.store.clone(), "we"), take(other, "they"));
    assert_eq!(ours + theirs, names.len());
    assert_eq!(world.store.list().await.unwrap().len(), names.len());
}
