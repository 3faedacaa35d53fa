//! Dumping a database into an archive.

mod contents;
pub mod selection;

pub use contents::{ContentEntry, ContentOptions, Contents, DataSource, read_contents};
