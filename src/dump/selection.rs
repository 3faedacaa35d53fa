//! `-t -T -n -N --exclude-table-data`: psql's patterns, resolved against names. Pure.
//!
//! The rules are pg_dump's. `-t` selects relations wherever they are and nothing else, whatever `-n` and `-N`
//! say; otherwise `-n` selects schemas with all that lies in them. Excluding wins over including.
//! Manual: psql, "Patterns"; pg_dump, "Options".

use std::collections::HashSet;

use regex::Regex;

use crate::objects::quote::one_line;
use crate::{Error, ErrorKind, Result};

/// A selection of schemas and tables as the user gave it. The default selects everything.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    tables: Vec<RelationPattern>,
    exclude_tables: Vec<RelationPattern>,
    schemas: Vec<SchemaPattern>,
    exclude_schemas: Vec<SchemaPattern>,
    exclude_table_data: Vec<RelationPattern>,
    visible: Option<HashSet<(String, String)>>,
}

/// The texts of the options.
#[derive(Clone, Debug, Default)]
pub struct SelectionPatterns {
    /// `-t`
    pub tables: Vec<String>,
    /// `-T`
    pub exclude_tables: Vec<String>,
    /// `-n`
    pub schemas: Vec<String>,
    /// `-N`
    pub exclude_schemas: Vec<String>,
    /// `--exclude-table-data`
    pub exclude_table_data: Vec<String>,
}

impl Selection {
    /// Compiles psql patterns.
    ///
    /// # Errors
    /// `Usage` if a pattern has more parts than it may have, an open quote, or is no regular expression.
    pub fn parse(patterns: &SelectionPatterns) -> Result<Self> {
        Ok(Selection {
            tables: parse_all(&patterns.tables, RelationPattern::parse)?,
            exclude_tables: parse_all(&patterns.exclude_tables, RelationPattern::parse)?,
            schemas: parse_all(&patterns.schemas, SchemaPattern::parse)?,
            exclude_schemas: parse_all(&patterns.exclude_schemas, SchemaPattern::parse)?,
            exclude_table_data: parse_all(&patterns.exclude_table_data, RelationPattern::parse)?,
            visible: None,
        })
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.relation_patterns().next().is_none() && self.schema_patterns().next().is_none()
    }

    /// Whether a relation of this schema and name is wanted.
    pub fn includes_relation(&self, schema: &str, name: &str) -> bool {
        let included = if self.tables.is_empty() {
            self.includes_schema(schema)
        } else {
            self.matches(&self.tables, schema, name)
        };
        included && !self.matches(&self.exclude_tables, schema, name)
    }

    /// Whether a schema (and what lies in it and is no relation) is wanted.
    pub fn includes_schema(&self, schema: &str) -> bool {
        self.tables.is_empty()
            && (self.schemas.is_empty() || self.schemas.iter().any(|p| p.matches(schema)))
            && !self.exclude_schemas.iter().any(|p| p.matches(schema))
    }

    /// Whether the rows of a wanted table are wanted.
    pub fn includes_data(&self, schema: &str, name: &str) -> bool {
        !self.matches(&self.exclude_table_data, schema, name)
    }

    /// Whether objects outside of schemas (extensions, large objects, default privileges of all schemas) are wanted:
    /// not with `-t` or `-n`, as in pg_dump.
    pub fn includes_global_objects(&self) -> bool {
        self.tables.is_empty() && self.schemas.is_empty()
    }

    /// Whether some pattern names a relation without its schema. Such a pattern means, as in pg_dump, what
    /// is visible in the user's `search_path`: see [`Selection::set_visible`].
    pub fn has_unqualified(&self) -> bool {
        self.relation_patterns().any(|p| p.schema.is_none())
    }

    /// Limits patterns without a schema to these relations (schema and name). Without this call they match
    /// relations of all schemas, which is right where there is no `search_path`: in an archive.
    pub fn set_visible(&mut self, visible: HashSet<(String, String)>) {
        self.visible = Some(visible);
    }

    /// Refuses patterns that name another database than `current`.
    ///
    /// # Errors
    /// `Usage`.
    pub fn check_database(&self, current: &str) -> Result<()> {
        let of_relations = self.relation_patterns().map(|p| (&p.database, &p.text));
        let of_schemas = self.schema_patterns().map(|p| (&p.database, &p.text));
        for (database, text) in of_relations.chain(of_schemas) {
            if database.as_deref().is_some_and(|name| name != current) {
                return Err(usage(
                    text,
                    "Cross-database references are not implemented.",
                ));
            }
        }
        Ok(())
    }

    /// What `-n` or `-t` asked for without any match among these schemas and relations, in pg_dump's words.
    /// `None` if each of them matched something or was not given.
    pub fn unmatched<'a>(
        &self,
        mut schemas: impl Iterator<Item = &'a str>,
        mut relations: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<&'static str> {
        if !self.schemas.is_empty()
            && !schemas.any(|schema| self.schemas.iter().any(|p| p.matches(schema)))
        {
            return Some("no matching schemas were found");
        }
        if !self.tables.is_empty()
            && !relations.any(|(schema, name)| self.matches(&self.tables, schema, name))
        {
            return Some("no matching tables were found");
        }
        None
    }

    fn matches(&self, patterns: &[RelationPattern], schema: &str, name: &str) -> bool {
        patterns.iter().any(|pattern| {
            pattern.name.is_match(name)
                && match (&pattern.schema, &self.visible) {
                    (Some(wanted), _) => wanted.is_match(schema),
                    (None, Some(visible)) => {
                        visible.contains(&(schema.to_owned(), name.to_owned()))
                    }
                    (None, None) => true,
                }
        })
    }

    fn relation_patterns(&self) -> impl Iterator<Item = &RelationPattern> {
        self.tables
            .iter()
            .chain(&self.exclude_tables)
            .chain(&self.exclude_table_data)
    }

    fn schema_patterns(&self) -> impl Iterator<Item = &SchemaPattern> {
        self.schemas.iter().chain(&self.exclude_schemas)
    }
}

#[derive(Clone, Debug)]
struct RelationPattern {
    text: String,
    database: Option<String>,
    schema: Option<Regex>,
    name: Regex,
}

impl RelationPattern {
    fn parse(text: &str) -> Result<Self> {
        let mut parts = split(text)?;
        if parts.len() > 3 {
            return Err(usage(text, TOO_MANY_NAMES));
        }
        let name = compile(text, parts.pop())?;
        let schema = match parts.pop() {
            Some(part) => Some(compile(text, Some(part))?),
            None => None,
        };
        Ok(RelationPattern {
            text: text.to_owned(),
            database: parts.pop().map(|part| part.literal),
            schema,
            name,
        })
    }
}

#[derive(Clone, Debug)]
struct SchemaPattern {
    text: String,
    database: Option<String>,
    name: Regex,
}

impl SchemaPattern {
    fn parse(text: &str) -> Result<Self> {
        let mut parts = split(text)?;
        if parts.len() > 2 {
            return Err(usage(text, TOO_MANY_NAMES));
        }
        Ok(SchemaPattern {
            text: text.to_owned(),
            name: compile(text, parts.pop())?,
            database: parts.pop().map(|part| part.literal),
        })
    }

    fn matches(&self, schema: &str) -> bool {
        self.name.is_match(schema)
    }
}

const TOO_MANY_NAMES: &str = "The qualified name has too many dotted names.";

fn parse_all<T>(texts: &[String], parse: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    texts.iter().map(|text| parse(text)).collect()
}

/// One dotted part of a pattern: as a regular expression, and as the name it is if nothing in it is special.
#[derive(Default)]
struct PatternPart {
    regex: String,
    literal: String,
}

/// Splits a pattern at its unquoted dots and translates each part.
fn split(pattern: &str) -> Result<Vec<PatternPart>> {
    let mut parts = vec![PatternPart::default()];
    let mut quoted = false;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '.' && !quoted {
            parts.push(PatternPart::default());
            continue;
        }
        let Some(part) = parts.last_mut() else { break };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                part.regex.push('"');
                part.literal.push('"');
            }
            '"' => quoted = !quoted,
            '*' if !quoted => part.push_special(".*", c),
            '?' if !quoted => part.push_special(".", c),
            // psql: a dollar sign is part of a name, and so are brackets when they form "int4[]".
            '$' => part.push_escaped(c),
            '[' if chars.peek() == Some(&']') => part.push_escaped(c),
            _ if quoted => part.push_escaped(c),
            _ => {
                let folded = c.to_ascii_lowercase();
                part.regex.push(folded);
                part.literal.push(folded);
            }
        }
    }
    if quoted {
        return Err(usage(pattern, "A double quote is not closed."));
    }
    Ok(parts)
}

impl PatternPart {
    fn push_special(&mut self, regex: &str, literal: char) {
        self.regex.push_str(regex);
        self.literal.push(literal);
    }

    fn push_escaped(&mut self, c: char) {
        self.regex
            .push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
        self.literal.push(c);
    }
}

fn compile(pattern: &str, part: Option<PatternPart>) -> Result<Regex> {
    let regex = part.map(|part| part.regex).unwrap_or_default();
    Regex::new(&format!("(?s)^(?:{regex})$"))
        .map_err(|e| usage(pattern, "Its regular expression is not valid.").caused_by(e))
}

fn usage(pattern: &str, detail: &str) -> Error {
    Error::new(
        ErrorKind::Usage,
        format!("invalid pattern \"{}\"", one_line(pattern)),
    )
    .detail(detail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn texts(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|&text| text.to_owned()).collect()
    }

    fn tables(patterns: &[&str]) -> Selection {
        Selection::parse(&SelectionPatterns {
            tables: texts(patterns),
            ..SelectionPatterns::default()
        })
        .unwrap()
    }

    fn schemas(include: &[&str], exclude: &[&str]) -> Selection {
        Selection::parse(&SelectionPatterns {
            schemas: texts(include),
            exclude_schemas: texts(exclude),
            ..SelectionPatterns::default()
        })
        .unwrap()
    }

    #[test]
    fn default_selects_everything() {
        let everything = Selection::default();
        assert!(everything.is_everything());
        assert!(everything.includes_relation("a", "b"));
        assert!(everything.includes_schema("a"));
        assert!(everything.includes_data("a", "b"));
        assert!(everything.includes_global_objects());
    }

    #[test]
    fn table_pattern_selects_relations_alone() {
        let selection = tables(&["app.users"]);
        assert!(selection.includes_relation("app", "users"));
        assert!(!selection.includes_relation("app", "users2"));
        assert!(!selection.includes_relation("other", "users"));
        assert!(!selection.includes_schema("app"));
        assert!(!selection.includes_global_objects());
        assert!(!selection.is_everything());
    }

    #[test]
    fn unquoted_letters_fold_and_quoted_ones_do_not() {
        assert!(tables(&["Users"]).includes_relation("s", "users"));
        assert!(!tables(&["Users"]).includes_relation("s", "Users"));
        assert!(tables(&["\"Users\""]).includes_relation("s", "Users"));
        assert!(tables(&["\"a\"\"b\""]).includes_relation("s", "a\"b"));
        assert!(tables(&["FOO\"BAR\"baz"]).includes_relation("s", "fooBARbaz"));
    }

    #[test]
    fn wildcards_stand_for_themselves_only_in_quotes() {
        assert!(tables(&["us*"]).includes_relation("s", "users"));
        assert!(tables(&["user?"]).includes_relation("s", "users"));
        assert!(!tables(&["user?"]).includes_relation("s", "user"));
        assert!(tables(&["\"us*\""]).includes_relation("s", "us*"));
        assert!(!tables(&["\"us*\""]).includes_relation("s", "users"));
        assert!(tables(&["a*"]).includes_relation("s", "a\nb"));
    }

    #[test]
    fn regular_expression_characters_pass() {
        assert!(tables(&["(a|b)[0-9]+"]).includes_relation("s", "b12"));
        assert!(!tables(&["(a|b)[0-9]+"]).includes_relation("s", "b12x"));
        assert!(tables(&["a|b"]).includes_relation("s", "b"));
        assert!(!tables(&["a|b"]).includes_relation("s", "ab"));
    }

    #[test]
    fn dollar_and_empty_brackets_are_literal() {
        assert!(tables(&["a$b"]).includes_relation("s", "a$b"));
        assert!(tables(&["int4[]"]).includes_relation("s", "int4[]"));
    }

    #[test]
    fn quoted_dot_separates_nothing() {
        assert!(tables(&["\"a.b\".c"]).includes_relation("a.b", "c"));
    }

    #[test]
    fn schema_patterns_have_no_say_beside_table_patterns() {
        let selection = Selection::parse(&SelectionPatterns {
            tables: texts(&["a.t"]),
            exclude_schemas: texts(&["a"]),
            schemas: texts(&["b"]),
            ..SelectionPatterns::default()
        })
        .unwrap();
        assert!(selection.includes_relation("a", "t"));
        assert!(!selection.includes_relation("b", "t"));
    }

    #[test]
    fn excluding_wins() {
        let selection = schemas(&["app*"], &["app_old"]);
        assert!(selection.includes_schema("app"));
        assert!(!selection.includes_schema("app_old"));
        assert!(!selection.includes_schema("other"));
        assert!(!selection.includes_relation("app_old", "t"));
        assert!(schemas(&[], &["old"]).includes_global_objects());
        assert!(!schemas(&["new"], &[]).includes_global_objects());

        let selection = Selection::parse(&SelectionPatterns {
            tables: texts(&["a.*"]),
            exclude_tables: texts(&["*.log"]),
            exclude_table_data: texts(&["a.cache"]),
            ..SelectionPatterns::default()
        })
        .unwrap();
        assert!(!selection.includes_relation("a", "log"));
        assert!(selection.includes_relation("a", "cache"));
        assert!(!selection.includes_data("a", "cache"));
        assert!(selection.includes_data("a", "b"));
    }

    #[test]
    fn unqualified_pattern_means_what_is_visible() {
        let mut selection = tables(&["t"]);
        assert!(selection.has_unqualified());
        assert!(selection.includes_relation("hidden", "t"));
        selection.set_visible([("public".to_owned(), "t".to_owned())].into());
        assert!(selection.includes_relation("public", "t"));
        assert!(!selection.includes_relation("hidden", "t"));
        assert!(!tables(&["s.t"]).has_unqualified());
    }

    #[test]
    fn patterns_with_too_many_parts_or_open_quotes_are_refused() {
        for (tables, schemas) in [
            (&["a.b.c.d"][..], &[][..]),
            (&[], &["a.b.c"]),
            (&["\"a"], &[]),
            (&["a("], &[]),
        ] {
            let error = Selection::parse(&SelectionPatterns {
                tables: texts(tables),
                schemas: texts(schemas),
                ..SelectionPatterns::default()
            })
            .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
        }
    }

    #[test]
    fn other_databases_are_refused() {
        let selection = tables(&["db.s.t"]);
        assert!(selection.check_database("db").is_ok());
        assert!(selection.check_database("other").is_err());
        assert!(selection.includes_relation("s", "t"));
        assert!(schemas(&["db.s"], &[]).check_database("other").is_err());
    }

    #[test]
    fn patterns_without_any_match_are_told() {
        let names = || [("s", "t")].into_iter();
        let schema_names = || ["s"].into_iter();
        assert_eq!(
            tables(&["t", "zzz"]).unmatched(schema_names(), names()),
            None
        );
        assert_eq!(
            tables(&["zzz"]).unmatched(schema_names(), names()),
            Some("no matching tables were found")
        );
        assert_eq!(
            schemas(&["zzz"], &[]).unmatched(schema_names(), names()),
            Some("no matching schemas were found")
        );
        assert_eq!(
            Selection::default().unmatched(schema_names(), names()),
            None
        );
    }
}
