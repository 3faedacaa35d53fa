//! `pgstow show`: what is in an archive.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::choice::ChoiceArgs;
use super::inserts::InsertArgs;
use super::place::PlaceArgs;
use super::selection::{PartsArgs, SelectionArgs};
use super::stdout::{failed, try_write_stdout};
use super::table_rows::{RowFormat, TableRows};
use super::text_table;
use crate::archive::{
    ArchiveReader, Condition, DumpId, Header, Index, InsertStyle, Member, MemberId, MemberRole,
    PieceForm, Section, TocEntry, cannot_hold,
};
use crate::objects::quote;
use crate::restore::{RestoreOptions, chosen_entries};
use crate::storage::spawn_blocking;
use crate::{Error, ErrorKind, Result};

/// Shows what is in an archive: its table of contents, its SQL, or the rows of one table.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The archive: a file, or a set by its id, `latest` or `latest:KIND`
    #[arg(value_name = "FILE|ID|latest")]
    file: PathBuf,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Print the table of contents as JSON
    #[arg(long, conflicts_with_all = ["sql", "rows"])]
    json: bool,
    /// Print the SQL script of the selected entries, rows included
    #[arg(long, conflicts_with = "rows")]
    sql: bool,
    #[command(flatten)]
    inserts: InsertArgs,
    /// Print the rows of one table, reading only its members
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["selection", "choice", "parts"])]
    rows: Option<String>,
    /// Of these rows only those of which this holds: COLUMN = VALUE, COLUMN <> VALUE, COLUMN is null, COLUMN is not null
    /// (repeatable)
    #[arg(long = "where", value_name = "CONDITION", requires = "rows")]
    conditions: Vec<Condition>,
    /// How to print rows
    #[arg(long, value_enum, default_value_t = RowFormat::Copy, requires = "rows")]
    format: RowFormat,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    parts: PartsArgs,
}

/// Runs the command.
///
/// # Errors
/// `Damaged` and others of [`ArchiveReader`]; `Usage` if a pattern matches nothing.
pub(super) async fn run(args: Args) -> Result<()> {
    let (reader, lock) = args.place.find(&args.file).await?.open().await?;
    // Reading blocks, and of a remote archive it must not block the runtime that reads for it.
    spawn_blocking(move || {
        let shown = show(&reader, &args);
        drop(lock);
        shown
    })
    .await
}

fn show(reader: &ArchiveReader, args: &Args) -> Result<()> {
    if args.inserts.style().is_some() && !args.sql {
        let message = "INSERT statements are a form of --sql";
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("Or print one table: --rows TABLE --format insert."));
    }
    if let Some(pattern) = &args.rows {
        let rows = TableRows::find(reader, pattern, &args.conditions)?;
        return try_write_stdout(|out| rows.write(args.format, out).map(drop));
    }
    let entries = selected_entries(reader.index(), args)?;
    try_write_stdout(|out| {
        if args.sql {
            write_sql(reader, &entries, args.inserts.style(), out)
        } else if args.json {
            write_json(reader, entries, out).map_err(failed)
        } else {
            write_contents(reader, &entries, out).map_err(failed)
        }
    })
}

/// The entries that the options select, in script order.
fn selected_entries<'a>(index: &'a Index, args: &Args) -> Result<Vec<&'a TocEntry>> {
    let mut options = args.restore_options()?;
    args.choice.complete(&mut options, index)?;
    let everything = options.parts.is_everything() && options.parts.wants_statistics();
    if options.selection.is_everything() && options.list.is_none() && everything {
        // Also kinds that only a newer pgstow could restore.
        return Ok(index.entries.iter().collect());
    }
    chosen_entries(index, &options)
}

impl Args {
    /// The restore that would take the same entries.
    fn restore_options(&self) -> Result<RestoreOptions> {
        Ok(RestoreOptions {
            selection: self.choice.selection(&self.selection)?,
            parts: self.parts.parts_of_archive(),
            clean: false,
            analyze: false,
            ..RestoreOptions::whole(std::num::NonZeroUsize::MIN)
        })
    }
}

fn write_contents(
    reader: &ArchiveReader,
    entries: &[&TocEntry],
    out: &mut dyn Write,
) -> io::Result<()> {
    let stored = stored_bytes(reader.index());
    let mut table = text_table::TextTable::new(&[
        ("ID", text_table::Align::Right),
        ("SECTION", text_table::Align::Left),
        ("KIND", text_table::Align::Left),
        ("NAME", text_table::Align::Left),
        ("OWNER", text_table::Align::Left),
        ("ROWS", text_table::Align::Right),
        ("BYTES", text_table::Align::Right),
        ("STORED", text_table::Align::Right),
    ]);
    for entry in entries {
        let stored = stored.get(&entry.id).copied();
        table.push(contents_line(entry, stored, !reader.is_of_pg_dump()));
    }
    let total = total(reader, entries);
    for (name, value) in facts(reader) {
        writeln!(out, "{name:<9} {}", quote::one_line(&value))?;
    }
    writeln!(out)?;
    table.write(out)?;
    writeln!(out, "\n{total}")
}

fn total(reader: &ArchiveReader, entries: &[&TocEntry]) -> String {
    let rows = || entries.iter().filter_map(|entry| entry.rows.as_ref());
    let entry_count = text_table::count(entries.len() as u64, "entry", "entries");
    let tables = text_table::count(rows().count() as u64, "table", "tables");
    if reader.is_of_pg_dump() {
        return format!("{entry_count}; {tables} with rows, which pg_dump does not count");
    }
    format!(
        "{entry_count}; {tables} with {}, {}",
        text_table::count(rows().map(|table| table.rows).sum(), "row", "rows"),
        text_table::bytes(rows().map(|table| table.bytes).sum()),
    )
}

fn facts(reader: &ArchiveReader) -> Vec<(&'static str, String)> {
    let header = &reader.index().header;
    let mut facts = vec![
        ("archive", reader.name().to_owned()),
        (
            "format",
            match &header.pg_dump {
                Some(pg_dump) => format!(
                    "{} of pg_dump, {}, by {}",
                    pg_dump.format,
                    text_table::bytes(reader.size()),
                    header.tool
                ),
                None => format!(
                    "{} ({}), {} in {} members, by {}",
                    header.format,
                    reader.codec().as_str(),
                    text_table::bytes(reader.size()),
                    header.members,
                    header.tool
                ),
            },
        ),
        (
            "database",
            format!(
                "{} ({}, collate {}, ctype {})",
                header.database, header.encoding, header.lc_collate, header.lc_ctype
            ),
        ),
        ("server", format!("PostgreSQL {}", header.server_version)),
        ("started", header.started.clone()),
    ];
    if !header.partial.is_empty() {
        facts.push(("partial", header.partial.join(" ")));
    }
    facts
}

fn contents_line(entry: &TocEntry, stored: Option<u64>, is_counted: bool) -> Vec<String> {
    let name = match &entry.schema {
        Some(schema) => format!("{schema}.{}", entry.name),
        None => entry.name.clone(),
    };
    let section = match entry.section {
        Section::PreData => "pre-data",
        Section::Data => "data",
        Section::PostData => "post-data",
    };
    let rows = entry.rows.as_ref().filter(|_| is_counted);
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    vec![
        entry.id.0.to_string(),
        section.to_owned(),
        quote::one_line(&entry.kind).into_owned(),
        quote::one_line(&name).into_owned(),
        quote::one_line(entry.owner.as_deref().unwrap_or_default()).into_owned(),
        number(rows.map(|rows| rows.rows)).unwrap_or_default(),
        rows.map(|rows| text_table::bytes(rows.bytes))
            .unwrap_or_default(),
        stored.map(text_table::bytes).unwrap_or_default(),
    ]
}

/// Bytes that the data members of each entry take in the file.
fn stored_bytes(index: &Index) -> HashMap<DumpId, u64> {
    let mut stored = HashMap::new();
    for member in &index.members {
        if let Some(entry) = member.entry {
            *stored.entry(entry).or_default() += member.stored_length;
        }
    }
    stored
}

#[derive(Serialize)]
struct Document<'a> {
    archive: &'a str,
    codec: &'a str,
    size_bytes: u64,
    header: &'a Header,
    entries: Vec<&'a TocEntry>,
    members: &'a [Member],
}

fn write_json(
    reader: &ArchiveReader,
    entries: Vec<&TocEntry>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let document = Document {
        archive: reader.name(),
        codec: reader.codec().as_str(),
        size_bytes: reader.size(),
        header: &reader.index().header,
        entries,
        members: &reader.index().members,
    };
    let mut document = serde_json::to_value(document)?;
    if let Some(pg_dump) = &reader.index().header.pg_dump {
        document["codec"] = "pg_dump".into();
        document["format"] = pg_dump.format.clone().into();
        drop_unknown(&mut document);
    }
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

/// What an archive of pg_dump does not tell is left out, not said to be zero.
fn drop_unknown(document: &mut serde_json::Value) {
    let each = |value: &mut serde_json::Value, act: &dyn Fn(&mut serde_json::Value)| {
        value.as_array_mut().into_iter().flatten().for_each(act);
    };
    let without = |value: &mut serde_json::Value, keys: &[&str]| {
        if let Some(object) = value.as_object_mut() {
            object.retain(|key, _| !keys.contains(&key.as_str()));
        }
    };
    each(&mut document["entries"], &|entry| {
        without(&mut entry["rows"], &["rows", "bytes", "digest"]);
        if entry["rows"].is_null() {
            without(entry, &["rows"]);
        }
    });
    each(&mut document["members"], &|member| {
        without(member, &["offset", "blake3", "rows", "length"]);
    });
}

/// The preamble and the statements and rows of the entries; of all entries, the script as it is.
fn write_sql(
    reader: &ArchiveReader,
    entries: &[&TocEntry],
    inserts: Option<InsertStyle>,
    out: &mut dyn Write,
) -> Result<()> {
    let index = reader.index();
    if entries.len() == index.entries.len() && inserts.is_none() && !reader.is_of_pg_dump() {
        let members = index.numbered_members();
        return copy_members(reader, members.map(|(id, _)| id), out);
    }
    let preamble = index.numbered_members();
    let preamble = preamble.filter(|(_, member)| member.role == MemberRole::Preamble);
    copy_members(reader, preamble.map(|(id, _)| id), out)?;
    let data = index.members_by_entry();
    let mut statements = StatementReader::new(reader);
    for entry in entries {
        for span in entry.create.iter().chain(&entry.alter_owner) {
            out.write_all(statements.read(*span)?).map_err(failed)?;
            out.write_all(b"\n\n").map_err(failed)?;
        }
        if let Some(statement) = &entry.give_to_owner {
            let text = reader.index().header.text_encoding().encode(statement);
            let text = text.map_err(|_| Error::internal("an owner's name was encoded once"))?;
            out.write_all(&text).map_err(failed)?;
            out.write_all(b"\n\n").map_err(failed)?;
        }
        for &id in data.get(&entry.id).into_iter().flatten() {
            write_data(reader, entry, id, inserts, out)?;
        }
    }
    Ok(())
}

/// A data member: as statements, whatever it may be in the archive.
fn write_data(
    reader: &ArchiveReader,
    entry: &TocEntry,
    id: MemberId,
    inserts: Option<InsertStyle>,
    out: &mut dyn Write,
) -> Result<()> {
    let encoding = reader.index().header.text_encoding();
    let cannot = |character| cannot_hold(encoding, character, &entry.qualified_name());
    let inserts = inserts.and_then(|style| entry.insert_text(style, encoding.of_values()));
    let inserts = inserts.transpose().map_err(cannot)?;
    let mut pieces = match inserts {
        Some(_) => reader.pieces(id)?,
        None => reader.pieces_as_written(id)?,
    };
    let copy = match pieces.form() {
        PieceForm::Rows(copy) if inserts.is_none() => Some(copy.clone()),
        PieceForm::Rows(_) | PieceForm::Statements => None,
    };
    if let Some(copy) = &copy {
        out.write_all(&encoding.encode(copy).map_err(cannot)?)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(failed)?;
    }
    while let Some(piece) = pieces.next()? {
        let statements = match &inserts {
            Some(inserts) => {
                let statements = inserts.render(&encoding.to_values(&piece.bytes)?);
                encoding.encode_values(statements).map_err(cannot)?.into()
            }
            None => piece.bytes,
        };
        out.write_all(&statements).map_err(failed)?;
    }
    if copy.is_some() {
        out.write_all(b"\\.\n\n").map_err(failed)?;
    }
    Ok(())
}

fn copy_members(
    reader: &ArchiveReader,
    members: impl Iterator<Item = MemberId>,
    out: &mut dyn Write,
) -> Result<()> {
    for id in members {
        out.write_all(&reader.read_member(id)?).map_err(failed)?;
    }
    Ok(())
}

/// Reads spans; keeps the last member, because entries lie one behind the other.
struct StatementReader<'a> {
    reader: &'a ArchiveReader,
    member: Option<(MemberId, Vec<u8>)>,
}

impl<'a> StatementReader<'a> {
    fn new(reader: &'a ArchiveReader) -> Self {
        StatementReader {
            reader,
            member: None,
        }
    }

    fn read(&mut self, span: crate::archive::Span) -> Result<&[u8]> {
        let text = match self.member.take() {
            Some((id, text)) if id == span.member => text,
            _ => self.reader.read_member(span.member)?,
        };
        let (_, text) = self.member.insert((span.member, text));
        span.slice(text)
            .map(<[u8]>::trim_ascii_end)
            .ok_or_else(|| Error::internal("a span exceeds its member"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::archive::Compression;
    use crate::archive::tests::{ONE_ROW, PREAMBLE, TWO_ROWS, open, small_archive, statements};
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn reader() -> ArchiveReader {
        open(small_archive(Compression::Gzip(1)).sink).unwrap()
    }

    fn entries<'a>(index: &'a Index, options: &[&str]) -> Result<Vec<&'a TocEntry>> {
        let command = ["show", "FILE"].iter().chain(options);
        selected_entries(index, &Command::parse_from(command).args)
    }

    fn sql(options: &[&str]) -> String {
        let reader = reader();
        let mut out = Vec::new();
        let entries = entries(reader.index(), options).unwrap();
        write_sql(&reader, &entries, None, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sql_of_everything_is_the_script() {
        let whole = sql(&[]);
        assert!(whole.starts_with(&[PREAMBLE, &statements(), TWO_ROWS].concat()));
        assert!(whole.ends_with(ONE_ROW));
    }

    #[test]
    fn sql_of_a_selection_has_the_preamble_and_its_statements() {
        assert_eq!(
            sql(&["-s", "-t", "t"]),
            [PREAMBLE, "CREATE TABLE \"s\".\"t\" (\"a\" integer);\n\n"].concat()
        );
        assert_eq!(
            sql(&["-a", "-t", "s.t"]),
            [PREAMBLE, TWO_ROWS, ONE_ROW].concat()
        );
    }

    #[test]
    fn pattern_without_a_match_is_an_error() {
        let reader = reader();
        let error = entries(reader.index(), &["-t", "nothing"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }

    #[test]
    fn contents_are_one_line_per_entry_whatever_the_names() {
        let reader = reader();
        let entries = entries(reader.index(), &[]).unwrap();
        let mut out = Vec::new();
        write_contents(&reader, &entries, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 5 + 1 + 1 + 4 + 2);
        assert!(text.contains("line\\nbreak and \\u{2028}"));
        assert!(
            text.ends_with("4 entries; 1 table with 3 rows, 6 B\n"),
            "{text}"
        );
    }
}
