//! Journals of a simulated world, and what is told of them.

mod world;

use std::time::Duration;

use codedance_core::decision::{Unit, Verdict};
use codedance_core::journal::{Entry, Record};
use codedance_core::rollout::{Alert, Cause, Command, Happening, Input, Signalled};
use codedance_core::{Percent, Timestamp};
use codedance_report::{Ending, Options, Page, Story, StoryError, html};
use world::{BEGAN, World, plan, policy};

fn told(world: &World) -> Story {
    Story::from_entries(&world.entries).unwrap()
}

fn completed() -> World {
    let mut world = World::new("v2");
    world.run(3_600);
    world
}

fn rolled_back() -> World {
    let mut world = World::new("v3");
    world.run(90);
    world.bad = 6;
    world.run(3_600);
    world
}

/// Reads a page as XML, and every number in its drawings.
fn check(page: &str) {
    let xml = page.strip_prefix("<!doctype html>\n").expect("a doctype");
    let read = roxmltree::Document::parse(xml).expect("well-formed");
    let mut ids = std::collections::BTreeSet::new();
    for element in read.descendants().filter(roxmltree::Node::is_element) {
        if let Some(id) = element.attribute("id") {
            assert!(ids.insert(id), "the id {id} is there twice");
        }
        for attribute in [
            "x",
            "y",
            "cx",
            "cy",
            "r",
            "width",
            "height",
            "viewBox",
            "transform",
            "d",
        ] {
            let text = element.attribute(attribute).unwrap_or_default();
            let numbers = text.split(|c: char| !(c.is_ascii_digit() || ".-e".contains(c)));
            for number in numbers.filter(|text| text.chars().any(|c| c.is_ascii_digit())) {
                let read: f64 = number
                    .parse()
                    .unwrap_or_else(|_| panic!("{attribute}={text}"));
                assert!(read.is_finite() && read.abs() < 1e5, "{attribute}={text}");
            }
            assert!(
                !text.contains("NaN") && !text.contains("inf"),
                "{attribute}={text}"
            );
            if ["width", "height", "r"].contains(&attribute) && !text.is_empty() {
                assert!(text.parse::<f64>().unwrap() >= 0.0, "{attribute}={text}");
            }
        }
        assert_ne!(element.tag_name().name(), "script");
        for attribute in ["src", "href"] {
            let target = element.attribute(attribute).unwrap_or("#");
            assert!(target.starts_with('#'), "the page needs {target}");
        }
    }
    for element in read
        .descendants()
        .filter(|node| node.has_attribute("aria-labelledby"))
    {
        for id in element.attribute("aria-labelledby").unwrap().split(' ') {
            assert!(ids.contains(id), "nothing bears the id {id}");
        }
    }
}

#[test]
fn a_rollout_that_completes_is_told_from_beginning_to_end() {
    let story = told(&completed());
    assert_eq!(story.outcome, Ending::Completed);
    assert_eq!(story.summary, "completed");
    assert_eq!((story.earned(), story.planned.len()), (3, 3));
    assert_eq!(story.greatest_weight, Percent::HUNDRED);
    assert_eq!(story.cause, None);
    for stage in &story.stages {
        let (reached, earned) = (stage.reached.unwrap(), stage.earned.unwrap());
        assert!(stage.entered <= reached && earned.since(reached) >= Duration::from_secs(60));
        assert_eq!(stage.left, stage.earned);
        assert!(!stage.looks.is_empty());
    }
    let counted = story.stages.iter().filter_map(|stage| stage.counts);
    let canary: u64 = counted.map(|counts| counts.canary.requests).sum();
    assert_eq!(story.counts.unwrap().canary.requests, canary);
    assert_eq!(story.counts.unwrap().canary.bad, 0);
    assert_eq!(story.metrics[0].unit, Unit::Share);
    assert_eq!(story.metrics[0].limit, Some(0.02));
    assert_eq!(story.metrics[1].floor, Some(0.98));
    assert_eq!(story.metrics[1].points[0].canary.value, Some(1.0));
    assert_eq!(story.metrics[0].points.len(), story.looks().count());
    assert_eq!(story.ended, Some(story.began + story.lasted));
    check(&html(&story, &Options::new()));
}

#[test]
fn a_story_of_a_rollback_tells_the_reason() {
    let story = told(&rolled_back());
    assert_eq!(story.outcome, Ending::RolledBack);
    let cause = story.cause.as_ref().unwrap();
    assert!(
        cause
            .text
            .starts_with("error-rate is 6 %, above its limit of 2 %"),
        "{}",
        cause.text
    );
    let (stage, look) = story.looks().last().unwrap();
    assert_eq!((stage.index, look.verdict), (1, Verdict::Rollback));
    assert_eq!(stage.earned, None);
    assert_eq!(stage.left, story.rolling_back);
    assert_eq!(look.reasons.len(), 2);
    assert!(story.counts.unwrap().canary.bad > 0);
    assert_eq!(story.weight.last().unwrap().weight, Percent::ZERO);

    let page = html(&story, &Options::new());
    check(&page);
    assert!(page.contains("v3 was rolled back to v1"));
    let reason = "error-rate is 6 %, above its limit of 2 %; \
                  2 looks in a row were bad, 2 in this stage";
    for place in [
        "<strong>Why</strong>",
        "roll back, score 40 — ",
        "<td class=\"wide\">",
    ] {
        assert!(page.contains(&format!("{place}{reason}<")), "{place}");
    }
}

#[test]
fn an_unfinished_journal_tells_what_is_waited_for() {
    let world = completed();
    for length in 1..world.entries.len() {
        let story = Story::from_entries(&world.entries[..length]).unwrap();
        assert_eq!(story.outcome, Ending::Unfinished);
        assert!(!story.summary.is_empty());
        check(&html(&story, &Options::new()));
    }
    let story = Story::from_entries(&world.entries[..1]).unwrap();
    assert_eq!((story.lasted, story.ended), (Duration::ZERO, None));
}

#[test]
fn a_crash_a_pause_an_alert_and_a_blind_source_are_told() {
    let mut world = World::new("v4");
    world.run(20);
    world.blind = true;
    world.run(20);
    world.blind = false;
    world.tell(Input::Command(Command::Pause));
    world.run(30);
    world.tell(Input::Command(Command::Resume));
    world.tell(Input::Alert(Alert::new("disk", Signalled::Resolved)));
    world.crash(1);
    world.run(3_600);
    let story = told(&world);
    assert_eq!(story.outcome, Ending::RolledBack);
    assert!(matches!(
        story.cause.as_ref().unwrap().data,
        Cause::Crashed(_)
    ));
    let gaps = story.metrics[0]
        .points
        .iter()
        .filter(|point| point.canary.value.is_none());
    assert!(gaps.count() > 0);
    let said = |command| Happening::Commanded(command);
    for expected in [said(Command::Pause), said(Command::Resume)] {
        assert!(story.events.iter().any(|event| event.data == expected));
    }
    let page = html(&story, &Options::new());
    check(&page);
    assert!(page.contains("an operator said pause") && page.contains("replicas failed"));
}

#[test]
fn a_rollout_that_was_superseded_is_followed_by_the_next() {
    let mut world = World::new("v2");
    world.run(60);
    world.tell(Input::Supersede(Box::new(plan("v3")), Box::new(policy())));
    world.run(3_600);
    let stories = Story::all(&world.entries).unwrap();
    let ends: Vec<_> = stories
        .iter()
        .map(|s| (s.canary.as_str(), s.outcome))
        .collect();
    assert_eq!(ends, [("v2", Ending::Cancelled), ("v3", Ending::Completed)]);
    assert_eq!(stories[0].cause.as_ref().unwrap().text, "v3 supersedes it");
    assert_eq!(stories[0].ended, Some(stories[1].began));
    assert_eq!(told(&world), stories[1]);
    let page = stories
        .into_iter()
        .fold(Page::new("Both"), Page::with_story)
        .html();
    check(&page);
    assert!(page.contains("href=\"#story-1\""));
}

#[test]
fn a_journal_may_begin_at_a_snapshot() {
    let mut world = World::new("v2");
    world.run(100);
    world.snapshot();
    let cut = world.entries.len() - 1;
    world.run(3_600);
    let (whole, rest) = (
        told(&world),
        Story::from_entries(&world.entries[cut..]).unwrap(),
    );
    assert_eq!(rest.outcome, Ending::Completed);
    assert_eq!((rest.stages[0].index, whole.stages[1].index), (1, 1));
    assert_eq!(whole.stages[2], rest.stages[1]);
}

#[test]
fn a_corrupt_journal_is_refused_by_the_sequence_at_fault() {
    let entries = completed().entries;
    let spoiled = |spoil: fn(&mut Vec<Entry>)| {
        let mut entries = entries.clone();
        spoil(&mut entries);
        Story::from_entries(&entries).unwrap_err()
    };
    assert_eq!(spoiled(Vec::clear), StoryError::Empty);
    let gap = spoiled(|entries| drop(entries.remove(7)));
    assert_eq!(
        gap,
        StoryError::Gap {
            expected: 7,
            found: 8
        }
    );
    assert!(gap.to_string().contains("entry 8"), "{gap}");
    let strange = spoiled(|entries| entries[5].version = 99);
    assert_eq!(
        strange,
        StoryError::Version {
            sequence: 5,
            found: 99
        }
    );
    let headless = spoiled(|entries| drop(entries.remove(0)));
    assert_eq!(headless, StoryError::NotBegun { sequence: 1 });
    let refused = spoiled(|entries| {
        entries[4].record = Record::Told(Input::Command(Command::Resume));
    });
    assert!(
        matches!(refused, StoryError::Refused { sequence: 4, .. }),
        "{refused:?}"
    );
    let diverged = spoiled(|entries| {
        let mut other = World::new("v2");
        other.snapshot();
        entries[9].record = other.entries[1].record.clone();
    });
    assert_eq!(diverged, StoryError::Diverged { sequence: 9 });
}

#[test]
fn what_comes_from_outside_is_never_markup() {
    let nasty = "<script>alert(\"1\"&'2')</script>";
    let mut world = World::new("v2\"><img/src=x>");
    world.run(30);
    let alert = Alert::new(nasty, Signalled::Firing).with_message("a & b < c \u{1b}[0m");
    world.tell(Input::Alert(alert));
    world.run(3_600);
    let story = told(&world);
    assert_eq!(story.outcome, Ending::RolledBack);
    let page = html(&story, &Options::new().with_title(nasty));
    check(&page);
    assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;&amp;&#39;2&#39;)&lt;/script&gt;"));
    assert!(!page.contains("<script") && !page.contains("<img"));
}

#[test]
fn every_chart_of_a_metric_shows_what_was_decided() {
    let story = told(&rolled_back());
    let page = html(&story, &Options::new());
    let figures = page.split("<figure>").skip(1);
    let metrics = figures.filter(|figure| figure.contains("id=\"story-0-metric-"));
    let mut drawn = 0;
    for figure in metrics {
        let (figure, _) = figure.split_once("</figure>").unwrap();
        for verdict in ["advance", "hold", "roll back"] {
            assert!(
                figure.contains(&format!(": {verdict}, score")),
                "{verdict} in {figure}"
            );
        }
        drawn += 1;
    }
    assert_eq!(drawn, story.metrics.len());
}

#[test]
fn a_note_stands_above_the_charts() {
    let story = told(&completed());
    let page = html(&story, &Options::new().with_note("Recorded on a Monday."));
    check(&page);
    let (before, after) = page
        .split_once("<p class=\"note\">Recorded on a Monday.</p>")
        .unwrap();
    assert!(before.contains("<dl") && after.contains("<figure>"));
}

#[test]
fn a_page_without_stories_is_a_page() {
    let page = Page::new("None").html();
    check(&page);
    assert!(page.contains("There is nothing to tell."));
}

#[test]
fn values_at_the_edge_of_numbers_break_no_chart() {
    let mut story = told(&rolled_back());
    let edges = [
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        0.0,
        -1e-300,
        f64::NAN,
        f64::INFINITY,
    ];
    for (index, value) in edges.into_iter().enumerate() {
        for series in &mut story.metrics {
            series.unit = Unit::Plain;
            series.limit = Some(value);
            series.floor = Some(-value);
            series.points[index].canary.value = Some(value);
        }
        check(&html(&story, &Options::new()));
    }
    for series in &mut story.metrics {
        series.points.truncate(1);
        series.points[0].canary.value = None;
        (series.limit, series.floor) = (None, None);
    }
    story.replicas.clear();
    story.weight.clear();
    check(&html(&story, &Options::new()));
    story.metrics[0].points.clear();
    story.stages.clear();
    story.events.clear();
    story.began = Timestamp::MAX;
    check(&html(&story, &Options::new()));
}

#[test]
fn many_decisions_that_are_alike_share_a_line() {
    let story = told(&completed());
    let rows = |most| {
        let page = html(
            &story,
            &Options::new().with_events(false).with_most_decisions(most),
        );
        check(&page);
        page.matches("class=\"verdict ").count()
    };
    assert_eq!(rows(200), story.looks().count());
    assert!(rows(1) < story.looks().count());
}

#[test]
fn a_story_as_json() {
    let mut story = told(&rolled_back());
    assert_eq!(story.began, Timestamp::from_millis(BEGAN));
    story.events.truncate(4);
    for series in &mut story.metrics {
        series.points.truncate(2);
    }
    insta::assert_json_snapshot!(story);
}

#[test]
fn a_small_page() {
    let mut world = World::new("v2");
    world.run(12);
    let page = html(&told(&world), &Options::new().with_title("A small page"));
    check(&page);
    let (head, body) = page.split_once("<style>").unwrap();
    let (_, body) = body.split_once("</style>").unwrap();
    insta::assert_snapshot!(format!("{head}{body}"));
}
