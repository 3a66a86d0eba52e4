//! What was found, as plots: what a conviction costs, and who convicts the innocent.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::judges::Judge;
use crate::scenarios::{Level, Played, Table};
use crate::svg::{Drawing, Set, class};
use crate::tally::Tally;

/// Above so many percent of false positives a judge's power says little.
const LOOSE: f64 = 2.0;

/// Writes both plots into a folder, which is made if it is not there.
pub(crate) fn write(folder: &Path, played: &[Played]) -> Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    for (name, drawing) in [
        ("power.svg", power(played)),
        ("false-positives.svg", false_positives(played)),
    ] {
        let path = folder.join(name);
        fs::write(&path, drawing)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// The judges whose power is drawn.
const POWERFUL: [Judge; 5] = [
    Judge::Kayenta,
    Judge::Flagger,
    Judge::LindonMalek,
    Judge::Robust,
    Judge::Codedance,
];

/// The panels: a sick canary, and a healthy one in the same environment.
const PANELS: [(Level, &str, &str); 6] = [
    (Level::Low, "×2", "stationary"),
    (Level::Mid, "×1.5", "stationary"),
    (Level::Mid, "×2", "stationary"),
    (Level::Mid, "×2, base 0.1 %", "base 0.1 %"),
    (Level::High, "×1.25", "stationary"),
    (Level::High, "×2, arm noise 0.5", "arm noise 0.5"),
];

/// How many rollouts were sent back by which request to the canary, a panel for each regression.
fn power(played: &[Played]) -> String {
    const PLOT: (f64, f64) = (264.0, 168.0);
    const PITCH: (f64, f64) = (330.0, 250.0);
    const FIRST: (f64, f64) = (52.0, 104.0);
    let mut drawing = Drawing::new(1_000.0, 592.0);
    let title = "Sick canaries sent back, by requests to the canary until then";
    drawing.text("title", Set::Start, (16.0, 28.0), title);
    drawing.legend(&POWERFUL, (16.0, 54.0));
    let note = format!("dotted: sends back more than {LOOSE} % of healthy canaries there");
    drawing.text("", Set::End, (984.0, 54.0), note);
    for (index, (level, what, healthy)) in PANELS.into_iter().enumerate() {
        let (column, row) = ((index % 3) as f64, (index / 3) as f64);
        let (left, top) = (FIRST.0 + column * PITCH.0, FIRST.1 + row * PITCH.1);
        let head = format!("{what}, {} traffic", level.name());
        drawing.text("head", Set::Start, (left, top - 12.0), head);
        // From the first minute's requests to those of the whole hour.
        let requests = Log {
            from: level.traffic() * 0.05,
            to: level.traffic() * 13.5,
            left,
            width: PLOT.0,
        };
        let y = |share: f64| top + PLOT.1 * (1.0 - share);
        for quarter in 0..=4 {
            let share = f64::from(quarter) / 4.0;
            drawing.line("grid", (left, y(share)), (left + PLOT.0, y(share)));
            let percent = format!("{:.0} %", 100.0 * share);
            drawing.text("", Set::End, (left - 6.0, y(share) + 4.0), percent);
        }
        for (value, label) in requests.ticks() {
            let x = requests.x(value);
            drawing.line("grid", (x, top), (x, top + PLOT.1));
            drawing.text("", Set::Middle, (x, top + PLOT.1 + 16.0), label);
        }
        for judge in POWERFUL {
            let Some(tally) = tally(played, Table::SickErrors, level, what, judge) else {
                continue;
            };
            let innocent = self::tally(played, Table::HealthyErrors, level, healthy, judge);
            let loose = innocent.is_some_and(|tally| tally.power().value > LOOSE);
            let class = format!("{}{}", class(judge), if loose { " loose" } else { "" });
            let points = (0..=PLOT.0 as u32).map(|step| {
                let x = left + f64::from(step);
                let value = requests.value(x);
                let found = tally
                    .requests()
                    .partition_point(|found| *found as f64 <= value);
                (x, y(found as f64 / tally.rollouts() as f64))
            });
            drawing.curve(&class, points);
        }
    }
    drawing.finish(
        "For six regressions of the error rate, the share of rollouts that each judge has sent back \
         after so many requests to the canary",
    )
}

/// The judges whose false positives are drawn.
const STRICT: [Judge; 6] = [
    Judge::Codedance,
    Judge::Kayenta,
    Judge::Flagger,
    Judge::ZEachMinute,
    Judge::LindonMalek,
    Judge::Robust,
];

/// How many healthy canaries were sent back, by environment and traffic.
fn false_positives(played: &[Played]) -> String {
    const ROW: f64 = 48.0;
    const PLOT: f64 = 240.0;
    const PITCH: f64 = 272.0;
    const FIRST: (f64, f64) = (192.0, 100.0);
    let environments: Vec<_> = played
        .iter()
        .map(|played| &played.scenario)
        .filter(|scenario| scenario.table == Table::HealthyErrors && scenario.level == Level::Low)
        .map(|scenario| scenario.what)
        .collect();
    let bottom = FIRST.1 + ROW * environments.len() as f64;
    let mut drawing = Drawing::new(1_000.0, bottom + 48.0);
    let title = "Healthy canaries sent back within the hour, by environment";
    drawing.text("title", Set::Start, (16.0, 28.0), title);
    drawing.legend(&STRICT, (16.0, 54.0));
    drawing.text(
        "",
        Set::End,
        (984.0, 28.0),
        "percent, bars of two standard errors; dashed: 1 %",
    );
    for (row, what) in environments.iter().enumerate() {
        let y = FIRST.1 + ROW * (row as f64 + 0.5);
        drawing.text("head", Set::End, (FIRST.0 - 12.0, y + 4.0), what);
    }
    for (column, level) in Level::ALL.into_iter().enumerate() {
        let left = FIRST.0 + PITCH * column as f64;
        let head = format!("{} traffic", level.name());
        drawing.text("head", Set::Start, (left, FIRST.1 - 12.0), head);
        let percent = Log {
            from: 0.03,
            to: 100.0,
            left,
            width: PLOT,
        };
        for row in 0..=environments.len() {
            let y = FIRST.1 + ROW * row as f64;
            drawing.line("grid", (left, y), (left + PLOT, y));
        }
        for (value, label) in percent.ticks() {
            let x = percent.x(value);
            let class = if value == 1.0 { "goal" } else { "grid" };
            drawing.line(class, (x, FIRST.1), (x, bottom));
            drawing.text("", Set::Middle, (x, bottom + 16.0), label);
        }
        drawing.text("", Set::Middle, (left, bottom + 16.0), "0");
        for (row, what) in environments.iter().enumerate() {
            for (place, judge) in STRICT.into_iter().enumerate() {
                let Some(tally) = tally(played, Table::HealthyErrors, level, what, judge) else {
                    continue;
                };
                let y = FIRST.1 + ROW * row as f64 + 7.0 + 6.8 * place as f64;
                let found = tally.power();
                let reach = |errors: f64| percent.x(found.value + errors * found.error);
                drawing.curve(
                    class(judge),
                    [(reach(-2.0), y), (reach(2.0), y)].into_iter(),
                );
                drawing.dot(class(judge), (reach(0.0), y));
            }
        }
    }
    drawing.finish(
        "For each environment and each level of traffic, how many percent of healthy canaries every \
         judge has sent back",
    )
}

fn tally<'a>(
    played: &'a [Played],
    table: Table,
    level: Level,
    what: &str,
    judge: Judge,
) -> Option<&'a Tally> {
    let mut all = played.iter();
    let found = all.find(|played| {
        let scenario = &played.scenario;
        (scenario.table, scenario.level, scenario.what) == (table, level, what)
    })?;
    found.by(judge)
}

/// A logarithmic scale. What lies outside is drawn at its ends.
struct Log {
    from: f64,
    to: f64,
    left: f64,
    width: f64,
}

impl Log {
    fn x(&self, value: f64) -> f64 {
        let value = value.clamp(self.from, self.to);
        self.left + self.width * (value / self.from).ln() / (self.to / self.from).ln()
    }

    fn value(&self, x: f64) -> f64 {
        self.from * ((x - self.left) / self.width * (self.to / self.from).ln()).exp()
    }

    /// Powers of ten.
    fn ticks(&self) -> Vec<(f64, String)> {
        let powers = self.from.log10().ceil() as i32..=self.to.log10().floor() as i32;
        powers
            .map(|power| {
                let value = 10_f64.powi(power);
                let label = match value {
                    v if v >= 1e6 => format!("{} M", v / 1e6),
                    v if v >= 1e3 => format!("{} k", v / 1e3),
                    v => v.to_string(),
                };
                (value, label)
            })
            .collect()
    }
}
