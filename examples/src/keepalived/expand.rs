//! From files to a tree of blocks: conditions, definitions, sequences and includes are gone by then.

use std::path::{Path, PathBuf};

use super::definitions::{Definition, Definitions, Predefined, definition};
use super::diagnostic::{Diagnostic, Report, nearest};
use super::include::{self, Checks, INCLUDE_CHECK};
use super::lexer::{Token, Word, tokens, without_comment};
use super::sequence::sequence;
use super::source::{Files, Sources, Span, to_u32};
use super::text::Text;
use super::tree::{Builder, Node};

/// How much a configuration may become, whatever it includes and repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of all lines together, with what is put in; each word counts for 64 more, which is what it takes.
    pub octets: usize,
    /// Files.
    pub files: usize,
}

impl Default for Limits {
    /// 256 MiB, which is enough for the 65,024 instances of the manual, and 1024 files.
    fn default() -> Self {
        Self { octets: 256 << 20, files: 1024 }
    }
}

/// How deep files may include each other, and definitions use each other.
const DEEPEST: usize = 32;

/// Longest line of a file, in octets.
const LONGEST_LINE: usize = 4 << 20;

/// What a word takes, beside its text.
const WORD: usize = 64;

/// Reads a configuration.
pub(super) struct Expander<'a> {
    files: &'a dyn Files,
    config_id: &'a str,
    limits: Limits,
    spent: usize,
    /// The limit has been reached, and said.
    is_full: bool,
    /// Nothing more is to become of the present line of the file.
    gives_up: bool,
    definitions: Definitions,
    tree: Builder,
    /// The files that are being read, the innermost last.
    reading: Vec<PathBuf>,
    checks: Checks,
    sources: Sources,
    report: Report,
}

/// A definition over several lines that has not ended.
struct Pending {
    name: String,
    lines: Vec<Text>,
}

impl<'a> Expander<'a> {
    pub(super) fn new(files: &'a dyn Files, config_id: &'a str, limits: Limits, seed: u64) -> Self {
        let mut definitions = Definitions::default();
        definitions.seed(seed);
        Self {
            files,
            config_id,
            limits,
            spent: 0,
            is_full: false,
            gives_up: false,
            definitions,
            tree: Builder::default(),
            reading: Vec::new(),
            checks: Checks::default(),
            sources: Sources::default(),
            report: Report::default(),
        }
    }

    /// Reads a file with all that it includes.
    pub(super) fn read(mut self, path: &Path) -> (Vec<Node>, Sources, Report) {
        if let Err(problem) = self.file(path.to_owned()) {
            self.report.push(Diagnostic {
                severity: super::diagnostic::Severity::Error,
                message: problem,
                span: None,
                label: None,
                help: None,
            });
        }
        let Self { tree, sources, mut report, .. } = self;
        let nodes = tree.finish(&mut |diagnostic| report.push(diagnostic));
        (nodes, sources, report)
    }

    fn file(&mut self, path: PathBuf) -> Result<(), String> {
        let shown = path.display().to_string();
        if self.reading.contains(&path) {
            return Err(format!("{shown} includes itself"));
        }
        if self.reading.len() >= DEEPEST {
            return Err(format!("{shown} is included by {DEEPEST} files, each by the next"));
        }
        if self.sources.len() >= self.limits.files {
            return Err(format!("{shown} is one file more than the {} that are read", self.limits.files));
        }
        let octets = self.files.read(&path).map_err(|error| format!("cannot read {shown}: {error}"))?;
        if !self.spend(octets.len()) {
            return Err(format!("{shown} is too long"));
        }
        let source = self.sources.add(path.clone(), &octets).ok_or_else(|| format!("{shown} is too long"))?;
        drop(octets);
        self.reading.push(path);
        let checks = self.checks;
        self.lines(source);
        self.checks = checks;
        self.reading.pop();
        Ok(())
    }

    /// Puts the lines of a file together that belong together, and takes each.
    fn lines(&mut self, source: u32) {
        let mut pending: Option<Pending> = None;
        let mut held = Text::default();
        let mut at = 0;
        while let Some((line, start)) = self.physical_line(source, &mut at) {
            let line = Text::verbatim(&line, Span { source, start, end: start.saturating_add(to_u32(line.len())) });
            let content = line.trimmed_from(0);
            if content.as_str().len() > LONGEST_LINE {
                let message = format!("a line of more than {LONGEST_LINE} octets");
                self.report.push(Diagnostic::error(content.span(0..1), message));
                continue;
            }
            // A blank line ends nothing: those between the lines of a definition are for the eye.
            if content.as_str().is_empty() {
                continue;
            }
            let (content, goes_on) = match content.as_str().strip_suffix('\\') {
                Some(before) => (content.slice(0..before.trim_end().len()), true),
                None => (content, false),
            };
            match &mut pending {
                Some(Pending { lines, .. }) => lines.push(content),
                None => {
                    let separator = if held.as_str().is_empty() { "" } else { " " };
                    held.push_str(separator, content.span(0..1));
                    held.push(&content, 0..content.as_str().len());
                    if !goes_on {
                        self.line(&std::mem::take(&mut held), 0);
                        continue;
                    }
                    pending = self.begins(&held);
                    if pending.is_some() {
                        held = Text::default();
                    }
                    continue;
                }
            }
            if !goes_on && let Some(Pending { name, lines }) = pending.take() {
                self.definitions.define(&name, Definition { lines });
            }
        }
        // The file ended within one.
        if let Some(Pending { name, lines }) = pending {
            self.definitions.define(&name, Definition { lines });
        }
        self.line(&held, 0);
    }

    /// One line without its comment. The text stays with the sources, which more are added to while it is read.
    fn physical_line(&self, source: u32, at: &mut usize) -> Option<(String, u32)> {
        let rest = self.sources.text(source).get(*at..).filter(|rest| !rest.is_empty())?;
        let line = rest.split('\n').next().unwrap_or_default();
        let start = to_u32(*at);
        *at = at.saturating_add(line.len()).saturating_add(1);
        Some((without_comment(line).to_owned(), start))
    }

    /// The definition that begins with a line which goes on, if it is one for this host.
    fn begins(&self, line: &Text) -> Option<Pending> {
        let line = match self.condition(line) {
            Condition::Holds(rest) => rest,
            Condition::None => line.clone(),
            Condition::Fails => return None,
        };
        let (name, start) = definition(line.as_str())?;
        let first = line.trimmed_from(start);
        let lines = if first.as_str().is_empty() { Vec::new() } else { vec![first] };
        Some(Pending { name: name.to_owned(), lines })
    }

    /// A line, with whatever it becomes.
    fn line(&mut self, line: &Text, depth: usize) {
        if depth == 0 {
            self.gives_up = false;
        }
        if line.as_str().trim().is_empty() || self.is_full || self.gives_up {
            return;
        }
        let span = line.span(0..line.as_str().len());
        if !self.spend(line.as_str().len()) {
            self.is_full = true;
            let limit = self.limits.octets;
            let message = format!("the configuration becomes longer than {limit} octets here");
            let help = "a sequence or a definition repeats too much";
            return self.report.push(Diagnostic::error(span, message).with_help(help));
        }
        if depth > DEEPEST {
            // The lines that led here would lead here again, and each by several ways.
            self.gives_up = true;
            let message = format!("definitions use each other more than {DEEPEST} deep");
            return self.report.push(Diagnostic::error(span, message).with_help("one of them uses itself"));
        }
        let line = match self.condition(&line.trimmed_from(0)) {
            Condition::Fails => return,
            Condition::Holds(rest) => return self.line(&rest, depth + 1),
            Condition::None => line.trimmed_from(0),
        };
        if let Some((name, start)) = definition(line.as_str()) {
            let name = name.to_owned();
            self.definitions.define(&name, Definition { lines: vec![line.trimmed_from(start)] });
        } else if line.as_str().starts_with('~') {
            self.repeat(&line, depth);
        } else if let Some(lines) = self.substituted(&line) {
            lines.iter().for_each(|line| self.line(line, depth + 1));
        } else {
            self.finished(&line);
        }
    }

    fn condition(&self, line: &Text) -> Condition {
        let Some(after) = line.as_str().strip_prefix('@') else { return Condition::None };
        let word = after.split_whitespace().next().filter(|_| !after.starts_with(char::is_whitespace));
        let Some(word) = word else { return Condition::Fails };
        // keepalived writes the negation `^`; `!` begins a comment there, and gets here from a definition only.
        let holds = match word.strip_prefix(['^', '!']) {
            Some(other) => other != self.config_id,
            None => word == self.config_id,
        };
        if holds { Condition::Holds(line.trimmed_from(1 + word.len())) } else { Condition::Fails }
    }

    fn substituted(&mut self, line: &Text) -> Option<Vec<Text>> {
        let folder = self.folder().display().to_string();
        self.definitions.substitute(line, Predefined { folder: &folder, config_id: self.config_id })
    }

    fn folder(&self) -> PathBuf {
        let folder = self.reading.last().and_then(|path| path.parent()).unwrap_or(Path::new(""));
        folder.to_owned()
    }

    /// A line that begins with a sequence: the rest, once for each of its values.
    fn repeat(&mut self, line: &Text, depth: usize) {
        // Its ends may be defined; what follows is not to be touched yet.
        let head = line.as_str().find(')').map_or(line.as_str().len(), |at| at + 1);
        let mut expanded = self
            .substituted(&line.slice(0..head))
            .and_then(|lines| lines.into_iter().next())
            .unwrap_or_else(|| line.slice(0..head));
        expanded.push(line, head..line.as_str().len());
        let span = line.span(0..head);
        let sequence = match sequence(expanded.as_str()) {
            Some(Ok(sequence)) => sequence,
            Some(Err(problem)) => return self.report.push(Diagnostic::error(span, problem)),
            None => {
                let message = "a line that begins with ~ is none of ~SEQ(...), ~SEQx(...) and ~LST(...)";
                return self.report.push(Diagnostic::error(span, message));
            }
        };
        let rest = expanded.trimmed_from(sequence.end);
        if rest.as_str().is_empty() {
            return;
        }
        for values in sequence.values {
            if self.is_full || self.gives_up {
                return;
            }
            for (name, value) in sequence.names.iter().zip(values) {
                self.definitions.define_word(name, &value, span);
            }
            self.line(&rest, depth + 1);
        }
    }

    /// A line that nothing is to be put into any more.
    fn finished(&mut self, line: &Text) {
        let keyword = line.as_str().split_whitespace().next().unwrap_or_default();
        if let Some(checks) = self.checks.of(keyword) {
            return self.include(line, keyword.len(), checks);
        }
        let report = &mut self.report;
        let tokens = tokens(line, &mut |diagnostic| report.push(diagnostic));
        self.spend(tokens.len().saturating_mul(WORD));
        match keyword {
            INCLUDE_CHECK => self.include_check(&tokens),
            "random_seed" => {
                let seed = words(&tokens).nth(1).and_then(|word| word.text.parse().ok());
                seed.into_iter().for_each(|seed| self.definitions.seed(seed));
            }
            _ => {}
        }
        let report = &mut self.report;
        self.tree.line(tokens, &mut |diagnostic| report.push(diagnostic));
    }

    fn include_check(&mut self, tokens: &[Token]) {
        match self.checks.changed(words(tokens).skip(1).map(|word| word.text.as_str())) {
            Ok(checks) => self.checks = checks,
            Err(number) => {
                if let Some(word) = words(tokens).nth(number + 1) {
                    let known = include::OPTIONS;
                    let message = format!("{:?} is not one of {}", word.text, known.join(", "));
                    let near = nearest(&word.text, known).map(|near| format!("did you mean {near}?"));
                    self.report.push(Diagnostic { help: near, ..Diagnostic::error(word.span, message) });
                }
            }
        }
    }

    fn include(&mut self, line: &Text, keyword: usize, checks: Checks) {
        let argument = line.trimmed_from(keyword);
        let span = argument.span(0..argument.as_str().len());
        let pattern = argument.as_str().trim_matches(['"', '\'']);
        if pattern.is_empty() {
            let keyword = line.span(0..keyword);
            return self.report.push(Diagnostic::error(keyword, "the name of a file is missing after this"));
        }
        let found = include::find(self.files, &self.folder(), pattern, checks);
        for (pattern, is_error) in found.missing {
            let message = format!("no file is named {pattern}");
            self.report.push(if is_error {
                Diagnostic::error(span, message)
            } else {
                Diagnostic::warning(span, message)
            });
        }
        for path in found.paths {
            let outer = self.checks;
            self.checks = checks;
            let read = self.file(path);
            self.checks = outer;
            if let Err(problem) = read {
                self.report.push(if checks.readable || !problem.starts_with("cannot read") {
                    Diagnostic::error(span, problem)
                } else {
                    Diagnostic::warning(span, problem)
                });
            }
        }
    }

    /// Whether there is room for this much more.
    fn spend(&mut self, octets: usize) -> bool {
        // A short line costs too: its tokens take more room than it does.
        self.spent = self.spent.saturating_add(octets).saturating_add(16);
        self.spent < self.limits.octets
    }
}

enum Condition {
    /// There is none.
    None,
    Holds(Text),
    Fails,
}

fn words(tokens: &[Token]) -> impl Iterator<Item = &Word> {
    tokens.iter().filter_map(|token| match token {
        Token::Word(word) => Some(word),
        Token::Open(_) | Token::Close(_) => None,
    })
}

#[cfg(test)]
mod tests;
