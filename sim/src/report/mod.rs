//! What runs have shown, for people: plots as SVG, tables, one page of HTML.

mod bars;
mod ladder;
mod page;
mod plot;
mod timeline;
mod views;

pub use bars::{Bar, bars};
pub use ladder::Ladder;
pub use page::{Page, Table, escape};
pub use plot::{Axes, Series, boxes, dots, lines};
pub use timeline::{Curve, Mark, Panel, timeline};
pub use views::{completion_boxes, delay_ccdf, dsn_ladder, throughput};
