//! Drawings that are readable on light and on dark ground: without a ground of their own, in middle tones.

use std::fmt::{self, Display, Write as _};

/// Ours, keepalived's or the other's, what is demanded, what the kernel takes, and lines to hold on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Plain,
    Text,
    Faint,
    Line(usize),
}

/// Lines of one chart, told apart.
const LINES: [&str; 7] = ["#3b82c4", "#d9822b", "#2f9e5b", "#a05cc0", "#c94f6d", "#8a8a2a", "#2a9aa5"];

impl Display for Tone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "#2f9e5b",
            Self::Bad => "#d64545",
            Self::Plain => "#3b82c4",
            Self::Text => "#808488",
            Self::Faint => "#80848855",
            Self::Line(number) => LINES.get(number % LINES.len()).copied().unwrap_or("#3b82c4"),
        })
    }
}

/// Where text stands to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing under way.
pub(crate) struct Drawing {
    width: f64,
    height: f64,
    body: String,
}

impl Drawing {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    pub(crate) fn text(&mut self, x: f64, y: f64, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (tone, text) = (Tone::Text, escape(text));
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{tone}\">{text}</text>"
        ));
    }

    pub(crate) fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, tone: Tone) {
        let width = width.max(1.0);
        self.push(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{tone}\"/>"
        ));
    }

    pub(crate) fn line(&mut self, points: &[(f64, f64)], width: f64, tone: Tone) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.push(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{tone}\" stroke-width=\"{width}\"/>",
            points.join(" ")
        ));
    }

    pub(crate) fn finish(self) -> String {
        let Self { width, height, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n{body}</svg>\n"
        )
    }

    fn push(&mut self, element: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.body, "{element}");
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What keeps a text from being well-formed XML, as far as drawings go: elements that are not closed, attributes without
/// quotes, bare `&` and `<`.
#[cfg(test)]
pub(crate) fn fault(text: &str) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text.trim();
    while let Some(start) = rest.find('<') {
        let (between, tag) = rest.split_at(start);
        let entities = ["&amp;", "&lt;", "&gt;", "&quot;"];
        let bare = between.match_indices('&').find(|(at, _)| !entities.iter().any(|it| between[*at..].starts_with(it)));
        if bare.is_some() || between.contains('>') {
            return Some(format!("bare sign in {between:?}"));
        }
        let Some(end) = tag.find('>') else { return Some(format!("no end: {tag:?}")) };
        let inside = &tag[1..end];
        rest = &tag[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Some(format!("</{name}> closes nothing"));
            }
            continue;
        }
        let closed = inside.strip_suffix('/');
        let inside = closed.unwrap_or(inside);
        let (name, attributes) = inside.split_once(' ').unwrap_or((inside, ""));
        let parts: Vec<&str> = attributes.split('"').collect();
        let keys = parts.iter().step_by(2).take(parts.len() / 2);
        let rest_is_blank = parts.last().is_some_and(|last| last.trim().is_empty());
        if parts.len().is_multiple_of(2)
            || !rest_is_blank
            || !keys.clone().all(|key| key.trim().ends_with('='))
            || inside.contains('<')
        {
            return Some(format!("attributes of <{inside}>"));
        }
        if closed.is_none() {
            open.push(name);
        }
        if open.is_empty() {
            return Some("more than one root".to_owned());
        }
    }
    (!open.is_empty() || !rest.is_empty()).then(|| format!("{open:?} open, {rest:?} left"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_are_well_formed_whatever_the_text() {
        let mut drawing = Drawing::new(100.0, 50.0);
        drawing.text(1.0, 2.0, Anchor::End, "a < b & \"c\" > d");
        drawing.bar(1.0, 2.0, 3.0, 4.0, Tone::Good);
        drawing.line(&[(0.0, 0.0), (1.5, 2.5)], 1.0, Tone::Line(9));
        let text = drawing.finish();
        assert_eq!(fault(&text), None, "{text}");
        assert!(text.contains("a &lt; b &amp; &quot;c&quot; &gt; d"));
    }

    #[test]
    fn what_is_not_well_formed_is_found() {
        for text in
            ["<svg>", "<svg></text></svg>", "<svg a=b></svg>", "<svg>a & b</svg>", "<svg><g></svg></g>", "<a/> x"]
        {
            assert!(fault(text).is_some(), "{text}");
        }
    }
}
