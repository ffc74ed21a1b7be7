//! The files of a configuration: how they are read, and where in them something stands.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where files come from: the disk, or memory.
pub trait Files {
    /// What is in a file.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The files that a pattern with `*`, `?` and `[...]` stands for, in the order of their names. One without any of these
    /// stands for itself, if there is such a file.
    fn matching(&self, pattern: &str) -> Vec<PathBuf>;
}

/// The files of this host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // A device or a FIFO might never end.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut octets = Vec::new();
        let longest = u64::try_from(Sources::LONGEST).unwrap_or(u64::MAX);
        std::fs::File::open(path)?.take(longest.saturating_add(1)).read_to_end(&mut octets)?;
        Ok(octets)
    }

    fn matching(&self, pattern: &str) -> Vec<PathBuf> {
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
        glob::glob_with(pattern, options).map(|paths| paths.flatten().collect()).unwrap_or_default()
    }
}

/// Files in memory, for tests: no disk is touched.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    /// With these files.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(files.into_iter().map(|(path, text)| (path.into(), text.into())).collect())
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn matching(&self, pattern: &str) -> Vec<PathBuf> {
        let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
        let Ok(pattern) = glob::Pattern::new(pattern) else { return Vec::new() };
        self.0.keys().filter(|path| pattern.matches_path_with(path, options)).cloned().collect()
    }
}

/// A stretch of a file, in octets of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// Which file: its number in [`Sources`].
    pub source: u32,
    /// Its first octet.
    pub start: u32,
    /// The one after its last.
    pub end: u32,
}

impl Span {
    /// From the beginning of this one to the end of the other, if that stands after it in the same file.
    pub fn to(self, other: Self) -> Self {
        if other.source == self.source && other.end >= self.start { Self { end: other.end, ..self } } else { self }
    }
}

/// A place as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position<'a> {
    /// The file.
    pub path: &'a Path,
    /// The line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
}

/// The files that were read, in the order in which they were opened.
#[derive(Clone, Debug, Default)]
pub struct Sources(Vec<Source>);

#[derive(Clone, Debug)]
struct Source {
    path: PathBuf,
    text: String,
    /// Where its lines begin.
    lines: Vec<u32>,
}

impl Sources {
    /// The longest text, in octets: 64 MiB.
    pub const LONGEST: usize = 64 << 20;

    /// Takes a file in. What is not UTF-8 is replaced: it is most often in a comment.
    ///
    /// `None` if it is longer than [`Self::LONGEST`].
    pub(super) fn add(&mut self, path: PathBuf, octets: &[u8]) -> Option<u32> {
        let number = u32::try_from(self.0.len()).ok()?;
        let text = String::from_utf8_lossy(octets).into_owned();
        if text.len() > Self::LONGEST {
            return None;
        }
        let after_breaks = text.match_indices('\n').map(|(at, _)| at.saturating_add(1));
        let lines = std::iter::once(0).chain(after_breaks).filter_map(|at| u32::try_from(at).ok()).collect();
        self.0.push(Source { path, text, lines });
        Some(number)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|source| source.path.as_path())
    }

    /// The text of one.
    pub(super) fn text(&self, source: u32) -> &str {
        self.source(source).map_or("", |source| &source.text)
    }

    /// The name of one.
    pub(super) fn path(&self, source: u32) -> &Path {
        self.source(source).map_or(Path::new(""), |source| &source.path)
    }

    /// Where a stretch begins.
    pub fn position(&self, span: Span) -> Position<'_> {
        let (line, start) = self.line_of(span);
        let before = self.text(span.source).get(start..to_usize(span.start)).unwrap_or_default();
        Position { path: self.path(span.source), line, column: before.chars().count().saturating_add(1) }
    }

    /// The line that a stretch begins in: its number, and its text with the octet that it begins at.
    pub(super) fn line(&self, span: Span) -> (usize, usize, &str) {
        let (number, start) = self.line_of(span);
        let rest = self.text(span.source).get(start..).unwrap_or_default();
        (number, start, rest.split('\n').next().unwrap_or_default())
    }

    fn line_of(&self, span: Span) -> (usize, usize) {
        let Some(source) = self.source(span.source) else { return (1, 0) };
        let number = source.lines.partition_point(|start| *start <= span.start).max(1);
        (number, source.lines.get(number - 1).map_or(0, |start| to_usize(*start)))
    }

    fn source(&self, source: u32) -> Option<&Source> {
        self.0.get(to_usize(source))
    }
}

/// Positions are 32 bits wide, and so is, at least, all we run on.
pub(super) fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Where a text of at most [`Sources::LONGEST`] octets is taken apart.
pub(super) fn to_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_lines_and_characters_from_one() {
        let mut sources = Sources::default();
        let first = sources.add("a".into(), "ä b\r\nc\n".as_bytes()).unwrap();
        let at = |start| {
            let position = sources.position(Span { source: first, start, end: start + 1 });
            (position.line, position.column)
        };
        assert_eq!([at(0), at(3), at(6), at(8)], [(1, 1), (1, 3), (2, 1), (3, 1)]);
        // What cannot be does no harm.
        assert_eq!((at(100), sources.position(Span { source: 7, start: 3, end: 4 }).line), ((3, 1), 1));
    }

    #[test]
    fn memory_matches_as_a_shell_does() {
        let files = Memory::new([("/a/1.conf", ""), ("/a/2.conf", ""), ("/a/b/3.conf", ""), ("/a/x", "")]);
        assert_eq!(files.matching("/a/*.conf"), [Path::new("/a/1.conf"), Path::new("/a/2.conf")]);
        assert_eq!(files.matching("/a/x"), [Path::new("/a/x")]);
        assert!(files.matching("/a/y").is_empty());
    }

    #[test]
    fn what_is_not_utf_8_is_replaced() {
        let mut sources = Sources::default();
        let source = sources.add("a".into(), b"# caf\xe9\n").unwrap();
        assert_eq!(sources.text(source), "# caf\u{fffd}\n");
    }
}
