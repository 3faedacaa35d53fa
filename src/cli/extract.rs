//! `pgstow extract`: rows of one table out of an archive, without any server.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::place::PlaceArgs;
use super::stdout::try_write_stdout;
use super::table_rows::{RowFormat, TableRows};
use super::text_table;
use crate::archive::{ArchiveReader, Condition};
use crate::objects::quote::one_line;
use crate::storage::spawn_blocking;
use crate::{Error, Result};

/// Take one table's rows out of an archive, without any server
///
/// Only the members of that table are read; standard error tells how many bytes of the file that were.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Args {
    /// The archive: a file, or a set by its id, `latest` or `latest:KIND`
    #[arg(value_name = "FILE|ID|latest")]
    file: PathBuf,
    /// The table (pattern that matches one)
    #[arg(value_name = "TABLE")]
    table: String,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Only rows of which this holds: COLUMN = VALUE, COLUMN <> VALUE, COLUMN is null, COLUMN is not null (repeatable: all must hold)
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<Condition>,
    /// How to print them
    #[arg(short = 'F', long, value_enum, default_value_t = RowFormat::Csv)]
    format: RowFormat,
    /// Into this file, which must not exist, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print help
    #[arg(short = '?', long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// Runs the command.
///
/// # Errors
/// `Damaged` and others of [`ArchiveReader`]; `Usage` unless the pattern means one table; `AlreadyExists`, `Io`.
pub(super) async fn run(args: Args) -> Result<()> {
    let (reader, lock) = args.place.find(&args.file).await?.open().await?;
    // Reading blocks, and of a remote archive it must not block the runtime that reads for it.
    spawn_blocking(move || {
        let extracted = extract(&reader, &args);
        drop(lock);
        extracted
    })
    .await
}

fn extract(reader: &ArchiveReader, args: &Args) -> Result<()> {
    let rows = TableRows::find(reader, &args.table, &args.conditions)?;
    let mut count = 0;
    let write = |out: &mut dyn Write| {
        count = rows.write(args.format, out)?;
        Ok(())
    };
    match args
        .output
        .as_deref()
        .filter(|path| *path != Path::new("-"))
    {
        Some(path) => write_file(path, write)?,
        None => try_write_stdout(write)?,
    }
    eprintln!(
        "{} of {}; {}",
        text_table::count(count, "row", "rows"),
        rows.qualified_name(),
        text_table::share_read(reader.bytes_read(), reader.size())
    );
    Ok(())
}

/// Writes a new file, which only its owner can read. Half a file does not stay.
fn write_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let failed = |e| {
        let path = path.display().to_string();
        Error::io(format!("could not write \"{}\"", one_line(&path)), e)
    };
    let mut options = OpenOptions::new();
    let file: File = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let mut out = BufWriter::with_capacity(64 << 10, file);
    let written = write(&mut out).and_then(|()| out.flush().map_err(failed));
    if written.is_err() {
        // The failure is what there is to tell.
        let _ = std::fs::remove_file(path);
    }
    written
}
