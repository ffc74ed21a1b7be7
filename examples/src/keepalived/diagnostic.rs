//! What is wrong with a configuration, and where.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::source::{Position, Sources, Span, to_usize};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration can be used, though not all that it says.
    Warning,
    /// It cannot.
    Error,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: the value, and what would be right.
    pub message: String,
    /// Where; `None` if it is about a file that could not be read.
    pub span: Option<Span>,
    /// A word about the place.
    pub label: Option<String>,
    /// The way out.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        // It may quote a word as long as the file.
        if message.len() > LONGEST_MESSAGE {
            message.truncate(boundary(&message, LONGEST_MESSAGE));
            message.push('\u{2026}');
        }
        Self { severity: Severity::Error, message, span: Some(span), label: None, help: None }
    }

    /// A warning at a place.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// With a word about the place.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With the way out.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Longest message, in octets.
const LONGEST_MESSAGE: usize = 400;

/// All that is wrong with a configuration, in the order in which it was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    /// How many more there were.
    left_out: usize,
    errors: usize,
}

/// Most diagnostics that are kept: nobody reads more, and a wrong definition is repeated thousands of times.
const MOST: usize = 200;

impl Report {
    /// One more.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if diagnostic.severity == Severity::Error {
            self.errors = self.errors.saturating_add(1);
        }
        // An error is not lost to a crowd of warnings, and the same thing is not said twice.
        let room = self.diagnostics.len() < MOST || (diagnostic.severity == Severity::Error && self.errors <= MOST);
        if !room {
            self.left_out = self.left_out.saturating_add(1);
        } else if !self.diagnostics.contains(&diagnostic) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// All of them.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Those that let the configuration be used.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Warning)
    }

    /// Those that do not.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// With the lines that they are about, for people.
    pub fn display<'a>(&'a self, sources: &'a Sources) -> Display<'a> {
        Display { report: self, sources, styled: false }
    }
}

/// A report with the lines that it is about.
#[derive(Clone, Copy, Debug)]
pub struct Display<'a> {
    report: &'a Report,
    sources: &'a Sources,
    styled: bool,
}

impl Display<'_> {
    /// In colours, for a terminal.
    #[must_use]
    pub fn styled(self) -> Self {
        Self { styled: true, ..self }
    }
}

impl fmt::Display for Display<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let renderer = if self.styled { Renderer::styled() } else { Renderer::plain() };
        for (at, diagnostic) in self.report.diagnostics.iter().enumerate() {
            let blank = if at > 0 { "\n" } else { "" };
            writeln!(f, "{blank}{}", render(diagnostic, self.sources, &renderer))?;
        }
        match self.report.left_out {
            0 => Ok(()),
            more => writeln!(f, "\n{more} more of this kind are not shown"),
        }
    }
}

/// `FILE:LINE:COLUMN: error: message; help`: one line, for a log.
impl Diagnostic {
    /// In one line, for a log.
    pub fn line(&self, sources: &Sources) -> String {
        let place = match self.span.map(|span| sources.position(span)) {
            Some(Position { path, line, column }) => format!("{}:{line}:{column}: ", path.display()),
            None => String::new(),
        };
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let help = self.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{place}{severity}: {}{help}", self.message)
    }
}

fn render(diagnostic: &Diagnostic, sources: &Sources, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    };
    // A message holds words of the file, which may hold anything.
    let message = printable(&diagnostic.message);
    let mut group = level.primary_title(message.as_str()).elements([] as [annotate_snippets::Message<'_>; 0]);
    let place = diagnostic.span.map(|span| excerpt(sources, span));
    if let (Some(span), Some(excerpt)) = (diagnostic.span, place.as_ref()) {
        let mark = AnnotationKind::Primary.span(excerpt.mark.clone()).label(diagnostic.label.as_deref());
        let path = sources.path(span.source).display().to_string();
        let snippet = Snippet::source(excerpt.text.as_str()).line_start(excerpt.line).path(path).annotation(mark);
        group = group.element(snippet);
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(printable(help)));
    }
    renderer.render(&[group])
}

/// A piece of the line that a stretch begins in.
struct Excerpt {
    line: usize,
    text: String,
    mark: std::ops::Range<usize>,
}

/// Longest piece of a line, in octets, on each side of the place.
const CONTEXT: usize = 160;

fn excerpt(sources: &Sources, span: Span) -> Excerpt {
    let (line, start, text) = sources.line(span);
    let text = text.trim_end();
    let from = to_usize(span.start).saturating_sub(start).min(text.len());
    let to = to_usize(span.end).saturating_sub(start).clamp(from, text.len());
    let before = boundary(text, from.saturating_sub(CONTEXT));
    let after = boundary(text, text.len().min(from.saturating_add(CONTEXT)));
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default().replace(is_unprintable, "\u{fffd}");
    let left = part(before, from);
    let marked = part(from, to.min(after));
    let right = part(to.min(after), after);
    let mark = left.len()..left.len() + marked.len();
    Excerpt { line, text: left + &marked + &right, mark }
}

/// The last place at or before `at` where a character begins.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn is_unprintable(character: char) -> bool {
    character.is_control() && character != '\t'
}

fn printable(text: &str) -> String {
    text.replace(is_unprintable, "\u{fffd}")
}

/// The known word that is nearest to one that is not.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A long word is no slip of a keyword, and comparing takes the product of the lengths.
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.83)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, start: u32, end: u32) -> String {
        let mut sources = Sources::default();
        let source = sources.add("/etc/k.conf".into(), text.as_bytes()).unwrap();
        let mut report = Report::default();
        report
            .push(Diagnostic::error(Span { source, start, end }, "priority 300 is not 1..=255").with_help("write 255"));
        report.display(&sources).to_string()
    }

    #[test]
    fn an_error_shows_its_line_and_marks_the_place() {
        let expected = "\
error: priority 300 is not 1..=255
 --> /etc/k.conf:2:12
  |
2 |   priority 300
  |            ^^^
  |
  = help: write 255
";
        assert_eq!(shown("a {\n  priority 300\n}\n", 15, 18), expected);
    }

    #[test]
    fn a_line_without_end_is_cut_round_the_place() {
        let long = format!("{}priority 300{}", "ä".repeat(1 << 20), "x".repeat(1 << 20));
        let text = shown(&long, 2 << 20, (2 << 20) + 8);
        assert!(text.len() < 2000 && text.contains("priority 300"), "{text}");
    }

    #[test]
    fn a_word_gets_the_suggestion_that_is_nearest_or_none() {
        let known = ["virtual_ipaddress", "virtual_routes", "priority", "interface"];
        assert_eq!(nearest("virtual_ipadress", known), Some("virtual_ipaddress"));
        assert_eq!(nearest("Priorty", known), Some("priority"));
        assert_eq!(nearest("frobnicate", known), None);
        assert_eq!(nearest(&"p".repeat(1 << 20), known), None);
    }

    #[test]
    fn a_crowd_of_warnings_does_not_hide_an_error() {
        let mut report = Report::default();
        let at = |start| Span { source: 0, start, end: start };
        (0..100_000).for_each(|start| report.push(Diagnostic::warning(at(start), "w")));
        report.push(Diagnostic::error(at(1), "e"));
        assert!(report.has_errors() && report.errors().count() == 1 && report.diagnostics().len() == MOST + 1);
    }
}
