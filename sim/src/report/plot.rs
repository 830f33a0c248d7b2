//! Plots as SVG: lines, dots and boxes over labelled axes, a legend above.

use crate::stats::BoxPlot;
use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Points under a name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// For the legend.
    pub name: String,
    /// In the units of the axes, by x.
    pub points: Vec<(f64, f64)>,
}

/// What the axes say.
#[derive(Clone, Copy, Debug)]
pub struct Axes<'a> {
    /// What is shown.
    pub title: &'a str,
    /// The horizontal axis with its unit; of boxes, nothing.
    pub x: &'a str,
    /// The vertical axis with its unit.
    pub y: &'a str,
    /// The vertical axis has decades instead of steps. Values that are not positive are left out.
    pub log_y: bool,
}

pub(super) const SIZE: (u32, u32) = (860, 420);
/// Height of the title, and of each line of the legend.
const HEAD: [u32; 2] = [36, 22];
const FONT: &str = "sans-serif";
pub(super) const INK: RGBColor = RGBColor(34, 40, 49);
pub(super) const GRID: RGBColor = RGBColor(228, 231, 235);

/// Colours of Okabe and Ito, which colour-blind readers tell apart; yellow is left out, it is faint on white.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
];

pub(super) fn colour(index: usize) -> RGBColor {
    COLOURS.get(index % COLOURS.len()).copied().unwrap_or(INK)
}

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn = Result<(), String>;

pub(super) fn failed(error: impl std::fmt::Display) -> String {
    format!("the plot cannot be drawn: {error}")
}

/// Series as lines.
///
/// # Errors
/// There is nothing to plot.
pub fn lines(axes: &Axes<'_>, series: &[Series]) -> Result<String, String> {
    figure(axes, series, &names(series), &|chart, series, style| chart.line(series, style))
}

/// Series as dots, for so many points that lines would hide them.
///
/// # Errors
/// There is nothing to plot.
pub fn dots(axes: &Axes<'_>, series: &[Series]) -> Result<String, String> {
    figure(axes, series, &names(series), &|chart, series, style| chart.dots(series, style))
}

fn names(series: &[Series]) -> Vec<&str> {
    series.iter().map(|s| s.name.as_str()).collect()
}

/// The least and the greatest, a little apart if they are the same.
fn span(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let found = values.filter(|v| v.is_finite()).fold(None, |span: Option<(f64, f64)>, v| {
        Some(span.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
    });
    found.map(|(low, high)| if low < high { (low, high) } else { (low - 0.5, high + 0.5) })
}

/// A chart that series are drawn on, whatever its vertical axis is like.
trait Canvas {
    fn line(&mut self, points: &[(f64, f64)], style: ShapeStyle) -> Drawn;
    fn dots(&mut self, points: &[(f64, f64)], style: ShapeStyle) -> Drawn;
}

impl<'a, X, Y> Canvas for ChartContext<'_, SVGBackend<'a>, Cartesian2d<X, Y>>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    fn line(&mut self, points: &[(f64, f64)], style: ShapeStyle) -> Drawn {
        let path = PathElement::new(points.to_vec(), style.stroke_width(2));
        self.draw_series(std::iter::once(path)).map(|_| ()).map_err(failed)
    }

    fn dots(&mut self, points: &[(f64, f64)], style: ShapeStyle) -> Drawn {
        let dots = points.iter().map(|&point| Circle::new(point, 2, style.filled()));
        self.draw_series(dots).map(|_| ()).map_err(failed)
    }
}

type Draw<'f> = &'f dyn Fn(&mut dyn Canvas, &[(f64, f64)], ShapeStyle) -> Drawn;

fn figure(
    axes: &Axes<'_>,
    series: &[Series],
    names: &[&str],
    draw: Draw<'_>,
) -> Result<String, String> {
    let visible = |&(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && (!axes.log_y || y > 0.0);
    let kept: Vec<Vec<(f64, f64)>> = series
        .iter()
        .map(|series| series.points.iter().copied().filter(visible).collect())
        .collect();
    let all = || kept.iter().flatten();
    let (left, right) = span(all().map(|p| p.0)).ok_or("there is nothing to plot")?;
    let (low, high) = span(all().map(|p| p.1)).ok_or("there is nothing to plot")?;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let body = head(&root, axes.title, names)?;
        let mut builder = ChartBuilder::on(&body);
        builder.margin(8).margin_right(20).x_label_area_size(44).y_label_area_size(70);
        let paint = |canvas: &mut dyn Canvas| -> Drawn {
            for (index, points) in kept.iter().enumerate() {
                draw(canvas, points, colour(index).into())?;
            }
            Ok(())
        };
        if axes.log_y {
            let bottom = 10f64.powf(low.log10().floor());
            let top = 10f64.powf(high.log10().ceil());
            let range = (bottom..top).log_scale();
            let mut chart = builder.build_cartesian_2d(left..right, range).map_err(failed)?;
            mesh(&mut chart, axes)?;
            paint(&mut chart)?;
        } else {
            let range = low.min(0.0)..high + (high - low.min(0.0)) * 0.05;
            let mut chart = builder.build_cartesian_2d(left..right, range).map_err(failed)?;
            mesh(&mut chart, axes)?;
            paint(&mut chart)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

/// How wide a text of size 14 is, about: there are no fonts to measure with, this is the mean width of a letter.
pub(super) fn width(text: &str) -> i32 {
    7 * text.chars().count() as i32
}

pub(super) fn text(size: i32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

pub(super) fn mesh<X, Y>(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>,
    axes: &Axes<'_>,
) -> Drawn
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(axes.x)
        .y_desc(axes.y)
        .x_labels(10)
        .y_labels(8)
        .x_label_formatter(&|v| tick(*v))
        .y_label_formatter(&|v| tick(*v))
        .label_style(text(14))
        .axis_desc_style(text(15))
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(failed)
}

/// A number at an axis, without digits that only rounding left there.
pub(super) fn tick(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 {
        return format!("{}M", tick(value / 1e6));
    }
    if size >= 1e4 {
        return format!("{}k", tick(value / 1e3));
    }
    if size > 0.0 && size < 1e-3 {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Where each name of the legend stands, from the left, and in which line.
fn legend(names: &[&str], room: i32) -> Vec<(i32, i32)> {
    let (mut x, mut line) = (14, 0);
    let place = |name: &&str| {
        let wide = 18 + width(name);
        if x + wide > room && x > 14 {
            (x, line) = (14, line + 1);
        }
        let here = (x, line);
        x += wide + 22;
        here
    };
    names.iter().map(place).collect()
}

/// How high title and legend are.
pub(super) fn head_height(names: &[&str], room: i32) -> u32 {
    let lines = legend(names, room).last().map_or(1, |(_, line)| line + 1);
    HEAD[0] + HEAD[1] * lines.unsigned_abs()
}

/// Title and legend; gives what is left below.
pub(super) fn head<'a>(root: &Area<'a>, title: &str, names: &[&str]) -> Result<Area<'a>, String> {
    root.fill(&WHITE).map_err(failed)?;
    let left = Pos::new(HPos::Left, VPos::Center);
    let bold = (FONT, 18, FontStyle::Bold).into_font().color(&INK).pos(left);
    root.draw(&Text::new(title.to_owned(), (14, 18), bold)).map_err(failed)?;
    let room = root.dim_in_pixel().0 as i32 - 14;
    for (index, (name, (x, line))) in names.iter().zip(legend(names, room)).enumerate() {
        let y = 44 + line * HEAD[1] as i32;
        let square = [(x, y - 6), (x + 12, y + 6)];
        root.draw(&Rectangle::new(square, colour(index).filled())).map_err(failed)?;
        let label = Text::new((*name).to_owned(), (x + 18, y), text(14).pos(left));
        root.draw(&label).map_err(failed)?;
    }
    Ok(root.split_vertically(head_height(names, room)).1)
}

/// Boxes beside one another, each over its name.
///
/// # Errors
/// There is nothing to plot.
pub fn boxes(axes: &Axes<'_>, all: &[(String, BoxPlot)]) -> Result<String, String> {
    let ends = |plot: &BoxPlot| [vec![plot.low, plot.high], plot.outliers.clone()].concat();
    let (_, high) =
        span(all.iter().flat_map(|(_, plot)| ends(plot))).ok_or("there is nothing to plot")?;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let body = head(&root, axes.title, &[])?;
        let mut builder = ChartBuilder::on(&body);
        builder.margin(8).margin_right(20).x_label_area_size(44).y_label_area_size(70);
        let range = (0.0..all.len() as f64, 0.0..high * 1.05);
        let mut chart = builder.build_cartesian_2d(range.0, range.1).map_err(failed)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh()
            .x_labels(0)
            .x_desc(axes.x)
            .y_desc(axes.y)
            .y_label_formatter(&|v| tick(*v))
            .label_style(text(14))
            .axis_desc_style(text(15))
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT);
        mesh.draw().map_err(failed)?;
        for (index, (name, plot)) in all.iter().enumerate() {
            one_box(&mut chart, index, plot)?;
            let place = chart.backend_coord(&(index as f64 + 0.5, 0.0));
            let style = text(13).pos(Pos::new(HPos::Center, VPos::Top));
            root.draw(&Text::new(name.clone(), (place.0, place.1 + 8), style)).map_err(failed)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

fn one_box<X, Y>(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>,
    index: usize,
    plot: &BoxPlot,
) -> Drawn
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let (middle, colour) = (index as f64 + 0.5, colour(index));
    let (left, right) = (middle - 0.22, middle + 0.22);
    let fill = Rectangle::new([(left, plot.q1), (right, plot.q3)], colour.mix(0.25).filled());
    chart.draw_series(std::iter::once(fill)).map_err(failed)?;
    let edge =
        vec![(left, plot.q1), (right, plot.q1), (right, plot.q3), (left, plot.q3), (left, plot.q1)];
    let strokes = [
        edge,
        vec![(left, plot.median), (right, plot.median)],
        vec![(middle, plot.q3), (middle, plot.high)],
        vec![(middle, plot.low), (middle, plot.q1)],
        vec![(middle - 0.1, plot.high), (middle + 0.1, plot.high)],
        vec![(middle - 0.1, plot.low), (middle + 0.1, plot.low)],
    ];
    for stroke in strokes {
        chart.line(&stroke, colour.into())?;
    }
    let outliers: Vec<(f64, f64)> = plot.outliers.iter().map(|v| (middle, *v)).collect();
    chart.dots(&outliers, colour.into())
}
