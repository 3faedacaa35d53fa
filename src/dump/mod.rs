//! Dumping a database into an archive.

mod aide;
mod begun;
mod busy;
mod catalog;
mod column_order;
mod contents;
mod create;
mod deparsed;
mod effort;
mod encoding;
pub mod filter_file;
mod globals;
mod information_schema;
mod large_objects;
mod member_stream;
mod pace;
pub(crate) mod part_patterns;
pub mod parts;
mod plan;
mod row_order;
mod script;
pub mod selection;
mod snapshot;
mod sweep;
mod table_data;
mod wanted;
mod workers;
mod writer;

pub use busy::BusyLimits;
pub use column_order::ColumnOrder;
pub use contents::{ContentEntry, ContentOptions, Contents, DataSource};
pub use create::{
    CreateOptions, Created, HeldContents, ScriptOptions, SessionOptions, SnapshotOptions, create,
    read_definitions,
};
pub use globals::GlobalOptions;
pub(crate) use large_objects::put_statement;
pub use sweep::swept_catalogs;
