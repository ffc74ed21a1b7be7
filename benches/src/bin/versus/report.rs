//! The results as a table and as JSON.

use serde_json::{Value, json};

use super::row::Row;
use super::targets::Demand;

/// Aligned columns; numbers with three digits that count.
pub(crate) fn table(rows: &[Row]) -> String {
    let head = ["measure", "unit", "ours", "keepalived", "ratio", "limit", "target", "met"].map(str::to_owned);
    let lines: Vec<[String; 8]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let mut widths = [0; 8];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let padded = line.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 1 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        let line = padded.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn cells(row: &Row) -> [String; 8] {
    let number = |number: Option<f64>| number.map_or("-".to_owned(), short);
    let target = match row.demand {
        Some(Demand::OfPeer(ratio)) => ratio.to_string(),
        Some(Demand::OfLimit(ratio)) => format!("{ratio} x limit"),
        Some(Demand::Nothing) => "0".to_owned(),
        None => "-".to_owned(),
    };
    let met = match row.met() {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "-",
    };
    let (ours, peer) = (number(Some(row.ours)), number(row.peer));
    [
        row.measure.clone(),
        row.unit.to_owned(),
        ours,
        peer,
        number(row.ratio()),
        number(row.limit),
        target,
        met.to_owned(),
    ]
}

/// Three digits that count, and no more zeros than that takes.
pub(crate) fn short(number: f64) -> String {
    let digits = match number.abs() {
        size if size < 1e-9 => return "0".to_owned(),
        size if size < 0.001 => return format!("{number:.1e}"),
        size if size < 0.1 => 4,
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    format!("{number:.digits$}")
}

/// How many targets are met, and which are not.
pub(crate) fn summary(rows: &[Row]) -> String {
    let judged: Vec<&Row> = rows.iter().filter(|row| row.met().is_some()).collect();
    let missed: Vec<&str> =
        judged.iter().filter(|row| row.met() == Some(false)).map(|row| row.measure.as_str()).collect();
    let text = format!("{} of {} targets missed", missed.len(), judged.len());
    if missed.is_empty() { text } else { format!("{text}: {}", missed.join(", ")) }
}

/// An array of objects, one of each row, with all keys.
pub(crate) fn json(rows: &[Row]) -> anyhow::Result<String> {
    let object = |row: &Row| {
        json!({
            "measure": row.measure,
            "unit": row.unit,
            "ours": row.ours,
            "peer": row.peer,
            "ratio": row.ratio(),
            "limit": row.limit,
            "target": row.demand.map(Demand::number),
            "met": row.met(),
        })
    };
    let mut text = serde_json::to_string_pretty(&Value::Array(rows.iter().map(object).collect()))?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        vec![
            Row::new("startup/255", "ms", 6.2, Some(348.0)),
            Row::new("addresses/5000/announced", "ms", 200.0, Some(150.0)).with_limit(100.0),
            Row::new("something", "1", 0.0, None),
        ]
    }

    #[test]
    fn the_table_has_a_line_for_each_row_and_its_columns_are_aligned() {
        let text = table(&rows());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>()[..4], ["startup/255", "ms", "6.20", "348"]);
        assert!(lines[1].ends_with("0.15  yes"), "{text}");
        assert!(lines[2].ends_with("1.1 x limit   NO"), "{text}");
        let column = lines[0].find("unit").unwrap();
        assert!(lines[2][column..].starts_with("ms"), "{text}");
    }

    #[test]
    fn missed_targets_are_counted_and_named() {
        assert_eq!(summary(&rows()), "1 of 2 targets missed: addresses/5000/announced");
        assert_eq!(summary(&rows()[..1]), "0 of 1 targets missed");
    }

    #[test]
    fn json_has_exactly_the_keys_and_null_for_what_is_not_there() {
        let parsed: Value = serde_json::from_str(&json(&rows()).unwrap()).unwrap();
        let objects = parsed.as_array().unwrap();
        for object in objects {
            let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
            keys.sort_unstable();
            assert_eq!(keys, ["limit", "measure", "met", "ours", "peer", "ratio", "target", "unit"]);
        }
        assert_eq!(objects[0]["ratio"].as_f64(), Some(6.2 / 348.0));
        assert_eq!((&objects[0]["limit"], &objects[0]["met"]), (&Value::Null, &Value::Bool(true)));
        assert_eq!((objects[1]["target"].as_f64(), &objects[1]["met"]), (Some(1.1), &Value::Bool(false)));
        assert_eq!((&objects[2]["peer"], &objects[2]["target"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn numbers_have_the_digits_that_count() {
        assert_eq!(
            [0.0, 0.00042, 0.0042, 1.234, 12.34, 1234.5].map(short),
            ["0", "4.2e-4", "0.0042", "1.23", "12.3", "1234"]
        );
    }
}
