//! Backup sets: a data file with its `.sha256` and `.meta`.
//!
//! A set is published in that order and every step is durable before the next one, so a backup
//! without `.meta` does not exist; nothing is ever overwritten.

mod meta;
mod name;
mod publish;
mod repository;
pub mod retention;

pub use meta::{META_FORMAT, Meta, Settings, TableMeta};
pub use name::{SetName, backup_name, parse_set_name, set_file_name};
pub use publish::publish;
pub use repository::{BackupSet, Listing, Repository};
