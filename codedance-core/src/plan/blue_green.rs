//! All of the new revision beside all of the old, then one switch.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::weights::beside_stable;
use super::{Draft, Gate, Plan, PlanError, Stage, Strategy};
use crate::percent::Percent;
use crate::time;
use crate::workload::Workload;

/// Brings up the whole canary without users, switches all of them at once, and keeps the stable
/// revision at full strength until the switch has proved itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BlueGreen {
    /// How long the canary stands ready without users before the switch. Default none.
    #[serde(with = "time::duration")]
    pub preview: Duration,
    /// Who must agree to the switch. Default nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// How long all users are on the canary before the stable revision is retired. Default 5 min.
    #[serde(with = "time::duration")]
    pub bake: Duration,
}

impl Default for BlueGreen {
    fn default() -> Self {
        Self {
            preview: Duration::ZERO,
            gate: None,
            bake: Duration::from_secs(300),
        }
    }
}

impl BlueGreen {
    /// All users are on the canary for at least `bake` before the stable revision is retired.
    #[must_use]
    pub fn new(bake: Duration) -> Self {
        Self {
            bake,
            ..Self::default()
        }
    }

    /// The same with the canary standing ready for `preview` before the switch.
    #[must_use]
    pub const fn with_preview(mut self, preview: Duration) -> Self {
        self.preview = preview;
        self
    }

    /// The same with the switch behind a gate.
    #[must_use]
    pub fn with_gate(mut self, gate: Gate) -> Self {
        self.gate = Some(gate);
        self
    }
}

impl Strategy for BlueGreen {
    fn plan(&self, workload: &Workload) -> Result<Plan, PlanError> {
        let mut draft = Draft::new(workload);
        let stable = draft.stable_replicas(draft.replicas);
        draft.stages = vec![
            Stage::new(Percent::ZERO, draft.replicas, stable)
                .with_bake(self.preview)
                .with_gate(self.gate.clone())
                // Nobody uses the canary yet: its metrics would be missing for ever.
                .with_analysis(false),
            beside_stable(&draft, Percent::HUNDRED, None).with_bake(self.bake),
        ];
        draft.try_into()
    }
}
