//! What each chart draws, all on the frame that they share.

use std::fmt::{self, Display};

use codedance_core::decision::Unit;

use crate::frame::{BOTTOM, Figure, Frame, Key, LEFT, PLOT, Role, TOP};
use crate::markup::{At, Markup};
use crate::number::{Amount, Count};
use crate::path::{line, steps};
use crate::scale::ValueScale;
use crate::story::{Point, ReplicaPoint, Series, Value};

/// Above so many points each is no longer drawn as one: they would hide the line.
const MOST_DOTS: usize = 120;

impl Frame<'_> {
    /// Every chart that the story has something for.
    pub(crate) fn charts(&self, out: &mut Markup) {
        self.weight(out);
        self.decisions(out);
        for (index, series) in self.story.metrics.iter().enumerate() {
            self.metric(index, series, out);
        }
        self.replicas(out);
    }

    fn weight(&self, out: &mut Markup) {
        let story = self.story;
        let scale = ValueScale::fixed(0.0, 100.0, 25.0, TOP, PLOT);
        let keys = vec![Key {
            class: "canary",
            text: story.canary.to_string(),
        }];
        let described = format!(
            "The share of the traffic that {} got; at most {}.",
            story.canary, story.greatest_weight
        );
        let figure = Figure {
            id: "weight",
            title: "Traffic to the canary",
            described: &described,
            keys,
            height: TOP + PLOT + BOTTOM,
        };
        self.figure(out, figure, |out| {
            self.axes(out, &scale, true, &|value| format!("{value} %"));
            let points: Vec<(f64, f64)> = story
                .weight
                .iter()
                .map(|point| {
                    (
                        self.time.x(point.at),
                        f64::from(point.weight.basis_points()),
                    )
                })
                .map(|(x, points)| (x, scale.y(points / 100.0)))
                .collect();
            let steps = steps(&points, self.time.x(story.until()));
            if let (Some(first), false) = (points.first(), steps.is_empty()) {
                let ground = At(scale.ground());
                let area = format!("{steps}V{ground}H{}Z", At(first.0));
                out.tag("path")
                    .with("class", "canary area")
                    .with("d", area)
                    .empty();
                out.tag("path")
                    .with("class", "canary line")
                    .with("d", &steps)
                    .empty();
            }
            for (point, (x, y)) in story.weight.iter().zip(&points) {
                self.dot(
                    out,
                    Role::Canary,
                    (*x, *y),
                    &format_args!(
                        "{} · {} to {}",
                        self.clock(point.at),
                        point.weight,
                        story.canary
                    ),
                );
            }
            self.turn(out, TOP, PLOT);
        });
    }

    fn metric(&self, index: usize, series: &Series, out: &mut Markup) {
        let story = self.story;
        let side = |role: Role| {
            move |point: &Point| match role {
                Role::Stable => point.stable,
                Role::Canary => point.canary,
            }
        };
        let values = || {
            let points = series.points.iter();
            points.flat_map(|point| {
                [point.stable.value, point.canary.value]
                    .into_iter()
                    .flatten()
            })
        };
        let greatest = values().fold(0.0, f64::max);
        // A limit far off would press the lines flat on the ground: then it is only named.
        let limit = series
            .limit
            .map(|limit| ("at most", limit, greatest == 0.0 || limit <= greatest * 8.0));
        let floor = series.floor.map(|floor| ("at least", floor, true));
        let limits: Vec<_> = [limit, floor].into_iter().flatten().collect();
        let shown = || limits.iter().filter(|limit| limit.2).map(|limit| limit.1);
        let scale = if series.floor.is_some() {
            ValueScale::around(values().chain(shown()), TOP, PLOT)
        } else {
            ValueScale::from_nought(values().chain(shown()), false, TOP, PLOT)
        };
        let mut keys: Vec<Key> = Role::BOTH
            .map(|role| Key {
                class: role.class(),
                text: role.revision(story).to_string(),
            })
            .into();
        for (kind, limit, shown) in &limits {
            let far = if *shown { "" } else { ", off the chart" };
            keys.push(Key {
                class: "limit",
                text: format!("{kind} {}{far}", Amount(*limit, series.unit)),
            });
        }
        let last = |role| {
            let mut known = series
                .points
                .iter()
                .rev()
                .filter_map(|p| side(role)(p).value);
            known.next().map_or_else(
                || "nothing was read".to_owned(),
                |value| format!("{} at the last reading", Amount(value, series.unit)),
            )
        };
        let described = format!(
            "{} over time. {}: {}. {}: {}.",
            series.name,
            story.stable,
            last(Role::Stable),
            story.canary,
            last(Role::Canary)
        );
        let figure = Figure {
            id: &format!("metric-{index}"),
            title: &series.name,
            described: &described,
            keys,
            height: TOP + PLOT + BOTTOM,
        };
        self.figure(out, figure, |out| {
            self.axes(out, &scale, false, &|value| {
                Amount(value, series.unit).to_string()
            });
            for (kind, limit, _) in limits.iter().filter(|limit| limit.2) {
                let y = At(scale.y(*limit));
                out.tag("path")
                    .with("class", "limit line")
                    .with("d", format!("M{LEFT} {y}H{}", At(self.time.right())))
                    .holding(|out| {
                        let limit = Amount(*limit, series.unit);
                        out.tag("title").text(format_args!("{kind} {limit}"));
                    });
            }
            for role in Role::BOTH {
                let points = series.points.iter().map(|point| {
                    let y = side(role)(point).value.map(|value| scale.y(value));
                    (self.time.x(point.at), y)
                });
                let class = format!("{} line", role.class());
                out.tag("path")
                    .with("class", class)
                    .with("d", line(points))
                    .empty();
            }
            if series.points.len() <= MOST_DOTS {
                for role in Role::BOTH {
                    for point in &series.points {
                        let Value {
                            value: Some(value),
                            count,
                        } = side(role)(point)
                        else {
                            continue;
                        };
                        let at = (self.time.x(point.at), scale.y(value));
                        let told = Reading {
                            value,
                            count,
                            unit: series.unit,
                        };
                        self.dot(
                            out,
                            role,
                            at,
                            &format_args!(
                                "{} · {}: {told}",
                                self.clock(point.at),
                                role.revision(story)
                            ),
                        );
                    }
                }
            }
            if values().next().is_none() {
                self.nothing(out, "nothing was read");
            }
            self.verdicts(out, TOP / 2.0);
            self.turn(out, TOP, PLOT);
        });
    }

    fn replicas(&self, out: &mut Markup) {
        let story = self.story;
        let group = |role: Role| {
            move |point: &ReplicaPoint| match role {
                Role::Stable => point.stable,
                Role::Canary => point.canary,
            }
        };
        let most = story
            .replicas
            .iter()
            .flat_map(|point| [point.stable.ready, point.canary.ready])
            .map(f64::from);
        let scale = ValueScale::from_nought(most, true, TOP, PLOT * 0.75);
        let mut keys: Vec<Key> = Role::BOTH
            .map(|role| Key {
                class: role.class(),
                text: role.revision(story).to_string(),
            })
            .into();
        let failed = |role| {
            story
                .replicas
                .iter()
                .filter(move |p| group(role)(p).failed > 0)
        };
        if Role::BOTH.iter().any(|role| failed(*role).next().is_some()) {
            keys.push(Key {
                class: "failed",
                text: "replicas failed".to_owned(),
            });
        }
        let described = format!(
            "How many replicas of {} and {} were ready.",
            story.stable, story.canary
        );
        let figure = Figure {
            id: "replicas",
            title: "Replicas ready",
            described: &described,
            keys,
            height: TOP + PLOT * 0.75 + BOTTOM,
        };
        self.figure(out, figure, |out| {
            self.axes(out, &scale, false, &|value| format!("{value}"));
            for role in Role::BOTH {
                let points: Vec<(f64, f64)> = story
                    .replicas
                    .iter()
                    .map(|point| (point, f64::from(group(role)(point).ready)))
                    .map(|(point, ready)| (self.time.x(point.at), scale.y(ready)))
                    .collect();
                let class = format!("{} line", role.class());
                let steps = steps(&points, self.time.x(story.until()));
                out.tag("path")
                    .with("class", class)
                    .with("d", steps)
                    .empty();
            }
            for role in Role::BOTH {
                for point in failed(role).take(MOST_DOTS) {
                    let status = group(role)(point);
                    let (x, y) = (self.time.x(point.at), scale.y(f64::from(status.ready)));
                    out.tag("path")
                        .with("class", format!("{} cross", role.class()))
                        .with(
                            "d",
                            format!("M{} {}l8 8m0 -8l-8 8", At(x - 4.0), At(y - 4.0)),
                        )
                        .holding(|out| {
                            out.tag("title").text(format_args!(
                                "{} · {}: {} failed, {} of {} ready",
                                self.clock(point.at),
                                role.revision(story),
                                status.failed,
                                status.ready,
                                status.desired
                            ));
                        });
                }
            }
            if story.replicas.is_empty() {
                self.nothing(out, "nothing was seen");
            }
            self.turn(out, TOP, PLOT * 0.75);
        });
    }
}

/// A value with what it is a value of.
pub(crate) struct Reading {
    pub(crate) value: f64,
    pub(crate) count: Option<u64>,
    pub(crate) unit: Unit,
}

impl Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Amount(self.value, self.unit).fmt(f)?;
        match self.count {
            Some(1) => f.write_str(" of 1 request"),
            Some(count) => write!(f, " of {} requests", Count(count)),
            None => Ok(()),
        }
    }
}
