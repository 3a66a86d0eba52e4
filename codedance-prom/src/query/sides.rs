//! The two revisions that are compared, and how their series are told apart.

use std::collections::BTreeMap;

use regex::Regex;

/// How the sides are told apart: by this label, whose whole value matches one of the patterns.
#[derive(Clone, Debug)]
pub(crate) struct Sides {
    pub(crate) label: String,
    pub(crate) stable: Regex,
    pub(crate) canary: Regex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Stable,
    Canary,
}

/// A value for either side.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Both<T> {
    pub(crate) stable: T,
    pub(crate) canary: T,
}

impl<T> Both<T> {
    pub(crate) const fn of(&mut self, side: Side) -> &mut T {
        match side {
            Side::Stable => &mut self.stable,
            Side::Canary => &mut self.canary,
        }
    }

    pub(super) fn map<U>(self, mut f: impl FnMut(T) -> U) -> Both<U> {
        Both {
            stable: f(self.stable),
            canary: f(self.canary),
        }
    }
}

impl PartialEq for Sides {
    fn eq(&self, other: &Self) -> bool {
        let key = |sides: &Self| {
            let patterns = [&sides.stable, &sides.canary];
            (sides.label.clone(), patterns.map(Regex::to_string))
        };
        key(self) == key(other)
    }
}

impl Sides {
    pub(super) fn of(&self, labels: &BTreeMap<String, String>) -> Option<Side> {
        let value = labels.get(&self.label).map_or("", String::as_str);
        // Where one pattern is wider than the other (`.+`), the stable side's own is the narrower.
        if self.stable.is_match(value) {
            Some(Side::Stable)
        } else if self.canary.is_match(value) {
            Some(Side::Canary)
        } else {
            None
        }
    }
}
