//! Who gets which revision.

use std::collections::BTreeMap;
use std::sync::Arc;

use codedance_core::Percent;
use codedance_core::traffic::Split;
use codedance_core::workload::Revision;
use http::HeaderMap;

use crate::cohort::{KeySource, in_cohort};
use crate::mirror::MirrorTarget;
use crate::route::{Reason, Route};
use crate::rules::{Rules, Side};

/// Everything that one request needs to know to be sent on its way.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) split: Split,
    pub(super) stable: Arc<Route>,
    pub(super) canary: Option<(Arc<Route>, Percent)>,
    pub(super) key: Option<KeySource>,
    pub(super) rules: Arc<Rules>,
    pub(super) mirror: Option<Arc<MirrorTarget>>,
    pub(super) routes: BTreeMap<Revision, Arc<Route>>,
}

impl Table {
    pub(super) fn choose(&self, headers: &HeaderMap, address: &[u8]) -> (&Arc<Route>, Reason) {
        let Some((canary, weight)) = &self.canary else {
            return (&self.stable, Reason::Only);
        };
        match self.is_for_canary(*weight, headers, address) {
            (true, reason) => (canary, reason),
            (false, reason) => (&self.stable, reason),
        }
    }

    fn is_for_canary(
        &self,
        weight: Percent,
        headers: &HeaderMap,
        address: &[u8],
    ) -> (bool, Reason) {
        if weight == Percent::ZERO || weight == Percent::HUNDRED {
            return (weight == Percent::HUNDRED, Reason::Only);
        }
        if let Some(side) = self.rules.side(headers, address) {
            return (side == Side::Canary, Reason::Rule);
        }
        let Some(key) = &self.key else {
            let chance = fastrand::u16(..Percent::HUNDRED.basis_points());
            return (chance < weight.basis_points(), Reason::Weight);
        };
        match key.key(headers, address) {
            b"" => (false, Reason::Fallback),
            key => (in_cohort(key, weight), Reason::Cohort),
        }
    }
}
