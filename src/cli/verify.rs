//! `pgstow verify`: is an archive whole and unaltered?

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::stdout::write_stdout;
use super::text_table;
use crate::Result;
use crate::archive::{Comparison, VerifyLevel, VerifyReport, verify_file};

/// Verifies an archive: every checksum, every row, every statement. Exit status 4 if it is damaged.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The archive: a file, or a set in BACKUP_DIR by its id or `latest`
    #[arg(value_name = "FILE|ID|latest")]
    pub(super) file: PathBuf,
    /// Only footer, index and sizes
    #[arg(long)]
    quick: bool,
    /// Number of threads [default: number of CPUs]
    #[arg(short, long, value_name = "N", conflicts_with = "quick")]
    jobs: Option<NonZeroUsize>,
    /// Print the report as JSON, also of a damaged archive
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: super::progress::ProgressArgs,
}

/// Runs the command.
///
/// # Errors
/// `Damaged`, listing what is wrong; others of [`verify_file`].
pub(super) fn run(args: &Args) -> Result<()> {
    let level = if args.quick {
        VerifyLevel::Quick
    } else {
        VerifyLevel::Full
    };
    let jobs = args
        .jobs
        .unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    let report = {
        let events = args.progress.events();
        verify_file(&args.file, level, jobs, &events)?
    };
    if args.json {
        write_stdout(|out| {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)
        })?;
        return report.into_result().map(drop);
    }
    let report = report.into_result()?;
    write_stdout(|out| {
        lines(&report)
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))
    })
}

/// What people read of an intact archive.
fn lines(report: &VerifyReport) -> Vec<String> {
    let size = text_table::bytes(report.size_bytes);
    let members = text_table::count(report.members, "member", "members");
    let tables = text_table::count(report.tables, "table", "tables");
    let rows = text_table::count(report.rows, "row", "rows");
    let mut lines = match report.level {
        VerifyLevel::Full => vec![
            format!("archive \"{}\" is intact", report.archive),
            format!("  {members}, {size}: every checksum and every statement verified"),
            format!("  {tables}, {rows}: every row counted and every digest verified"),
        ],
        VerifyLevel::Quick => vec![
            format!(
                "archive \"{}\" is complete; its members were not read",
                report.archive
            ),
            format!("  {members}, {size}: footer, index and sizes verified"),
            format!("  {tables}, {rows}, says the index"),
        ],
    };
    if report.sha256 == Comparison::Equal {
        lines.push("  SHA-256 is that of its .sha256".to_owned());
    }
    if report.meta == Comparison::Equal {
        lines.push("  agrees with its .meta".to_owned());
    }
    lines
}
