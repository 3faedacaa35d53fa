//! COPY text to JSON, one object in a line. Pure.
//!
//! An archive knows the names of columns and not their types: every value is a string, as `SELECT` prints it, and NULL is null.

use crate::archive::TextEncoding;
use crate::archive::decode_field;

/// Appends one row, given as COPY text without its newline.
///
/// # Errors
/// The column whose value is no text in the archive's encoding; what was appended of the row is to be thrown away.
pub(super) fn push_row<'a>(
    out: &mut Vec<u8>,
    columns: &'a [String],
    row: &[u8],
    encoding: TextEncoding,
) -> Result<(), &'a str> {
    let mut mark = b'{';
    // A table without columns has rows of one empty field.
    for (column, field) in columns.iter().zip(row.split(|&byte| byte == b'\t')) {
        out.push(mark);
        mark = b',';
        push_string(out, column);
        out.push(b':');
        match decode_field(field) {
            None => out.extend(b"null"),
            Some(value) => push_string(out, &encoding.decode(&value).ok_or(column.as_str())?),
        }
    }
    if mark == b'{' {
        out.push(mark);
    }
    out.extend(b"}\n");
    Ok(())
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    out.extend(serde_json::Value::from(text).to_string().bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn json(columns: &[&str], row: &[u8]) -> Result<String, String> {
        let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        let mut out = Vec::new();
        push_row(&mut out, &columns, row, TextEncoding::UTF8).map_err(str::to_owned)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn values_are_strings_or_null() {
        assert_eq!(
            json(&["id", "say \"x\"", "c"], b"1\t\\N\ta\\tb\\\\N").unwrap(),
            "{\"id\":\"1\",\"say \\\"x\\\"\":null,\"c\":\"a\\tb\\\\N\"}\n"
        );
        assert_eq!(json(&["a"], b"").unwrap(), "{\"a\":\"\"}\n");
        assert_eq!(json(&[], b"").unwrap(), "{}\n");
        assert_eq!(json(&["a", "b"], b"1\t\xff"), Err("b".to_owned()));
    }
}
