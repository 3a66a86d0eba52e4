//! From counters that only grow, and now and then start again, to what they counted in each interval.

use std::collections::BTreeMap;
use std::time::Duration;

use codedance_core::Timestamp;

/// The values of one counter over time; where there is none, it was not there.
pub(super) type Counter = BTreeMap<Timestamp, f64>;

/// What the counters counted together in each interval, by its end. `times` are the points at which
/// something was scraped, in order; where they are further apart than the step nobody knows what was
/// counted when.
///
/// - A value that is lower than the one before says that the counter started again from 0 between them:
///   what it has reached since then was counted.
/// - A counter that appears while others were scraped before was born with what it shows: that was
///   counted from 0. (The series of a status code begins with its first request.)
/// - A counter that comes back after a gap counts from its next value on, since nobody knows in which
///   interval the rest of it was counted.
pub(super) fn increases(
    counters: &[&Counter],
    times: &[Timestamp],
    step: Duration,
) -> BTreeMap<Timestamp, f64> {
    let mut sums: BTreeMap<Timestamp, f64> = BTreeMap::new();
    // Half a step of grace: evaluation times are on a grid, but people edit files.
    let longest = step + step / 2;
    for (earlier, later) in times.iter().zip(times.iter().skip(1)) {
        if later.since(*earlier) > longest {
            continue;
        }
        for counter in counters {
            let born = || counter.first_key_value().map(|(at, _)| at) == Some(later);
            let counted = match (counter.get(earlier), counter.get(later)) {
                (Some(before), Some(now)) if now >= before => now - before,
                (Some(_), Some(now)) => *now,
                (None, Some(now)) if born() => *now,
                (Some(_) | None, None) | (None, Some(_)) => continue,
            };
            *sums.entry(*later).or_default() += counted;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: usize) -> Timestamp {
        Timestamp::from_millis(30_000 * index as i64)
    }

    fn counter(values: &[Option<f64>]) -> Counter {
        let points = values.iter().enumerate();
        points
            .filter_map(|(index, value)| Some((at(index), (*value)?)))
            .collect()
    }

    fn counted(counters: &[&[Option<f64>]], times: &[usize]) -> Vec<Option<f64>> {
        let counters: Vec<_> = counters.iter().map(|values| counter(values)).collect();
        let counters: Vec<_> = counters.iter().collect();
        let times: Vec<_> = times.iter().map(|index| at(*index)).collect();
        let sums = increases(&counters, &times, Duration::from_secs(30));
        times.iter().map(|at| sums.get(at).copied()).collect()
    }

    #[test]
    fn counters_are_differenced_with_births_resets_and_gaps() {
        const NONE: Option<f64> = None;
        let (old, all) = ([Some(1000.0); 5], [0, 1, 2, 3, 4]);
        let some = |values: [f64; 5]| values.map(Some);
        for (what, counter, want) in [
            (
                "grows",
                some([10.0, 12.0, 12.0, 15.0, 20.0]),
                [NONE, Some(2.0), Some(0.0), Some(3.0), Some(5.0)],
            ),
            (
                "starts again: 4 were counted since",
                some([10.0, 12.0, 4.0, 5.0, 5.0]),
                [NONE, Some(2.0), Some(4.0), Some(1.0), Some(0.0)],
            ),
            (
                "is born late: counted from 0",
                [NONE, NONE, Some(7.0), Some(9.0), Some(9.0)],
                [NONE, Some(0.0), Some(7.0), Some(2.0), Some(0.0)],
            ),
            (
                "comes back after a gap: what it counted meanwhile has no interval",
                [Some(1.0), Some(3.0), NONE, Some(50.0), Some(51.0)],
                [NONE, Some(2.0), Some(0.0), Some(0.0), Some(1.0)],
            ),
            (
                "ends",
                [Some(1.0), Some(3.0), NONE, NONE, NONE],
                [NONE, Some(2.0), Some(0.0), Some(0.0), Some(0.0)],
            ),
        ] {
            // Another counter that stands still says that the targets were scraped all the time.
            assert_eq!(counted(&[&old, &counter], &all), want, "{what}");
        }
    }

    #[test]
    fn without_a_scrape_before_nothing_is_known() {
        let grows: Vec<_> = (0..6).map(|value| Some(f64::from(value))).collect();
        let want = [None, Some(1.0), None, Some(1.0)];
        assert_eq!(counted(&[&grows], &[0, 1, 4, 5]), want);
        let born = [None, None, None, None, Some(9.0), Some(9.0)];
        // At 4 the first scrape after a gap: it may have been there for long.
        assert_eq!(counted(&[&grows, &born], &[0, 1, 4, 5])[2], None);
    }
}
