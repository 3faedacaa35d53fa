//! One table's rows out of an archive, without any server: for `show --rows` and `extract`.

use std::borrow::Cow;
use std::io::Write;

use super::inserts::ONE_BY_ONE;
use super::stdout::failed;
use super::{csv, jsonl};
use crate::archive::{
    ArchiveReader, Condition, Index, PlacedFilter, RowFilter, TextEncoding, TocEntry, cannot_hold,
};
use crate::dump::selection::{Selection, SelectionPatterns};
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum RowFormat {
    /// COPY's text format
    Copy,
    /// CSV with a line of column names
    Csv,
    /// A JSON object in each line; every value is a string, as SELECT prints it, or null
    Jsonl,
    /// INSERT statements
    Insert,
}

/// Chosen rows of one table.
pub(super) struct TableRows<'a> {
    reader: &'a ArchiveReader,
    table: &'a TocEntry,
    columns: &'a [String],
    filter: PlacedFilter,
}

impl<'a> TableRows<'a> {
    /// The table that a pattern means, and the conditions that its rows must meet.
    ///
    /// # Errors
    /// `Usage` unless the pattern means exactly one table, which has the columns of the conditions.
    pub(super) fn find(
        reader: &'a ArchiveReader,
        pattern: &str,
        conditions: &[Condition],
    ) -> Result<Self> {
        let table = table_with_rows(reader.index(), pattern)?;
        let rows = table.rows.as_ref();
        let columns = rows.map(|rows| &rows.columns[..]).unwrap_or_default();
        let encoding = reader.index().header.text_encoding().of_values();
        let filter = RowFilter::new(conditions.to_vec()).encoded(encoding)?;
        let filter = filter.place(columns).map_err(|column| {
            let column = quote::ident(column);
            let column = quote::one_line(&column);
            let columns: Vec<String> = columns.iter().map(|name| quote::ident(name)).collect();
            Error::new(
                ErrorKind::Usage,
                format!("{} has no column {column}", table.qualified_name()),
            )
            .hint(format!("It has {}.", columns.join(", ")))
        })?;
        Ok(TableRows {
            reader,
            table,
            columns,
            filter,
        })
    }

    /// The table's name, on one line.
    pub(super) fn qualified_name(&self) -> String {
        self.table.qualified_name()
    }

    /// Prints them, reading only the table's members. Tells how many they are.
    ///
    /// # Errors
    /// Those of [`ArchiveReader::read_member`]; `Data` if text is wanted and a value is none.
    pub(super) fn write(&self, format: RowFormat, out: &mut dyn Write) -> Result<u64> {
        let mut buffer = Vec::new();
        if format == RowFormat::Csv {
            csv::push_header(&mut buffer, &self.encoded_columns()?);
            out.write_all(&buffer).map_err(failed)?;
        }
        let encoding = self.reader.index().header.text_encoding();
        let mut count = 0;
        for (id, _) in self.reader.index().data_members(self.table.id) {
            let mut pieces = self.reader.pieces(id)?;
            while let Some(piece) = pieces.next()? {
                let text = encoding.to_values(&piece.bytes)?;
                let (rows, chosen) = self.filter.choose(&text);
                count += chosen;
                buffer.clear();
                let printed = self.render(format, &rows, &mut buffer)?;
                out.write_all(printed).map_err(failed)?;
            }
        }
        Ok(count)
    }

    /// Rows in a format, as they are or in the buffer.
    fn render<'b>(
        &self,
        format: RowFormat,
        rows: &'b [u8],
        buffer: &'b mut Vec<u8>,
    ) -> Result<&'b [u8]> {
        match format {
            RowFormat::Copy => return Ok(rows),
            RowFormat::Csv => each_row(rows).for_each(|row| csv::push_row(buffer, row)),
            RowFormat::Jsonl => {
                for row in each_row(rows) {
                    jsonl::push_row(buffer, self.columns, row, self.encoding())
                        .map_err(|column| self.no_text(column))?;
                }
            }
            RowFormat::Insert => {
                if let Some(inserts) = self.table.insert_text(ONE_BY_ONE, self.encoding()) {
                    let inserts = inserts.map_err(|character| self.no_name(character))?;
                    *buffer = inserts.render(rows);
                }
            }
        }
        Ok(buffer)
    }

    /// What rows are printed in.
    fn encoding(&self) -> TextEncoding {
        self.reader.index().header.text_encoding().of_values()
    }

    /// The names as the rows are.
    fn encoded_columns(&self) -> Result<Vec<Cow<'_, [u8]>>> {
        let encode = |name: &'a String| self.encoding().encode(name);
        let names: Result<_, char> = self.columns.iter().map(encode).collect();
        names.map_err(|character| self.no_name(character))
    }

    fn no_name(&self, character: char) -> Error {
        cannot_hold(self.encoding(), character, &self.table.qualified_name())
    }

    fn no_text(&self, column: &str) -> Error {
        let column = quote::ident(column);
        Error::new(
            ErrorKind::Data,
            format!(
                "{} of {} holds bytes that are no {}",
                quote::one_line(&column),
                self.table.qualified_name(),
                self.encoding().name()
            ),
        )
        .hint("JSON is UTF-8. --format csv and copy print bytes as they are.")
    }
}

fn each_row(rows: &[u8]) -> impl Iterator<Item = &[u8]> {
    rows.split_inclusive(|&byte| byte == b'\n')
        .map(|row| row.strip_suffix(b"\n").unwrap_or(row))
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::archive::Compression;
    use crate::archive::tests::{open, small_archive};

    fn rows(format: RowFormat, conditions: &[&str]) -> String {
        let reader = open(small_archive(Compression::Gzip(1)).sink).unwrap();
        let conditions: Vec<Condition> = conditions.iter().map(|it| it.parse().unwrap()).collect();
        let rows = TableRows::find(&reader, "s.t", &conditions).unwrap();
        let mut out = Vec::new();
        rows.write(format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_come_in_every_format() {
        assert_eq!(rows(RowFormat::Copy, &[]), "1\n2\n3\n");
        assert_eq!(rows(RowFormat::Csv, &["a <> 2"]), "a\n1\n3\n");
        assert_eq!(rows(RowFormat::Jsonl, &["a = 3"]), "{\"a\":\"3\"}\n");
        assert_eq!(
            rows(RowFormat::Insert, &["a = 3"]),
            "INSERT INTO \"s\".\"t\" (\"a\") OVERRIDING SYSTEM VALUE VALUES ('3');\n\n"
        );
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let reader = open(small_archive(Compression::None).sink).unwrap();
        assert!(TableRows::find(&reader, "nothing", &[]).is_err());
        let condition = ["b = 1".parse().unwrap()];
        let error = TableRows::find(&reader, "t", &condition).err().unwrap();
        assert_eq!(error.hint_text(), Some("It has \"a\"."));
    }
}
