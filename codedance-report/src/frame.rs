//! What all charts of a story have in common: the time axis, the stages behind, the words around.

use std::fmt::Display;

use codedance_core::Timestamp;
use codedance_core::decision::Unit;
use codedance_core::workload::Revision;

use crate::glyph::sample;
use crate::markup::{At, Markup};
use crate::number::{Amount, Clock};
use crate::scale::{TimeScale, ValueScale};
use crate::story::Story;
use crate::words::why;

const WIDTH: f64 = 960.0;
pub(crate) const LEFT: f64 = 62.0;
pub(crate) const RIGHT: f64 = 14.0;
/// Above the plot: the names of the stages.
pub(crate) const TOP: f64 = 22.0;
/// Below the plot: the time.
pub(crate) const BOTTOM: f64 = 24.0;
pub(crate) const PLOT: f64 = 132.0;

/// What all charts of one story share.
pub(crate) struct Frame<'a> {
    pub(crate) story: &'a Story,
    pub(crate) time: TimeScale,
    /// Makes the ids of this story's charts unique in the page.
    prefix: String,
}

/// Which revision a line is of.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Role {
    Stable,
    Canary,
}

impl Role {
    pub(crate) const BOTH: [Self; 2] = [Self::Stable, Self::Canary];

    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }

    pub(crate) const fn revision(self, story: &Story) -> &Revision {
        match self {
            Self::Stable => &story.stable,
            Self::Canary => &story.canary,
        }
    }
}

/// What a chart has around it.
pub(crate) struct Figure<'a> {
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) described: &'a str,
    pub(crate) keys: Vec<Key>,
    pub(crate) height: f64,
}

/// A key of a chart: how something is drawn, and what it is.
pub(crate) struct Key {
    pub(crate) class: &'static str,
    pub(crate) text: String,
}

impl<'a> Frame<'a> {
    pub(crate) fn new(story: &'a Story, prefix: String) -> Self {
        let width = WIDTH - LEFT - RIGHT;
        Self {
            story,
            time: TimeScale::new(story.began, story.lasted, LEFT, width),
            prefix,
        }
    }

    pub(crate) fn clock(&self, at: Timestamp) -> Clock {
        Clock(self.time.since(at))
    }

    pub(crate) fn figure(
        &self,
        out: &mut Markup,
        figure: Figure<'_>,
        draw: impl FnOnce(&mut Markup),
    ) {
        let Figure {
            id,
            title,
            described,
            keys,
            height,
        } = figure;
        let id = format!("{}-{id}", self.prefix);
        out.tag("figure").holding(|out| {
            out.tag("figcaption").holding(|out| {
                out.tag("strong").text(title);
                for key in keys {
                    out.tag("span").with("class", "key").holding(|out| {
                        sample(out, key.class);
                        out.text(key.text);
                    });
                }
            });
            out.line();
            out.tag("div").with("class", "plot").holding(|out| {
                out.tag("svg")
                    .with("xmlns", "http://www.w3.org/2000/svg")
                    .with("viewBox", format!("0 0 {WIDTH} {}", At(height)))
                    .with("role", "img")
                    .with("aria-labelledby", format!("{id}-title {id}-desc"))
                    .holding(|out| {
                        out.tag("title")
                            .with("id", format!("{id}-title"))
                            .text(title);
                        out.tag("desc")
                            .with("id", format!("{id}-desc"))
                            .text(described);
                        draw(out);
                    });
            });
        });
        out.line();
    }

    pub(crate) fn axes(
        &self,
        out: &mut Markup,
        scale: &ValueScale,
        named: bool,
        label: &dyn Fn(f64) -> String,
    ) {
        let ticks = scale.ticks();
        let bottom = ticks.first().map_or(TOP, |tick| tick.1);
        self.bands(out, TOP, bottom - TOP, named);
        for (value, y) in ticks {
            out.tag("path")
                .with("class", "grid")
                .with("d", format!("M{LEFT} {}H{}", At(y), At(self.time.right())))
                .empty();
            out.tag("text")
                .with("class", "tick end")
                .with("x", At(LEFT - 8.0))
                .with("y", At(y + 4.0))
                .text(label(value));
        }
        self.time_axis(out, bottom);
    }

    pub(crate) fn time_axis(&self, out: &mut Markup, y: f64) {
        let ticks = self.time.ticks();
        let fine = ticks.get(1).is_some_and(|tick| tick.0.subsec_millis() > 0);
        for (time, x) in ticks {
            out.tag("path")
                .with("class", "tickmark")
                .with("d", format!("M{} {}v4", At(x), At(y)))
                .empty();
            // The last label would else stick out of the picture.
            let end = x > self.time.right() - 20.0;
            out.tag("text")
                .with("class", if end { "tick end" } else { "tick middle" })
                .with("x", At(if end { self.time.right() } else { x }))
                .with("y", At(y + 18.0))
                .text(if fine {
                    Amount(time.as_secs_f64(), Unit::Seconds).to_string()
                } else {
                    Clock(time).to_string()
                });
        }
    }

    /// The stages behind the lines, and what came after them.
    pub(crate) fn bands(&self, out: &mut Markup, top: f64, height: f64, named: bool) {
        let story = self.story;
        let end = story.until();
        let stages = story.stages.iter().enumerate().map(|(place, stage)| {
            let class = if place % 2 == 0 { "band" } else { "band odd" };
            let (from, to) = (stage.entered, stage.left.unwrap_or(end));
            let told = format!(
                "stage {}: {}, {} to {}",
                stage.index + 1,
                stage.weight,
                self.clock(from),
                self.clock(to)
            );
            (class, from, to, stage.weight.to_string(), told)
        });
        let after = [
            (
                "band after",
                story.promoting,
                story.rolling_back,
                "promotion",
            ),
            ("band back", story.rolling_back, None, "rollback"),
        ];
        let after = after.into_iter().filter_map(|(class, from, to, name)| {
            let (from, to) = (from?, to.unwrap_or(end));
            let told = format!("{name}: {} to {}", self.clock(from), self.clock(to));
            Some((class, from, to, name.to_owned(), told))
        });
        // Their names must not lie on each other where stages are short.
        let mut free = 0.0;
        for (class, from, to, name, told) in stages.chain(after) {
            let (x, right) = (self.time.x(from), self.time.x(to));
            out.tag("rect")
                .with("class", class)
                .with("x", At(x))
                .with("y", At(top))
                .with("width", At(right - x))
                .with("height", At(height))
                .holding(|out| out.tag("title").text(told));
            let room = name.chars().count() as f64 * 7.0 + 4.0;
            if named && x >= free && x + room <= WIDTH {
                out.tag("text")
                    .with("class", "stage")
                    .with("x", At(x + 2.0))
                    .with("y", At(top - 7.0))
                    .text(name);
                free = x + room;
            }
        }
    }

    /// The moment when it turned back, through every chart.
    pub(crate) fn turn(&self, out: &mut Markup, top: f64, height: f64) {
        let Some(at) = self.story.rolling_back else {
            return;
        };
        out.tag("path")
            .with("class", "turn")
            .with(
                "d",
                format!("M{} {}v{}", At(self.time.x(at)), At(top), At(height)),
            )
            .holding(|out| {
                let cause = why(self.story).unwrap_or_default();
                out.tag("title")
                    .text(format_args!("{} · turned back: {cause}", self.clock(at)));
            });
    }

    pub(crate) fn dot(&self, out: &mut Markup, role: Role, (x, y): (f64, f64), told: &dyn Display) {
        let class = format!("{} dot", role.class());
        // Round for the canary and square for the stable one: not by the colour alone.
        let tag = match role {
            Role::Canary => out
                .tag("circle")
                .with("class", class)
                .with("cx", At(x))
                .with("cy", At(y))
                .with("r", "3"),
            Role::Stable => out
                .tag("rect")
                .with("class", class)
                .with("x", At(x - 2.5))
                .with("y", At(y - 2.5))
                .with("width", "5")
                .with("height", "5"),
        };
        tag.holding(|out| out.tag("title").text(told));
    }

    pub(crate) fn nothing(&self, out: &mut Markup, text: &str) {
        out.tag("text")
            .with("class", "tick middle")
            .with("x", At(f64::midpoint(LEFT, self.time.right())))
            .with("y", At(TOP + 16.0))
            .text(text);
    }
}
