//! What a benchmark found, beside its goal.

use anyhow::{Context, Result};
use serde::{Serialize, de::DeserializeOwned};

/// One figure, beside whom we compare with and the goal.
///
/// The goal is for the ratio where there is a rival, and for our own figure where there is none. What could
/// not be measured has no figure, but a note that says why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: Option<f64>,
    /// The figure of whom we compare with; some benchmarks compare with a goal alone.
    pub(crate) rival: Option<f64>,
    /// Ours by the rival's, or by the goal where there is no rival. Of several rounds, the median of
    /// their ratios: what disturbs a round disturbs both.
    pub(crate) ratio: Option<f64>,
    /// The smallest and the largest ratio of the rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spread: Option<[f64; 2]>,
    /// By how much chance may be off in what the goal is for, as a standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<f64>,
    pub(crate) goal: Option<f64>,
    /// None where no goal is set, or nothing could be measured.
    pub(crate) met: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// Shown to be known, not judged.
    None,
}

impl Goal {
    const fn bound(self) -> Option<f64> {
        match self {
            Self::AtMost(bound) | Self::AtLeast(bound) => Some(bound),
            Self::None => None,
        }
    }

    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtMost(bound) => Some(value <= bound),
            Self::AtLeast(bound) => Some(value >= bound),
            Self::None => None,
        }
    }
}

impl Figure {
    /// Our figure and its own goal.
    pub(crate) fn alone(
        name: impl Into<String>,
        unit: &'static str,
        ours: f64,
        goal: Goal,
    ) -> Self {
        Self {
            ours: Some(ours),
            ratio: goal
                .bound()
                .filter(|bound| *bound != 0.0)
                .map(|bound| ours / bound),
            goal: goal.bound(),
            met: goal.is_met(ours),
            ..Self::missing(name, unit, "").with_note(None)
        }
    }

    /// Our figures of some rounds beside a rival's of the same rounds, and the goal for their ratio.
    ///
    /// # Panics
    ///
    /// Without a round.
    pub(crate) fn beside(
        name: impl Into<String>,
        unit: &'static str,
        ours: &[f64],
        rival: &[f64],
        goal: Goal,
    ) -> Self {
        let mut ratios: Vec<_> = ours.iter().zip(rival).map(|(a, b)| a / b).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = median(&ratios);
        Self {
            ours: Some(median(ours)),
            rival: Some(median(rival)),
            ratio: Some(ratio),
            spread: Some([ratios[0], ratios[ratios.len() - 1]]),
            goal: goal.bound(),
            met: goal.is_met(ratio),
            ..Self::missing(name, unit, "").with_note(None)
        }
    }

    /// Our figure beside a rival's, each counted once, and the goal for their ratio.
    pub(crate) fn counted(
        name: impl Into<String>,
        unit: &'static str,
        ours: f64,
        rival: f64,
        goal: Goal,
    ) -> Self {
        Self {
            spread: None,
            ..Self::beside(name, unit, &[ours], &[rival], goal)
        }
    }

    /// A figure that could not be had.
    pub(crate) fn missing(
        name: impl Into<String>,
        unit: &'static str,
        why: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            unit,
            ours: None,
            rival: None,
            ratio: None,
            spread: None,
            error: None,
            goal: None,
            met: None,
            note: Some(why.into()),
        }
    }

    /// The same with the standard error of what the goal is for.
    pub(crate) const fn with_error(mut self, error: f64) -> Self {
        self.error = Some(error);
        self
    }

    pub(crate) fn with_note(mut self, note: impl Into<Option<String>>) -> Self {
        self.note = note.into();
        self
    }
}

/// What a benchmark says in its last line of JSON, behind any other output.
///
/// # Errors
///
/// If there is no such line, or it says something else; the line is named.
pub(crate) fn last_line<T: DeserializeOwned>(output: &str) -> Result<T> {
    let mut lines = output.lines().rev();
    let json = lines.find(|line| line.trim_start().starts_with('{'));
    let json = json.context("it printed no line of JSON")?;
    serde_json::from_str(json).with_context(|| format!("it printed `{json}`"))
}

/// The value in the middle.
///
/// # Panics
///
/// Without a value.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The figures in columns, a line each.
pub(crate) fn table(figures: &[Figure]) -> String {
    let width = figures.iter().map(|f| f.name.len()).max().unwrap_or(0);
    let head = format!(
        "{:<width$} {:>10} {:>10}  {:<8} {:>7} {:>15} {:>7}\n",
        "", "ours", "rival", "unit", "ratio", "rounds or error", "goal"
    );
    let rows = figures.iter().map(|f| {
        let [ours, rival, ratio, goal] =
            [f.ours, f.rival, f.ratio, f.goal].map(|value| value.map_or_else(String::new, number));
        let spread = match (f.spread, f.error) {
            (Some([low, high]), _) => format!("{low:.2} to {high:.2}"),
            (None, Some(error)) => format!("± {error:.3}"),
            (None, None) => String::new(),
        };
        let met = match f.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let note = f.note.as_deref().unwrap_or_default();
        let row = format!(
            "{:<width$} {ours:>10} {rival:>10}  {:<8} {ratio:>7} {spread:>15} {goal:>7}  {met:<6}  {note}",
            f.name, f.unit
        );
        row.trim_end().to_owned() + "\n"
    });
    std::iter::once(head).chain(rows).collect()
}

/// Small figures need their decimals, large ones do not.
fn number(value: f64) -> String {
    if value < 100.0 && value.fract() != 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_compared_with_itself() {
        // Everything was slow in the second round: the ratio is the same.
        let figure = Figure::beside(
            "x",
            "ms",
            &[2.0, 20.0, 3.0],
            &[1.0, 10.0, 1.0],
            Goal::AtMost(2.0),
        );
        assert_eq!((figure.ratio, figure.met), (Some(2.0), Some(true)));
        assert_eq!(figure.spread, Some([2.0, 3.0]));
        assert_eq!((figure.ours, figure.rival), (Some(3.0), Some(1.0)));
    }

    #[test]
    fn goals_bound_from_above_or_from_below() {
        let met = |goal| Figure::alone("x", "", 2.0, goal).met;
        assert_eq!(met(Goal::AtMost(1.9)), Some(false));
        assert_eq!(met(Goal::AtLeast(1.9)), Some(true));
        assert_eq!(met(Goal::None), None);
        let nothing = Figure::alone("x", "", 0.0, Goal::AtMost(0.0));
        assert_eq!((nothing.ratio, nothing.met), (None, Some(true)));
    }

    #[test]
    fn chance_is_shown_beside_what_it_may_change() {
        let figure = Figure::counted("x", "", 3.0, 4.0, Goal::AtMost(0.8)).with_error(0.05);
        assert_eq!((figure.ratio, figure.met), (Some(0.75), Some(true)));
        let table = table(std::slice::from_ref(&figure));
        assert!(table.contains("± 0.050"), "{table}");
        let json = serde_json::to_string(&figure).unwrap();
        assert!(
            json.contains(r#""ratio":0.75,"error":0.05,"goal":0.8"#),
            "{json}"
        );
    }

    #[test]
    fn json_and_table_name_every_figure() {
        let figures = [
            Figure::alone("step_next", "ns", 412.5, Goal::AtMost(1_000.0)),
            Figure::missing("throughput_envoy", "1/s", "there is no Envoy"),
        ];
        assert_eq!(
            serde_json::to_string(&figures[..1]).unwrap(),
            r#"[{"name":"step_next","unit":"ns","ours":412.5,"rival":null,"ratio":0.4125,"goal":1000.0,"met":true}]"#
        );
        let table = table(&figures);
        assert!(
            table.contains("step_next") && table.contains("there is no Envoy"),
            "{table}"
        );
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
