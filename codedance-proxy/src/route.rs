//! Who answers a request.

use std::sync::Arc;

use crate::endpoint::{Endpoint, RevisionState};
use crate::health::Rank;
use crate::mirror::MirrorTarget;

/// Who answers a request and why, and who gets a copy of it.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) route: Arc<Route>,
    pub(crate) reason: Reason,
    pub(crate) mirror: Option<Arc<MirrorTarget>>,
}

/// Why a request goes to its revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It gets everything.
    Only,
    Rule,
    Cohort,
    /// The request has no key of a cohort.
    Fallback,
    Weight,
}

impl Reason {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Rule => "rule",
            Self::Cohort => "cohort",
            Self::Fallback => "fallback",
            Self::Weight => "weight",
        }
    }
}

/// A revision and the endpoints that serve it.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) revision: Arc<RevisionState>,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
}

impl Route {
    /// The endpoints in the order in which to try them: the one whose turn it is of those that are
    /// thought best of, then the others by their rank.
    pub(crate) fn order(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        let count = self.endpoints.len();
        let turn = if count == 0 {
            0
        } else {
            self.revision.turn(count)
        };
        let from_turn = move || (turn..turn + count).map(move |place| place % count);
        let rank = move |place: usize| self.endpoints[place].standing.rank();
        let is_ready = count > 0 && rank(turn) == Rank::Ready;
        let first = if is_ready {
            turn
        } else {
            self.one_of_the_best(turn)
        };
        // Sorted only when the first has failed: that is rare, and allocates.
        let rest = std::iter::once_with(move || {
            let mut rest: Vec<_> = from_turn().filter(|place| *place != first).collect();
            rest.sort_by_key(|place| rank(*place));
            rest
        });
        std::iter::once(first)
            .chain(rest.flatten())
            .take(count)
            .map(|place| &self.endpoints[place])
    }

    /// The endpoint whose turn it is, if none is thought better of, or else one of the best by
    /// chance: whoever is next after one that is passed over would get its share as well.
    fn one_of_the_best(&self, turn: usize) -> usize {
        let ranks = || {
            self.endpoints
                .iter()
                .map(|endpoint| endpoint.standing.rank())
        };
        let best = ranks().min();
        let is_best = |place: &usize| ranks().nth(*place) == best;
        if is_best(&turn) {
            return turn;
        }
        let best_places = || (0..self.endpoints.len()).filter(is_best);
        let chance = fastrand::usize(..best_places().count().max(1));
        // A rank may have changed just now.
        best_places().nth(chance).unwrap_or(turn)
    }
}
