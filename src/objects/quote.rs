//! Quoting: the only place where names and values become SQL text.

use std::borrow::Cow;

use super::Oid;

/// A name as an identifier. Always in double quotes: no list of keywords of some version can then
/// be wrong, and equal names always look the same. (Text deparsed by the server is left as it is.)
pub fn ident(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    push_ident(&mut out, name);
    out
}

fn push_ident(out: &mut String, name: &str) {
    out.push('"');
    for (place, part) in name.split('"').enumerate() {
        if place > 0 {
            out.push_str("\"\"");
        }
        out.push_str(part);
    }
    out.push('"');
}

/// The name behind an identifier that the server quoted, if it had to.
pub fn unquoted(identifier: &str) -> String {
    let inner = identifier
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| identifier.to_owned(), |name| name.replace("\"\"", "\""))
}

/// `schema.name`, both quoted.
pub fn qualified(schema: &str, name: &str) -> String {
    let mut out = String::with_capacity(schema.len() + name.len() + 5);
    push_ident(&mut out, schema);
    out.push('.');
    push_ident(&mut out, name);
    out
}

/// A string literal that reads the same whether `standard_conforming_strings` is on or off: one
/// with a backslash takes the `E''` form.
pub fn literal(value: &str) -> String {
    let doubled = value.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// A string in dollar quotes whose tag does not occur in it.
pub fn dollar(body: &str) -> String {
    let mut tag = String::from("_");
    while body.contains(&format!("${tag}")) {
        tag.push('X');
    }
    format!("${tag}${body}${tag}$")
}

/// `DO` with these statements of PL/pgSQL.
pub fn do_block(statements: &str) -> String {
    format!("DO {};", dollar(&format!("BEGIN {statements} END")))
}

/// A role in GRANT, REVOKE and OWNER TO; the empty name stands for PUBLIC.
pub fn role(name: &str) -> String {
    if name.is_empty() {
        "PUBLIC".to_owned()
    } else {
        ident(name)
    }
}

/// `COMMENT ON object IS 'text';`. `object` is quoted already: `TABLE "s"."t"`.
pub fn comment_on(object: &str, text: &str) -> String {
    format!("COMMENT ON {object} IS {};", literal(text))
}

/// Object identifiers as an array literal with its type, for statements on many large objects.
pub fn oid_array(oids: &[Oid]) -> String {
    let list: Vec<String> = oids.iter().map(Oid::to_string).collect();
    format!("'{{{}}}'::pg_catalog.oid[]", list.join(","))
}

/// A text made safe for one line of a comment, a log or a terminal: control characters become
/// escapes such as `\n` or `\u{1b}`.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) && !text.contains(['\u{2028}', '\u{2029}']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// How many objects a message names.
const NAMED: usize = 5;

/// A few of many, and how many more.
pub(crate) fn some_of<T: AsRef<str>>(names: &[T]) -> String {
    first_of(names, NAMED)
}

/// The first `most`, and how many more.
pub(crate) fn first_of<T: AsRef<str>>(names: &[T], most: usize) -> String {
    let shown: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ident_doubles_quotes() {
        assert_eq!(ident("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn unquoted_turns_ident_round() {
        for name in ["a", "A b", "a\"b", "\""] {
            assert_eq!(unquoted(&ident(name)), name);
        }
        assert_eq!(unquoted("plain"), "plain");
    }

    #[test]
    fn literal_with_backslash_takes_the_e_form() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
    }

    #[test]
    fn dollar_tag_does_not_occur_in_the_body() {
        assert_eq!(dollar("x"), "$_$x$_$");
        assert_eq!(dollar("x$_$y"), "$_X$x$_$y$_X$");
        assert_eq!(dollar("$"), "$_$$$_$");
    }

    #[test]
    fn oids_become_one_array() {
        assert_eq!(oid_array(&[Oid(1), Oid(23)]), "'{1,23}'::pg_catalog.oid[]");
    }

    #[test]
    fn one_line_leaves_no_control_character() {
        assert_eq!(one_line("a\nb\u{1b}c"), "a\\nb\\u{1b}c");
    }

    #[test]
    fn a_few_are_named_and_the_rest_counted() {
        assert_eq!(some_of(&["a", "b"]), "a, b");
        assert_eq!(some_of(&["a"; 7]), "a, a, a, a, a and 2 more");
    }
}
