use super::*;

fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-3 * b.abs().max(1.0), "{a} is not {b}");
}

/// The column 0.975 of any printed table.
#[test]
fn students_t_is_the_printed_one() {
    for (df, t) in [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (29, 2.045), (120, 1.980)] {
        near(student_t_975(df), t);
    }
}

#[test]
fn a_summary_has_the_textbook_numbers() {
    let s = Summary::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
    near(s.mean, 5.0);
    near(s.sd, (32.0f64 / 7.0).sqrt());
    near(s.ci95, 2.365 * (32.0f64 / 7.0 / 8.0).sqrt());
    near(s.min, 2.0);
    near(s.max, 9.0);
    // a large offset costs no digits
    near(Summary::of(&[1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0]).sd, 1.0);
}

#[test]
fn few_values_and_no_numbers_are_no_accident() {
    assert_eq!(Summary::of(&[]).n, 0);
    let one = Summary::of(&[3.0]);
    assert_eq!((one.n, one.mean, one.ci95), (1, 3.0, 0.0));
    near(Summary::of(&[1.0, f64::NAN, 3.0, f64::INFINITY]).mean, 2.0);
    assert_eq!(median(&[]), None);
    assert_eq!(BoxPlot::of(&[]), None);
    assert!(ccdf(&[]).is_empty());
    near(jain(&[]), 1.0);
    near(jain(&[0.0, 0.0]), 1.0);
}

#[test]
fn quantiles_are_those_of_numpy() {
    let v = [7.0, 1.0, 3.0, 15.0];
    near(quantile(&v, 0.0).unwrap(), 1.0);
    near(quantile(&v, 0.25).unwrap(), 2.5);
    near(median(&v).unwrap(), 5.0);
    near(quantile(&v, 0.9).unwrap(), 12.6);
    near(quantile(&v, 1.0).unwrap(), 15.0);
    near(quantile(&v, 7.0).unwrap(), 15.0);
}

#[test]
fn fairness_goes_from_one_over_n_to_one() {
    near(jain(&[1.0, 1.0, 1.0, 1.0]), 1.0);
    near(jain(&[1.0, 0.0, 0.0, 0.0]), 0.25);
    near(jain(&[1.0, 2.0]), 0.9);
}

#[test]
fn the_tail_counts_what_is_above() {
    let tail = ccdf(&[1.0, 3.0, 2.0, 2.0]);
    assert_eq!(tail, [(1.0, 0.75), (2.0, 0.25), (3.0, 0.0)]);
}

#[test]
fn whiskers_end_at_values_and_the_rest_is_outside() {
    let plot = BoxPlot::of(&[1.0, 2.0, 3.0, 4.0, 100.0]).unwrap();
    let expected =
        BoxPlot { low: 1.0, q1: 2.0, median: 3.0, q3: 4.0, high: 4.0, outliers: vec![100.0] };
    assert_eq!(plot, expected);
}
