//! Comparing two sides, each an archive or a database: their definitions by object, their rows by number and digest. Pure,
//! but for [`read_database`], which reads a database under one snapshot.
//!
//! `drill` proves an archive with it, `diff` shows it to people, and a restore checks with it what it loaded.

mod database;
mod definitions;
mod rows;
mod side;

pub use database::{DatabaseSide, RowsRead, read_database};
pub use definitions::{
    DefinitionDifference, Definitions, ObjectKey, compare_definitions, is_of_every_database,
};
pub use rows::{
    RowDifference, TableContents, TableName, Tables, compare_rows, live_contents, tables_of,
};
pub use side::Side;
