//! The text of a table's data member whose rows are INSERT statements: rows to statements, and back. Pure.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::TextEncoding;
use super::copy_text::{decode_field, push_field};
use crate::objects::quote;

/// How rows become INSERT statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsertStyle {
    /// Whether columns are named. They are in any case where an entry does not know its [`InsertColumns`].
    pub column_names: bool,
    /// Rows in one statement. The last statement of a member may have fewer.
    pub rows_per_statement: NonZeroU32,
    /// Whether rows that meet an equal key are left out: then only the statements can load them.
    pub on_conflict_do_nothing: bool,
}

/// What INSERT statements have to know of a table's columns besides their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsertColumns {
    /// Whether one is GENERATED ALWAYS AS IDENTITY: its values are kept by OVERRIDING SYSTEM VALUE.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub overriding: bool,
    /// For each generated column how many others are before it. Without names it has DEFAULT for a value.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub generated: Vec<usize>,
}

/// What INSERT statements fill.
#[derive(Clone, Copy, Debug)]
pub struct InsertTarget<'a> {
    /// Schema and name of the table.
    pub table: (&'a str, &'a str),
    /// Names of the columns that have values.
    pub columns: &'a [String],
    /// `None` if the table may have any others: of a topmost table that stands for its partition, and of archives that do not tell.
    pub known: Option<&'a InsertColumns>,
}

/// The INSERT statements of one table, and the reader of exactly these. In the archive's encoding.
pub struct InsertText {
    head: Vec<u8>,
    columns: usize,
    /// What stands before each value, and behind the last one.
    between: Vec<Vec<u8>>,
    rows_per_statement: u64,
    tail: &'static [u8],
}

/// What stands before the second and any further row of a statement.
const NEXT_ROW: &[u8] = b",\n    (";

impl InsertText {
    /// Statements that fill a table.
    ///
    /// # Errors
    /// A character of a name that the encoding does not have.
    pub fn new(
        target: InsertTarget<'_>,
        style: InsertStyle,
        encoding: TextEncoding,
    ) -> Result<Self, char> {
        let InsertTarget { columns, known, .. } = target;
        let unnamed = known.filter(|_| !style.column_names);
        let head = head_of(target, unnamed.is_none());
        Ok(InsertText {
            head: encoding.encode(&head)?.into_owned(),
            columns: columns.len(),
            between: between_values(
                columns.len(),
                unnamed.map_or(&[], |known| &known.generated[..]),
            ),
            // A table without columns has rows, but no list of values.
            rows_per_statement: match columns.is_empty() {
                true => 1,
                false => style.rows_per_statement.get().into(),
            },
            tail: match style.on_conflict_do_nothing {
                true => b" ON CONFLICT DO NOTHING;\n",
                false => b";\n",
            },
        })
    }

    /// Appends a row, given as COPY text, with or without its newline; `before` is the number of rows before it.
    pub fn push_row(&self, out: &mut Vec<u8>, row: &[u8], before: u64) {
        let place = before % self.rows_per_statement;
        if place == 0 {
            out.extend_from_slice(&self.head);
        }
        if self.columns > 0 {
            out.extend_from_slice(self.opening(place));
            let row = row.strip_suffix(b"\n").unwrap_or(row);
            for (at, field) in row.split(|&byte| byte == b'\t').enumerate() {
                let between = self.between[..self.columns].get(at);
                out.extend_from_slice(between.map_or(b", ", Vec::as_slice));
                match decode_field(field) {
                    None => out.extend_from_slice(b"NULL"),
                    Some(value) => push_literal(out, &value),
                }
            }
            out.extend_from_slice(&self.between[self.columns]);
            out.push(b')');
        }
        if place + 1 == self.rows_per_statement {
            out.extend_from_slice(self.tail);
        }
    }

    /// Ends the last statement, and with an empty line the member; `rows` is the number of rows in it.
    pub fn finish(&self, out: &mut Vec<u8>, rows: u64) {
        if !rows.is_multiple_of(self.rows_per_statement) {
            out.extend_from_slice(self.tail);
        }
        out.push(b'\n');
    }

    /// Rows of COPY text as statements; nothing without rows.
    pub fn render(&self, rows: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(rows.len() * 2);
        let mut count = 0;
        for row in rows.split_inclusive(|&byte| byte == b'\n') {
            self.push_row(&mut out, row, count);
            count += 1;
        }
        if count > 0 {
            self.finish(&mut out, count);
        }
        out
    }

    /// The rows of a member as COPY text, each with its newline. `None` if it is anything but what
    /// [`InsertText::push_row`] and [`InsertText::finish`] write.
    pub fn parse(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut rows = Vec::with_capacity(text.len());
        let mut rest = text;
        while rest != b"\n" {
            rest = rest.strip_prefix(&self.head[..])?;
            let mut place = 0;
            loop {
                rest = self.parse_row(rest, place, &mut rows)?;
                place += 1;
                if place == self.rows_per_statement || !rest.starts_with(NEXT_ROW) {
                    break;
                }
            }
            rest = rest.strip_prefix(self.tail)?;
            if place < self.rows_per_statement && rest != b"\n" {
                return None;
            }
        }
        Some(rows)
    }

    fn opening(&self, place: u64) -> &'static [u8] {
        match (place, self.rows_per_statement) {
            (0, 1) => b" (",
            (0, _) => b"\n    (",
            _ => NEXT_ROW,
        }
    }

    /// Reads the values in their parentheses. Gives what follows.
    fn parse_row<'a>(&self, text: &'a [u8], place: u64, rows: &mut Vec<u8>) -> Option<&'a [u8]> {
        if self.columns == 0 {
            rows.push(b'\n');
            return Some(text);
        }
        let mut rest = text.strip_prefix(self.opening(place))?;
        for at in 0..self.columns {
            rest = rest.strip_prefix(&self.between[at][..])?;
            if at > 0 {
                rows.push(b'\t');
            }
            rest = match rest.strip_prefix(b"NULL") {
                Some(behind) => {
                    rows.extend_from_slice(b"\\N");
                    behind
                }
                None => parse_literal(rest, rows)?,
            };
        }
        rows.push(b'\n');
        rest = rest.strip_prefix(&self.between[self.columns][..])?;
        rest.strip_prefix(b")")
    }
}

/// A statement up to its values.
fn head_of(target: InsertTarget<'_>, with_names: bool) -> String {
    let (schema, table) = target.table;
    let mut head = format!("INSERT INTO {}", quote::qualified(schema, table));
    if target.columns.is_empty() {
        return head + " DEFAULT VALUES";
    }
    if with_names {
        let names: Vec<String> = (target.columns.iter())
            .map(|name| quote::ident(name))
            .collect();
        head += &format!(" ({})", names.join(", "));
    }
    // Tables without identity columns are none the worse for it.
    if target.known.is_none_or(|known| known.overriding) {
        head += " OVERRIDING SYSTEM VALUE";
    }
    head + " VALUES"
}

/// Commas, and DEFAULT for each generated column: how many values are before it is given.
fn between_values(values: usize, generated: &[usize]) -> Vec<Vec<u8>> {
    let text = |at: usize| {
        let defaults = generated.iter().filter(|&&before| before == at).count();
        match at {
            0 => "DEFAULT, ".repeat(defaults),
            _ if at == values => ", DEFAULT".repeat(defaults),
            _ => format!(", {}", "DEFAULT, ".repeat(defaults)),
        }
    };
    (0..=values).map(|at| text(at).into_bytes()).collect()
}

/// As `quote::literal`, for bytes of any encoding that may be an archive's.
fn push_literal(out: &mut Vec<u8>, value: &[u8]) {
    if value.contains(&b'\\') {
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

/// Reads what `push_literal` writes and appends it as a field of COPY text. Gives what follows.
fn parse_literal<'a>(text: &'a [u8], rows: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (escaped, mut rest) = match text.strip_prefix(b"E") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    rest = rest.strip_prefix(b"'")?;
    let mut has_backslash = false;
    loop {
        let end = rest.iter().position(|byte| matches!(byte, b'\'' | b'\\'))?;
        let (plain, at_end) = rest.split_at(end);
        push_field(rows, plain);
        let byte = at_end[0];
        let doubled = at_end.get(1) == Some(&byte);
        match byte {
            b'\'' if !doubled => {
                return (escaped == has_backslash).then_some(&at_end[1..]);
            }
            b'\\' if !doubled => return None,
            _ => {
                has_backslash |= byte == b'\\';
                push_field(rows, &[byte]);
            }
        }
        rest = &at_end[2..];
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn inserts_of(
        columns: &[&str],
        known: Option<&InsertColumns>,
        style: InsertStyle,
    ) -> InsertText {
        let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        let target = InsertTarget {
            table: ("s", "t"),
            columns: &columns,
            known,
        };
        InsertText::new(target, style, TextEncoding::UTF8).unwrap()
    }

    fn style(rows_per_statement: u32, on_conflict: bool) -> InsertStyle {
        InsertStyle {
            column_names: false,
            rows_per_statement: NonZeroU32::new(rows_per_statement).unwrap(),
            on_conflict_do_nothing: on_conflict,
        }
    }

    fn inserts(columns: &[&str], rows_per_statement: u32, on_conflict: bool) -> InsertText {
        inserts_of(columns, None, style(rows_per_statement, on_conflict))
    }

    fn render_by(inserts: &InsertText, rows: &str) -> String {
        let text = inserts.render(rows.as_bytes());
        if !rows.is_empty() {
            assert_eq!(inserts.parse(&text).unwrap(), rows.as_bytes());
        }
        String::from_utf8(text).unwrap()
    }

    fn render(columns: &[&str], rows_per_statement: u32, rows: &str) -> String {
        let inserts = inserts(columns, rows_per_statement, rows_per_statement > 1);
        render_by(&inserts, rows)
    }

    #[test]
    fn rows_become_literals_one_statement_each() {
        assert_eq!(
            render(&["a", "b"], 1, "1\tit's\n\\N\ta\\\\b\\n\n"),
            "INSERT INTO \"s\".\"t\" (\"a\", \"b\") OVERRIDING SYSTEM VALUE VALUES ('1', 'it''s');\n\
             INSERT INTO \"s\".\"t\" (\"a\", \"b\") OVERRIDING SYSTEM VALUE VALUES (NULL, E'a\\\\b\n');\n\n"
        );
    }

    #[test]
    fn many_rows_share_a_statement() {
        assert_eq!(
            render(&["a"], 2, "1\n\n3\n"),
            "INSERT INTO \"s\".\"t\" (\"a\") OVERRIDING SYSTEM VALUE VALUES\n    ('1'),\n    ('') ON CONFLICT DO NOTHING;\n\
             INSERT INTO \"s\".\"t\" (\"a\") OVERRIDING SYSTEM VALUE VALUES\n    ('3') ON CONFLICT DO NOTHING;\n\n"
        );
    }

    #[test]
    fn generated_columns_have_defaults_where_columns_have_no_names() {
        let known = InsertColumns {
            overriding: false,
            generated: vec![0, 1, 1, 2],
        };
        let unnamed = inserts_of(&["a", "b"], Some(&known), style(1, false));
        assert_eq!(
            render_by(&unnamed, "1\t2\n"),
            "INSERT INTO \"s\".\"t\" VALUES (DEFAULT, '1', DEFAULT, DEFAULT, '2', DEFAULT);\n\n"
        );
        let with_names = InsertStyle {
            column_names: true,
            ..style(1, false)
        };
        let named = inserts_of(&["a", "b"], Some(&known), with_names);
        assert_eq!(
            render_by(&named, "1\t2\n"),
            "INSERT INTO \"s\".\"t\" (\"a\", \"b\") VALUES ('1', '2');\n\n"
        );
        let identity = InsertColumns {
            overriding: true,
            ..InsertColumns::default()
        };
        let identity = inserts_of(&["a"], Some(&identity), style(1, false));
        assert_eq!(
            render_by(&identity, "1\n"),
            "INSERT INTO \"s\".\"t\" OVERRIDING SYSTEM VALUE VALUES ('1');\n\n"
        );
    }

    #[test]
    fn a_table_without_columns_has_rows() {
        assert_eq!(
            render(&[], 7, "\n\n"),
            "INSERT INTO \"s\".\"t\" DEFAULT VALUES ON CONFLICT DO NOTHING;\n".repeat(2) + "\n"
        );
        assert_eq!(render(&[], 1, ""), "");
    }

    #[test]
    fn anything_else_is_not_ours() {
        let of_two = inserts(&["a"], 2, false);
        let good = String::from_utf8(of_two.render(b"1\nx\\\\\n3\n")).unwrap();
        assert!(of_two.parse(good.as_bytes()).is_some());
        for (from, to) in [
            ("'1'", "now()"),
            ("'1'", "E'1'"),
            ("E'x", "'x"),
            ("'3')", "'3'), ('4')"),
            ("'3');", "'3'); SELECT 1;"),
            ("'3')", "'3', '4')"),
            (";\nINSERT", ";\n\nINSERT"),
            ("\"t\"", "\"u\""),
        ] {
            let altered = good.replacen(from, to, 1);
            assert_ne!(altered, good);
            assert!(of_two.parse(altered.as_bytes()).is_none(), "{altered}");
        }
        for end in 0..good.len() {
            assert!(
                of_two.parse(&good.as_bytes()[..end]).is_none(),
                "cut at {end}"
            );
        }
        // Only the last statement may be short.
        let short = good.replacen(",\n    (E'x\\\\')", "", 1);
        assert!(of_two.parse(short.as_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn rows_come_back(
            rows in prop::collection::vec(prop::collection::vec(prop::option::of("[ -~\t\n\r\\\\'\u{8}\u{b}\u{c}é\u{2028}]{0,9}"), 3), 1..9),
            rows_per_statement in 1_u32..5,
            on_conflict: bool,
            generated in prop::collection::vec(0_usize..4, 0..4),
        ) {
            let mut copy = Vec::new();
            for row in &rows {
                for (at, field) in row.iter().enumerate() {
                    if at > 0 {
                        copy.push(b'\t');
                    }
                    match field {
                        None => copy.extend_from_slice(b"\\N"),
                        Some(value) => push_field(&mut copy, value.as_bytes()),
                    }
                }
                copy.push(b'\n');
            }
            let known = InsertColumns { overriding: false, generated };
            let inserts = inserts_of(&["a", "b", "c"], Some(&known), style(rows_per_statement, on_conflict));
            prop_assert_eq!(inserts.parse(&inserts.render(&copy)), Some(copy));
        }
    }
}
