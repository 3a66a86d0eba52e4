//! Long series made short enough to keep and to draw, without losing what matters in them.

/// The most points that a series of a story holds.
pub(crate) const MOST_POINTS: usize = 3_000;

/// Leaves at most `most` points: both ends, the least and the greatest value of each line within each
/// stretch of time, and each stretch's first gap. What is short enough is returned as it is.
///
/// `lines` gives what is drawn of a point; `None` is a gap in that line. An average would hide the one
/// bad minute that the report is read for.
pub(crate) fn thin<T, const N: usize>(
    points: Vec<T>,
    most: usize,
    lines: impl Fn(&T) -> [Option<f64>; N],
) -> Vec<T> {
    if points.len() <= most {
        return points;
    }
    // Of each stretch, the least, the greatest and a gap of each line; and the two ends.
    let stretches = (most.saturating_sub(2) / (3 * N)).max(1);
    let mut kept = vec![false; points.len()];
    kept[0] = true;
    kept[points.len() - 1] = true;
    for stretch in 0..stretches {
        let from = stretch * points.len() / stretches;
        let to = (stretch + 1) * points.len() / stretches;
        for line in 0..N {
            let values = || (from..to).map(|index| (index, lines(&points[index])[line]));
            let known = || values().filter_map(|(index, value)| Some((index, value?)));
            let least = known().min_by(|a, b| a.1.total_cmp(&b.1));
            let greatest = known().max_by(|a, b| a.1.total_cmp(&b.1));
            let gap = values().find(|(_, value)| value.is_none());
            for index in [
                least.map(|found| found.0),
                greatest.map(|found| found.0),
                gap.map(|found| found.0),
            ]
            .into_iter()
            .flatten()
            {
                kept[index] = true;
            }
        }
    }
    let mut kept = kept.into_iter();
    let mut points = points;
    points.retain(|_| kept.next().unwrap_or(true));
    points
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{
        Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
    };

    use super::*;

    type Point = (usize, [Option<f64>; 2]);

    fn extremes(points: &[Point], line: usize) -> (Option<f64>, Option<f64>) {
        let values = || points.iter().filter_map(|point| point.1[line]);
        (
            values().min_by(f64::total_cmp),
            values().max_by(f64::total_cmp),
        )
    }

    proptest! {
        #[test]
        fn thinning_keeps_extremes_ends_and_order(
            values in prop::collection::vec(
                prop::array::uniform2(prop_oneof![
                    4 => (-1e9..1e9f64).prop_map(Some),
                    1 => Just(None),
                ]),
                1..600,
            ),
            most in 8..200usize,
        ) {
            let points: Vec<Point> = values.into_iter().enumerate().collect();
            let thinned = thin(points.clone(), most, |point| point.1);
            prop_assert!(thinned.len() <= most);
            prop_assert!(thinned.is_sorted_by_key(|point| point.0));
            prop_assert_eq!(thinned.first(), points.first());
            prop_assert_eq!(thinned.last(), points.last());
            for line in 0..2 {
                prop_assert_eq!(extremes(&thinned, line), extremes(&points, line));
            }
        }

        #[test]
        fn what_is_short_stays_whole(values in prop::collection::vec(any::<u8>(), 0..100)) {
            let thinned = thin(values.clone(), 100, |value| [Some(f64::from(*value))]);
            prop_assert_eq!(thinned, values);
        }
    }
}
