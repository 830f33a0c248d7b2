//! What runs have shown, for people: plots as SVG, tables, one page of HTML.

mod ladder;
mod page;
mod plot;
mod views;

pub use ladder::Ladder;
pub use page::{Page, Table, escape};
pub use plot::{Axes, Series, boxes, dots, lines};
pub use views::{completion_boxes, delay_ccdf, dsn_ladder, throughput};
