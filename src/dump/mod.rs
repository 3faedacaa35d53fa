//! Dumping a database into an archive.

mod catalog;
mod contents;
mod create;
mod large_objects;
mod member_stream;
mod plan;
mod script;
pub mod selection;
mod snapshot;
mod sweep;
mod table_data;
mod wanted;
mod writer;

pub use contents::{ContentEntry, ContentOptions, Contents, DataSource, read_contents};
pub use create::{CreateOptions, Created, create, read_definitions};
