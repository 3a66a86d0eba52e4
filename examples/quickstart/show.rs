//! What happens, as it happens: a live line on a terminal, a plain line for each event elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use codedance::Percent;
use codedance::plan::Plan;
use codedance::rollout::{Event, Happening};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where the events are shown.
#[derive(Debug)]
pub(crate) struct View {
    began: Instant,
    /// The canary's share as a bar, on a terminal.
    bar: Option<ProgressBar>,
    stages: usize,
}

impl View {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            bar: None,
            stages: 0,
        }
    }

    /// A rollout begins.
    pub(crate) fn begin(&mut self, plan: &Plan) {
        self.stages = plan.stages().len();
        if std::io::stdout().is_terminal() {
            let style = "{spinner} {prefix} [{bar:25.green/red}] {wide_msg}";
            let style = ProgressStyle::with_template(style).map(|s| s.progress_chars("█▌░"));
            let whole = u64::from(Percent::HUNDRED.basis_points());
            let target = ProgressDrawTarget::stdout();
            let bar = ProgressBar::with_draw_target(Some(whole), target)
                .with_prefix(plan.canary().to_string());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(100));
            self.bar = Some(bar);
        }
    }

    /// The rollout is over.
    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    pub(crate) fn event(&self, event: &Event) {
        let text = self.text(&event.what);
        if let (Some(bar), Happening::Routed { weight }) = (&self.bar, &event.what) {
            bar.set_position(u64::from(weight.basis_points()));
        }
        match (&self.bar, &event.what) {
            // Looks and replicas come several times a second: on a terminal they share a line.
            (Some(bar), Happening::Assessed(_) | Happening::FleetChanged(_)) => {
                bar.set_message(text);
            }
            _ => self.say(&text),
        }
    }

    /// One line that stays.
    pub(crate) fn say(&self, text: &str) {
        let line = format!("{:6.1} s  {text}", self.began.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// The event's own sentence, but for the few that this view knows more about.
    fn text(&self, what: &Happening) -> String {
        let of = self.stages;
        match what {
            Happening::StageEntered { stage, weight } => {
                format!("stage {} of {of}: {weight} for the canary", stage + 1)
            }
            Happening::StageReached { .. } | Happening::StageEarned { .. } => format!("  {what}"),
            Happening::FleetChanged(_) | Happening::Routed { .. } => format!("  {what}"),
            Happening::Assessed(_) => format!("  look: {what}"),
            other => other.to_string(),
        }
    }
}
