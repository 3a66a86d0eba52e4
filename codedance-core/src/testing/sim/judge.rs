//! A judge of the user's own.

use std::sync::Arc;

use crate::decision::{Assessment, Evidence, Judge, Reason, Verdict};
use crate::metrics::Sample;

/// The name by which policies appoint it.
pub(super) const NAME: &str = "whim";

/// Mostly content, at times undecided, seldom against it: nobody can tell why, but it is the same for the
/// same window.
#[derive(Debug)]
struct Whim;

impl Judge for Whim {
    fn name(&self) -> &'static str {
        NAME
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let blind = evidence.failure.is_some()
            || evidence
                .readings
                .iter()
                .any(|reading| reading.canary == Sample::NoData);
        let verdict = match evidence.window.to.as_millis() / 1_000 % 32 {
            _ if blind => Verdict::Hold,
            0 => Verdict::Rollback,
            1..=4 => Verdict::Hold,
            _ => Verdict::Advance,
        };
        Assessment::new(verdict, vec![Reason::Other("so it is".to_owned())])
    }
}

/// The judges that every process has beside the built-in ones.
pub(super) fn own() -> Vec<Arc<dyn Judge>> {
    vec![Arc::new(Whim)]
}
