//! Rates over time as steps, in panels below one another, with what was done marked.

use super::plot::{
    Area, Axes, Drawn, INK, SIZE, colour, failed, head, head_height, mesh, text, width,
};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// What was measured from one time to another, again and again; there may be gaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// For the legend.
    pub name: String,
    /// From, to (s), and the value between them.
    pub steps: Vec<(f64, f64, f64)>,
    /// Shown below the others and wider, as it may be one of them: a sum.
    pub wide: bool,
}

/// Curves over one vertical axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panel {
    /// The vertical axis with its unit.
    pub y: String,
    /// Those of the same name have the same colour in all panels.
    pub curves: Vec<Curve>,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// When, in seconds.
    pub at: f64,
    /// What.
    pub text: String,
}

/// Height of a line of marks' texts.
const LINE: i32 = 18;
/// Dashes and gaps of a mark's line.
const DASHES: u32 = 61;
const LEFT: i32 = 78;
const RIGHT: i32 = 20;
const EDGE: i32 = 8;

/// Panels with the same time, and what was done above them.
///
/// # Errors
/// There is nothing to plot.
pub fn timeline(title: &str, panels: &[Panel], marks: &[Mark]) -> Result<String, String> {
    let steps = || panels.iter().flat_map(|panel| &panel.curves).flat_map(|curve| &curve.steps);
    let end = steps().map(|step| step.1).chain(marks.iter().map(|mark| mark.at));
    let end = end.filter(|at| at.is_finite()).fold(0.0, f64::max);
    if end <= 0.0 || steps().next().is_none() {
        return Err("there is nothing to plot".to_owned());
    }
    let mut names: Vec<&str> = Vec::new();
    for curve in panels.iter().flat_map(|panel| &panel.curves) {
        if !names.contains(&curve.name.as_str()) {
            names.push(&curve.name);
        }
    }
    let places = places(marks, end);
    let lines = places.iter().map(|(_, line)| line + 1).max().unwrap_or(0);
    let above = head_height(&names, SIZE.0 as i32 - 14);
    let one = SIZE.1 - 58;
    let band = (lines * LINE).unsigned_abs();
    let height = above + band + one * panels.len() as u32;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (SIZE.0, height)).into_drawing_area();
        let body = head(&root, title, &names)?;
        let (texts, body) = body.split_vertically(band);
        words(&texts, marks, &places)?;
        for (panel, area) in panels.iter().zip(body.split_evenly((panels.len(), 1))) {
            draw(&area, panel, &names, marks, end)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

/// Where a time is, from the left.
fn x(at: f64, end: f64) -> i32 {
    LEFT + (f64::from(SIZE.0 as i32 - LEFT - RIGHT) * at / end).round() as i32
}

/// The middle of each text and its line, so that none is over another.
fn places(marks: &[Mark], end: f64) -> Vec<(i32, i32)> {
    let mut taken: Vec<i32> = Vec::new();
    let mut places = Vec::new();
    for Mark { at, text } in marks {
        let half = width(text) / 2 + 6;
        let middle = x(*at, end).min(SIZE.0 as i32 - half).max(half);
        let free = taken.iter().position(|right| *right < middle - half);
        let line = free.unwrap_or_else(|| {
            taken.push(0);
            taken.len() - 1
        });
        if let Some(right) = taken.get_mut(line) {
            *right = middle + half;
        }
        places.push((middle, line as i32));
    }
    places
}

fn words(area: &Area<'_>, marks: &[Mark], places: &[(i32, i32)]) -> Drawn {
    let lines = places.iter().map(|(_, line)| line + 1).max().unwrap_or(0);
    for (mark, (middle, line)) in marks.iter().zip(places) {
        // the first line is next to the plot
        let y = (lines - line) * LINE - LINE / 2;
        let style = text(14).pos(Pos::new(HPos::Center, VPos::Center));
        area.draw(&Text::new(mark.text.clone(), (*middle, y), style)).map_err(failed)?;
    }
    Ok(())
}

fn draw(area: &Area<'_>, panel: &Panel, names: &[&str], marks: &[Mark], end: f64) -> Drawn {
    let values = panel.curves.iter().flat_map(|curve| &curve.steps).map(|step| step.2);
    let most = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
    let most = if most > 0.0 { most * 1.05 } else { 1.0 };
    let mut builder = ChartBuilder::on(area);
    builder.margin_top(4).margin_left(EDGE).margin_right(RIGHT);
    builder.x_label_area_size(48).y_label_area_size(LEFT - EDGE);
    let mut chart = builder.build_cartesian_2d(0.0..end, 0.0..most).map_err(failed)?;
    mesh(&mut chart, &Axes { title: "", x: "time, s", y: &panel.y, log_y: false })?;
    for Mark { at, .. } in marks {
        let dash = |n: u32| f64::from(n) * most / f64::from(DASHES);
        let dashes = (0..DASHES).step_by(2).map(|n| vec![(*at, dash(n)), (*at, dash(n + 1))]);
        let dashes = dashes.map(|dash| PathElement::new(dash, INK.mix(0.7)));
        chart.draw_series(dashes).map_err(failed)?;
    }
    let order = |wide| panel.curves.iter().filter(move |curve| curve.wide == wide);
    for curve in order(true).chain(order(false)) {
        let index = names.iter().position(|name| *name == curve.name).unwrap_or_default();
        let (thin, broad) =
            (colour(index).stroke_width(2), colour(index).mix(0.45).stroke_width(7));
        let style = if curve.wide { broad } else { thin };
        let paths = paths(&curve.steps).into_iter().map(|path| PathElement::new(path, style));
        chart.draw_series(paths).map_err(failed)?;
    }
    Ok(())
}

/// Steps as lines, one for each piece without a gap.
fn paths(steps: &[(f64, f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let good = |(from, to, value): &&(f64, f64, f64)| {
        from.is_finite() && to.is_finite() && value.is_finite()
    };
    let mut paths: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut before = f64::NAN;
    for (from, to, value) in steps.iter().filter(good) {
        let points = [(*from, *value), (*to, *value)];
        match paths.last_mut() {
            Some(path) if (from - before).abs() < 1e-6 => path.extend(points),
            _ => paths.push(points.to_vec()),
        }
        before = *to;
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(at: f64, text: &str) -> Mark {
        Mark { at, text: text.to_owned() }
    }

    #[test]
    fn a_gap_is_a_gap() {
        let steps = [(0.0, 1.0, 5.0), (1.0, 2.0, 7.0), (3.0, 4.0, 1.0)];
        let lines = paths(&steps);
        assert_eq!(
            lines,
            [vec![(0.0, 5.0), (1.0, 5.0), (1.0, 7.0), (2.0, 7.0)], vec![(3.0, 1.0), (4.0, 1.0)],]
        );
    }

    #[test]
    fn texts_are_beside_or_above_one_another() {
        let marks: Vec<Mark> =
            (0..12).map(|n| mark(f64::from(n * n) / 20.0, "add=eth2:192.168.57.101")).collect();
        let places = places(&marks, 7.0);
        let half = width(&marks[0].text) / 2;
        for (index, (middle, line)) in places.iter().enumerate() {
            assert!((half..=SIZE.0 as i32 - half).contains(middle));
            for (other, its) in places.iter().take(index) {
                assert!(its != line || (other - middle).abs() >= 2 * half, "{places:?}");
            }
        }
    }

    #[test]
    fn well_formed_and_complete() {
        let curve = |name: &str| Curve {
            name: name.to_owned(),
            steps: vec![(0.0, 1.0, 5.0), (1.0, 2.0, 7.0)],
            wide: name == "all",
        };
        let panel = |y: &str| Panel { y: y.to_owned(), curves: vec![curve("#0"), curve("all")] };
        let panels = [panel("up, Mbit/s"), panel("down, Mbit/s")];
        let svg = timeline("a & b", &panels, &[mark(1.5, "del=<1>")]).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let words: Vec<&str> = document
            .descendants()
            .filter(|n| n.is_text())
            .filter_map(|n| n.text())
            .map(str::trim)
            .collect();
        for (word, times) in [
            ("a & b", 1),
            ("#0", 1),
            ("all", 1),
            ("del=<1>", 1),
            ("up, Mbit/s", 1),
            ("down, Mbit/s", 1),
            ("time, s", 2),
        ] {
            let found = words.iter().filter(|found| **found == word).count();
            assert_eq!(found, times, "{word}: {words:?}");
        }
        assert!(timeline("T", &[], &[]).is_err());
        assert!(timeline("T", &[Panel::default()], &[mark(1.0, "x")]).is_err());
    }
}
