//! The little of SVG that the plots need. What is put in comes from this bench, and needs no escaping.

use std::fmt::{Display, Write};

use crate::judges::Judge;

/// A drawing that reads well on light paper and on dark.
#[derive(Debug)]
pub(crate) struct Drawing {
    body: String,
    width: f64,
    height: f64,
}

/// How text is set against its place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Set {
    Start,
    Middle,
    End,
}

/// Colours as in Codedance's reports.
const STYLE: &str = "
svg { color-scheme: light dark; background: #fff; font: 12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif;
  --paper: #ffffff; --ink: #1c2126; --soft: #5b6570; --faint: #dde1e5;
  --ours: #0067a8; --kayenta: #c96a00; --flagger: #7a4fb5; --z: #6b7580; --lindon: #00735c; --robust: #b3152b; }
@media (prefers-color-scheme: dark) { svg { background: #14181c;
  --paper: #14181c; --ink: #e4e8ec; --soft: #9aa5b1; --faint: #333b43;
  --ours: #5fb2ea; --kayenta: #f2a33c; --flagger: #b79af0; --z: #9aa5b1; --lindon: #45c4a4; --robust: #ff7d8b; } }
text { fill: var(--soft); font-variant-numeric: tabular-nums; }
.title { fill: var(--ink); font-size: 15px; font-weight: 650; }
.head { fill: var(--ink); font-weight: 600; }
.middle { text-anchor: middle; } .end { text-anchor: end; }
.grid { stroke: var(--faint); } .goal { stroke: var(--ink); stroke-dasharray: 5 4; }
path { fill: none; stroke-width: 1.75; stroke-linejoin: round; }
.loose { stroke-dasharray: 2 4; }
.ours { stroke: var(--ours); } .kayenta { stroke: var(--kayenta); } .flagger { stroke: var(--flagger); }
.z { stroke: var(--z); } .lindon { stroke: var(--lindon); } .robust { stroke: var(--robust); }
path.ours { stroke-width: 3; }
circle { stroke-width: 1.5; fill: var(--paper); } circle.ours { fill: var(--ours); }
";

/// How the lines and dots of a judge look.
pub(crate) const fn class(judge: Judge) -> &'static str {
    match judge {
        Judge::Codedance => "ours",
        Judge::Kayenta | Judge::KayentaEachMinute | Judge::KayentaTolerant => "kayenta",
        Judge::Flagger | Judge::Argo => "flagger",
        Judge::ZEachMinute | Judge::ZOnce => "z",
        Judge::LindonMalek => "lindon",
        Judge::Exact | Judge::Robust => "robust",
    }
}

impl Drawing {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self {
            body: String::new(),
            width,
            height,
        }
    }

    pub(crate) fn text(&mut self, class: &str, set: Set, at: (f64, f64), text: impl Display) {
        let set = match set {
            Set::Start => "",
            Set::Middle => " middle",
            Set::End => " end",
        };
        let (x, y) = at;
        self.put(format_args!(
            r#"<text class="{class}{set}" x="{x:.1}" y="{y:.1}">{text}</text>"#
        ));
    }

    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.put(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    /// A line through these points.
    pub(crate) fn curve(&mut self, class: &str, points: impl Iterator<Item = (f64, f64)>) {
        let path: String = points
            .enumerate()
            .map(|(index, (x, y))| format!("{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' }))
            .collect();
        self.put(format_args!(r#"<path class="{class}" d="{path}"/>"#));
    }

    pub(crate) fn dot(&mut self, class: &str, at: (f64, f64)) {
        let (x, y) = at;
        self.put(format_args!(
            r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="3"/>"#
        ));
    }

    /// Names the judges in a row, each beside a piece of his line.
    pub(crate) fn legend(&mut self, judges: &[Judge], at: (f64, f64)) {
        let (mut x, y) = at;
        for judge in judges {
            self.curve(
                class(*judge),
                [(x, y - 4.0), (x + 20.0, y - 4.0)].into_iter(),
            );
            self.text("", Set::Start, (x + 26.0, y), judge.name());
            x += 50.0 + 6.6 * judge.name().chars().count() as f64;
        }
    }

    /// The whole drawing, with what it shows in words.
    pub(crate) fn finish(self, described: &str) -> String {
        let Self {
            body,
            width,
            height,
        } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\">\n<title>{described}</title>\n\
             <style>{STYLE}</style>\n{body}</svg>\n"
        )
    }

    fn put(&mut self, element: impl Display) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.body, "{element}");
    }
}
