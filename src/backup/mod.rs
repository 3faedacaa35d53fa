//! Backup sets: a data file with its `.sha256` and `.meta`.
//!
//! A set is published in that order and every step is durable before the next one, so a backup
//! without `.meta` does not exist; nothing is ever overwritten. It is deleted in the reverse order.
//!
//! `run` makes a set, `verification` and `drill` prove it, `copy` brings it elsewhere, `cleanup` deletes what `retention` (pure)
//! does not keep, `anomaly` (pure) compares it with the one before.

pub mod anomaly;
mod cleanup;
mod copy;
mod drill;
mod meta;
mod name;
mod publish;
mod repository;
pub mod retention;
mod run;
mod summary;
mod verification;

pub use anomaly::Thresholds;
pub use cleanup::{CleanupPlan, CleanupReport, decide, plan_cleanup};
pub use copy::{Copied, copy_set};
pub use drill::{DrillOptions, drill_set};
pub(crate) use meta::GLOBALS_OPTION;
pub use meta::{Drilled, How, META_FORMAT, Meta, SetFile, Settings, TableMeta, Verified};
pub use name::{SetName, backup_name, parse_set_name, set_file_name};
pub use publish::publish;
pub use repository::{BackupSet, Listing, OpenSet, Repository};
pub use retention::Kind;
pub use run::{BackupJob, BackupOutcome, Dumped, dump_into, run_backup};
pub use summary::SetSummary;
pub use verification::verify_set;
