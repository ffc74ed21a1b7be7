//! The little of SVG that a picture needs.

use std::fmt::{self, Display, Write};

/// A picture that is being written.
pub(super) struct Svg(String);

impl Svg {
    pub(super) fn new(width: f64, height: f64, title: &str, style: &str) -> Self {
        let mut svg = Self(String::new());
        svg.write(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\">\n<title>{}</title>\n<style>{style}</style>\n",
            Escaped(title)
        ));
        svg.rect("ground", (0.0, 0.0), (width, height), "");
        svg
    }

    /// A rectangle from its upper left corner; `tip`: what is shown when it is pointed at.
    pub(super) fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64), tip: &str) {
        let place = format!("x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\"");
        self.shape("rect", class, &place, tip);
    }

    pub(super) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64), tip: &str) {
        let place = format!("x1=\"{x1:.2}\" y1=\"{y1:.2}\" x2=\"{x2:.2}\" y2=\"{y2:.2}\"");
        self.shape("line", class, &place, tip);
    }

    /// A triangle that points down to a place.
    pub(super) fn pointer(&mut self, class: &str, (x, y): (f64, f64), tip: &str) {
        let (left, right, top) = (x - 4.0, x + 4.0, y - 8.0);
        let place = format!("points=\"{left:.2},{top:.2} {right:.2},{top:.2} {x:.2},{y:.2}\"");
        self.shape("polygon", class, &place, tip);
    }

    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        self.write(format_args!("<text class=\"{class}\" x=\"{x:.2}\" y=\"{y:.2}\">{}</text>\n", Escaped(text)));
    }

    /// What is drawn until [`close`](Self::close) belongs together, under a name.
    pub(super) fn open(&mut self, class: &str, name: &str) {
        let name = Escaped(name);
        self.write(format_args!("<g class=\"{class}\" data-name=\"{name}\">\n"));
    }

    pub(super) fn close(&mut self) {
        self.0.push_str("</g>\n");
    }

    pub(super) fn end(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }

    fn shape(&mut self, kind: &str, class: &str, place: &str, tip: &str) {
        if tip.is_empty() {
            self.write(format_args!("<{kind} class=\"{class}\" {place}/>\n"));
        } else {
            let tip = Escaped(tip);
            self.write(format_args!("<{kind} class=\"{class}\" {place}><title>{tip}</title></{kind}>\n"));
        }
    }

    fn write(&mut self, what: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(what);
    }
}

/// Text as it may stand in XML: also in an attribute, and without the control characters that XML cannot have at all.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\t' => f.write_char(' ')?,
                '\u{fffe}' | '\u{ffff}' => f.write_char(char::REPLACEMENT_CHARACTER)?,
                control if control.is_control() => f.write_char(char::REPLACEMENT_CHARACTER)?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
