//! The text of a table's data member: one COPY statement with its rows.

use crate::objects::quote;

/// A data member taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyText<'a> {
    /// `COPY "s"."t" ("a", "b") FROM stdin;` without a newline. Quoted names may hold newlines.
    /// In the archive's encoding.
    pub statement: &'a [u8],
    /// The rows, each with its newline; without the terminator.
    pub rows: &'a [u8],
}

/// What ends a data member: COPY's end-of-data line, and an empty line between statements.
const TERMINATOR: &[u8] = b"\\.\n\n";

/// The COPY statement at the head of a table's data members.
pub fn copy_statement(schema: &str, table: &str, columns: &[String]) -> String {
    let table = quote::qualified(schema, table);
    if columns.is_empty() {
        return format!("COPY {table} FROM stdin;");
    }
    let columns: Vec<String> = columns.iter().map(|name| quote::ident(name)).collect();
    format!("COPY {table} ({}) FROM stdin;", columns.join(", "))
}

/// Splits the text of a table's data member into its COPY statement and its rows.
///
/// # Errors
/// `Damaged` if it is anything but one such statement.
pub fn copy_rows(member_text: &[u8]) -> crate::Result<CopyText<'_>> {
    split(member_text).ok_or_else(|| {
        crate::Error::new(
            crate::ErrorKind::Damaged,
            "a data member of a table is not one COPY statement",
        )
    })
}

fn split(text: &[u8]) -> Option<CopyText<'_>> {
    let end = statement_end(text)?;
    let (statement, rest) = text.split_at(end);
    let rows = rest.strip_prefix(b"\n")?.strip_suffix(TERMINATOR)?;
    let whole = statement.starts_with(b"COPY ")
        && statement.ends_with(b" FROM stdin;")
        && (rows.is_empty() || rows.ends_with(b"\n"));
    whole.then_some(CopyText { statement, rows })
}

/// A field of COPY's text format (manual: "COPY", "Text Format"); `None` is NULL.
pub(crate) fn decode_field(field: &[u8]) -> Option<Vec<u8>> {
    if field == b"\\N" {
        return None;
    }
    let mut value = Vec::with_capacity(field.len());
    let mut bytes = field.iter().copied();
    while let Some(byte) = bytes.next() {
        value.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 0x08,
                Some(b'f') => 0x0c,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 0x0b,
                // COPY TO writes no octal or hexadecimal escapes.
                Some(other) => other,
                None => b'\\',
            },
            byte => byte,
        });
    }
    Some(value)
}

/// Appends a value, or a part of one, as a field of COPY's text format, as COPY TO writes it.
pub(crate) fn push_field(out: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        let letter = match byte {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            b'\\' => b'\\',
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

/// The offset behind the first semicolon outside of double quotes.
fn statement_end(text: &[u8]) -> Option<usize> {
    let mut quoted = false;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b';' if !quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn copy_rows_takes_the_member_apart() {
        let columns = ["a;\n".to_owned(), "b\"".to_owned()];
        let statement = copy_statement("s\n", "t;", &columns);
        for rows in ["", "1\t2\n", "\n", "\\\\.\t\\N\n\n"] {
            let member = format!("{statement}\n{rows}\\.\n\n");
            let copy = copy_rows(member.as_bytes()).unwrap();
            assert_eq!(copy.statement, statement.as_bytes());
            assert_eq!(copy.rows, rows.as_bytes());
        }
    }

    #[test]
    fn zero_columns_have_no_list() {
        assert_eq!(
            copy_statement("s", "t", &[]),
            "COPY \"s\".\"t\" FROM stdin;"
        );
    }

    #[test]
    fn anything_else_is_damaged() {
        for text in [
            "",
            "COPY \"t\" FROM stdin;\n1",
            "COPY \"t\" FROM stdin;\n1\\.\n\n",
            "COPY \"t\" FROM stdin; \n\\.\n\n",
            "SELECT 1;\n\\.\n\n",
        ] {
            assert!(copy_rows(text.as_bytes()).is_err(), "{text}");
        }
    }
}
