//! Small pictures: verdicts as shapes, and how lines are drawn, for the keys.

use codedance_core::decision::Verdict;

use crate::markup::Markup;

pub(crate) const fn verdict_class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Advance => "advance",
        Verdict::Hold => "hold",
        Verdict::Rollback => "rollback",
    }
}

/// The verdict's shape around the origin: onwards, standing, backwards.
pub(crate) fn glyph(out: &mut Markup, verdict: Verdict) {
    out.tag("path")
        .with(
            "d",
            match verdict {
                Verdict::Advance => "M-4 -5.5L6 0L-4 5.5Z",
                Verdict::Hold => "M-5 -5h3.5v10h-3.5ZM1.5 -5h3.5v10h-3.5Z",
                Verdict::Rollback => "M5 -6.5L-7 0L5 6.5Z",
            },
        )
        .empty();
}

/// The verdict's shape as a picture of its own, beside its word.
pub(crate) fn verdict_glyph(out: &mut Markup, verdict: Verdict) {
    icon(out, verdict_class(verdict), |out| glyph(out, verdict));
}

fn icon(out: &mut Markup, class: &str, draw: impl FnOnce(&mut Markup)) {
    out.tag("svg")
        .with("xmlns", "http://www.w3.org/2000/svg")
        .with("class", format_args!("icon {class}"))
        .with("viewBox", "-9 -7 18 14")
        .with("aria-hidden", "true")
        .holding(|out| out.tag("g").with("class", class).holding(draw));
}

/// How things of this class are drawn, for the key.
pub(crate) fn sample(out: &mut Markup, class: &'static str) {
    icon(out, "key", |out| match class {
        "advance" => out
            .tag("g")
            .with("class", class)
            .holding(|out| glyph(out, Verdict::Advance)),
        "hold" => out
            .tag("g")
            .with("class", class)
            .holding(|out| glyph(out, Verdict::Hold)),
        "rollback" => out
            .tag("g")
            .with("class", class)
            .holding(|out| glyph(out, Verdict::Rollback)),
        "word" => out
            .tag("path")
            .with("class", class)
            .with("d", "M0 -5l5 5l-5 5l-5 -5Z")
            .empty(),
        "failed" => out
            .tag("path")
            .with("class", "canary cross")
            .with("d", "M-4 -4l8 8m0 -8l-8 8")
            .empty(),
        class => {
            out.tag("path")
                .with("class", format_args!("{class} line"))
                .with("d", "M-9 0H9")
                .empty();
            match class {
                "canary" => out
                    .tag("circle")
                    .with("class", "canary dot")
                    .with("r", "3")
                    .empty(),
                "stable" => out
                    .tag("rect")
                    .with("class", "stable dot")
                    .with("x", "-2.5")
                    .with("y", "-2.5")
                    .with("width", "5")
                    .with("height", "5")
                    .empty(),
                _ => {}
            }
        }
    });
}
