//! What the counters were, and when: the past that windows are cut from.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use codedance_core::Timestamp;
use codedance_core::metrics::Window;

use crate::stats::Totals;

/// The totals of one revision at points in time.
///
/// What a window holds depends on the notes alone, never on when it is asked for: the same window
/// gives the same answer twice, and windows that follow each other count every request once.
#[derive(Debug)]
pub(crate) struct History {
    notes: Mutex<Notes>,
    reach: Duration,
}

#[derive(Debug, Default)]
struct Notes {
    /// In the order of time. Each holds until the next.
    kept: VecDeque<(Timestamp, Totals)>,
    /// Whether notes were forgotten: what was before the first is then unknown, not nothing.
    forgotten: bool,
}

impl History {
    /// Reaches back as far as `reach`.
    pub(crate) fn new(reach: Duration) -> Self {
        Self {
            notes: Mutex::default(),
            reach,
        }
    }

    /// Notes that the totals are these at `now`.
    pub(crate) fn note(&self, now: Timestamp, totals: Totals) {
        let mut notes = self.lock();
        // A clock that was set back must not reorder the past.
        let now = notes.kept.back().map_or(now, |(at, _)| now.max(*at));
        if notes.kept.back().is_none_or(|(_, last)| *last != totals) {
            notes.kept.push_back((now, totals));
        }
        // The first note is of use as long as it says what holds at the horizon.
        while notes
            .kept
            .get(1)
            .is_some_and(|(at, _)| now.since(*at) >= self.reach)
        {
            notes.kept.pop_front();
            notes.forgotten = true;
        }
    }

    /// What was counted within the window; `None` if it begins before what is remembered.
    pub(crate) fn within(&self, window: Window) -> Option<Totals> {
        let notes = self.lock();
        let at = |time: Timestamp| {
            let next = notes.kept.partition_point(|(at, _)| *at <= time);
            match next.checked_sub(1) {
                Some(place) => Some(notes.kept[place].1.clone()),
                None => (!notes.forgotten).then(Totals::default),
            }
        };
        Some(at(window.to)?.since(&at(window.from)?))
    }

    /// When something was last counted.
    pub(crate) fn last_change(&self) -> Option<Timestamp> {
        self.lock().kept.back().map(|(at, _)| *at)
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn totals(answers: u64) -> Totals {
        Totals {
            answers: [0, answers, 0, 0, 0],
            latency_buckets: vec![answers, 0],
            ..Totals::default()
        }
    }

    fn requests(history: &History, from: i64, to: i64) -> Option<u64> {
        let window = Window::new(at(from), at(to));
        history.within(window).map(|totals| totals.requests())
    }

    #[test]
    fn windows_that_follow_each_other_count_everything_once() {
        let history = History::new(Duration::from_secs(60));
        for (seconds, answers) in [(10, 0), (11, 5), (12, 5), (13, 9)] {
            history.note(at(seconds), totals(answers));
        }
        assert_eq!(requests(&history, 0, 11), Some(5));
        assert_eq!(requests(&history, 11, 12), Some(0));
        assert_eq!(requests(&history, 12, 99), Some(4));
        assert_eq!(requests(&history, 0, 99), Some(9));
    }

    #[test]
    fn what_is_forgotten_is_unknown_and_not_nothing() {
        let history = History::new(Duration::from_secs(10));
        for seconds in 0..30 {
            history.note(at(seconds), totals(seconds as u64));
        }
        assert_eq!(requests(&history, 18, 29), None);
        assert_eq!(requests(&history, 19, 29), Some(10));
        // Silence makes nobody forget the last note.
        history.note(at(1_000), totals(29));
        assert_eq!(requests(&history, 900, 1_000), Some(0));
    }

    #[test]
    fn a_clock_set_back_reorders_nothing() {
        let history = History::new(Duration::from_secs(60));
        history.note(at(20), totals(1));
        history.note(at(5), totals(2));
        assert_eq!(requests(&history, 10, 19), Some(0));
        assert_eq!(requests(&history, 10, 20), Some(2));
        assert_eq!(history.last_change(), Some(at(20)));
    }
}
