//! The stages, the decisions and the events of a story as tables.

use codedance_core::Timestamp;
use codedance_core::decision::{ScoreRange, Unit};

use crate::glyph::{verdict_class, verdict_glyph};
use crate::markup::Markup;
use crate::number::{Amount, Clock, Count, Many};
use crate::story::{Look, StageStory, Story, Tally};
use crate::words::{Readings, because};

pub(crate) fn stages(out: &mut Markup, story: &Story) {
    if story.stages.is_empty() {
        return;
    }
    out.tag("h3").text("Stages");
    let columns = [
        "Stage",
        "Weight",
        "Entered",
        "Reached",
        "Passed",
        "#Looks",
        "#Requests to the canary",
        "#Bad",
        "#Bad on stable",
    ];
    out.tag("div")
        .with("class", "table compact")
        .holding(|out| {
            table(out, &columns, |out| {
                for stage in &story.stages {
                    stage_row(out, story, stage);
                }
            });
        });
    out.line();
}

fn stage_row(out: &mut Markup, story: &Story, stage: &StageStory) {
    let clock = |at: Option<Timestamp>| {
        at.map_or_else(
            || "–".to_owned(),
            |at| Clock(at.since(story.began)).to_string(),
        )
    };
    let rate = |tally: Option<Tally>| {
        tally.and_then(|tally| tally.rate()).map_or_else(
            || "–".to_owned(),
            |rate| Amount(rate, Unit::Share).to_string(),
        )
    };
    let canary = stage.counts.map(|counts| counts.canary);
    let requests = canary.map_or_else(|| "–".to_owned(), |t| Count(t.requests).to_string());
    out.tag("tr").holding(|out| {
        let number = format!("{} of {}", stage.index + 1, story.planned.len());
        for text in [
            number,
            stage.weight.to_string(),
            clock(Some(stage.entered)),
            clock(stage.reached),
            clock(stage.earned),
        ] {
            out.tag("td").with("class", "tight").text(text);
        }
        for text in [
            Count(stage.looks.len() as u64).to_string(),
            requests,
            rate(canary),
            rate(stage.counts.map(|counts| counts.stable)),
        ] {
            out.tag("td").with("class", "number").text(text);
        }
    });
    out.line();
}

/// Decisions in a row that share a line of the table.
struct Run<'a> {
    stage: &'a StageStory,
    first: &'a Look,
    last: &'a Look,
    looks: u64,
    score: ScoreRange,
}

pub(crate) fn decisions(out: &mut Markup, story: &Story, most: usize) {
    let fold = story.looks().count() > most;
    let mut runs: Vec<Run<'_>> = Vec::new();
    for (stage, look) in story.looks() {
        match runs.last_mut() {
            Some(run)
                if fold && std::ptr::eq(run.stage, stage) && run.last.verdict == look.verdict =>
            {
                run.last = look;
                run.looks += 1;
                run.score.low = run.score.low.min(look.score.low);
                run.score.high = run.score.high.max(look.score.high);
            }
            _ => runs.push(Run {
                stage,
                first: look,
                last: look,
                looks: 1,
                score: look.score,
            }),
        }
    }
    if runs.is_empty() {
        return;
    }
    out.tag("h3").text("Decisions");
    let columns = ["Time", "Stage", "Weight", "Verdict", "#Score", "Reason"];
    out.tag("div").with("class", "table").holding(|out| {
        table(out, &columns, |out| {
            for run in &runs {
                decision_row(out, story, run);
            }
        });
    });
    out.line();
}

fn decision_row(out: &mut Markup, story: &Story, run: &Run<'_>) {
    let clock = |at: Timestamp| Clock(at.since(story.began));
    let verdict = run.last.verdict;
    out.tag("tr").holding(|out| {
        out.tag("td").with("class", "tight").holding(|out| {
            out.text(clock(run.first.at));
            if run.looks > 1 {
                out.text(format_args!(
                    " – {} ({})",
                    clock(run.last.at),
                    Many(run.looks, "look")
                ));
            }
        });
        out.tag("td").text(run.stage.index + 1);
        out.tag("td").with("class", "tight").text(run.last.weight);
        out.tag("td")
            .with("class", format!("verdict {}", verdict_class(verdict)))
            .holding(|out| {
                verdict_glyph(out, verdict);
                out.text(verdict);
            });
        out.tag("td").with("class", "number").text(run.score);
        out.tag("td").with("class", "wide").holding(|out| {
            let look = run.last;
            if look.reasons.is_empty() {
                // What is good needs no reason; then what was read is more telling than nothing.
                out.tag("span")
                    .with("class", "soft")
                    .text(Readings(story, look));
            } else {
                out.text(because(look.reasons.iter().map(|reason| &reason.data)));
            }
        });
    });
    out.line();
}

pub(crate) fn events(out: &mut Markup, story: &Story) {
    if story.events.is_empty() {
        return;
    }
    out.tag("details").holding(|out| {
        out.tag("summary").holding(|out| {
            out.text("Everything that happened");
            out.tag("small")
                .text(Many(story.events.len() as u64, "event"));
        });
        out.tag("div").with("class", "table").holding(|out| {
            table(out, &["Time", "Event"], |out| {
                for event in &story.events {
                    out.tag("tr").holding(|out| {
                        out.tag("td")
                            .with("class", "tight")
                            .text(Clock(event.at.since(story.began)));
                        out.tag("td").with("class", "wide").text(&event.text);
                    });
                    out.line();
                }
            });
        });
    });
    out.line();
}

/// A table; the names of columns of numbers begin with `#`.
pub(crate) fn table(out: &mut Markup, columns: &[&str], rows: impl FnOnce(&mut Markup)) {
    out.tag("table").holding(|out| {
        out.tag("thead").holding(|out| {
            out.tag("tr").holding(|out| {
                for column in columns {
                    match column.strip_prefix('#') {
                        Some(name) => out
                            .tag("th")
                            .with("scope", "col")
                            .with("class", "number")
                            .text(name),
                        None => out.tag("th").with("scope", "col").text(column),
                    }
                }
            });
        });
        out.line();
        out.tag("tbody").holding(rows);
    });
}
