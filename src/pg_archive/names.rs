//! Names in the few statements of pg_dump of which more than their text is needed. Pure.

use crate::objects::quote;

/// The table and the columns of a COPY statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CopyTarget {
    /// `None` in dumps of PostgreSQL 10.2 and before, which set the search path instead.
    pub(super) schema: Option<String>,
    pub(super) table: String,
    pub(super) columns: Vec<String>,
    /// Each row begins with an OID.
    pub(super) with_oids: bool,
}

/// Takes `COPY schema.table (a, "B") FROM stdin;` apart; `None` if it is anything else.
pub(super) fn parse_copy(statement: &str) -> Option<CopyTarget> {
    let rest = statement.trim().strip_prefix("COPY ")?;
    let (first, rest) = take_name(rest)?;
    let (schema, table, rest) = match rest.strip_prefix('.') {
        Some(rest) => {
            let (second, rest) = take_name(rest)?;
            (Some(first), second, rest)
        }
        None => (None, first, rest),
    };
    let mut columns = Vec::new();
    let mut rest = rest.trim_start();
    if let Some(list) = rest.strip_prefix('(') {
        let mut left = list;
        loop {
            let (column, after) = take_name(left.trim_start())?;
            columns.push(column);
            let after = after.trim_start();
            match after.strip_prefix(',') {
                Some(after) => left = after,
                None => {
                    rest = after.strip_prefix(')')?;
                    break;
                }
            }
        }
    }
    let rest = rest.trim();
    let without = rest.strip_prefix("WITH OIDS ");
    (without.unwrap_or(rest) == "FROM stdin;").then_some(CopyTarget {
        schema,
        table,
        columns,
        with_oids: without.is_some(),
    })
}

/// An identifier at the start of a text, quoted or not, and what follows it.
pub(super) fn take_name(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut places = quoted.match_indices('"').map(|(at, _)| at).peekable();
        while let Some(at) = places.next() {
            // A doubled quote stands for one.
            if places.next_if_eq(&(at + 1)).is_none() {
                return Some((quoted[..at].replace("\"\"", "\""), &quoted[at + 1..]));
            }
        }
        return None;
    }
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii();
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

/// The value of an option of CREATE DATABASE: `ENCODING = 'UTF8'`.
pub(super) fn option_of(statement: &str, option: &str) -> Option<String> {
    let (_, rest) = statement.split_once(&format!(" {option} = '"))?;
    let end = rest.find('\'')?;
    Some(rest[..end].to_owned())
}

/// The value that `SET name = 'value';` gives.
pub(super) fn set_value(statement: &str) -> Option<&str> {
    let (_, value) = statement.split_once('=')?;
    let value = value.trim().strip_suffix(';')?.trim();
    value.strip_prefix('\'')?.strip_suffix('\'')
}

/// A statement on the database, made to be about another one: the first `DATABASE name` becomes `DATABASE "other"`.
pub(super) fn of_database(statement: &str, name: &str) -> Option<String> {
    let (before, rest) = statement.split_once("DATABASE ")?;
    let (_, after) = take_name(rest)?;
    Some(format!("{before}DATABASE {}{after}", quote::ident(name)))
}

/// A DROP statement with IF EXISTS behind the words for the kind.
pub(super) fn drop_if_exists(statement: &str, words: &str) -> Option<String> {
    let rest = statement
        .trim()
        .strip_prefix("DROP ")?
        .strip_prefix(words)?;
    Some(format!("DROP {words} IF EXISTS{rest}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn copy_statements_are_taken_apart() {
        let target =
            parse_copy("COPY public.\"T \"\"x\" (id, \"B, c\", d$1) FROM stdin;\n").unwrap();
        assert_eq!(target.schema.as_deref(), Some("public"));
        assert_eq!(target.table, "T \"x");
        assert_eq!(target.columns, ["id", "B, c", "d$1"]);
        let target = parse_copy("COPY t  FROM stdin;\n").unwrap();
        assert_eq!((target.schema, target.columns.len()), (None, 0));
        let target = parse_copy("COPY s.t (a) WITH OIDS FROM stdin;\n").unwrap();
        assert!(target.with_oids);
        assert_eq!(target.columns, ["a"]);
    }

    #[test]
    fn other_statements_are_none() {
        for text in [
            "COPY t (a) WITH OIDS FROM stdin; x",
            "COPY t (a FROM stdin;",
            "COPY t FROM PROGRAM 'x';",
            "COPY t FROM stdin; DROP TABLE t; COPY t FROM stdin;",
            "",
        ] {
            assert_eq!(parse_copy(text), None, "{text}");
        }
    }

    #[test]
    fn statements_on_a_database_can_be_about_another() {
        let of = |text| of_database(text, "new").unwrap();
        assert_eq!(
            of("CREATE DATABASE \"o \"\"d\" WITH TEMPLATE = template0;"),
            "CREATE DATABASE \"new\" WITH TEMPLATE = template0;"
        );
        assert_eq!(
            of("COMMENT ON DATABASE old IS 'DATABASE old';"),
            "COMMENT ON DATABASE \"new\" IS 'DATABASE old';"
        );
    }

    #[test]
    fn options_and_settings_are_found() {
        let create =
            "CREATE DATABASE x WITH TEMPLATE = template0 ENCODING = 'LATIN1' LC_COLLATE = 'C';";
        assert_eq!(option_of(create, "ENCODING").as_deref(), Some("LATIN1"));
        assert_eq!(option_of(create, "LC_CTYPE"), None);
        assert_eq!(set_value("SET client_encoding = 'UTF8';\n"), Some("UTF8"));
    }

    #[test]
    fn drops_get_if_exists() {
        assert_eq!(
            drop_if_exists("DROP FUNCTION public.f(integer);\n", "FUNCTION").as_deref(),
            Some("DROP FUNCTION IF EXISTS public.f(integer);")
        );
        assert_eq!(drop_if_exists("SELECT 1;", "FUNCTION"), None);
    }
}
