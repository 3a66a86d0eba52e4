//! The verdict, look after look.

use codedance_core::decision::{
    Evidence, JudgeConfig, Memory, Policy, PolicyBuilder, ThresholdsConfig, Verdict,
};
use codedance_core::metrics::{Sample, Window};
use codedance_core::{Percent, Timestamp};
use proptest::prelude::*;

use super::{after, alike, classic, fitting, fitting_look, history, policy, worse};
use crate::support::Watcher;

proptest! {
    /// In the same state, that is: a canary that had been worse before would be in another one.
    #[test]
    fn worse_never_has_a_better_verdict(
        history in history(),
        look in fitting_look(),
        index in 0..4_usize,
        by in 0.0..2.0_f64,
    ) {
        let Some(sample) = worse(&look[index].canary, by) else { return Ok(()) };
        let mut spoiled = look.clone();
        spoiled[index].canary = sample;
        let better = after(policy(), &history).look(&look);
        let worse = after(policy(), &history).look(&spoiled);
        prop_assert!(worse.verdict >= better.verdict, "{worse:?}\n{better:?}");
    }

    #[test]
    fn order_means_nothing(history in history(), look in fitting_look(), turn in 1..5_usize) {
        let mut metrics = policy().build().unwrap().metrics().to_vec();
        metrics.rotate_left(turn);
        let turned = metrics.into_iter().fold(Policy::builder(), PolicyBuilder::with_metric);
        let mut plain = after(policy(), &history);
        let mut other = after(turned, &history);
        let mut shuffled = look.clone();
        shuffled.reverse();
        let (a, b) = (plain.look(&look), other.look(&shuffled));
        prop_assert_eq!(a.verdict, b.verdict);
        prop_assert!((a.score.low.points() - b.score.low.points()).abs() < 0.011);
        prop_assert!((a.score.high.points() - b.score.high.points()).abs() < 0.011);
    }

    #[test]
    fn what_is_required_and_missing_never_advances(
        history in history(),
        look in fitting_look(),
        index in prop::sample::select(vec![0_usize, 1, 2, 4]),
        how in 0..4,
    ) {
        let mut watcher = after(policy(), &history);
        let mut look = look;
        match how {
            0 => look[index].canary = Sample::NoData,
            1 => look[index].canary = Sample::Gauge(f64::NAN),
            2 => look[index].at = Some(Timestamp::EPOCH),
            _ => drop(look.remove(index)),
        }
        watcher.minute += 10;
        prop_assert_ne!(watcher.look(&look).verdict, Verdict::Advance);
    }

    /// Neither does what only one side knows.
    #[test]
    fn absence_never_rolls_back(
        looks in prop::collection::vec((0..4_usize, fitting_look()), 1..30),
    ) {
        for policy in [policy(), classic()] {
            let mut watcher = Watcher::new(policy);
            for (kept, look) in &looks {
                let look: Vec<_> = match *kept {
                    0 => Vec::new(),
                    1 => alike(&[const { Sample::NoData }; 5]),
                    kept => look.iter().take(kept * 2).cloned().map(|mut reading| {
                        reading.canary = Sample::NoData;
                        reading
                    }).collect(),
                };
                prop_assert_eq!(watcher.look(&look).verdict, Verdict::Hold);
            }
        }
    }

    #[test]
    fn constant_evidence_never_flips(
        samples in (
            fitting(0, 400), fitting(1, 400), fitting(2, 400), fitting(3, 400), fitting(4, 400),
        ),
    ) {
        let (a, b, c, d, e) = samples;
        let look = alike(&[a, b, c, d, e]);
        let mut watcher = Watcher::new(policy());
        let verdicts: Vec<_> = (0..30).map(|_| watcher.look(&look).verdict).collect();
        let both = verdicts.contains(&Verdict::Advance) && verdicts.contains(&Verdict::Rollback);
        prop_assert!(!both, "{verdicts:?}");
    }

    /// A difference between the sides adds up, so a canary may pass at first and be sent back
    /// later; never the other way round.
    #[test]
    fn constant_evidence_is_never_forgiven(look in fitting_look()) {
        let mut watcher = Watcher::new(policy());
        let verdicts: Vec<_> = (0..30).map(|_| watcher.look(&look).verdict).collect();
        let first = verdicts.iter().position(|v| *v == Verdict::Rollback);
        let later = &verdicts[first.unwrap_or(verdicts.len())..];
        prop_assert!(!later.contains(&Verdict::Advance), "{verdicts:?}");
    }

    #[test]
    fn no_haste(looks in prop::collection::vec(fitting_look(), 1..30), need in 1..6_u32) {
        let config = ThresholdsConfig::default().with_good_in_row(need);
        let mut watcher = Watcher::new(policy().with_judge(JudgeConfig::Thresholds(config)));
        for look in &looks[..looks.len().min(need as usize - 1)] {
            prop_assert_ne!(watcher.look(look).verdict, Verdict::Advance);
        }
    }

    /// One judge lives on, the other is written and read again at random looks.
    #[test]
    fn restarts_change_nothing(looks in history(), restarts in any::<u64>()) {
        let judge = policy().build().unwrap().judge(&[]);
        let (mut living, mut restored) = (Memory::default(), Memory::default());
        let mut stage = 0;
        for (index, (new_stage, look)) in looks.iter().enumerate() {
            stage += usize::from(*new_stage);
            if restarts >> index & 1 == 1 {
                let json = serde_json::to_string_pretty(&restored).unwrap();
                restored = serde_json::from_str(&json).unwrap();
            }
            let at = |minute: usize| Timestamp::from_millis(minute as i64 * 60_000);
            let window = Window::new(at(index), at(index + 1));
            let assess = |memory: &Memory| {
                let mut evidence = Evidence::new(window, look, memory);
                evidence.weight = Percent::new(10).unwrap();
                evidence.stage = stage;
                judge.assess(&evidence)
            };
            let (straight, again) = (assess(&living), assess(&restored));
            prop_assert_eq!(&straight, &again);
            (living, restored) = (straight.memory, again.memory);
        }
    }

    #[test]
    fn repeats_change_nothing(looks in history(), repeats in any::<u64>()) {
        let (mut once, mut often) = (Watcher::new(policy()), Watcher::new(policy()));
        for (index, (new_stage, look)) in looks.iter().enumerate() {
            for watcher in [&mut once, &mut often] {
                watcher.stage += usize::from(*new_stage);
            }
            let first = once.look(look);
            prop_assert_eq!(&often.look(look), &first);
            for _ in 0..(repeats >> (2 * index) & 3) {
                prop_assert_eq!(&often.look_again(look, |_| {}), &first);
            }
        }
    }
}
