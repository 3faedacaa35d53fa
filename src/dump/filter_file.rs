//! The file of `--filter`: a selection with one pattern in a line, as pg_dump reads it. Pure.
//!
//! `include table PATTERN`, `exclude table_data PATTERN`... Lines that begin with `#` and empty ones say nothing. A quoted
//! name may go over several lines. Manual: pg_dump, `--filter`.

use super::selection::SelectionPatterns;
use crate::objects::quote::one_line;
use crate::{Error, ErrorKind, Result};

/// Adds what the file says to the patterns.
///
/// # Errors
/// `Usage`, with the number of the line that makes no sense.
pub fn add_filters(text: &str, patterns: &mut SelectionPatterns) -> Result<()> {
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let mut line = line.to_owned();
        let (mut said, mut is_open) = without_comment(&line);
        while is_open {
            let Some((more, _)) = lines.next() else { break };
            line = format!("{said}\n{more}");
            (said, is_open) = without_comment(&line);
        }
        let line = said.trim();
        if line.is_empty() {
            continue;
        }
        let list = line
            .split_once(char::is_whitespace)
            .and_then(|(action, rest)| {
                let (object, pattern) = rest.trim_start().split_once(char::is_whitespace)?;
                Some((list_of(patterns, action, object)?, pattern.trim()))
            });
        let (list, pattern) = list.ok_or_else(|| {
            Error::new(
                ErrorKind::Usage,
                format!("line {number} of the filter file makes no sense"),
            )
            .detail(one_line(line))
            .hint("A line is include or exclude, then table, table_and_children, table_data, table_data_and_children, schema, extension or (include) foreign_data, then a pattern.")
        })?;
        list.push(pattern.to_owned());
    }
    Ok(())
}

/// What stands before a `#` outside of quotes, and whether a quote is open at its end.
fn without_comment(line: &str) -> (String, bool) {
    let mut is_open = false;
    for (at, character) in line.char_indices() {
        match character {
            '"' => is_open = !is_open,
            '#' if !is_open => return (line[..at].to_owned(), false),
            _ => {}
        }
    }
    (line.to_owned(), is_open)
}

fn list_of<'a>(
    patterns: &'a mut SelectionPatterns,
    action: &str,
    object: &str,
) -> Option<&'a mut Vec<String>> {
    Some(match (action, object) {
        ("include", "table") => &mut patterns.tables,
        ("exclude", "table") => &mut patterns.exclude_tables,
        ("include", "table_and_children") => &mut patterns.tables_and_children,
        ("exclude", "table_and_children") => &mut patterns.exclude_tables_and_children,
        ("exclude", "table_data") => &mut patterns.exclude_table_data,
        ("exclude", "table_data_and_children") => &mut patterns.exclude_table_data_and_children,
        ("include", "schema") => &mut patterns.schemas,
        ("exclude", "schema") => &mut patterns.exclude_schemas,
        ("include", "extension") => &mut patterns.extensions,
        ("include", "foreign_data") => &mut patterns.foreign_data,
        ("exclude", "extension") => &mut patterns.exclude_extensions,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn lines_become_patterns() {
        let mut patterns = SelectionPatterns::default();
        let text = "# what we want\n\ninclude table  a.b \nexclude\ttable_data \"two\nlines\"\ninclude schema s*\n";
        add_filters(text, &mut patterns).unwrap();
        assert_eq!(patterns.tables, ["a.b"]);
        assert_eq!(patterns.exclude_table_data, ["\"two\nlines\""]);
        assert_eq!(patterns.schemas, ["s*"]);
    }

    #[test]
    fn comments_stand_behind_patterns_but_not_in_quotes() {
        let mut patterns = SelectionPatterns::default();
        let text =
            "exclude table_data secrets # \"GDPR\nexclude table_data \"a # b\"# c\n  # all\n";
        add_filters(text, &mut patterns).unwrap();
        assert_eq!(patterns.exclude_table_data, ["secrets", "\"a # b\""]);
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line() {
        for text in [
            "\ninclude",
            "\ninclude table",
            "\nkeep table x",
            "\ninclude table_data x",
            "\nexclude foreign_data x",
        ] {
            let error = add_filters(text, &mut SelectionPatterns::default()).unwrap_err();
            assert_eq!(error.message(), "line 2 of the filter file makes no sense");
        }
    }
}
