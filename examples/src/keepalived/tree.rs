//! Blocks of keywords with arguments, before anybody knows what they mean.

use super::diagnostic::Diagnostic;
use super::lexer::{Token, Word};
use super::source::Span;

/// A keyword with its arguments, or a line of a list; and its block, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// At least one.
    pub(super) words: Vec<Word>,
    pub(super) block: Option<Vec<Node>>,
}

impl Node {
    pub(super) fn keyword(&self) -> &str {
        self.words.first().map_or("", |word| &word.text)
    }

    /// The keyword's place.
    pub(super) fn span(&self) -> Span {
        self.words.first().map_or_else(Span::default, |word| word.span)
    }
}

/// Deepest nesting; keepalived's deepest is four.
const DEEPEST: usize = 32;

/// Puts blocks together, from lines.
#[derive(Debug, Default)]
pub(super) struct Builder {
    top: Vec<Node>,
    /// The blocks that are open, the innermost last, with the place of their braces.
    open: Vec<(Node, Span)>,
    /// Blocks that are open too, but too deep to be kept.
    too_deep: usize,
}

impl Builder {
    /// The tokens of one line.
    pub(super) fn line(&mut self, tokens: Vec<Token>, problem: &mut dyn FnMut(Diagnostic)) {
        let mut words = Vec::new();
        for token in tokens {
            match token {
                Token::Word(word) => words.push(word),
                Token::Open(span) => self.begin(std::mem::take(&mut words), span, problem),
                Token::Close(span) => {
                    self.add(std::mem::take(&mut words), None);
                    self.end(span, problem);
                }
            }
        }
        self.add(words, None);
    }

    /// All of it; blocks that nobody closed are.
    pub(super) fn finish(mut self, problem: &mut dyn FnMut(Diagnostic)) -> Vec<Node> {
        while let Some((node, brace)) = self.open.pop() {
            let message = format!("the block of {} is not closed", node.keyword());
            problem(
                Diagnostic::error(brace, message).with_help("a '}' is missing at its end, or in a block within it"),
            );
            if !node.words.is_empty() {
                self.siblings().push(node);
            }
        }
        self.top
    }

    fn siblings(&mut self) -> &mut Vec<Node> {
        match self.open.last_mut() {
            Some((node, _)) => node.block.get_or_insert_default(),
            None => &mut self.top,
        }
    }

    fn add(&mut self, words: Vec<Word>, block: Option<Vec<Node>>) {
        if !words.is_empty() && self.too_deep == 0 {
            self.siblings().push(Node { words, block });
        }
    }

    fn begin(&mut self, words: Vec<Word>, brace: Span, problem: &mut dyn FnMut(Diagnostic)) {
        if self.too_deep > 0 || self.open.len() >= DEEPEST {
            if self.too_deep == 0 {
                problem(Diagnostic::error(brace, format!("a block inside of {DEEPEST} others is too deep")));
            }
            self.too_deep = self.too_deep.saturating_add(1);
            return;
        }
        let block = Some(Vec::new());
        // The brace may stand on a line of its own.
        let node = if words.is_empty() {
            self.siblings().pop_if(|node| node.block.is_none()).map(|node| Node { block: block.clone(), ..node })
        } else {
            Some(Node { words, block: block.clone() })
        };
        let node = node.unwrap_or_else(|| {
            problem(Diagnostic::error(brace, "this block has no keyword before it"));
            Node { words: Vec::new(), block }
        });
        self.open.push((node, brace));
    }

    fn end(&mut self, brace: Span, problem: &mut dyn FnMut(Diagnostic)) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return;
        }
        match self.open.pop() {
            // One without a keyword has been complained about.
            Some((node, _)) if node.words.is_empty() => {}
            Some((node, _)) => self.siblings().push(node),
            None => problem(
                Diagnostic::error(brace, "no block is open here")
                    .with_help("take this '}' away, or add the '{' it ends"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keepalived::lexer::tokens;
    use crate::keepalived::text::Text;

    fn shape(nodes: &[Node]) -> String {
        let one = |node: &Node| {
            let words: Vec<_> = node.words.iter().map(|word| word.text.as_str()).collect();
            let block = node.block.as_ref().map(|block| format!("({})", shape(block))).unwrap_or_default();
            words.join(" ") + &block
        };
        nodes.iter().map(one).collect::<Vec<_>>().join(";")
    }

    fn built(text: &str) -> (String, Vec<String>) {
        let mut problems = Vec::new();
        let mut problem = |diagnostic: Diagnostic| problems.push(diagnostic.message);
        let mut builder = Builder::default();
        for line in text.lines() {
            let tokens = tokens(&Text::verbatim(line, Span::default()), &mut problem);
            builder.line(tokens, &mut problem);
        }
        let nodes = builder.finish(&mut problem);
        (shape(&nodes), problems)
    }

    #[test]
    fn braces_may_stand_anywhere() {
        let expected = "a 1(b(c);d 2)";
        for text in ["a 1 {\nb {\nc\n}\nd 2\n}", "a 1\n\n{\nb\n{\nc }\nd 2\n}", "a 1 { b { c } d 2 }", "a 1{b{c}\nd 2}"]
        {
            assert_eq!(built(text), (expected.into(), Vec::new()), "{text}");
        }
    }

    #[test]
    fn a_block_that_is_not_closed_is_named() {
        assert_eq!(built("a {\nb {\nc\n").1, ["the block of b is not closed", "the block of a is not closed"]);
        assert_eq!(built("a {\nb {\nc\n").0, "a(b(c))");
    }

    #[test]
    fn a_brace_too_many_is_an_error_and_the_rest_is_read() {
        assert_eq!(built("a }\nb"), ("a;b".into(), vec!["no block is open here".into()]));
        assert_eq!(built("{\na\n}\nb"), ("b".into(), vec!["this block has no keyword before it".into()]));
        assert_eq!(built("a {\n} {\nx\n}"), ("a()".into(), vec!["this block has no keyword before it".into()]));
    }

    #[test]
    fn depth_is_bounded() {
        let (shape, problems) = built(&format!("{}x\n{}\nb", "a {\n".repeat(10_000), "}\n".repeat(10_000)));
        assert_eq!((problems.len(), shape.ends_with(";b"), shape.contains('x')), (1, true, false));
    }
}
