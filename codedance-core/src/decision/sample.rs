//! From a reading to something that can be judged, or the way in which it cannot.

use std::time::Duration;

use super::Evidence;
use super::metric::Watch;
use super::reason::Absence;
use crate::metrics::{Reading, Sample, Signal};

/// One side of one metric at one look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Seen {
    /// So many bad requests of so many; never more bad ones than requests, never none at all.
    Rate { bad: u64, total: u64 },
    /// Seconds, over so many requests; not NaN, never over none at all.
    Latency { seconds: f64, count: u64 },
    /// Not NaN.
    Gauge(f64),
}

impl Seen {
    /// The value in the signal's own sense: of a success rate, the share of good requests.
    pub(super) fn value(self, signal: &Signal) -> f64 {
        match self {
            Self::Rate { bad, total } if matches!(signal, Signal::SuccessRate) => {
                (total - bad) as f64 / total as f64
            }
            Self::Rate { bad, total } => bad as f64 / total as f64,
            Self::Latency { seconds, .. } => seconds,
            Self::Gauge(value) => value,
        }
    }
}

/// How old the newest sample may be: twice the interval, and never less than a minute.
pub(super) fn oldest(interval: Duration) -> Duration {
    (interval * 2).max(Duration::from_secs(60))
}

/// The reading of a metric. Readings come in the policy's order, but are found wherever they are.
pub(super) fn reading<'a>(
    evidence: &Evidence<'a>,
    index: usize,
    watch: &Watch,
) -> Option<&'a Reading> {
    let expected = evidence.readings.get(index);
    expected
        .filter(|reading| reading.name == watch.name)
        .or_else(|| evidence.reading(&watch.name))
}

/// What the canary's side shows.
pub(super) fn canary(
    evidence: &Evidence<'_>,
    reading: Option<&Reading>,
    signal: &Signal,
    oldest: Duration,
) -> Result<Seen, Absence> {
    let reading = reading.ok_or(Absence::Nothing)?;
    match age(evidence, reading) {
        age if age > oldest => Err(Absence::Stale(age)),
        _ => seen(signal, &reading.canary),
    }
}

/// How old a reading's newest sample is.
pub(super) fn age(evidence: &Evidence<'_>, reading: &Reading) -> Duration {
    reading
        .at
        .map_or(Duration::ZERO, |at| evidence.window.to.since(at))
}

/// The stable side's value, if it shows one.
pub(super) fn stable(reading: Option<&Reading>, signal: &Signal) -> Option<f64> {
    let seen = seen(signal, &reading?.stable).ok()?;
    Some(seen.value(signal))
}

/// A sample in the shape that its signal has.
pub(super) fn seen(signal: &Signal, sample: &Sample) -> Result<Seen, Absence> {
    match (signal, sample) {
        (_, Sample::NoData)
        | (Signal::ErrorRate | Signal::SuccessRate, Sample::Counts { total: 0, bad: 0 })
        | (Signal::Latency(_), Sample::Quantile { count: 0, .. }) => Err(Absence::Nothing),
        (Signal::ErrorRate | Signal::SuccessRate, &Sample::Counts { bad, total })
            if bad <= total =>
        {
            Ok(Seen::Rate { bad, total })
        }
        (Signal::Latency(_), &Sample::Quantile { value, count }) if !value.is_nan() => {
            Ok(Seen::Latency {
                seconds: value,
                count,
            })
        }
        (Signal::Latency(quantile), Sample::Histogram(histogram)) => {
            let seconds = histogram.quantile(*quantile).ok_or(Absence::Nothing)?;
            Ok(Seen::Latency {
                seconds,
                count: histogram.total(),
            })
        }
        (Signal::Query(_), &Sample::Gauge(value)) if !value.is_nan() => Ok(Seen::Gauge(value)),
        (
            _,
            Sample::Counts { .. }
            | Sample::Quantile { .. }
            | Sample::Histogram(_)
            | Sample::Gauge(_),
        ) => Err(Absence::Unusable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Histogram, Quantile};

    #[test]
    fn what_does_not_fit_its_signal_is_no_data_and_never_zero() {
        let latency = Signal::Latency(Quantile::new(0.99).unwrap());
        let query = Signal::Query("q".to_owned());
        let counts = |bad, total| Sample::Counts { bad, total };
        let quantile = |value, count| Sample::Quantile { value, count };
        let histogram = |counts| Sample::Histogram(Histogram::new([0.5], counts).unwrap());
        for (signal, sample, absence) in [
            (&Signal::ErrorRate, Sample::NoData, Absence::Nothing),
            (&Signal::ErrorRate, counts(0, 0), Absence::Nothing),
            (&Signal::ErrorRate, counts(2, 1), Absence::Unusable),
            (&Signal::SuccessRate, Sample::Gauge(0.99), Absence::Unusable),
            (&latency, quantile(0.1, 0), Absence::Nothing),
            (&latency, histogram([0, 0]), Absence::Nothing),
            (&Signal::ErrorRate, histogram([1, 0]), Absence::Unusable),
            (&query, histogram([1, 0]), Absence::Unusable),
            (&latency, quantile(f64::NAN, 9), Absence::Unusable),
            (&latency, Sample::Gauge(0.1), Absence::Unusable),
            (&query, Sample::Gauge(f64::NAN), Absence::Unusable),
            (&query, counts(0, 9), Absence::Unusable),
        ] {
            assert_eq!(seen(signal, &sample), Err(absence), "{signal:?} {sample:?}");
        }
        let good = seen(&Signal::SuccessRate, &counts(1, 4)).unwrap();
        assert_eq!(good.value(&Signal::SuccessRate), 0.75);
    }

    #[test]
    fn a_histogram_shows_the_quantile_that_is_watched_over_all_its_requests() {
        let histogram = Histogram::new([0.5, 1.0], [4, 4, 0]).unwrap();
        let sample = Sample::Histogram(histogram);
        for (share, seconds) in [(0.25, 0.25), (0.75, 0.75)] {
            let latency = Signal::Latency(Quantile::new(share).unwrap());
            let count = 8;
            assert_eq!(
                seen(&latency, &sample),
                Ok(Seen::Latency { seconds, count })
            );
        }
    }
}
