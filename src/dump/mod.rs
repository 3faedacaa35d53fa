//! Dumping a database into an archive.

mod catalog;
mod contents;
pub mod selection;
mod sweep;
mod wanted;

pub use contents::{ContentEntry, ContentOptions, Contents, DataSource, read_contents};
