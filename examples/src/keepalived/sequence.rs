//! `~SEQ`, `~SEQx` and `~LST`: a line that is taken several times.

use super::definitions::definition;

/// What the line is taken with, each time: names, and a value for each.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    pub(super) names: Vec<String>,
    pub(super) values: Values,
    /// Where the line goes on after it.
    pub(super) end: usize,
}

/// The values, of which there may be far too many to write them down.
#[derive(Clone, Debug)]
pub(super) enum Values {
    Numbers { next: Option<i64>, step: i64, last: i64, hexadecimal: bool },
    List(std::vec::IntoIter<Vec<String>>),
}

impl Iterator for Values {
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        match self {
            Self::List(values) => values.next(),
            Self::Numbers { next, step, last, hexadecimal } => {
                let number = (*next)?;
                *next = number.checked_add(*step).filter(|next| if *step > 0 { next <= last } else { next >= last });
                Some(vec![if *hexadecimal { format!("{number:x}") } else { number.to_string() }])
            }
        }
    }
}

/// Reads the `~...(...)` that a line begins with. `None`: it begins with none.
///
/// # Errors
/// What is wrong with it.
pub(super) fn sequence(line: &str) -> Option<Result<Sequence, String>> {
    let (kind, open) =
        ["~SEQ(", "~SEQx(", "~LST("].into_iter().find_map(|kind| Some((kind, line.strip_prefix(kind)?)))?;
    let Some(length) = open.find(')') else { return Some(Err("no ')' ends this".to_owned())) };
    let inside = open.get(..length).unwrap_or_default();
    let read = if kind == "~LST(" { list(inside) } else { numbers(inside, kind == "~SEQx(") };
    let end = kind.len() + length + 1;
    Some(read.map(|(names, values)| Sequence { names, values, end }))
}

fn numbers(inside: &str, hexadecimal: bool) -> Result<(Vec<String>, Values), String> {
    let mut parts = inside.split(',').map(str::trim);
    let name = checked_name(parts.next().unwrap_or_default())?;
    let numbers = parts.map(number).collect::<Result<Vec<_>, _>>()?;
    let (start, step, last) = match *numbers.as_slice() {
        [last] => (if last < 0 { -1 } else { 1 }, None, last),
        [start, last] => (start, None, last),
        [start, step, last] => (start, Some(step), last),
        _ => return Err(format!("({inside}) is not (NAME, START, STEP, END): START and STEP may be left out")),
    };
    let step = step.unwrap_or(if last < start { -1 } else { 1 });
    if step == 0 {
        return Err("a step of 0 never gets to the end".to_owned());
    }
    let first = if step > 0 { start <= last } else { start >= last };
    Ok((vec![name], Values::Numbers { next: first.then_some(start), step, last, hexadecimal }))
}

fn number(text: &str) -> Result<i64, String> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let read = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hexadecimal) => i64::from_str_radix(hexadecimal, 16),
        None => digits.parse(),
    };
    let plain = !digits.trim_start_matches("0x").starts_with(['+', '-']);
    read.ok().filter(|_| plain).map(|number: i64| sign * number).ok_or_else(|| format!("{text:?} is no whole number"))
}

fn list(inside: &str) -> Result<(Vec<String>, Values), String> {
    let mut groups = groups(inside)?.into_iter();
    let names = groups.next().unwrap_or_default();
    let names = names.iter().map(|name| checked_name(name)).collect::<Result<Vec<_>, _>>()?;
    let values: Vec<_> = groups.collect();
    if values.is_empty() {
        return Err("a list without values".to_owned());
    }
    if let Some(odd) = values.iter().find(|group| group.len() != names.len()) {
        return Err(format!("{{{}}} has not one value for each of the {} names", odd.join(", "), names.len()));
    }
    Ok((names, Values::List(values.into_iter())))
}

/// `a, b` are two groups of one, `{a, b}, {c, d}` two of two.
fn groups(inside: &str) -> Result<Vec<Vec<String>>, String> {
    let mut groups = Vec::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let (group, after) = if let Some(open) = rest.strip_prefix('{') {
            let (group, after) = open.split_once('}').ok_or("no '}' ends a group of values")?;
            (group.split(',').map(|value| value.trim().to_owned()).collect(), after.trim_start())
        } else {
            let length = rest.find(',').unwrap_or(rest.len());
            let (value, after) = rest.split_at(length);
            (vec![value.trim().to_owned()], after)
        };
        groups.push(group);
        rest = match after.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if after.is_empty() => after,
            None => return Err(format!("a ',' is missing before {after:?}")),
        };
    }
    Ok(groups)
}

fn checked_name(name: &str) -> Result<String, String> {
    match definition(&format!("${name}=")) {
        Some((checked, _)) if checked == name => Ok(name.to_owned()),
        _ => Err(format!("{name:?} is no name: letters, digits and _")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(line: &str) -> String {
        let sequence = sequence(line).unwrap().unwrap();
        sequence.values.map(|values| values.join("+")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn numbers_go_from_start_to_end() {
        assert_eq!(values("~SEQ(A, 3)"), "1 2 3");
        assert_eq!(values("~SEQ(A,-3)"), "-1 -2 -3");
        assert_eq!(values("~SEQ(A, 0, 3)"), "0 1 2 3");
        assert_eq!(values("~SEQ(A, 3, 1)"), "3 2 1");
        assert_eq!(values("~SEQ(A, 168, 2, 173)"), "168 170 172");
        assert_eq!(values("~SEQ(A, 5, 1, 4)"), "");
        assert_eq!(values("~SEQx(A, 0x90, 0x10, 0xc0)"), "90 a0 b0 c0");
        assert_eq!(values("~SEQx(A, 0x12, -1, 0x0c)"), "12 11 10 f e d c");
        assert_eq!(values(&format!("~SEQ(A, {0}, {0})", i64::MAX)), i64::MAX.to_string());
    }

    #[test]
    fn lists_name_one_or_several_values() {
        assert_eq!(values("~LST(A, 1, b, 3)"), "1 b 3");
        let line = "~LST({IP, IP1}, {10,1},{20,4}) x";
        let sequence = sequence(line).unwrap().unwrap();
        assert_eq!((sequence.names.join(" "), &line[sequence.end..]), ("IP IP1".into(), " x"));
        assert_eq!(values(line), "10+1 20+4");
    }

    #[test]
    fn a_wrong_one_is_an_error() {
        for line in [
            "~SEQ(A",
            "~SEQ()",
            "~SEQ(A)",
            "~SEQ(A,1,2,3,4)",
            "~SEQ(A,1,0,5)",
            "~SEQ(A,x)",
            "~SEQ(1,1)",
            "~SEQ(A,+-1)",
            "~LST()",
            "~LST(A)",
            "~LST({A,B},{1})",
            "~LST({A",
            "~LST({A}x,1)",
            "~LST({A,B},{1,2)",
            "~SEQ(A,--1)",
        ] {
            assert!(sequence(line).unwrap().is_err(), "{line}");
        }
        assert!(sequence("~FOO(A)").is_none());
    }
}
