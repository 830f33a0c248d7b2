//! Bars from left to right, one below the other in groups, each made of parts.

use super::plot::{Area, Drawn, GRID, INK, colour, failed, head, head_height, text, tick, width};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A bar.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bar {
    /// What it belongs to; those of a group follow one another.
    pub group: String,
    /// What it shows.
    pub name: String,
    /// Its parts in the axis' unit, one for each name of the legend; each has the legend's colour.
    pub parts: Vec<f64>,
    /// What is said behind it.
    pub note: String,
}

const WIDTH: u32 = 1_000;
/// Height of a bar with the gap below it.
const ROW: i32 = 22;
/// Height of a group's name.
const GROUP: i32 = 32;
/// Height of the axis with its name.
const AXIS: i32 = 56;
const MARGIN: i32 = 14;

/// Where numbers are, from left to right.
struct Scale {
    left: i32,
    right: i32,
    most: f64,
    step: f64,
}

impl Scale {
    fn x(&self, value: f64) -> i32 {
        self.left + (f64::from(self.right - self.left) * value / self.most).round() as i32
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = (self.most / self.step + 1e-9) as u32;
        (0..=count).map(|n| f64::from(n) * self.step)
    }
}

/// A step of 1, 2 or 5 times a power of ten that leaves four to ten of them.
fn step(most: f64) -> f64 {
    let rough = most / 8.0;
    let decade = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|n| n * decade);
    steps.into_iter().find(|step| *step >= rough).unwrap_or(decade)
}

/// Bars; `legend` names their parts, `unit` the axis. As high as there are bars.
///
/// # Errors
/// There is nothing to plot.
pub fn bars(title: &str, unit: &str, legend: &[&str], bars: &[Bar]) -> Result<String, String> {
    let good = |value: &f64| value.is_finite() && *value > 0.0;
    let length = |bar: &Bar| bar.parts.iter().copied().filter(good).sum::<f64>();
    let longest = bars.iter().map(length).fold(0.0, f64::max);
    if bars.is_empty() {
        return Err("there is nothing to plot".to_owned());
    }
    let most = if longest > 0.0 { longest } else { 1.0 };
    let names = bars.iter().map(|bar| width(&bar.name)).max().unwrap_or(0);
    let notes = bars.iter().map(|bar| width(&bar.note)).max().unwrap_or(0);
    let left = (MARGIN + names + 10).min(WIDTH as i32 / 2);
    let right = (WIDTH as i32 - MARGIN - notes - 8).max(left + 200);
    let scale = Scale { left, right, most, step: step(most) };
    let groups = bars.chunk_by(|a, b| a.group == b.group);
    let rows = groups.clone().count() as i32 * GROUP + bars.len() as i32 * ROW;
    let above = head_height(legend, WIDTH as i32 - MARGIN);
    let height = above + (rows + AXIS).unsigned_abs();
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let body = head(&root, title, legend)?;
        grid(&body, &scale, rows, unit)?;
        let mut y = 0;
        for group in groups {
            if let Some(Bar { group, .. }) = group.first() {
                let left = Pos::new(HPos::Left, VPos::Bottom);
                let style = ("sans-serif", 15, FontStyle::Bold).into_font().color(&INK).pos(left);
                let name = Text::new(group.clone(), (MARGIN, y + GROUP - 4), style);
                body.draw(&name).map_err(failed)?;
            }
            y += GROUP;
            for bar in group {
                one(&body, &scale, y, bar)?;
                y += ROW;
            }
        }
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

fn grid(body: &Area<'_>, scale: &Scale, rows: i32, unit: &str) -> Drawn {
    let centre = Pos::new(HPos::Center, VPos::Top);
    for value in scale.ticks() {
        let x = scale.x(value);
        let line = PathElement::new(vec![(x, 8), (x, rows + 4)], GRID);
        body.draw(&line).map_err(failed)?;
        let label = Text::new(tick(value), (x, rows + 10), text(14).pos(centre));
        body.draw(&label).map_err(failed)?;
    }
    let middle = i32::midpoint(scale.left, scale.right);
    let name = Text::new(unit.to_owned(), (middle, rows + 30), text(15).pos(centre));
    body.draw(&name).map_err(failed)
}

fn one(body: &Area<'_>, scale: &Scale, y: i32, bar: &Bar) -> Drawn {
    let middle = y + ROW / 2 - 2;
    let end = Pos::new(HPos::Right, VPos::Center);
    let name = Text::new(bar.name.clone(), (scale.left - 8, middle), text(14).pos(end));
    body.draw(&name).map_err(failed)?;
    let mut sum = 0.0;
    for (index, part) in bar.parts.iter().enumerate() {
        if !part.is_finite() || *part <= 0.0 {
            continue;
        }
        let (from, to) = (scale.x(sum), scale.x(sum + part));
        sum += part;
        let shape = Rectangle::new([(from, y), (to, y + ROW - 5)], colour(index).filled());
        body.draw(&shape).map_err(failed)?;
    }
    let behind = (scale.x(sum) + 8, middle);
    let start = Pos::new(HPos::Left, VPos::Center);
    let note = Text::new(bar.note.clone(), behind, text(14).pos(start));
    body.draw(&note).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_not_many() {
        for (most, wanted) in [(150.0, 20.0), (93.0, 20.0), (1.0, 0.2), (7.0, 1.0), (47.5, 10.0)] {
            assert!((step(most) - wanted).abs() < 1e-9, "{most}: {}", step(most));
        }
        for n in 1..5_000 {
            let most = f64::from(n) / 7.0;
            let count = most / step(most);
            assert!((3.0..=10.0).contains(&count), "{most}: {count}");
        }
    }

    /// Every bar, part and word is in it, whatever characters they have; none is wider or further right than the picture.
    #[test]
    fn well_formed_and_complete() {
        let bar = |group: &str, name: &str, parts: &[f64]| Bar {
            group: group.to_owned(),
            name: name.to_owned(),
            parts: parts.to_vec(),
            note: "note".to_owned(),
        };
        let all = [
            bar("up", "one & <two>", &[50.0]),
            bar("up", "three", &[40.0, 0.0, 30.0]),
            bar("down", "none", &[f64::NAN, -1.0]),
        ];
        let svg = bars("T", "Mbit/s", &["a", "b", "c"], &all).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let words: Vec<&str> = document
            .descendants()
            .filter(|n| n.is_text())
            .filter_map(|n| n.text())
            .map(str::trim)
            .collect();
        for word in ["T", "Mbit/s", "a", "b", "c", "up", "down", "one & <two>", "three", "none"] {
            assert!(words.contains(&word), "{word}: {words:?}");
        }
        // the ground, three squares of the legend, three parts
        let rects = document.descendants().filter(|node| node.has_tag_name("rect"));
        assert_eq!(rects.clone().count(), 7);
        for rect in rects {
            let number = |name| rect.attribute(name).unwrap().parse::<f64>().unwrap();
            assert!(number("x") + number("width") <= f64::from(WIDTH) + 1.0);
        }
        assert!(bars("T", "u", &[], &[]).is_err());
    }
}
