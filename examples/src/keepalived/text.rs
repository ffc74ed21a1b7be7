//! A text that knows where each part of it comes from, through substitutions.

use std::ops::Range;

use super::source::{Span, to_u32, to_usize};

/// A text, most often a line, put together from pieces of files.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    text: String,
    /// Where each piece begins and what it comes from, in the order of the text.
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    at: u32,
    span: Span,
    /// It is that stretch; else all of it stands in its place.
    verbatim: bool,
}

impl Text {
    /// A stretch of a file.
    pub(super) fn verbatim(text: &str, span: Span) -> Self {
        Self { text: text.to_owned(), pieces: vec![Piece { at: 0, span, verbatim: true }] }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Appends what stands for a stretch.
    pub(super) fn push_str(&mut self, text: &str, span: Span) {
        self.pieces.push(Piece { at: to_u32(self.text.len()), span, verbatim: false });
        self.text.push_str(text);
    }

    /// Appends a part of another one.
    pub(super) fn push(&mut self, other: &Self, range: Range<usize>) {
        let Some(part) = other.text.get(range.clone()) else { return };
        let first = other.pieces.partition_point(|piece| to_usize(piece.at) <= range.start).saturating_sub(1);
        let base = to_u32(self.text.len());
        let start = to_u32(range.start);
        for piece in other.pieces.iter().skip(first).take_while(|piece| to_usize(piece.at) < range.end) {
            let skipped = start.saturating_sub(piece.at);
            let moved = if piece.verbatim { skipped } else { 0 };
            self.pieces.push(Piece {
                at: base.saturating_add(piece.at.saturating_sub(start)),
                span: Span { start: piece.span.start.saturating_add(moved), ..piece.span },
                verbatim: piece.verbatim,
            });
        }
        self.text.push_str(part);
    }

    /// A part of it.
    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        let mut part = Self::default();
        part.push(self, range);
        part
    }

    /// From an octet on, without the white space on both sides.
    pub(super) fn trimmed_from(&self, start: usize) -> Self {
        let rest = self.text.get(start..).unwrap_or_default();
        let begin = self.text.len() - rest.trim_start().len();
        self.slice(begin..begin + rest.trim().len())
    }

    /// Where a part of it stands.
    pub(super) fn span(&self, range: Range<usize>) -> Span {
        let first = self.place(range.start);
        match range.end.checked_sub(1).filter(|last| *last > range.start) {
            // An octet before the end is in the last piece that it touches.
            Some(last) => first.to(self.place(last)),
            None => first,
        }
    }

    fn place(&self, at: usize) -> Span {
        let after = self.pieces.partition_point(|piece| to_usize(piece.at) <= at);
        let Some(piece) = after.checked_sub(1).and_then(|index| self.pieces.get(index)) else { return Span::default() };
        if !piece.verbatim {
            return piece.span;
        }
        let start = piece.span.start.saturating_add(to_u32(at).saturating_sub(piece.at)).min(piece.span.end);
        Span { source: piece.span.source, start, end: start.saturating_add(1).min(piece.span.end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn span(start: u32, end: u32) -> Span {
        Span { source: 0, start, end }
    }

    #[test]
    fn a_part_stands_where_it_came_from() {
        let line = Text::verbatim("priority $X 1", span(10, 23));
        let mut expanded = line.slice(0..9);
        expanded.push_str("200", line.span(9..11));
        expanded.push(&line, 11..13);
        assert_eq!(expanded.as_str(), "priority 200 1");
        assert_eq!(expanded.span(0..8), span(10, 18));
        assert_eq!(expanded.span(9..12), span(19, 21));
        assert_eq!(expanded.span(13..14), span(22, 23));
        let rest = expanded.trimmed_from(9);
        assert_eq!((rest.as_str(), rest.span(0..3), rest.span(4..5)), ("200 1", span(19, 21), span(22, 23)));
        assert_eq!(rest.span(0..5), span(19, 23));
    }

    #[test]
    fn what_is_outside_is_nowhere() {
        assert_eq!(Text::default().span(0..4), Span::default());
        assert_eq!(Text::verbatim("a", span(3, 4)).span(7..9), span(4, 4));
        assert_eq!(Text::verbatim("a", span(3, 4)).slice(3..9).as_str(), "");
    }
}
