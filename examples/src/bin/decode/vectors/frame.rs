//! Vectors that are Ethernet frames. Most state nothing: they are judged by what needs no configuration. Announcements may
//! state what tshark says of them, its fields with bars between them: frame number, the line in words, whether an ARP is
//! gratuitous, of a neighbour advertisement the flags router, solicited and override, whether its checksum is good.

use anyhow::anyhow;
use serde::Deserialize;
use vrrp_core::Family;

use super::{Outcome, octets, words};
use crate::announcement::{Announcement, is_gratuitous};
use crate::content::Content;
use crate::judge::{Expectations, Judge};

#[derive(Deserialize)]
pub(crate) struct Vector {
    id: String,
    hex: String,
    ts: Option<String>,
}

pub(crate) fn run(vector: Vector) -> anyhow::Result<(String, Outcome)> {
    let frame = octets("hex", &vector.hex)?;
    let content = Content::of_frame(&frame).map_err(|problem| anyhow!("hex: {problem}"))?;
    let outcome = match (&content, &vector.ts) {
        (Content::Announcement(announcement), Some(stated)) => compare(&vector.id, announcement, stated),
        (Content::Announcement(announcement), None) => Outcome::Agrees(announcement.to_string()),
        (Content::Discarded(discard), stated) => verdict(&vector.id, stated.as_deref(), Err(*discard)),
        (Content::Vrrp { envelope, payload }, stated) => {
            let result = Judge::new(Expectations::default())?.judge(None, envelope, payload);
            debug_assert_eq!(Family::of(envelope.source), Family::of(envelope.destination));
            verdict(&vector.id, stated.as_deref(), result.map(|_| ()))
        }
    };
    Ok((vector.id, outcome))
}

/// An announcement was stated, if anything was.
fn verdict(id: &str, stated: Option<&str>, result: Result<(), vrrp_core::wire::Discard>) -> Outcome {
    let (ours, got) = words(result);
    Outcome::new(id, stated.unwrap_or_default(), stated.is_none(), ours, got)
}

fn compare(id: &str, announcement: &Announcement, stated: &str) -> Outcome {
    let ours = announcement.to_string();
    let [_, line, rest @ ..] = &*stated.split('|').collect::<Vec<_>>() else {
        return Outcome::new(id, stated, false, "", ours);
    };
    let bit = |set: bool| if set { "1" } else { "0" };
    let flags = match announcement {
        Announcement::Arp(arp) => [if is_gratuitous(arp) { "1" } else { "" }, "", "", "", ""],
        Announcement::Neighbour(neighbour) if neighbour.solicitation => {
            ["", "", "", "", bit(neighbour.checksum_verifies)]
        }
        Announcement::Neighbour(neighbour) => {
            let [router, solicited, replaces] = neighbour.flags.map(bit);
            ["", router, solicited, replaces, bit(neighbour.checksum_verifies)]
        }
    };
    // Fewer fields state less. After its words tshark may remark on what it saw before.
    let line = line.split_once(" (duplicate use of").map_or(*line, |(line, _)| line);
    let agrees = line == ours && rest.iter().zip(flags).all(|(stated, ours)| *stated == ours);
    Outcome::new(id, stated, agrees, "", format!("{ours} [{}]", flags.join("|")))
}
