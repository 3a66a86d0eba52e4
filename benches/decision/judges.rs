//! Everybody who judges, and how he is asked.

use serde::Serialize;

use crate::appointed::Appointed;
use crate::kayenta::Kayenta;
use crate::references::{LindonMalek, Z};
use crate::traffic::{Minute, World};
use crate::wealth::{Bets, Wealth};

/// Watches rollouts, one after the other.
pub(crate) trait Detector<S> {
    /// A new rollout begins, of which this is the stable revision's past.
    fn begin(&mut self, past: &[S]);

    /// Looks at one minute more: whether the canary would be sent back now.
    fn look(&mut self, minute: &Minute<S>) -> bool;
}

/// Who judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Judge {
    /// The default judge of Codedance, with a look each minute.
    Codedance,
    /// Kayenta, by default each 5 minutes.
    Kayenta,
    KayentaEachMinute,
    /// Kayenta that tolerates an increase of a tenth (`allowedIncrease` 1.1).
    KayentaTolerant,
    Flagger,
    Argo,
    ZEachMinute,
    ZOnce,
    LindonMalek,
    /// The exact e-process, no ratio above 1 tolerated.
    Exact,
    /// The e-process that expects noise, a ratio of 1.1 tolerated.
    Robust,
}

impl Judge {
    /// Those that judge error rates.
    pub(crate) const OF_ERRORS: &[Self] = &[
        Self::Codedance,
        Self::Kayenta,
        Self::KayentaEachMinute,
        Self::Flagger,
        Self::Argo,
        Self::ZEachMinute,
        Self::ZOnce,
        Self::LindonMalek,
        Self::Exact,
        Self::Robust,
    ];

    /// Those that judge latencies.
    pub(crate) const OF_LATENCY: &[Self] = &[
        Self::Codedance,
        Self::Kayenta,
        Self::KayentaEachMinute,
        Self::KayentaTolerant,
        Self::Flagger,
        Self::Robust,
    ];

    /// Those that judge several error rates at once.
    pub(crate) const OF_METRICS: &[Self] = &[
        Self::Codedance,
        Self::Kayenta,
        Self::KayentaEachMinute,
        Self::Flagger,
        Self::Argo,
        Self::Exact,
        Self::Robust,
    ];

    /// Its name in tables and plots.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Codedance => "Codedance",
            Self::Kayenta => "Kayenta / 5 min",
            Self::KayentaEachMinute => "Kayenta / 1 min",
            Self::KayentaTolerant => "Kayenta / 5 min, 1.1",
            Self::Flagger => "Flagger",
            Self::Argo => "Argo",
            Self::ZEachMinute => "z / 1 min",
            Self::ZOnce => "z once",
            Self::LindonMalek => "Lindon–Malek",
            Self::Exact => "E exact",
            Self::Robust => "E robust",
        }
    }

    /// As a watcher of such rollouts.
    pub(crate) fn detector<W: World>(self) -> Box<dyn Detector<W::Side>> {
        match self {
            Self::Codedance => Box::new(Appointed::codedance::<W>()),
            Self::Kayenta => Box::new(Kayenta::new(5, 1.0)),
            Self::KayentaEachMinute => Box::new(Kayenta::new(1, 1.0)),
            Self::KayentaTolerant => Box::new(Kayenta::new(5, 1.1)),
            Self::Flagger => Box::new(Appointed::flagger::<W>()),
            Self::Argo => Box::new(Appointed::argo::<W>()),
            Self::ZEachMinute => Box::new(Z::each_minute()),
            Self::ZOnce => Box::new(Z::once()),
            Self::LindonMalek => Box::new(LindonMalek::default()),
            Self::Exact => Box::new(Wealth::new(Bets::EXACT)),
            Self::Robust => Box::new(Wealth::new(W::ROBUST)),
        }
    }
}
