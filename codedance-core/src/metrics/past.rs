//! The past as it is written: histograms that follow each other write their bounds once.
//!
//! A journal keeps an hour of the past, minute by minute, for each metric; two thirds of it would be
//! bounds.

use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Histogram, Sample};

/// Samples that follow each other.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Run {
    /// Histograms with the same bounds, of which null is no data.
    Histograms {
        bounds: Arc<[f64]>,
        counts: Vec<Option<Arc<[u64]>>>,
    },
    Samples(Vec<Sample>),
}

pub(super) fn serialize<S: Serializer>(
    samples: &[Sample],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut runs: Vec<Run> = Vec::new();
    for sample in samples {
        match (runs.last_mut(), sample) {
            (Some(Run::Histograms { bounds, counts }), Sample::Histogram(histogram))
                if *bounds == histogram.bounds =>
            {
                counts.push(Some(Arc::clone(&histogram.counts)));
            }
            (Some(Run::Histograms { counts, .. }), Sample::NoData) => counts.push(None),
            (_, Sample::Histogram(histogram)) => runs.push(Run::Histograms {
                bounds: Arc::clone(&histogram.bounds),
                counts: vec![Some(Arc::clone(&histogram.counts))],
            }),
            (Some(Run::Samples(samples)), other) => samples.push(other.clone()),
            (_, other) => runs.push(Run::Samples(vec![other.clone()])),
        }
    }
    runs.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Sample>, D::Error> {
    let mut past = Vec::new();
    for run in Vec::<Run>::deserialize(deserializer)? {
        match run {
            Run::Samples(samples) => past.extend(samples),
            Run::Histograms { bounds, counts } => {
                for counts in counts {
                    past.push(match counts {
                        Some(counts) => Histogram::new(Arc::clone(&bounds), counts)
                            .map(Sample::Histogram)
                            .map_err(D::Error::custom)?,
                        None => Sample::NoData,
                    });
                }
            }
        }
    }
    Ok(past)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Reading;

    fn histogram(bounds: &[f64], counts: &[u64]) -> Sample {
        Sample::Histogram(Histogram::new(bounds, counts).unwrap())
    }

    fn with_past(samples: &[Sample]) -> Reading {
        Reading::new("it", Sample::NoData, Sample::NoData).with_history(samples.to_vec())
    }

    #[test]
    fn a_past_of_any_samples_is_read_as_it_was_written() {
        let past = [
            Sample::NoData,
            histogram(&[0.1, 0.3], &[1, 2, 3]),
            Sample::NoData,
            histogram(&[0.1, 0.3], &[u64::MAX, 0, 5]),
            histogram(&[0.2], &[1, 2]),
            Sample::Gauge(0.1 + 0.2),
            Sample::NoData,
            Sample::Counts { bad: 1, total: 9 },
            histogram(&[0.2], &[3, 4]),
        ];
        for end in 0..=past.len() {
            let reading = with_past(&past[..end]);
            let json = serde_json::to_string(&reading).unwrap();
            assert_eq!(
                serde_json::from_str::<Reading>(&json).unwrap(),
                reading,
                "{json}"
            );
        }
    }

    #[test]
    fn a_past_that_contradicts_itself_is_refused() {
        let json = serde_json::to_string(&with_past(&[histogram(&[0.5], &[1, 2])])).unwrap();
        for (from, to) in [
            ("[[1,2]]", "[[1]]"),
            ("[0.5]", "[-0.5]"),
            ("bounds", "limits"),
        ] {
            assert!(json.contains(from), "{json}");
            let spoiled = json.replace(from, to);
            assert!(
                serde_json::from_str::<Reading>(&spoiled).is_err(),
                "{spoiled}"
            );
        }
    }

    /// What a journal keeps of a service with 100 requests a second, once for each rollout.
    #[test]
    fn an_hour_of_histograms_takes_less_than_4_kib() {
        let bounds = [
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ];
        let minute = |minute: u64| {
            let counts = [310, 1_120, 2_480, 1_530, 390, 110, 41, 14, 4, 1, 0, 0];
            histogram(&bounds, &counts.map(|count| count + minute % 7))
        };
        let past: Vec<Sample> = (0..60).map(minute).collect();
        let json = serde_json::to_string(&with_past(&past)).unwrap();
        let apart = serde_json::to_string(&past).unwrap();
        println!("{} bytes, instead of {}", json.len(), apart.len());
        assert!(json.len() < 4 * 1024, "{} bytes", json.len());
    }
}
