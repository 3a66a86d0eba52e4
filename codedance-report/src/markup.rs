//! Writes HTML and SVG that is well-formed XML, and escapes everything that is put into it.

use std::fmt::{self, Display, Write};

/// Markup as it is being written.
#[derive(Debug, Default)]
pub(crate) struct Markup {
    out: String,
}

/// A tag that takes attributes until it is given its content.
#[must_use]
pub(crate) struct Tag<'a> {
    markup: &'a mut Markup,
    name: &'static str,
}

impl Markup {
    pub(crate) fn tag(&mut self, name: &'static str) -> Tag<'_> {
        self.out.push('<');
        self.out.push_str(name);
        Tag { markup: self, name }
    }

    pub(crate) fn text(&mut self, text: impl Display) {
        // Writing into a string cannot fail; only a `Display` that lies can, and then less is shown.
        let _ = write!(Escaped(&mut self.out), "{text}");
    }

    /// Puts in what is markup already: our own style sheet, never anything from outside.
    pub(crate) fn raw(&mut self, trusted: &'static str) {
        self.out.push_str(trusted);
    }

    /// Ends the line, so that the page can be read and compared as text.
    pub(crate) fn line(&mut self) {
        self.out.push('\n');
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }
}

impl Tag<'_> {
    pub(crate) fn with(self, name: &'static str, value: impl Display) -> Self {
        self.markup.out.push(' ');
        self.markup.out.push_str(name);
        self.markup.out.push_str("=\"");
        self.markup.text(value);
        self.markup.out.push('"');
        self
    }

    /// Without content: for SVG shapes and for the elements that HTML calls void.
    pub(crate) fn empty(self) {
        self.markup.out.push_str("/>");
    }

    pub(crate) fn text(self, text: impl Display) {
        self.holding(|markup| markup.text(text));
    }

    pub(crate) fn holding(self, content: impl FnOnce(&mut Markup)) {
        self.markup.out.push('>');
        content(self.markup);
        self.markup.out.push_str("</");
        self.markup.out.push_str(self.name);
        self.markup.out.push('>');
    }
}

/// Passes on what is written to it, harmless in text and in attributes alike.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                // XML has no way to write these at all.
                '\u{fffe}' | '\u{ffff}' => self.0.push('\u{fffd}'),
                c if c.is_control() => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

/// A coordinate: finite whatever it was, with no more digits than an eye can see.
pub(crate) struct At(pub(crate) f64);

impl Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.0.is_finite() { self.0 } else { 0.0 };
        let tenths = (value * 10.0).round() / 10.0;
        // Negative zero would be written as `-0`.
        write!(f, "{}", tenths + 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_stays_text() {
        let mut markup = Markup::default();
        markup
            .tag("p")
            .with("title", "\"><script>alert('1')</script>")
            .text("a & b < c\u{0}\u{1b}[31m");
        let out = markup.finish();
        let read = roxmltree::Document::parse(&out).unwrap();
        let p = read.root_element();
        assert_eq!(p.attribute("title"), Some("\"><script>alert('1')</script>"));
        assert_eq!(p.text(), Some("a & b < c\u{fffd}\u{fffd}[31m"));
        assert_eq!(p.children().filter(roxmltree::Node::is_element).count(), 0);
    }

    #[test]
    fn a_coordinate_is_finite_and_short() {
        for (value, written) in [
            (1.0 / 3.0, "0.3"),
            (-0.01, "0"),
            (f64::NAN, "0"),
            (f64::INFINITY, "0"),
            (120.0, "120"),
        ] {
            assert_eq!(At(value).to_string(), written);
        }
    }
}
