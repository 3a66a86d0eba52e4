//! The decisions in the charts: each look's verdict where it was taken.

use std::fmt::{self, Display};

use codedance_core::decision::Verdict;
use codedance_core::rollout::Happening;

use crate::frame::{BOTTOM, Figure, Frame, Key};
use crate::glyph::{glyph, verdict_class};
use crate::markup::{At, Markup};
use crate::number::Many;
use crate::story::{Look, StageStory};

/// Closer than this, a marker like the one before it would only cover it.
const MARKER_ROOM: f64 = 7.0;

impl Frame<'_> {
    /// The looks as markers on the time axis, and below them what people and the world did.
    pub(crate) fn decisions(&self, out: &mut Markup) {
        const LANE: f64 = 22.0;
        let story = self.story;
        let told: Vec<_> = story
            .events
            .iter()
            .filter(|event| stirs(&event.data))
            .collect();
        let mut keys: Vec<Key> = [Verdict::Advance, Verdict::Hold, Verdict::Rollback]
            .into_iter()
            .filter(|verdict| story.looks().any(|(_, look)| look.verdict == *verdict))
            .map(|verdict| Key {
                class: verdict_class(verdict),
                text: verdict.to_string(),
            })
            .collect();
        if !told.is_empty() {
            keys.push(Key {
                class: "word",
                text: "command, alert, gate or failure".to_owned(),
            });
        }
        let lanes = if told.is_empty() { 1.0 } else { 2.0 };
        let plot = lanes * LANE + 6.0;
        let looks = story.looks().count() as u64;
        let described = format!("{}; each is listed below.", Many(looks, "decision"));
        let figure = Figure {
            id: "decisions",
            title: "Decisions",
            described: &described,
            keys,
            height: 8.0 + plot + BOTTOM,
        };
        self.figure(out, figure, |out| {
            self.bands(out, 8.0, plot, false);
            self.time_axis(out, 8.0 + plot);
            self.verdicts(out, 8.0 + LANE / 2.0 + 3.0);
            for event in told {
                let (x, y) = (self.time.x(event.at), 8.0 + LANE * 1.5 + 3.0);
                out.tag("path")
                    .with("class", "word")
                    .with("d", format!("M{} {}l5 5l-5 5l-5 -5Z", At(x), At(y - 5.0)))
                    .holding(|out| {
                        out.tag("title").text(format_args!(
                            "{} · {}",
                            self.clock(event.at),
                            event.text
                        ));
                    });
            }
            if looks == 0 {
                self.nothing(out, "nothing was judged");
            }
            self.turn(out, 8.0, plot);
        });
    }

    /// The verdict of each look as a marker at this height.
    pub(crate) fn verdicts(&self, out: &mut Markup, y: f64) {
        let mut drawn: Option<(Verdict, f64)> = None;
        for (stage, look) in self.story.looks() {
            let x = self.time.x(look.at);
            let covered = drawn.is_some_and(|(verdict, before)| {
                verdict == look.verdict && x - before < MARKER_ROOM
            });
            if covered && look.verdict != Verdict::Rollback {
                continue;
            }
            drawn = Some((look.verdict, x));
            out.tag("g")
                .with("class", verdict_class(look.verdict))
                .with("transform", format!("translate({} {})", At(x), At(y)))
                .holding(|out| {
                    out.tag("title").text(Decision {
                        frame: self,
                        stage,
                        look,
                    });
                    glyph(out, look.verdict);
                });
        }
    }
}

/// A decision in one line.
struct Decision<'a> {
    frame: &'a Frame<'a>,
    stage: &'a StageStory,
    look: &'a Look,
}

impl Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stage, look) = (self.stage, self.look);
        write!(
            f,
            "{} · stage {} ({}): {}, score {}",
            self.frame.clock(look.at),
            stage.index + 1,
            look.weight,
            look.verdict,
            look.score
        )?;
        let mut separator = " — ";
        for reason in &look.reasons {
            write!(f, "{separator}{}", reason.text)?;
            separator = "; ";
        }
        Ok(())
    }
}

/// Whether a person wants to see it on the time axis: what came from outside, and what went wrong.
fn stirs(happening: &Happening) -> bool {
    matches!(
        happening,
        Happening::Drifted { .. }
            | Happening::GateOpened { .. }
            | Happening::Commanded(_)
            | Happening::Alerted(_)
            | Happening::EffectFailed { .. }
            | Happening::Amended { .. }
            | Happening::Superseded { .. }
    )
}
