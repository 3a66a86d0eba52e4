//! Clauses about what is kept.

use super::{Harness, append, entry, hold, load, workload};
use crate::decision::{
    Assessment, Memory, MetricAssessment, MetricOutcome, Reason, ScoreRange, Verdict,
};
use crate::error::ErrorKind;
use crate::journal::{Entry, Record};
use crate::metrics::{Histogram, Reading, Sample};
use crate::plan::{Linear, Strategy};
use crate::rollout::{EffectId, Input, Observation, Report};
use crate::testing::conformance::{abandon, done, refused};
use crate::time::Timestamp;
use crate::workload::{Revision, Workload, WorkloadName};

/// Every entry comes back as it was written, in the order in which it was.
pub(super) async fn appended_entries_are_loaded_in_order(harness: &Harness) {
    let web = workload("shop/web");
    let lease = hold(harness, &web).await;
    let written = (0..20)
        .map(|sequence| entry(sequence, "well"))
        .collect::<Vec<_>>();
    for entry in &written {
        append(harness, &lease, entry).await;
    }
    assert_eq!(load(harness, &web).await, written);
    assert_eq!(
        load(harness, &web).await,
        written,
        "loading must change nothing"
    );
}

/// That is no error; nor is a workload that has a lease and no entry.
pub(super) async fn an_unknown_workload_has_no_entries(harness: &Harness) {
    let web = workload("shop/web");
    assert_eq!(load(harness, &web).await, []);
    hold(harness, &web).await;
    assert_eq!(load(harness, &web).await, []);
}

/// A sequence beyond the next is refused, also as the first, and changes nothing.
pub(super) async fn a_gap_is_a_conflict(harness: &Harness) {
    let web = workload("shop/web");
    let lease = hold(harness, &web).await;
    let first = harness.journal().append(&lease, &entry(1, "early")).await;
    refused(first, ErrorKind::Conflict, "an entry 1 before entry 0");
    append(harness, &lease, &entry(0, "first")).await;
    let gap = harness.journal().append(&lease, &entry(2, "early")).await;
    refused(gap, ErrorKind::Conflict, "an entry 2 after entry 0");
    assert_eq!(load(harness, &web).await, [entry(0, "first")]);
}

/// An append whose answer was lost can be repeated: the entry is there once.
pub(super) async fn the_same_entry_again_is_accepted(harness: &Harness) {
    let web = workload("shop/web");
    let lease = hold(harness, &web).await;
    for sequence in [0, 1, 1] {
        append(harness, &lease, &entry(sequence, "again")).await;
    }
    assert_eq!(
        load(harness, &web).await,
        [entry(0, "again"), entry(1, "again")]
    );
}

/// What is written stays.
pub(super) async fn another_entry_in_its_place_is_a_conflict(harness: &Harness) {
    let web = workload("shop/web");
    let lease = hold(harness, &web).await;
    let written = [entry(0, "first"), entry(1, "second")];
    for entry in &written {
        append(harness, &lease, entry).await;
    }
    for sequence in [0, 1] {
        let other = harness
            .journal()
            .append(&lease, &entry(sequence, "another"))
            .await;
        refused(
            other,
            ErrorKind::Conflict,
            "another entry in the place of one",
        );
    }
    assert_eq!(load(harness, &web).await, written);
}

/// Rollouts before the last are not loaded; the sequence goes on.
pub(super) async fn loading_begins_at_the_last_rollout(harness: &Harness) {
    let web = workload("shop/web");
    let lease = hold(harness, &web).await;
    let mut written = vec![began(0, &web), entry(1, "first rollout")];
    written.extend([
        began(2, &web),
        entry(3, "second rollout"),
        entry(4, "second rollout"),
    ]);
    for entry in &written {
        append(harness, &lease, entry).await;
    }
    assert_eq!(load(harness, &web).await, written.split_off(2));
}

/// Each has its own entries and its own sequence, however alike the names.
pub(super) async fn workloads_are_kept_apart(harness: &Harness) {
    let alike = [
        "shop/web",
        "shop/web-2",
        "shop/We_b",
        "shop",
        "shop%web",
        "商店/web",
    ];
    for name in alike {
        let lease = hold(harness, &workload(name)).await;
        append(harness, &lease, &entry(0, name)).await;
    }
    for name in alike {
        assert_eq!(load(harness, &workload(name)).await, [entry(0, name)]);
    }
}

/// Every workload with an entry, once, in the order of their names.
pub(super) async fn the_list_is_sorted(harness: &Harness) {
    let listed = done(harness.journal().list().await, "list");
    assert_eq!(listed, [], "nothing was written yet");
    let mut names = ["web", "api", "shop/web", "Web", "a", "zoo"].map(workload);
    for name in &names {
        let lease = hold(harness, name).await;
        append(harness, &lease, &entry(0, "listed")).await;
        append(harness, &lease, &entry(1, "listed")).await;
    }
    names.sort();
    assert_eq!(done(harness.journal().list().await, "list"), names);
}

/// Line breaks, quotes, zeros, any script, and much of it.
pub(super) async fn any_text_is_kept(harness: &Harness) {
    let web = workload("shop/web");
    let lease = hold(harness, &web).await;
    let large = "灰度発布 🕺\n".repeat(50_000);
    let texts = [
        "",
        "\n",
        "a\r\nb\u{2028}c",
        "\0",
        "\"'\\{}",
        "שלום 世界 🕺🏽",
        &large,
    ];
    let written = (0..)
        .zip(texts)
        .map(|(sequence, text)| entry(sequence, text));
    let written = written.collect::<Vec<_>>();
    for entry in &written {
        append(harness, &lease, entry).await;
    }
    // Not `assert_eq`: nobody wants to read a megabyte of difference.
    assert!(
        load(harness, &web).await == written,
        "any text must come back as it was written"
    );
}

/// Replay is bit for bit only if numbers are: no float is rounded, no count is cut.
pub(super) async fn numbers_are_kept_exactly(harness: &Harness) {
    let web = workload("shop/web");
    let lease = hold(harness, &web).await;
    let gauge = |value| Reading::new("gauge", Sample::Gauge(value), Sample::Gauge(-value));
    let most = Sample::Counts {
        bad: u64::MAX - 1,
        total: u64::MAX,
    };
    let numbers = [
        0.1 + 0.2,
        1e-300,
        5e-324,
        f64::MAX,
        123_456_789.123_456_79,
        -0.0,
    ];
    let mut readings = numbers.map(gauge).to_vec();
    let counted = |bounds: &[f64], counts: &[u64]| {
        let histogram = Histogram::new(bounds, counts).unwrap_or_else(|error| panic!("{error}"));
        Sample::Histogram(histogram)
    };
    let past = [
        Sample::NoData,
        counted(&[5e-324, 0.1 + 0.2], &[0, u64::MAX, 1]),
        Sample::NoData,
        counted(&[5e-324, 0.1 + 0.2], &[u64::MAX - 1, 0, 0]),
        counted(&[f64::MAX], &[1, 2]),
        most.clone(),
    ];
    readings.push(
        Reading::new("counts", most, Sample::NoData)
            .with_history(past.to_vec())
            .taken_at(Timestamp::MAX),
    );
    let report = Report::Measured {
        readings,
        observation: Observation::default(),
    };
    let told = Record::Told(Input::Outcome(EffectId::default(), Ok(report)));
    let written = Entry::new(0, Timestamp::from_millis(1), told);
    append(harness, &lease, &written).await;
    assert_eq!(load(harness, &web).await, [written]);
}

/// What a judge said comes back with the memory that it wants to be shown.
pub(super) async fn what_judges_said_is_kept(harness: &Harness) {
    let web = workload("shop/web");
    let lease = hold(harness, &web).await;
    let memory =
        Memory::of(&serde_json::json!({"seen": u64::MAX, "share": 0.1 + 0.2, "of": ["ü"]}));
    let said = Assessment::new(Verdict::Hold, vec![Reason::Other("not yet".to_owned())])
        .with_metrics(vec![MetricAssessment::new(
            "errors",
            MetricOutcome::Inconclusive,
            ScoreRange::UNKNOWN,
        )])
        .with_memory(memory);
    let mut written = entry(0, "judged");
    written.assessment = Some(Box::new(said));
    append(harness, &lease, &written).await;
    assert_eq!(load(harness, &web).await, [written]);
}

/// An entry that was changed is refused as `Corrupt`, with its sequence; never skipped.
pub(super) async fn a_damaged_entry_is_named(harness: &Harness) {
    let web = workload("shop/web");
    let lease = hold(harness, &web).await;
    for sequence in 0..41 {
        append(harness, &lease, &entry(sequence, "well")).await;
    }
    harness.damage(&web, 37).await;
    let failure = refused(
        harness.journal().load(&web).await,
        ErrorKind::Corrupt,
        "a damaged entry",
    );
    assert!(
        failure.message.contains("37"),
        "the damaged entry is named: {failure}"
    );
}

/// Its append never returned, so it never was; the next append takes its place.
pub(super) async fn a_torn_last_entry_is_not_there(harness: &Harness) {
    let web = workload("shop/web");
    let lease = hold(harness, &web).await;
    for sequence in 0..3 {
        append(harness, &lease, &entry(sequence, "well")).await;
    }
    harness.tear_last(&web).await;
    assert_eq!(
        load(harness, &web).await,
        [entry(0, "well"), entry(1, "well")]
    );
    append(harness, &lease, &entry(2, "instead")).await;
    let mended = [entry(0, "well"), entry(1, "well"), entry(2, "instead")];
    assert_eq!(load(harness, &web).await, mended);
}

/// Whenever an append is given up, the same append again puts the entry there once.
pub(super) async fn a_dropped_append_has_happened_or_not(harness: &Harness) {
    let web = workload("shop/web");
    let lease = hold(harness, &web).await;
    let mut written = Vec::new();
    for (sequence, rounds) in [(0, 0), (1, 1), (2, 2), (3, 7)] {
        let next = entry(sequence, "dropped");
        abandon(harness.journal().append(&lease, &next), rounds).await;
        let found = load(harness, &web).await;
        written.push(next);
        let whole = found == written || Some(found.as_slice()) == written.get(..written.len() - 1);
        assert!(whole, "neither with nor without the entry: {found:?}");
        if let Some(next) = written.last() {
            append(harness, &lease, next).await;
        }
        assert_eq!(load(harness, &web).await, written);
    }
}

fn began(sequence: u64, name: &WorkloadName) -> Entry {
    let revision = |name| Revision::new(name).unwrap_or_else(|error| panic!("{error}"));
    let workload = Workload::new(name.clone(), revision("v1"), revision("v2"), 3);
    let plan = Linear::default()
        .plan(&workload)
        .unwrap_or_else(|error| panic!("{error}"));
    let record = Record::Began(Box::new(plan), Box::default());
    Entry::new(sequence, Timestamp::from_millis(1_000), record)
}
