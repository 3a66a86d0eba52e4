//! What is asked, field by field.

use std::time::Duration;

use codedance_core::Timestamp;

use super::url::Endpoint;

/// What is asked, as it is sent but for the time that is left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Form {
    pub(super) endpoint: Endpoint,
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Form {
    pub(super) fn instant(query: &str, at: Timestamp) -> Self {
        let fields = vec![("time", seconds(at))];
        Self::new(Endpoint::Query, query, fields)
    }

    pub(super) fn range(query: &str, from: Timestamp, to: Timestamp, step: Duration) -> Self {
        // As a number of seconds, Prometheus would cut it off: 1.001 becomes 1.000.
        let step = format!("{}ms", step.as_millis());
        let fields = vec![
            ("start", seconds(from)),
            ("end", seconds(to)),
            ("step", step),
        ];
        Self::new(Endpoint::QueryRange, query, fields)
    }

    fn new(endpoint: Endpoint, query: &str, mut fields: Vec<(&'static str, String)>) -> Self {
        fields.push(("query", query.to_owned()));
        // VictoriaMetrics would hide the newest 30 s; Prometheus does not know it.
        fields.push(("nocache", "1".to_owned()));
        Self { endpoint, fields }
    }
}

/// A time in decimal seconds.
pub(super) fn seconds(at: Timestamp) -> String {
    let millis = at.as_millis();
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_sent_as_decimal_seconds() {
        for (millis, expected) in [
            (0, "0.000"),
            (1, "0.001"),
            (15_000, "15.000"),
            (1_795_304_790_497, "1795304790.497"),
        ] {
            assert_eq!(seconds(Timestamp::from_millis(millis)), expected);
        }
    }
}
