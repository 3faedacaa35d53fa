//! `pgstow show`: what is in an archive.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::stdout::{failed, try_write_stdout, write_stdout};
use super::{csv, text_table};
use crate::archive::{
    ArchiveReader, DumpId, Header, Index, Member, MemberId, MemberRole, Section, TocEntry,
    copy_rows,
};
use crate::dump::selection::{Selection, SelectionPatterns};
use crate::objects::{Kind, quote};
use crate::{Error, ErrorKind, Result};

/// Shows what is in an archive: its table of contents, its SQL, or the rows of one table.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The archive
    file: PathBuf,
    /// Print the table of contents as JSON
    #[arg(long, conflicts_with_all = ["sql", "rows"])]
    json: bool,
    /// Print the SQL script of the selected entries, rows included
    #[arg(long, conflicts_with = "rows")]
    sql: bool,
    /// Print the rows of one table, reading only its members
    #[arg(long, value_name = "TABLE")]
    rows: Option<String>,
    /// How to print rows
    #[arg(long, value_enum, default_value_t = RowFormat::Copy, requires = "rows")]
    format: RowFormat,
    /// Only these tables, views and sequences (psql pattern)
    #[arg(short = 't', long = "table", value_name = "PATTERN", conflicts_with = "rows")]
    tables: Vec<String>,
    /// Not these tables, views and sequences
    #[arg(short = 'T', long = "exclude-table", value_name = "PATTERN", conflicts_with = "rows")]
    exclude_tables: Vec<String>,
    /// Only these schemas
    #[arg(short = 'n', long = "schema", value_name = "PATTERN", conflicts_with = "rows")]
    schemas: Vec<String>,
    /// Not these schemas
    #[arg(short = 'N', long = "exclude-schema", value_name = "PATTERN", conflicts_with = "rows")]
    exclude_schemas: Vec<String>,
    /// Only definitions
    #[arg(short = 's', long, conflicts_with_all = ["data_only", "rows"])]
    schema_only: bool,
    /// Only rows, large objects and sequence values
    #[arg(short = 'a', long, conflicts_with = "rows")]
    data_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum RowFormat {
    /// COPY's text format
    Copy,
    /// CSV with a line of column names
    Csv,
}

/// Runs the command.
///
/// # Errors
/// `Damaged` and others of [`ArchiveReader`]; `Usage` if a pattern matches nothing.
pub(crate) fn run(args: &Args) -> Result<()> {
    let reader = ArchiveReader::open(&args.file)?;
    if let Some(pattern) = &args.rows {
        return show_rows(&reader, pattern, args.format);
    }
    let entries = selected_entries(reader.index(), args)?;
    if args.sql {
        show_sql(&reader, &entries)
    } else if args.json {
        show_json(&reader, entries)
    } else {
        show_contents(&reader, &entries)
    }
}

/// The entries that the options select, in script order.
fn selected_entries<'a>(index: &'a Index, args: &Args) -> Result<Vec<&'a TocEntry>> {
    let selection = Selection::parse(&SelectionPatterns {
        tables: args.tables.clone(),
        exclude_tables: args.exclude_tables.clone(),
        schemas: args.schemas.clone(),
        exclude_schemas: args.exclude_schemas.clone(),
        exclude_table_data: Vec::new(),
    })?;
    selection.check_database(&index.header.database)?;
    let schemas = index.entries.iter().filter_map(|e| e.schema.as_deref());
    let relations = index.entries.iter().filter(|e| e.relation == Some(e.id));
    let relations = relations.filter_map(|e| Some((e.schema.as_deref()?, &*e.name)));
    if let Some(complaint) = selection.unmatched(schemas, relations) {
        return Err(Error::new(ErrorKind::Usage, complaint));
    }
    let wanted_section = |entry: &TocEntry| match entry.section {
        Section::Data => !args.schema_only,
        Section::PreData | Section::PostData => !args.data_only,
    };
    let entries = index.entries.iter();
    Ok(entries
        .filter(|entry| wanted_section(entry) && is_selected(index, entry, &selection))
        .collect())
}

/// An entry goes with its relation, a comment or ACL with what it is about, others with their schema.
fn is_selected(index: &Index, entry: &TocEntry, selection: &Selection) -> bool {
    let relation = entry.relation.and_then(|id| index.entry(id));
    if let Some((schema, relation)) = relation.and_then(|r| Some((r.schema.as_deref()?, r))) {
        return selection.includes_relation(schema, &relation.name);
    }
    // Subjects come before what is about them, so this ends.
    let subject = entry.subject.filter(|&subject| subject < entry.id);
    if let Some(subject) = subject.and_then(|id| index.entry(id)) {
        return is_selected(index, subject, selection);
    }
    match &entry.schema {
        Some(schema) => selection.includes_schema(schema),
        None if entry.kind == Kind::Schema.as_str() => selection.includes_schema(&entry.name),
        None => selection.includes_global_objects(),
    }
}

fn show_contents(reader: &ArchiveReader, entries: &[&TocEntry]) -> Result<()> {
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
        table.push(contents_line(entry, stored.get(&entry.id).copied()));
    }
    let rows = || entries.iter().filter_map(|entry| entry.rows.as_ref());
    let total = format!(
        "{} entries; {} tables with {} rows, {}",
        entries.len(),
        rows().count(),
        rows().map(|table| table.rows).sum::<u64>(),
        text_table::bytes(rows().map(|table| table.bytes).sum()),
    );
    write_stdout(|out| {
        for (name, value) in facts(reader) {
            writeln!(out, "{name:<9} {}", quote::one_line(&value))?;
        }
        writeln!(out)?;
        table.write(out)?;
        writeln!(out, "\n{total}")
    })
}

fn facts(reader: &ArchiveReader) -> Vec<(&'static str, String)> {
    let header = &reader.index().header;
    let mut facts = vec![
        ("archive", reader.name().to_owned()),
        (
            "format",
            format!(
                "{} ({}), {} in {} members, by {}",
                header.format,
                reader.codec().as_str(),
                text_table::bytes(reader.size()),
                header.members,
                header.tool
            ),
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

fn contents_line(entry: &TocEntry, stored: Option<u64>) -> Vec<String> {
    let name = match &entry.schema {
        Some(schema) => format!("{schema}.{}", entry.name),
        None => entry.name.clone(),
    };
    let section = match entry.section {
        Section::PreData => "pre-data",
        Section::Data => "data",
        Section::PostData => "post-data",
    };
    let rows = entry.rows.as_ref();
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    vec![
        entry.id.0.to_string(),
        section.to_owned(),
        quote::one_line(&entry.kind).into_owned(),
        quote::one_line(&name).into_owned(),
        quote::one_line(entry.owner.as_deref().unwrap_or_default()).into_owned(),
        number(rows.map(|rows| rows.rows)).unwrap_or_default(),
        rows.map(|rows| text_table::bytes(rows.bytes)).unwrap_or_default(),
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

fn show_json(reader: &ArchiveReader, entries: Vec<&TocEntry>) -> Result<()> {
    let document = Document {
        archive: reader.name(),
        codec: reader.codec().as_str(),
        size_bytes: reader.size(),
        header: &reader.index().header,
        entries,
        members: &reader.index().members,
    };
    write_stdout(|out| {
        serde_json::to_writer_pretty(&mut *out, &document)?;
        writeln!(out)
    })
}

/// The preamble and the statements and rows of the entries; of all entries, the script as it is.
fn show_sql(reader: &ArchiveReader, entries: &[&TocEntry]) -> Result<()> {
    let index = reader.index();
    try_write_stdout(|out| {
        if entries.len() == index.entries.len() {
            let members = index.numbered_members();
            return copy_members(reader, members.map(|(id, _)| id), out);
        }
        let preamble = index.numbered_members();
        let preamble = preamble.filter(|(_, member)| member.role == MemberRole::Preamble);
        copy_members(reader, preamble.map(|(id, _)| id), out)?;
        let mut statements = StatementReader::new(reader);
        for entry in entries {
            for span in entry.create.iter().chain(&entry.alter_owner) {
                out.write_all(statements.read(*span)?).map_err(failed)?;
                out.write_all(b"\n\n").map_err(failed)?;
            }
            let members = index.data_members(entry.id);
            copy_members(reader, members.map(|(id, _)| id), out)?;
        }
        Ok(())
    })
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

fn show_rows(reader: &ArchiveReader, pattern: &str, format: RowFormat) -> Result<()> {
    let entry = table_with_rows(reader.index(), pattern)?;
    let columns = entry.rows.as_ref().map(|rows| &rows.columns[..]);
    try_write_stdout(|out| {
        let mut buffer = Vec::new();
        if format == RowFormat::Csv {
            csv::push_header(&mut buffer, columns.unwrap_or_default());
            out.write_all(&buffer).map_err(failed)?;
        }
        for (id, _) in reader.index().data_members(entry.id) {
            let text = reader.read_member(id)?;
            let rows = copy_rows(&text)
                .map_err(|e| e.detail(format!("{}.", reader.index().describe(id))))?
                .rows;
            match format {
                RowFormat::Copy => out.write_all(rows),
                RowFormat::Csv => {
                    buffer.clear();
                    for row in rows.split_inclusive(|&byte| byte == b'\n') {
                        csv::push_row(&mut buffer, &row[..row.len() - 1]);
                    }
                    out.write_all(&buffer)
                }
            }
            .map_err(failed)?;
        }
        Ok(())
    })
}

fn table_with_rows<'a>(index: &'a Index, pattern: &str) -> Result<&'a TocEntry> {
    let selection = Selection::parse(&SelectionPatterns {
        tables: vec![pattern.to_owned()],
        ..SelectionPatterns::default()
    })?;
    selection.check_database(&index.header.database)?;
    let tables = index.entries.iter().filter(|entry| entry.rows.is_some());
    let matching: Vec<&TocEntry> = tables
        .filter(|e| {
            let schema = e.schema.as_deref().unwrap_or_default();
            selection.includes_relation(schema, &e.name)
        })
        .collect();
    match matching[..] {
        [entry] => Ok(entry),
        [] => Err(Error::new(
            ErrorKind::Usage,
            format!("the archive has no rows of a table that matches {}", quote::one_line(pattern)),
        )
        .hint("`pgstow show FILE` lists the tables. A partitioned table's rows are in its partitions.")),
        _ => {
            let names: Vec<_> = matching.iter().map(|e| e.qualified_name()).collect();
            Err(Error::new(
                ErrorKind::Usage,
                format!("several tables match {}", quote::one_line(pattern)),
            )
            .detail(names.join(", "))
            .hint("Name one of them with its schema."))
        }
    }
}
