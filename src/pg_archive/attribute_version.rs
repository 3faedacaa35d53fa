//! Versions of attributes in what an old pg_dump said of a new server. Pure.
//!
//! The releases of November 2026 keep a number of their own among the options of each column; pg_dump of these releases leaves it out, an
//! older one takes it for the user's. Nothing comes of setting it, and older servers refuse it.

use std::borrow::Cow;

use crate::lexer::{self, StringSyntax};
use crate::objects::is_attribute_version;

/// The statements of a table without those that set versions of its columns.
pub(super) fn without(definition: &str, strings: StringSyntax) -> Cow<'_, str> {
    let mut kept = String::new();
    let mut at = 0;
    // Where it is no valid text, reading it says so.
    for range in lexer::split(definition, strings).unwrap_or_default() {
        let statement = &definition[range.clone()];
        let Some(changed) = without_option(statement) else {
            continue;
        };
        kept.push_str(&definition[at..range.start]);
        kept.push_str(&changed);
        at = range.end;
    }
    match at {
        0 => Cow::Borrowed(definition),
        _ => Cow::Owned(kept + &definition[at..]),
    }
}

/// `ALTER TABLE ... ALTER COLUMN ... SET (...)` without the version; empty if nothing else is set. `None`: it sets none.
fn without_option(statement: &str) -> Option<String> {
    let (head, rest) = statement.rsplit_once(" SET (")?;
    let options: Vec<&str> = rest.strip_suffix(");")?.split(", ").collect();
    let others: Vec<&str> = options
        .iter()
        .copied()
        .filter(|it| !is_attribute_version(it))
        .collect();
    if !head.starts_with("ALTER ") || others.len() == options.len() {
        return None;
    }
    Some(match others.is_empty() {
        true => String::new(),
        false => format!("{head} SET ({});", others.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_go_and_all_else_stays() {
        let text = "CREATE TABLE public.t (\n    a integer\n);\n\
                    ALTER TABLE ONLY public.t ALTER COLUMN a SET (pg_attver=22);\n\
                    ALTER TABLE ONLY public.t ALTER COLUMN b SET (pg_attver=22, n_distinct=5);\n\
                    ALTER TABLE ONLY public.t ALTER COLUMN c SET (n_distinct=5);\n";
        assert_eq!(
            without(text, StringSyntax::Standard),
            "CREATE TABLE public.t (\n    a integer\n);\n\n\
             ALTER TABLE ONLY public.t ALTER COLUMN b SET (n_distinct=5);\n\
             ALTER TABLE ONLY public.t ALTER COLUMN c SET (n_distinct=5);\n"
        );
    }

    #[test]
    fn what_only_looks_like_one_stays() {
        for text in [
            "CREATE TABLE t (a text DEFAULT ' SET (pg_attver=1);\nALTER TABLE x SET (pg_attver=1);');",
            "ALTER TABLE ONLY t ALTER COLUMN a SET DEFAULT (' SET (pg_attver=1)');",
            "ALTER TABLE ONLY t ALTER COLUMN a SET (pg_attver=x);",
            "ALTER TABLE ONLY t ALTER COLUMN \" SET (pg_attver=1\" SET (n_distinct=5);",
            "not closed 'ALTER TABLE t SET (pg_attver=1);",
        ] {
            assert_eq!(without(text, StringSyntax::Standard), text);
        }
    }
}
