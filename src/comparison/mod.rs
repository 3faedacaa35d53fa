//! Comparing two sides, each an archive or a database: their definitions by object, their rows by number and digest. Pure,
//! but for [`Side`], which reads them.
//!
//! `drill` proves an archive with it, `diff` shows it to people, and a restore checks with it what it loaded.

mod counted;
mod definitions;
mod rows;
mod side;

pub use definitions::{
    DefinitionDifference, Definitions, ObjectKey, compare_definitions, is_of_every_database,
};
pub use rows::{
    RowDifference, SideTables, TableContents, TableName, Tables, compare_rows, compare_tables,
    live_contents,
};
pub use side::{Comparable, RowsRead, Side, WrittenBy};
