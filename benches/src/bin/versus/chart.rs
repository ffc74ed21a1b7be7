//! The results as drawings.

use super::report::short;
use super::row::Row;
use super::svg::{Anchor, Drawing, Tone};
use super::targets::Demand;

/// Where bars begin and end, and how high a line of them is.
const LEFT: f64 = 270.0;
const RIGHT: f64 = 770.0;
const LINE: f64 = 18.0;
const TOP: f64 = 58.0;

/// A bar for each ratio, on a logarithmic scale: keepalived is at 1, and a mark stands where the target is.
pub(crate) fn bars(title: &str, rows: &[Row]) -> String {
    let rows: Vec<(&Row, f64)> =
        rows.iter().filter_map(|row| Some((row, row.share().filter(|it| *it > 0.0)?))).collect();
    let targets = rows.iter().filter_map(|(row, _)| row.demand).map(Demand::number).filter(|target| *target > 0.0);
    let scale = Scale::around(rows.iter().map(|(_, share)| *share).chain(targets).chain([1.0]), LEFT, RIGHT);
    let bottom = TOP + LINE * rows.len() as f64;
    let mut drawing = Drawing::new(RIGHT + 190.0, bottom + 40.0);
    drawing.text(10.0, 22.0, Anchor::Start, title);
    drawing.text(10.0, 40.0, Anchor::Start, "ours : keepalived (or : limit); less is better; | is the target");
    for (at, label) in scale.decades() {
        drawing.line(&[(at, TOP), (at, bottom)], 1.0, if label == "1" { Tone::Text } else { Tone::Faint });
        drawing.text(at, bottom + 16.0, Anchor::Middle, &label);
    }
    for (number, (row, share)) in rows.iter().enumerate() {
        let y = TOP + LINE * number as f64;
        let tone = match row.met() {
            Some(true) => Tone::Good,
            Some(false) => Tone::Bad,
            None => Tone::Plain,
        };
        drawing.text(LEFT - 8.0, y + 13.0, Anchor::End, &row.measure);
        drawing.bar(LEFT, y + 4.0, scale.at(*share) - LEFT, LINE - 8.0, tone);
        if let Some(target) = row.demand.map(Demand::number).filter(|target| *target > 0.0) {
            let at = scale.at(target);
            drawing.line(&[(at, y + 1.0), (at, y + LINE - 1.0)], 3.0, Tone::Text);
        }
        let other = if matches!(row.demand, Some(Demand::OfLimit(_))) { row.limit } else { row.peer };
        let values = format!("{} : {} {}", short(row.ours), short(other.unwrap_or_default()), row.unit);
        drawing.text(RIGHT + 8.0, y + 13.0, Anchor::Start, &values);
    }
    drawing.finish()
}

/// What something costs with so many of it.
pub(crate) struct Series {
    pub(crate) name: String,
    /// How many there are, and nanoseconds of an event.
    pub(crate) points: Vec<(f64, f64)>,
    /// Whether it is the kernel's own.
    pub(crate) kernel: bool,
}

/// A line for each, on logarithmic scales; the kernel's is thin.
pub(crate) fn lines(title: &str, series: &[Series]) -> String {
    const HEIGHT: f64 = 320.0;
    let all = || series.iter().flat_map(|it| it.points.iter().copied());
    let across = Scale::around(all().map(|(number, _)| number), 70.0, 600.0);
    let up = Scale::around(all().map(|(_, cost)| cost), TOP + HEIGHT, TOP);
    let bottom = TOP + HEIGHT;
    let mut drawing = Drawing::new(960.0, bottom + 50.0);
    drawing.text(10.0, 22.0, Anchor::Start, title);
    drawing.text(10.0, 40.0, Anchor::Start, "nanoseconds of an event");
    drawing.text(335.0, bottom + 36.0, Anchor::Middle, "how many there are");
    for (at, label) in across.decades() {
        drawing.line(&[(at, TOP), (at, bottom)], 1.0, Tone::Faint);
        drawing.text(at, bottom + 16.0, Anchor::Middle, &label);
    }
    for (at, label) in up.decades() {
        drawing.line(&[(70.0, at), (600.0, at)], 1.0, Tone::Faint);
        drawing.text(62.0, at + 4.0, Anchor::End, &label);
    }
    for (number, one) in series.iter().enumerate() {
        let points: Vec<(f64, f64)> = one.points.iter().map(|(x, y)| (across.at(*x), up.at(*y))).collect();
        drawing.line(&points, if one.kernel { 1.0 } else { 2.5 }, Tone::Line(number));
        let y = TOP + 12.0 + LINE * number as f64;
        drawing.line(&[(620.0, y - 4.0), (645.0, y - 4.0)], if one.kernel { 1.0 } else { 2.5 }, Tone::Line(number));
        drawing.text(652.0, y, Anchor::Start, &one.name);
    }
    drawing.finish()
}

/// A logarithmic scale of whole decades.
struct Scale {
    /// Powers of ten.
    first: f64,
    last: f64,
    /// Where they are.
    from: f64,
    to: f64,
}

impl Scale {
    fn around(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut first, mut last) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| *value > 0.0) {
            first = first.min(value.log10().floor());
            last = last.max(value.log10().ceil());
        }
        if first > last {
            (first, last) = (0.0, 1.0);
        }
        Self { first, last: last.max(first + 1.0), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value.log10() - self.first) / (self.last - self.first) * (self.to - self.from)
    }

    fn decades(&self) -> Vec<(f64, String)> {
        let mut decades = Vec::new();
        let mut power = self.first;
        while power <= self.last {
            let value = 10_f64.powf(power);
            let label = if power < 0.0 { format!("{value:.*}", decimals(power)) } else { format!("{value:.0}") };
            decades.push((self.at(value), label));
            power += 1.0;
        }
        decades
    }
}

/// Those of a negative power of ten.
fn decimals(power: f64) -> usize {
    (0_u8..20).take_while(|places| f64::from(*places) < -power).count()
}

#[cfg(test)]
mod tests {
    use super::super::svg::fault;
    use super::*;

    #[test]
    fn bars_are_drawn_for_what_has_a_ratio_and_are_well_formed() {
        let rows = [
            Row::new("startup/255", "ms", 6.2, Some(348.0)),
            Row::new("addresses/5000/announced", "ms", 200.0, Some(150.0)).with_limit(100.0),
            Row::new("a & b", "1", 5.0, None),
        ];
        let text = bars("x < y", &rows);
        assert_eq!(fault(&text), None, "{text}");
        assert_eq!(text.matches("<rect").count(), 2);
        assert!(text.contains("startup/255") && text.contains("200 : 100 ms") && !text.contains("a &amp; b"));
        assert!(text.contains(&Tone::Good.to_string()) && text.contains(&Tone::Bad.to_string()));
        assert_eq!(fault(&bars("nothing", &[])), None);
    }

    #[test]
    fn lines_are_drawn_for_each_series_and_are_well_formed() {
        let one = |kernel| Series { name: "a & b".into(), points: vec![(10.0, 50.0), (1000.0, 80.0)], kernel };
        let text = lines("growth", &[one(false), one(true)]);
        assert_eq!(fault(&text), None, "{text}");
        assert_eq!(text.matches("a &amp; b").count(), 2);
        assert_eq!(fault(&lines("nothing", &[])), None);
    }

    #[test]
    fn a_scale_goes_by_decades() {
        let scale = Scale::around([0.004, 3.0].into_iter(), 0.0, 400.0);
        let labels: Vec<String> = scale.decades().into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["0.001", "0.01", "0.1", "1", "10"]);
        assert_eq!((scale.at(0.001).round(), scale.at(1.0).round()), (0.0, 300.0));
    }
}
