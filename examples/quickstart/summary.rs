//! What came of it: a few lines for people, a page for those who ask why.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use codedance::report::{Ending, Page, Story};
use codedance::rollout::Cause;
use codedance::time::display_duration;

/// One line for each rollout: its end and, if it went back, at which stage and why.
pub(crate) fn tell(story: &Story) {
    let Story { stable, canary, .. } = story;
    let lasted = display_duration(round(story.lasted));
    let came = story.earned();
    let of = story.planned.len();
    println!("{stable} → {canary}  {} in {lasted}", story.outcome);
    match (story.outcome, &story.cause, story.stages.last()) {
        (Ending::Completed, _, _) => println!("         {came} of {of} stages passed"),
        (_, Some(cause), Some(stage)) => {
            let (at, weight) = (stage.index + 1, story.greatest_weight);
            println!("         at stage {at} of {of}, with at most {weight} of the traffic");
            println!("         because {}", reasons(&cause.data));
        }
        _ => println!("         {}", story.summary),
    }
}

/// Every reason, where the cause's own sentence names the first alone.
fn reasons(cause: &Cause) -> String {
    match cause {
        Cause::Judged(reasons) => {
            let all: Vec<_> = reasons.iter().map(ToString::to_string).collect();
            all.join("; ")
        }
        other => other.to_string(),
    }
}

/// Writes all stories on one page.
pub(crate) fn report(title: &str, stories: &[Story], path: &Path) -> Result<()> {
    let page = stories
        .iter()
        .cloned()
        .fold(Page::new(title), Page::with_story);
    write(path, &page.html())?;
    println!("report   {}", path.display());
    Ok(())
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Tenths of a second are enough for people.
fn round(length: Duration) -> Duration {
    Duration::from_secs_f64((length.as_secs_f64() * 10.0).round() / 10.0)
}
