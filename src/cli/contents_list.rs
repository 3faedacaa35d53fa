//! `restore -l` and `-L`: the table of contents as pg_restore lists it, and which entries such a list leaves. Pure.
//!
//! A line is `ID; KIND schema name owner`, with `-` where there is no schema. A semicolon begins a comment; so only the
//! number counts when a list is read. Numbers are those of the entries; of archives of pg_dump those that pg_dump gave, so
//! that lists of `pg_restore -l` serve, too.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use crate::archive::{DumpId, Index, TocEntry};
use crate::objects::quote::one_line;
use crate::{Error, ErrorKind, Result};

/// Prints entries as a list.
pub(super) fn write_list(
    index: &Index,
    entries: &[&TocEntry],
    out: &mut dyn Write,
) -> io::Result<()> {
    let header = &index.header;
    let facts = [
        ("Archive of database", header.database.as_str()),
        ("made", &header.started),
        ("by", &header.tool),
        ("from PostgreSQL", &header.server_version),
    ];
    writeln!(out, ";")?;
    for (what, value) in facts {
        writeln!(out, "; {what} {}", one_line(value))?;
    }
    writeln!(
        out,
        "; {} of {} entries",
        entries.len(),
        index.entries.len()
    )?;
    writeln!(out, ";")?;
    for entry in entries {
        writeln!(
            out,
            "{}; {} {} {} {}",
            number_of(index, entry),
            one_line(&entry.kind),
            one_line(entry.schema.as_deref().unwrap_or("-")),
            one_line(&entry.name),
            one_line(entry.owner.as_deref().unwrap_or_default()),
        )?;
    }
    Ok(())
}

fn number_of(index: &Index, entry: &TocEntry) -> u32 {
    match &index.header.pg_dump {
        Some(pg_dump) => pg_dump.number_of(entry.id).unwrap_or(entry.id.0),
        None => entry.id.0,
    }
}

/// The entries that a list names.
///
/// # Errors
/// `Usage` if a line has no number, or one that no entry has, or if no line is left.
pub(super) fn read_list(index: &Index, text: &str, path: &str) -> Result<HashSet<DumpId>> {
    let refused = |line: usize, what: String| {
        Error::new(
            ErrorKind::Usage,
            format!("line {line} of {}: {what}", one_line(path)),
        )
        .hint("restore -l prints a list of the archive.")
    };
    let known: HashMap<u32, DumpId> = index
        .entries
        .iter()
        .map(|entry| (number_of(index, entry), entry.id))
        .collect();
    let mut chosen = HashSet::new();
    for (at, line) in (1..).zip(text.lines()) {
        let line = line.split(';').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let number: u32 = line
            .parse()
            .map_err(|_| refused(at, format!("{} is no number of an entry", one_line(line))))?;
        match known.get(&number) {
            Some(id) => chosen.extend([*id]),
            // They come with --create in any case.
            None if is_of_database(index, number) => {}
            None => return Err(refused(at, format!("the archive has no entry {number}"))),
        }
    }
    if chosen.is_empty() {
        let what = format!("{} chooses no entry", one_line(path));
        return Err(Error::new(ErrorKind::Usage, what));
    }
    Ok(chosen)
}

fn is_of_database(index: &Index, number: u32) -> bool {
    let pg_dump = index.header.pg_dump.as_ref();
    pg_dump.is_some_and(|pg_dump| pg_dump.is_of_database(number))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::archive::Compression;
    use crate::archive::tests::{open, small_archive};

    fn index() -> Index {
        let reader = open(small_archive(Compression::Gzip(1)).sink).unwrap();
        reader.index().clone()
    }

    #[test]
    fn a_list_chooses_what_it_lists() {
        let index = index();
        let entries: Vec<&TocEntry> = index.entries.iter().collect();
        let mut text = Vec::new();
        write_list(&index, &entries, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let all = index.entries.iter().map(|entry| entry.id).collect();
        assert_eq!(read_list(&index, &text, "l").unwrap(), all, "{text}");
        let first = HashSet::from([DumpId(1)]);
        for text in ["1", " 1; x\r\n;2; y\n\n", "1;\n1;\n"] {
            assert_eq!(read_list(&index, text, "l").unwrap(), first, "{text}");
        }
    }

    #[test]
    fn what_is_no_entry_is_refused_with_its_line() {
        let index = index();
        for (text, message) in [
            (
                "1;\n9999; TABLE",
                "line 2 of l: the archive has no entry 9999",
            ),
            ("TABLE t", "line 1 of l: TABLE t is no number of an entry"),
            ("0;", "line 1 of l: the archive has no entry 0"),
            ("; 1", "l chooses no entry"),
        ] {
            assert_eq!(read_list(&index, text, "l").unwrap_err().message(), message);
        }
    }

    #[test]
    fn every_entry_is_one_line_whatever_its_name() {
        let mut index = index();
        index.entries.truncate(1);
        index.entries[0].name = "a\n7; b\u{1b}".to_owned();
        let mut text = Vec::new();
        write_list(&index, &[&index.entries[0]], &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            text.lines().filter(|line| !line.starts_with(';')).count(),
            1,
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
    }
}
