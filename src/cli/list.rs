//! `pgstow list`: the backup sets of a directory.

use std::path::{Path, PathBuf};

use indicatif::HumanCount;
use jiff::{SpanRound, Timestamp, Unit};
use serde::Serialize;

use super::stdout::write_stdout;
use super::text_table::{self, Align, TextTable};
use crate::backup::{BackupSet, Listing, Repository};
use crate::objects::quote::one_line;
use crate::storage::{Location, Storage};
use crate::{Error, ErrorKind, Result};

/// List the backup sets in BACKUP_DIR, the newest first
///
/// A set is a file NAME-backup-YYYYMMDD-HHMMSS.sql.gz with its .sha256 and .meta, as `pgstow create` writes it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory [default: BACKUP_DIR, or the current directory]
    directory: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Where `create` writes without `-o`.
pub(super) fn backup_directory() -> PathBuf {
    let directory = std::env::var_os("BACKUP_DIR").filter(|directory| !directory.is_empty());
    directory.map_or_else(|| PathBuf::from("."), PathBuf::from)
}

fn repository(directory: PathBuf) -> Result<Repository> {
    Ok(Repository::new(Storage::open(&Location::Directory(
        directory,
    ))?))
}

/// The file that a user means: itself, or a set in [`backup_directory`] by `latest`, id, or beginning of an id.
///
/// # Errors
/// `NotFound`, `Usage` if it is neither; `Io`.
pub(super) async fn find_archive(argument: &Path) -> Result<PathBuf> {
    let is_path = argument.components().count() > 1 || argument.symlink_metadata().is_ok();
    match argument.to_str() {
        Some(wanted) if !is_path => {
            let directory = backup_directory();
            let set = repository(directory.clone())?.find(wanted).await?;
            Ok(directory.join(set.file))
        }
        _ => Ok(argument.to_owned()),
    }
}

/// Runs the command.
///
/// # Errors
/// `NotFound` if there is no such directory; `Io`.
pub(super) async fn run(args: Args) -> Result<()> {
    let directory = args.directory.unwrap_or_else(backup_directory);
    if !directory.is_dir() {
        let shown = directory.display().to_string();
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no directory \"{}\"", one_line(&shown)),
        ));
    }
    let listing = repository(directory)?.list().await?;
    for (file, why) in &listing.unreadable {
        eprintln!(
            "warning: {} is no backup set: {}",
            one_line(file),
            one_line(why)
        );
    }
    if args.json {
        let sets: Vec<Line> = listing.sets.iter().map(Line::of).collect();
        return write_stdout(|out| {
            serde_json::to_writer_pretty(&mut *out, &sets)?;
            writeln!(out)
        });
    }
    let table = table(&listing, Timestamp::now());
    write_stdout(|out| table.write(out))
}

/// A set as JSON tells it.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    file: &'a str,
    name: &'a str,
    kind: &'a str,
    database: &'a str,
    created: String,
    size: u64,
    tables: usize,
    rows: u64,
    duration_ms: Option<i64>,
    sha256: &'a str,
    partial: &'a [String],
    verified: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of(set: &'a BackupSet) -> Line<'a> {
        let meta = &set.meta;
        Line {
            id: &set.name.id,
            file: &set.file,
            name: &set.name.name,
            kind: &meta.kind,
            database: &meta.database,
            created: set.name.created.to_string(),
            size: meta.size,
            tables: meta.tables.len(),
            rows: meta.rows,
            duration_ms: duration_ms(set),
            sha256: &meta.sha256,
            partial: &meta.partial,
            verified: meta.verified.as_deref(),
        }
    }
}

/// How long its run took, if its `.meta` tells two times.
fn duration_ms(set: &BackupSet) -> Option<i64> {
    let started: Timestamp = set.meta.started.parse().ok()?;
    let finished: Timestamp = set.meta.finished.parse().ok()?;
    i64::try_from(finished.duration_since(started).as_millis()).ok()
}

fn table(listing: &Listing, now: Timestamp) -> TextTable {
    let mut table = TextTable::new(&[
        ("ID", Align::Left),
        ("KIND", Align::Left),
        ("AGE", Align::Right),
        ("SIZE", Align::Right),
        ("ROWS", Align::Right),
        ("TOOK", Align::Right),
        ("CONTENTS", Align::Left),
    ]);
    for set in &listing.sets {
        let took = duration_ms(set).map(|ms| format!("{}.{} s", ms / 1000, ms % 1000 / 100));
        table.push(vec![
            set.name.id.clone(),
            one_line(&set.meta.kind).into_owned(),
            age(set.name.created, now),
            text_table::bytes(set.meta.size),
            HumanCount(set.meta.rows).to_string(),
            took.unwrap_or_else(|| "?".to_owned()),
            match set.meta.partial.as_slice() {
                [] => "whole".to_owned(),
                options => one_line(&format!("partial: {}", options.join(" "))).into_owned(),
            },
        ]);
    }
    table
}

/// `3d 4h`, `25m`: the two largest units of hours and days, or one smaller.
fn age(created: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(created).as_secs().max(0);
    let smallest = match seconds {
        0..60 => Unit::Second,
        60..3600 => Unit::Minute,
        _ => Unit::Hour,
    };
    let rounding = SpanRound::new()
        .largest(Unit::Day)
        .smallest(smallest)
        .days_are_24_hours()
        .mode(jiff::RoundMode::Trunc);
    match jiff::Span::new().seconds(seconds).round(rounding) {
        Ok(span) => format!("{span:#}"),
        Err(_) => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_has_at_most_two_units() {
        let created: Timestamp = "2026-01-14T02:00:00Z".parse().expect("valid");
        let after = |seconds: i64| age(created, created + jiff::SignedDuration::from_secs(seconds));
        assert_eq!(after(42), "42s");
        assert_eq!(after(25 * 60 + 59), "25m");
        assert_eq!(after(3 * 86_400 + 4 * 3600 + 1800), "3d 4h");
        assert_eq!(after(-5), "0s");
    }
}
