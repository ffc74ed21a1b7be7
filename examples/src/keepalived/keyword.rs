//! Tables of the keywords of a block: what is known, what it means, and what is not supported.

use super::diagnostic::{Diagnostic, Report, nearest};
use super::entry::Entry;
use super::tree::Node;

/// One keyword, or several of which all is said by one reason.
pub(super) struct Keyword<T: 'static> {
    /// Its name, then older spellings.
    pub(super) names: &'static [&'static str],
    meaning: Meaning<T>,
}

enum Meaning<T> {
    Read(fn(&mut T, &mut Entry<'_>) -> Result<(), Diagnostic>),
    /// keepalived knows them. In their place is what to do, or why nothing is lost.
    Unsupported(&'static str),
    /// The same for a block, with the keywords in it.
    UnsupportedBlock(&'static str, &'static [&'static str]),
}

/// A keyword that is read; its other names are older spellings.
pub(super) const fn read<T>(
    names: &'static [&'static str],
    read: fn(&mut T, &mut Entry<'_>) -> Result<(), Diagnostic>,
) -> Keyword<T> {
    Keyword { names, meaning: Meaning::Read(read) }
}

/// Keywords that keepalived knows, and that do nothing here.
pub(super) const fn unsupported<T>(names: &'static [&'static str], why: &'static str) -> Keyword<T> {
    Keyword { names, meaning: Meaning::Unsupported(why) }
}

/// Blocks that keepalived knows, and that do nothing here, with the keywords in them.
pub(super) const fn unsupported_block<T>(
    names: &'static [&'static str],
    why: &'static str,
    inside: &'static [&'static str],
) -> Keyword<T> {
    Keyword { names, meaning: Meaning::UnsupportedBlock(why, inside) }
}

/// Reads the keywords of a block. `place` says where, for errors: `vrrp_instance VI_1`.
pub(super) fn read_all<T>(nodes: &[Node], tables: &[&[Keyword<T>]], place: &str, target: &mut T, report: &mut Report) {
    for node in nodes {
        let word = node.keyword();
        let all = || tables.iter().copied().flatten();
        let Some(keyword) = all().find(|keyword| keyword.names.contains(&word)) else {
            unknown(node, all().flat_map(|keyword| keyword.names).copied(), place, report);
            continue;
        };
        match &keyword.meaning {
            Meaning::Read(read) => {
                let mut entry = Entry::new(node, report);
                match read(target, &mut entry) {
                    Ok(()) => entry.finish(),
                    Err(diagnostic) => report.push(diagnostic),
                }
            }
            Meaning::Unsupported(why) => warn(node, why, report),
            Meaning::UnsupportedBlock(why, inside) => {
                warn(node, why, report);
                let nodes = node.block.iter().flatten();
                let odd = nodes.filter(|node| !inside.is_empty() && !inside.contains(&node.keyword()));
                odd.for_each(|node| unknown(node, inside.iter().copied(), word, report));
            }
        }
    }
}

fn warn(node: &Node, why: &str, report: &mut Report) {
    let message = format!("{} is not supported and has no effect", node.keyword());
    report.push(Diagnostic::warning(node.span(), message).with_help(why));
}

fn unknown(node: &Node, known: impl Iterator<Item = &'static str>, place: &str, report: &mut Report) {
    let diagnostic = Diagnostic::error(node.span(), format!("{:?} is no keyword of {place}", node.keyword()));
    report.push(match nearest(node.keyword(), known) {
        Some(near) => diagnostic.with_help(format!("did you mean {near}?")),
        None => diagnostic,
    });
}
