//! `pgstow diff`: what differs between two archives or databases.

use std::borrow::Cow;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::line_diff::{Line, diff_lines};
use super::place::PlaceArgs;
use super::selection::{PartsArgs, SelectionArgs};
use super::stdout::write_stdout;
use super::{text_table, until_signal};
use crate::archive::{ArchiveReader, TextEncoding};
use crate::backup::parse_set_name;
use crate::comparison::{
    Comparable, DefinitionDifference, RowDifference, RowsRead, Side, TableContents,
    compare_definitions, compare_tables,
};
use crate::conn::{ConnectArgs, ConnectSettings};
use crate::dump::selection::Selection;
use crate::dump::{ColumnOrder, ContentOptions};
use crate::event::Events;
use crate::objects::quote::one_line;
use crate::storage::Lock;
use crate::{Error, ErrorKind, Result};

/// Compare two sides, each an archive or a database: definitions with their SQL, rows by number and digest
///
/// A side is an archive if it is a file, `latest`, `latest:KIND`, a set's id or an object store's URL, else a database: its name, URL or
/// keyword string (`dbname=latest` for odd names). Of a database definitions and rows are read under one snapshot. Archives of pg_dump are read to
/// their end; definitions of what pgstow and pg_dump, or two versions of it, wrote are compared by name. Exit status 0: equal. Exit status 1:
/// different, or failed, which standard error then tells.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Args {
    /// The one side
    #[arg(value_name = "A")]
    a: String,
    /// The other side
    #[arg(value_name = "B")]
    b: String,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    parts: PartsArgs,
    /// Compare no owners
    #[arg(short = 'O', long)]
    no_owner: bool,
    /// Connections that read a database's rows, threads that read those of an archive of pg_dump
    #[arg(short, long, value_name = "N", default_value = "2")]
    jobs: NonZeroU32,
    /// Report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: super::progress::ProgressArgs,
    /// Print help
    #[arg(short = '?', long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// Runs the command. Tells whether the sides are equal.
///
/// # Errors
/// Those of reading either side; `Usage` if the selection matches nothing on both.
pub(super) async fn run(args: Args) -> Result<bool> {
    let selection = Selection::parse(&args.selection.patterns_of_archive()?)?;
    let mut contents = ContentOptions {
        no_owner: args.no_owner,
        parts: args.parts.parts(),
        skip_unsupported: true,
        ..ContentOptions::default()
    };
    let with_rows = !contents.parts.schema_only && !contents.parts.statistics_only;
    let events = args.progress.events();
    let (a, b) = (
        open_side(&args, &args.a).await?,
        open_side(&args, &args.b).await?,
    );
    contents.column_order = order_of_columns(&a, &b);
    let rows = match with_rows {
        true => RowsRead::InEncoding(encoding_of_rows(&a, &b)?),
        false => RowsRead::None,
    };
    let read = |side| read_side(&args, side, &selection, &contents, rows, &events);
    let (a, b) = until_signal(async { Ok((read(a).await, read(b).await)) }).await?;
    let (a, b) = both_sides(a, b, with_rows)?;
    drop(events);
    let report = Report::of(&args, &a, &b);
    write_stdout(|out| match args.json {
        true => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)
        }
        false => report.write(out),
    })?;
    Ok(report.equal)
}

/// A side before it is read.
enum OpenSide {
    /// An archive, locked if it is a set.
    Archive(Arc<ArchiveReader>, Option<Lock>),
    /// How to reach a database.
    Database(Box<ConnectSettings>),
}

async fn open_side(args: &Args, text: &str) -> Result<OpenSide> {
    if is_database(text) {
        let settings = ConnectSettings::resolve(&args.connect, Some(text))?;
        for warning in settings.warnings() {
            eprintln!("warning: {}", one_line(warning));
        }
        return Ok(OpenSide::Database(Box::new(settings)));
    }
    let (reader, lock) = args.place.find(Path::new(text)).await?.open().await?;
    let partial = &reader.index().header.partial;
    if !partial.is_empty() {
        let (shown, partial) = (one_line(text), partial.join(" "));
        eprintln!(
            "note: {shown} is a part of its database: {}",
            one_line(&partial)
        );
    }
    Ok(OpenSide::Archive(Arc::new(reader), lock))
}

/// The encoding in which databases are read: digests of the same rows are equal in the same one only.
///
/// # Errors
/// `Usage` if two archives are in different ones.
fn encoding_of_rows(a: &OpenSide, b: &OpenSide) -> Result<Option<TextEncoding>> {
    match (a, b) {
        (OpenSide::Archive(a, _), OpenSide::Archive(b, _)) => {
            let encoding = |reader: &ArchiveReader| reader.index().header.text_encoding();
            match encoding(a) == encoding(b) {
                true => Ok(None),
                false => Err(Error::new(
                    ErrorKind::Usage,
                    "the archives are in different encodings: their rows cannot be compared",
                )
                .hint("-s compares definitions alone.")),
            }
        }
        (OpenSide::Archive(reader, _), OpenSide::Database(_))
        | (OpenSide::Database(_), OpenSide::Archive(reader, _)) => {
            Ok(reader.index().header.text_encoding)
        }
        (OpenSide::Database(_), OpenSide::Database(_)) => Ok(None),
    }
}

/// The order in which columns are read: digests of the same rows are equal in the same one only.
fn order_of_columns(a: &OpenSide, b: &OpenSide) -> ColumnOrder {
    match (a, b) {
        (OpenSide::Archive(reader, _), _) | (_, OpenSide::Archive(reader, _)) => {
            ColumnOrder::of_archive(&reader.index().entries)
        }
        (OpenSide::Database(_), OpenSide::Database(_)) => ColumnOrder::ByName,
    }
}

async fn read_side(
    args: &Args,
    side: OpenSide,
    selection: &Selection,
    contents: &ContentOptions,
    rows: RowsRead,
    events: &Events,
) -> Result<Side> {
    match side {
        OpenSide::Database(settings) => {
            Side::of_database(&settings, args.jobs, selection, contents, rows, events).await
        }
        OpenSide::Archive(reader, _lock) => {
            let with_rows = rows != RowsRead::None;
            Side::of_archive(&reader, args.jobs, selection, contents, with_rows, events).await
        }
    }
}

/// Whether a side is a database: whatever cannot be an archive.
fn is_database(text: &str) -> bool {
    let is_url = text.starts_with("postgresql://") || text.starts_with("postgres://");
    if is_url || (text.contains('=') && !text.contains('/')) {
        return true;
    }
    let is_set = text == "latest"
        || text.starts_with("latest:")
        || parse_set_name(&format!("{text}.sql.gz")).is_some()
        || text.contains("-backup-");
    // A directory that happens to be called like a database is none of pg_dump's archives.
    let path = Path::new(text);
    let is_file = path.is_file() || path.join("toc.dat").is_file();
    !is_set && !text.contains('/') && !is_file
}

/// A side in which nothing matches is empty, unless it is so on both.
fn both_sides(a: Result<Side>, b: Result<Side>, with_rows: bool) -> Result<(Side, Side)> {
    let is_vain =
        |e: &Error| e.kind() == ErrorKind::Usage && e.message().starts_with("no matching");
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Ok(a), Err(e)) if is_vain(&e) => {
            let b = Side::empty(with_rows, a.server);
            Ok((a, b))
        }
        (Err(e), Ok(b)) if is_vain(&e) => Ok((Side::empty(with_rows, b.server), b)),
        (Err(e), _) | (_, Err(e)) => Err(e),
    }
}

#[derive(Serialize)]
struct Report<'a> {
    a: &'a str,
    b: &'a str,
    equal: bool,
    /// Of other majors, and of what pgstow and pg_dump wrote, only names are compared.
    definitions_compared: bool,
    #[serde(skip)]
    comparable: Comparable,
    rows_compared: bool,
    large_objects_compared_by_number_only: bool,
    unsupported: Vec<&'a str>,
    objects: Vec<ObjectLine>,
    tables: Vec<TableLine>,
    #[serde(skip)]
    counts: Counts,
}

/// How many objects and tables the larger side has.
#[derive(Clone, Copy)]
struct Counts {
    objects: usize,
    tables: usize,
}

#[derive(Serialize)]
struct ObjectLine {
    change: Change,
    kind: String,
    schema: String,
    name: String,
    a_sql: Option<String>,
    b_sql: Option<String>,
    #[serde(skip)]
    shown: String,
}

#[derive(Serialize)]
struct TableLine {
    schema: String,
    name: String,
    a: Option<ContentsLine>,
    b: Option<ContentsLine>,
    #[serde(skip)]
    shown: String,
}

#[derive(Clone, Serialize)]
struct ContentsLine {
    rows: u64,
    digest: String,
}

/// What became of an object from A to B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    Added,
    Dropped,
    Changed,
}

impl<'a> Report<'a> {
    fn of(args: &'a Args, a: &'a Side, b: &'a Side) -> Report<'a> {
        let comparable = a.comparable_with(b);
        let [of_a, of_b] = [a, b].map(|side| match comparable {
            Comparable::Sql | Comparable::Names => Cow::Borrowed(&side.definitions),
            Comparable::CommonNames => Cow::Owned(side.definitions.in_common_names()),
        });
        let objects: Vec<ObjectLine> =
            compare_definitions(&of_a, &of_b, comparable != Comparable::Sql)
                .into_iter()
                .map(ObjectLine::of)
                .collect();
        let tables: Vec<TableLine> = match (&a.tables, &b.tables) {
            (Some(a), Some(b)) => compare_tables(a, b)
                .into_iter()
                .map(TableLine::of)
                .collect(),
            _ => Vec::new(),
        };
        let tables_of = |side: &Side| side.tables.as_ref().map_or(0, |tables| tables.count());
        Report {
            a: &args.a,
            b: &args.b,
            equal: objects.is_empty() && tables.is_empty(),
            definitions_compared: comparable == Comparable::Sql,
            comparable,
            rows_compared: a.tables.is_some() && b.tables.is_some(),
            large_objects_compared_by_number_only: a.has_large_objects
                && b.has_large_objects
                && comparable != Comparable::CommonNames,
            unsupported: (a.unsupported.iter().chain(&b.unsupported))
                .map(String::as_str)
                .collect(),
            objects,
            tables,
            counts: Counts {
                objects: of_a.count().max(of_b.count()),
                tables: tables_of(a).max(tables_of(b)),
            },
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for object in &self.objects {
            object.write(out)?;
        }
        for table in &self.tables {
            table.write(out)?;
        }
        for name in &self.unsupported {
            writeln!(out, "not compared, not supported: {}", one_line(name))?;
        }
        match self.comparable {
            Comparable::Sql => {}
            Comparable::Names => writeln!(
                out,
                "the servers are of different majors: objects were compared by name, not by definition"
            )?,
            Comparable::CommonNames => writeln!(
                out,
                "not written by the same program: objects were compared by name, not by definition (functions by name and number); \
                 defaults, comments, privileges and large objects were not compared"
            )?,
        }
        if self.large_objects_compared_by_number_only {
            writeln!(out, "large objects were compared by number, not by content")?;
        }
        let objects = text_table::count(self.counts.objects as u64, "object", "objects");
        let tables = text_table::count(self.counts.tables as u64, "table", "tables");
        match (self.equal, self.rows_compared) {
            (true, true) => writeln!(out, "equal: {objects}, the rows of {tables}"),
            (true, false) => writeln!(out, "equal: {objects}; rows were not compared"),
            (false, with_rows) => {
                let of = |change| self.objects.iter().filter(|it| it.change == change).count();
                write!(
                    out,
                    "different: {} added, {} dropped, {} changed of {objects}",
                    of(Change::Added),
                    of(Change::Dropped),
                    of(Change::Changed),
                )?;
                match with_rows {
                    true => writeln!(out, "; other rows in {} of {tables}", self.tables.len()),
                    false => writeln!(out, "; rows were not compared"),
                }
            }
        }
    }
}

impl ObjectLine {
    fn of(difference: DefinitionDifference) -> ObjectLine {
        ObjectLine {
            change: match (&difference.before, &difference.after) {
                (None, _) => Change::Added,
                (_, None) => Change::Dropped,
                _ => Change::Changed,
            },
            shown: difference.object.to_string(),
            kind: difference.object.kind,
            schema: difference.object.schema,
            name: difference.object.name,
            a_sql: difference.before,
            b_sql: difference.after,
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let change = match self.change {
            Change::Added => "added",
            Change::Dropped => "dropped",
            Change::Changed => "changed",
        };
        writeln!(out, "{change} {}", self.shown)?;
        let (old, new) = (self.a_sql.as_deref(), self.b_sql.as_deref());
        for line in diff_lines(old.unwrap_or_default(), new.unwrap_or_default()) {
            let (mark, text) = match line {
                Line::Same(text) => (' ', text),
                Line::Old(text) => ('-', text),
                Line::New(text) => ('+', text),
            };
            writeln!(out, "  {mark} {}", one_line(text).trim_end())?;
        }
        Ok(())
    }
}

impl TableLine {
    fn of(difference: RowDifference) -> TableLine {
        let line = |contents: Option<TableContents>| {
            contents.map(|contents| ContentsLine {
                rows: contents.rows,
                digest: contents.digest.to_hex(),
            })
        };
        TableLine {
            shown: difference.table(),
            a: line(difference.before),
            b: line(difference.after),
            schema: difference.table.0,
            name: difference.table.1,
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let table = &self.shown;
        let rows = |side: &ContentsLine| text_table::count(side.rows, "row", "rows");
        match (&self.a, &self.b) {
            (Some(a), Some(b)) if a.rows == b.rows => {
                writeln!(
                    out,
                    "rows of {table}: {} on both sides, other contents",
                    rows(a)
                )
            }
            (Some(a), Some(b)) => {
                let more = i128::from(b.rows) - i128::from(a.rows);
                writeln!(
                    out,
                    "rows of {table}: {} in A, {} in B ({more:+})",
                    rows(a),
                    rows(b)
                )
            }
            (Some(a), None) => writeln!(out, "rows of {table}: {} in A, none kept in B", rows(a)),
            (None, Some(b)) => writeln!(out, "rows of {table}: none kept in A, {} in B", rows(b)),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_a_database_unless_it_can_be_an_archive() {
        for database in [
            "shop",
            "postgresql://h/shop",
            "host=h dbname=latest",
            "new.name",
            "src",
        ] {
            assert!(is_database(database), "{database}");
        }
        for archive in [
            "latest",
            "latest:weekly",
            "shop-backup-20260102-030405",
            "shop-backup-2026",
            "./shop.sql.gz",
            "/tmp/a=b.sql",
            "s3://bucket/shop-backup-20260102-030405.sql.gz",
            "Cargo.toml",
        ] {
            assert!(!is_database(archive), "{archive}");
        }
    }

    #[test]
    fn a_side_without_a_match_is_empty_but_not_both() {
        let vain = || {
            Err(Error::new(
                ErrorKind::Usage,
                "no matching tables were found",
            ))
        };
        let side = || Ok(Side::empty(true, crate::conn::ServerVersion::major(18)));
        assert!(both_sides(vain(), side(), true).is_ok());
        assert!(both_sides(side(), vain(), true).is_ok());
        assert!(both_sides(vain(), vain(), true).is_err());
        let other = Err(Error::new(ErrorKind::Connect, "no"));
        assert!(both_sides(side(), other, true).is_err());
    }
}
