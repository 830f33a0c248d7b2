//! `mpuser demo`.

mod payload;
mod report;
pub(crate) mod transfer;
mod view;
