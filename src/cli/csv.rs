//! COPY text to CSV, as `COPY ... TO ... (FORMAT csv)` of the server would have written it. Pure.

use crate::archive::decode_field;

/// Appends a header line with column names.
pub(super) fn push_header(out: &mut Vec<u8>, columns: &[impl AsRef<[u8]>]) {
    let names = columns.iter().map(|name| Some(name.as_ref()));
    push_fields(out, names);
}

/// Appends one row, given as COPY text without its newline. NULL is an empty field, the empty string is `""`.
pub(super) fn push_row(out: &mut Vec<u8>, row: &[u8]) {
    let fields = row.split(|&byte| byte == b'\t');
    let values: Vec<Option<Vec<u8>>> = fields.map(decode_field).collect();
    push_fields(out, values.iter().map(Option::as_deref));
}

fn push_fields<'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = Option<&'a [u8]>>) {
    for (place, field) in fields.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        if let Some(value) = field {
            push_value(out, value);
        }
    }
    out.push(b'\n');
}

fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    let special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    if !value.is_empty() && value != b"\\." && !value.iter().any(special) {
        out.extend(value);
        return;
    }
    out.push(b'"');
    for &byte in value {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(row: &str) -> String {
        let mut out = Vec::new();
        push_row(&mut out, row.as_bytes());
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn values_come_out_as_the_server_writes_csv() {
        assert_eq!(csv("1\ttext\t\\N\t"), "1,text,,\"\"\n");
        assert_eq!(
            csv("a,b\tsay \"x\"\tl1\\nl2"),
            "\"a,b\",\"say \"\"x\"\"\",\"l1\nl2\"\n"
        );
        assert_eq!(csv("back\\\\slash\ttab\\there"), "back\\slash,tab\there\n");
        assert_eq!(csv("\\\\."), "\"\\.\"\n");
        assert_eq!(csv("\\\\N"), "\\N\n");
    }

    #[test]
    fn header_quotes_names_that_need_it() {
        let mut out = Vec::new();
        push_header(&mut out, &["a".to_owned(), "b,c".to_owned()]);
        assert_eq!(out, b"a,\"b,c\"\n");
    }
}
