//! Rows as INSERT statements, for databases that know no COPY. Pure.

use clap::Args;

use super::csv::decode_field;
use crate::archive::TextEncoding;
use crate::objects::quote;

/// How `show --sql` writes rows.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "inserts_options", multiple = true)]
pub(super) struct InsertArgs {
    /// Rows as INSERT statements instead of COPY, always with the names of the columns
    #[arg(
        long,
        alias = "column-inserts",
        alias = "attribute-inserts",
        requires = "sql"
    )]
    pub(super) inserts: bool,
    /// Rows in one INSERT statement [default: 1]
    #[arg(long, value_name = "N", requires = "inserts", value_parser = clap::value_parser!(u32).range(1..))]
    rows_per_insert: Option<u32>,
    /// INSERT ... ON CONFLICT DO NOTHING
    #[arg(long, requires = "inserts")]
    on_conflict_do_nothing: bool,
}

impl InsertArgs {
    /// The statements for the rows of one member, which is COPY's text format, into `schema.table`. In the rows' encoding.
    ///
    /// # Errors
    /// A character of a name that the encoding does not have.
    pub(super) fn render(
        &self,
        (schema, table): (&str, &str),
        columns: &[String],
        rows: &[u8],
        encoding: TextEncoding,
    ) -> Result<Vec<u8>, char> {
        let table = quote::qualified(schema, table);
        let names: Vec<String> = columns.iter().map(|name| quote::ident(name)).collect();
        // Values of columns that are GENERATED ALWAYS AS IDENTITY are kept; others are none the worse for it.
        let head = match columns.is_empty() {
            true => format!("INSERT INTO {table}"),
            false => format!(
                "INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE VALUES",
                names.join(", ")
            ),
        };
        let head = encoding.encode(&head)?;
        let tail: &[u8] = match self.on_conflict_do_nothing {
            true => b" ON CONFLICT DO NOTHING;\n",
            false => b";\n",
        };
        let mut out = Vec::with_capacity(rows.len() * 2);
        let rows: Vec<&[u8]> = rows
            .split_inclusive(|&byte| byte == b'\n')
            .map(|row| row.strip_suffix(b"\n").unwrap_or(row))
            .collect();
        // A table without columns has rows, but no list of values.
        let per_statement = match columns.is_empty() {
            true => 1,
            false => self.rows_per_insert.unwrap_or(1) as usize,
        };
        for group in rows.chunks(per_statement) {
            out.extend_from_slice(&head);
            if columns.is_empty() {
                out.extend_from_slice(b" DEFAULT VALUES");
            }
            for (at, row) in group.iter().enumerate().filter(|_| !columns.is_empty()) {
                out.extend_from_slice(match (at, group.len()) {
                    (0, 1) => b" (".as_slice(),
                    (0, _) => b"\n    (",
                    _ => b",\n    (",
                });
                push_values(&mut out, row);
                out.push(b')');
            }
            out.extend_from_slice(tail);
        }
        if !out.is_empty() {
            out.push(b'\n');
        }
        Ok(out)
    }
}

/// The values of a row as literals. The server makes of them what the columns want.
fn push_values(out: &mut Vec<u8>, row: &[u8]) {
    for (at, field) in row.split(|&byte| byte == b'\t').enumerate() {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
        match decode_field(field) {
            None => out.extend_from_slice(b"NULL"),
            Some(value) => push_literal(out, &value),
        }
    }
}

/// As `quote::literal`, for bytes of any encoding that is safe on a server.
fn push_literal(out: &mut Vec<u8>, value: &[u8]) {
    let has_backslash = value.contains(&b'\\');
    if has_backslash {
        out.push(b'E');
    }
    out.push(b'\'');
    for &byte in value {
        if byte == b'\'' || byte == b'\\' {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(rows_per_insert: Option<u32>, columns: &[&str], rows: &str) -> String {
        let args = InsertArgs {
            inserts: true,
            rows_per_insert,
            on_conflict_do_nothing: rows_per_insert.is_some(),
        };
        let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        let text = args
            .render(("s", "t"), &columns, rows.as_bytes(), TextEncoding::UTF8)
            .expect("UTF-8 has all");
        String::from_utf8_lossy(&text).into_owned()
    }

    #[test]
    fn rows_become_literals_one_statement_each() {
        assert_eq!(
            render(None, &["a", "b"], "1\tit's\n\\N\ta\\\\b\\n\n"),
            "INSERT INTO \"s\".\"t\" (\"a\", \"b\") OVERRIDING SYSTEM VALUE VALUES ('1', 'it''s');\n\
             INSERT INTO \"s\".\"t\" (\"a\", \"b\") OVERRIDING SYSTEM VALUE VALUES (NULL, E'a\\\\b\n');\n\n"
        );
        assert_eq!(
            render(None, &[], "\n\n"),
            "INSERT INTO \"s\".\"t\" DEFAULT VALUES;\nINSERT INTO \"s\".\"t\" DEFAULT VALUES;\n\n"
        );
        assert_eq!(render(None, &["a"], ""), "");
    }

    #[test]
    fn several_rows_share_a_statement() {
        assert_eq!(
            render(Some(2), &["a"], "1\n2\n3\n"),
            "INSERT INTO \"s\".\"t\" (\"a\") OVERRIDING SYSTEM VALUE VALUES\n    ('1'),\n    ('2') \
             ON CONFLICT DO NOTHING;\n\
             INSERT INTO \"s\".\"t\" (\"a\") OVERRIDING SYSTEM VALUE VALUES ('3') ON CONFLICT DO NOTHING;\n\n"
        );
    }
}
