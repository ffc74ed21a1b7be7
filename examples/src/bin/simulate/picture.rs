//! The picture: a lane for each virtual router over time, and what was done to them.

use vrrp_net::vrrp_core::sim::script::{Deed, Replay};
use vrrp_net::vrrp_core::{Instant, Role};

use crate::lanes::{self, Advert, Lane, Span};
use crate::svg::Svg;

const WIDTH: f64 = 1200.0;
/// Where time begins and ends.
const LEFT: f64 = 110.0;
const RIGHT: f64 = WIDTH - 30.0;
const TITLE: f64 = 28.0;
const LEGEND: f64 = 52.0;
/// Between the legend and the first lane: the numbers of what was done.
const NUMBERS: f64 = 76.0;
const NUMBER_ROW: f64 = 13.0;
/// A lane: ticks of advertisements, the band of roles, a thin band of addresses.
const LANE: f64 = 64.0;
const TICKS: f64 = 22.0;
const BAND: f64 = 22.0;
const ADDRESSES: f64 = 4.0;
const LINE: f64 = 16.0;
/// How wide a character of the small text is.
const CHARACTER: f64 = 5.8;

/// Colours that colour-blind people can tell apart (Okabe and Ito); the roles are also written into the bands.
const STYLE: &str = "
text { font: 12px system-ui, sans-serif; fill: #222 }
.title { font-size: 15px; font-weight: 600 }
.name { font-weight: 600; text-anchor: end }
.small { font-size: 11px }
.middle { font-size: 11px; text-anchor: middle }
.in { font-size: 11px; fill: #000 }
.ground { fill: #fff }
.none { fill: #f3f3f3 }
.initialize { fill: #c4c4c4 }
.backup { fill: #8ccbf0 }
.claimant { fill: #f0b840 }
.active { fill: #35b995 }
.address { fill: #00684c }
.heldup { fill: #000; fill-opacity: .45 }
.grid { stroke: #e2e2e2 }
.axis { stroke: #777 }
.sent { stroke: #333 }
.resignation { stroke: #d0480a; stroke-width: 2.5 }
.failed { stroke: #999; stroke-dasharray: 2 2 }
.deed { stroke: #b0157a; stroke-dasharray: 3 3; stroke-opacity: .7 }
.fault { fill: #b0157a }
.violation { fill: #d00000; stroke: #d00000 }
@media (prefers-color-scheme: dark) {
text { fill: #e4e4e4 }
.in { fill: #000 }
.ground { fill: #17191c }
.none { fill: #23262a }
.initialize { fill: #8a8a8a }
.address { fill: #9ff0d6 }
.heldup { fill: #000; fill-opacity: .6 }
.grid { stroke: #33373c }
.axis { stroke: #999 }
.sent { stroke: #ddd }
.resignation { stroke: #ff8a4c }
.deed { stroke: #ff7ac8 }
.fault { fill: #ff7ac8 }
.violation { fill: #ff5c5c; stroke: #ff5c5c }
}
";

/// The picture of a run, as SVG.
pub(super) fn draw(title: &str, played: &Replay) -> String {
    let lanes = lanes::of(&played.sim);
    let marks = marks(&played.deeds);
    let scale = Scale { end: played.sim.now().max(Instant::from_millis(1)) };
    let (placed, rows) = place(&marks, &scale);
    let top = NUMBERS + rows * NUMBER_ROW;
    let bottom = lanes.iter().fold(top, |y, _| y + LANE);
    let violations = played.sim.violations();
    let lines = played.deeds.len() + violations.len();
    let height = (0..lines).fold(bottom + 50.0, |y, _| y + LINE);

    let mut svg = Svg::new(WIDTH, height, title, STYLE);
    svg.text("title", (20.0, TITLE), title);
    legend(&mut svg);
    axis(&mut svg, &scale, top, bottom);
    for (mark, (x, y)) in marks.iter().zip(&placed) {
        svg.line("deed", (*x, *y + 2.0), (*x, bottom), &mark.tip);
        svg.text("middle", (*x, *y), &mark.numbers);
    }
    let mut y = top;
    for lane in &lanes {
        draw_lane(&mut svg, &scale, lane, y, &marks);
        y += LANE;
    }
    y = bottom + 40.0;
    for (number, deed) in (1..).zip(&played.deeds) {
        let at = deed.at.since(Instant::ZERO).as_secs_f64();
        svg.text("small deeds", (LEFT, y), &format!("{number}  {at:.3} s  {}", deed.command));
        y += LINE;
    }
    for violation in violations {
        let tip = format!("{} at {}: {}", violation.oracle, violation.at, violation.what);
        svg.pointer("violation", (scale.x(violation.at), bottom), &tip);
        svg.pointer("violation", (LEFT - 12.0, y), "");
        svg.text("small", (LEFT, y), &tip);
        y += LINE;
    }
    svg.end()
}

/// What was done at one time.
struct Mark<'a> {
    at: Instant,
    /// `3`, or `3-5`.
    numbers: String,
    tip: String,
    deeds: &'a [Deed],
}

fn marks<'a>(deeds: &'a [Deed]) -> Vec<Mark<'a>> {
    let mut next = 1;
    let mark = |deeds: &'a [Deed]| {
        let (first, last) = (next, next + deeds.len() - 1);
        next = last + 1;
        let numbers = if first == last { format!("{first}") } else { format!("{first}-{last}") };
        let tip = deeds.iter().map(|deed| deed.command.as_str()).collect::<Vec<_>>().join("; ");
        Some(Mark { at: deeds.first()?.at, numbers, tip, deeds })
    };
    deeds.chunk_by(|one, other| one.at == other.at).filter_map(mark).collect()
}

/// Where the numbers of the marks go, so that none covers another, and how many rows that takes.
fn place(marks: &[Mark<'_>], scale: &Scale) -> (Vec<(f64, f64)>, f64) {
    // Where each row is free again.
    let mut rows: Vec<f64> = Vec::new();
    let mut places = Vec::new();
    for mark in marks {
        let x = scale.x(mark.at);
        let half = mark.numbers.chars().fold(3.0, |half, _| half + CHARACTER / 2.0);
        let row = rows.iter().position(|free| *free <= x - half).unwrap_or(rows.len());
        match rows.get_mut(row) {
            Some(free) => *free = x + half,
            None => rows.push(x + half),
        }
        places.push((x, (0..row).fold(NUMBERS, |y, _| y + NUMBER_ROW)));
    }
    (places, rows.iter().fold(0.0, |count, _| count + 1.0))
}

fn draw_lane(svg: &mut Svg, scale: &Scale, lane: &Lane, y: f64, marks: &[Mark<'_>]) {
    let band = y + TICKS;
    svg.open("lane", &lane.name);
    svg.text("name", (LEFT - 10.0, band + 15.0), &lane.name);
    for span in &lane.roles {
        let (class, role) = class_of(span.what);
        let (x, width) = scale.span(span);
        svg.rect(class, (x, band), (width, BAND), &format!("{role}, {}", times(span)));
        if span.what.is_some() && width > role.chars().fold(8.0, |width, _| width + CHARACTER) {
            svg.text("in", (x + 4.0, band + 15.0), role);
        }
    }
    for span in &lane.held_up {
        let (x, width) = scale.span(span);
        svg.rect("heldup", (x, band), (width, BAND), &format!("held up, {}", times(span)));
    }
    for span in &lane.addresses {
        let (x, width) = scale.span(span);
        let tip = format!("the kernel has the addresses, {}", times(span));
        svg.rect("address", (x, band + BAND + 2.0), (width, ADDRESSES), &tip);
    }
    let mut last = None;
    for (at, advert) in &lane.adverts {
        let (class, what, height) = match advert {
            Advert::Sent => ("sent", "advertisement", 9.0),
            Advert::Resignation => ("resignation", "priority 0", 15.0),
            Advert::Failed => ("failed", "advertisement that cannot be sent", 9.0),
        };
        // More than one a pixel are one.
        let place = (format!("{:.0}", scale.x(*at)), *advert == Advert::Sent);
        if *advert == Advert::Sent && last.as_ref() == Some(&place) {
            continue;
        }
        let x = scale.x(*at);
        svg.line(class, (x, band - height), (x, band - 1.0), &format!("{what} at {at}"));
        last = Some(place);
    }
    for mark in marks.iter().filter(|mark| mark.deeds.iter().any(|deed| is_about(deed, lane))) {
        svg.pointer("fault", (scale.x(mark.at), band), &mark.tip);
    }
    svg.close();
}

/// Whether a command names the router of a lane, or all routers, other than to start them.
fn is_about(deed: &Deed, lane: &Lane) -> bool {
    let mut words = deed.command.split_whitespace();
    let starts = words.next() == Some("start");
    !starts && words.any(|word| word == lane.name || word == lane.node || word.split('@').next() == Some(&lane.node))
}

fn class_of(role: Option<Role>) -> (&'static str, &'static str) {
    match role {
        None => ("none", "no process"),
        Some(Role::Initialize) => ("initialize", "Initialize"),
        Some(Role::Backup) => ("backup", "Backup"),
        Some(Role::Claimant) => ("claimant", "Claimant"),
        Some(Role::Active) => ("active", "Active"),
    }
}

fn times<T>(span: &Span<T>) -> String {
    format!("{} to {}", span.from, span.to)
}

fn legend(svg: &mut Svg) {
    let (y, mut x) = (LEGEND, 20.0);
    let width = |text: &str| text.chars().fold(34.0, |width, _| width + CHARACTER);
    for role in [Some(Role::Active), Some(Role::Backup), Some(Role::Claimant), Some(Role::Initialize), None] {
        let (class, text) = class_of(role);
        svg.rect(class, (x, y - 10.0), (14.0, 12.0), "");
        svg.text("small", (x + 18.0, y), text);
        x += width(text);
    }
    svg.rect("heldup", (x, y - 10.0), (14.0, 12.0), "");
    svg.text("small", (x + 18.0, y), "held up");
    x += width("held up");
    svg.rect("address", (x, y - 6.0), (14.0, ADDRESSES), "");
    svg.text("small", (x + 18.0, y), "has the addresses");
    x += width("has the addresses");
    for (class, text) in [("sent", "advertisement"), ("resignation", "priority 0"), ("failed", "cannot be sent")] {
        svg.line(class, (x + 8.0, y - 10.0), (x + 8.0, y + 1.0), "");
        svg.text("small", (x + 18.0, y), text);
        x += width(text);
    }
    svg.pointer("fault", (x + 8.0, y), "");
    svg.text("small", (x + 18.0, y), "what was done");
    x += width("what was done");
    svg.pointer("violation", (x + 8.0, y), "");
    svg.text("small", (x + 18.0, y), "must not be");
}

fn axis(svg: &mut Svg, scale: &Scale, top: f64, bottom: f64) {
    let end = scale.end.since(Instant::ZERO).as_secs_f64();
    let step = scale.step();
    let mut tick = 0.0;
    while tick <= end {
        let x = scale.at(tick);
        svg.line("grid", (x, top), (x, bottom), "");
        svg.line("axis", (x, bottom), (x, bottom + 5.0), "");
        // Steps of 0.1 s add up to 0.30000000000000004.
        let rounded = (tick * 1e9).round() / 1e9;
        svg.text("middle", (x, bottom + 18.0), &format!("{rounded} s"));
        tick += step;
    }
    svg.line("axis", (LEFT, bottom), (RIGHT, bottom), "");
}

/// From times to places.
struct Scale {
    end: Instant,
}

impl Scale {
    fn at(&self, seconds: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * seconds / self.end.since(Instant::ZERO).as_secs_f64()
    }

    fn x(&self, at: Instant) -> f64 {
        self.at(at.since(Instant::ZERO).as_secs_f64())
    }

    /// Where a span begins, and how wide it is: never so narrow that it is not seen.
    fn span<T>(&self, span: &Span<T>) -> (f64, f64) {
        let x = self.x(span.from);
        (x, (self.x(span.to) - x).max(0.75))
    }

    /// 1, 2 or 5 times a power of ten, so that there are 8 to 20 ticks.
    fn step(&self) -> f64 {
        let least = self.end.since(Instant::ZERO).as_secs_f64() / 20.0;
        let power = 10.0_f64.powf(least.log10().floor());
        [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= least).unwrap_or(least)
    }
}
