//! The page around the charts: what happened, in words and tables.

use std::fmt::Display;

use codedance_core::decision::Verdict;

use crate::frame::Frame;
use crate::markup::Markup;
use crate::number::{Count, Length};
use crate::story::{Counts, Ending, Story};
use crate::tables::{decisions, events, stages, table};
use crate::words::{Bad, Headline, Moment, Way, why};

const STYLE: &str = include_str!("style.css");

/// What a report shows, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The page's title; `None`: the workload and its revisions.
    pub title: Option<String>,
    /// What the reader should know about all of it, above the charts. `None`: nothing.
    pub note: Option<String>,
    /// Whether the list of all events is part of it, folded. Default true.
    pub events: bool,
    /// Above so many decisions, those in a row that are alike share a line of the table. Default 200.
    pub most_decisions: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            title: None,
            note: None,
            events: true,
            most_decisions: 200,
        }
    }
}

impl Options {
    /// Everything at its default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a title of your own.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// The same with something that the reader should know.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// The same with or without the list of events.
    #[must_use]
    pub fn with_events(mut self, events: bool) -> Self {
        self.events = events;
        self
    }

    /// The same with another length of the table of decisions.
    #[must_use]
    pub fn with_most_decisions(mut self, most: usize) -> Self {
        self.most_decisions = most;
        self
    }
}

/// One story as a page that needs nothing else: no script, no font, no picture from anywhere.
#[must_use]
pub fn html(story: &Story, options: &Options) -> String {
    let title = options
        .title
        .clone()
        .unwrap_or_else(|| format!("{}: {} to {}", story.workload, story.stable, story.canary));
    write(&title, &[story], options)
}

/// Several stories in one page, in the order in which they are added.
///
/// ```
/// # fn stories() -> Vec<codedance_report::Story> { Vec::new() }
/// use codedance_report::Page;
///
/// let mut page = Page::new("This week's rollouts");
/// for story in stories() {
///     page = page.with_story(story);
/// }
/// assert!(page.html().starts_with("<!doctype html>"));
/// ```
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    options: Options,
    stories: Vec<Story>,
}

impl Page {
    /// A page without stories.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            options: Options::default(),
            stories: Vec::new(),
        }
    }

    /// The same with another story after those that it has.
    #[must_use]
    pub fn with_story(mut self, story: Story) -> Self {
        self.stories.push(story);
        self
    }

    /// The same with other options; a title in them takes the place of the page's own.
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The page as HTML that needs nothing else.
    #[must_use]
    pub fn html(&self) -> String {
        let title = self.options.title.as_ref().unwrap_or(&self.title);
        let stories: Vec<&Story> = self.stories.iter().collect();
        write(title, &stories, &self.options)
    }
}

fn write(title: &str, stories: &[&Story], options: &Options) -> String {
    let mut out = Markup::default();
    out.raw("<!doctype html>\n");
    out.tag("html").with("lang", "en").holding(|out| {
        out.tag("head").holding(|out| {
            out.tag("meta").with("charset", "utf-8").empty();
            out.tag("meta")
                .with("name", "viewport")
                .with("content", "width=device-width, initial-scale=1")
                .empty();
            out.tag("title").text(title);
            out.line();
            out.tag("style").holding(|out| out.raw(STYLE));
        });
        out.line();
        out.tag("body").holding(|out| {
            out.tag("header").holding(|out| {
                out.tag("h1").text(title);
                if stories.len() > 1 {
                    contents(out, stories);
                }
            });
            out.line();
            out.tag("main").holding(|out| {
                for (index, story) in stories.iter().enumerate() {
                    article(out, story, index, options);
                }
                if stories.is_empty() {
                    out.tag("p")
                        .with("class", "lead")
                        .text("There is nothing to tell.");
                }
            });
            out.line();
            out.tag("footer")
                .text("Told by Codedance from the rollout’s journal.");
        });
    });
    out.line();
    out.finish()
}

/// The list of the stories, each with its end.
fn contents(out: &mut Markup, stories: &[&Story]) {
    out.tag("nav").with("class", "table").holding(|out| {
        table(out, &["Rollout", "Outcome", "Reason", "Lasted"], |out| {
            for (index, story) in stories.iter().enumerate() {
                out.tag("tr").holding(|out| {
                    out.tag("td").holding(|out| {
                        out.tag("a")
                            .with("href", format!("#story-{index}"))
                            .text(Way(story));
                    });
                    out.tag("td")
                        .with(
                            "class",
                            format!("tight outcome {}", ending_class(story.outcome)),
                        )
                        .text(story.outcome);
                    let why = why(story).unwrap_or_default();
                    out.tag("td").with("class", "wide").text(why);
                    out.tag("td")
                        .with("class", "number")
                        .text(Length(story.lasted));
                });
            }
        });
    });
}

fn article(out: &mut Markup, story: &Story, index: usize, options: &Options) {
    let prefix = format!("story-{index}");
    out.tag("article")
        .with("id", &prefix)
        .with("class", ending_class(story.outcome))
        .holding(|out| {
            out.tag("h2").text(Headline(story));
            out.tag("p").with("class", "lead").text(Way(story));
            if let Some(why) = why(story) {
                out.tag("p").with("class", "why").holding(|out| {
                    let label = match story.outcome {
                        Ending::Unfinished => "Now",
                        _ => "Why",
                    };
                    out.tag("strong").text(label);
                    out.text(why);
                });
            }
            out.line();
            facts(out, story);
            if let Some(note) = &options.note {
                out.tag("p").with("class", "note").text(note);
                out.line();
            }
            Frame::new(story, prefix).charts(out);
            out.tag("p").with("class", "note").text(format_args!(
                "Times are counted from {}.",
                Moment(story.began)
            ));
            out.line();
            stages(out, story);
            decisions(out, story, options.most_decisions);
            if options.events {
                events(out, story);
            }
        });
    out.line();
}

fn facts(out: &mut Markup, story: &Story) {
    out.tag("dl").with("class", "facts").holding(|out| {
        let mut fact = |name: &str, value: &dyn Display, more: &dyn Display| {
            out.tag("div").holding(|out| {
                out.tag("dt").text(name);
                out.tag("dd").holding(|out| {
                    out.text(value);
                    let more = more.to_string();
                    if !more.is_empty() {
                        out.tag("small").text(more);
                    }
                });
            });
        };
        let planned = story.planned.len() as u64;
        fact(
            "Stages passed",
            &format_args!("{} of {planned}", story.earned()),
            &format_args!("at most {} to the canary", story.greatest_weight),
        );
        fact(
            "Lasted",
            &Length(story.lasted),
            &format_args!("began {}", Moment(story.began)),
        );
        let looks = story.looks().count() as u64;
        let of = |verdict| {
            story
                .looks()
                .filter(move |(_, look)| look.verdict == verdict)
                .count()
        };
        fact(
            "Decisions",
            &Count(looks),
            &format_args!(
                "{} advance, {} hold, {} roll\u{a0}back",
                of(Verdict::Advance),
                of(Verdict::Hold),
                of(Verdict::Rollback)
            ),
        );
        if let Some(Counts { canary, stable }) = story.counts {
            for (revision, tally) in [(&story.canary, canary), (&story.stable, stable)] {
                let name = format!("Requests to {revision}");
                fact(&name, &Count(tally.requests), &Bad(tally));
            }
        }
    });
    out.line();
}

const fn ending_class(ending: Ending) -> &'static str {
    match ending {
        Ending::Completed => "completed",
        Ending::RolledBack => "rolled_back",
        Ending::Cancelled => "cancelled",
        Ending::Failed => "failed",
        Ending::Unfinished => "unfinished",
    }
}
