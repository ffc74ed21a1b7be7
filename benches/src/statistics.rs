//! The few numbers that many measurements come down to.

/// The middle one; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The one that this part of them does not exceed: 0 is the least, 1 the most. `None` of nothing.
pub fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    // The nearest one that was measured: nothing is made up in between.
    let place = (0..last).take_while(|place| (*place as f64) + 0.5 <= part * last as f64).count();
    sorted.get(place).copied()
}

/// The most; `None` of nothing.
pub fn most(values: &[f64]) -> Option<f64> {
    quantile(values, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_nothing_there_is_no_quantile() {
        assert_eq!((median(&[]), most(&[]), quantile(&[], 0.0)), (None, None, None));
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(most(&[3.0, 9.0, -2.0]), Some(9.0));
        assert_eq!(quantile(&[3.0, 9.0, -2.0], 0.0), Some(-2.0));
        let hundred: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(quantile(&hundred, 0.99), Some(99.0));
        assert_eq!(quantile(&hundred, 0.5), Some(50.0));
    }
}
