//! `-t -T -n -N --exclude-table-data`: psql's patterns, resolved against names. Pure.
//!
//! The rules are pg_dump's. `-t` selects relations wherever they are and nothing else, whatever `-n` and `-N`
//! say (of an archive, as in pg_restore, only in the schemas that these leave); otherwise `-n` selects schemas with all that lies in them. Excluding wins over including.
//! Manual: psql, "Patterns"; pg_dump, "Options".

use std::collections::HashSet;

use regex::Regex;

use super::part_patterns::{Part, PartPatterns};
use crate::objects::quote::one_line;
use crate::{Error, ErrorKind, Result};

/// A selection of schemas and tables as the user gave it. The default selects everything.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    tables: Vec<RelationPattern>,
    exclude_tables: Vec<RelationPattern>,
    schemas: Vec<SchemaPattern>,
    exclude_schemas: Vec<SchemaPattern>,
    tables_within_schemas: bool,
    exclude_table_data: Vec<RelationPattern>,
    tables_and_children: WithChildren,
    exclude_tables_and_children: WithChildren,
    exclude_table_data_and_children: WithChildren,
    extensions: Vec<SchemaPattern>,
    exclude_extensions: Vec<SchemaPattern>,
    foreign_data: Vec<SchemaPattern>,
    strict_names: bool,
    is_empty: bool,
    rows: Vec<RowChoice>,
    parts: PartPatterns,
    visible: Option<HashSet<(String, String)>>,
}

/// Patterns that mean the matching tables with all that inherits from them, and the tables that these turned out to be.
#[derive(Clone, Debug, Default)]
struct WithChildren {
    patterns: Vec<RelationPattern>,
    resolved: HashSet<(String, String)>,
}

/// Which rows of the tables that a pattern means.
#[derive(Clone, Debug)]
struct RowChoice {
    pattern: RelationPattern,
    /// SQL: a condition, or a number of percent.
    rows: Rows,
}

#[derive(Clone, Debug)]
enum Rows {
    Where(String),
    Sample(f64),
}

/// A child table and its parent, as (schema, name).
pub(super) struct Inheritance {
    pub(super) child: (String, String),
    pub(super) parent: (String, String),
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
    /// Whether `-n` and `-N` limit `-t`, as in pg_restore: of archives alone
    pub tables_within_schemas: bool,
    /// `--exclude-table-data`
    pub exclude_table_data: Vec<String>,
    /// `--table-and-children`
    pub tables_and_children: Vec<String>,
    /// `--exclude-table-and-children`
    pub exclude_tables_and_children: Vec<String>,
    /// `--exclude-table-data-and-children`
    pub exclude_table_data_and_children: Vec<String>,
    /// `-e`
    pub extensions: Vec<String>,
    /// `--exclude-extension`
    pub exclude_extensions: Vec<String>,
    /// `--include-foreign-data`: servers
    pub foreign_data: Vec<String>,
    /// `-I`, of archives alone
    pub indexes: Vec<String>,
    /// `-P`, of archives alone
    pub functions: Vec<String>,
    /// `--trigger`, of archives alone
    pub triggers: Vec<String>,
    /// `--strict-names`: each of the including patterns must match something.
    pub strict_names: bool,
    /// `--where`: `TABLE=CONDITION`
    pub conditions: Vec<String>,
    /// `--sample`: `TABLE=PERCENT`
    pub samples: Vec<String>,
}

impl SelectionPatterns {
    /// The options as one gives them.
    pub fn options(&self) -> Vec<String> {
        let lists = [
            ("--table", &self.tables),
            ("--table-and-children", &self.tables_and_children),
            ("--exclude-table", &self.exclude_tables),
            (
                "--exclude-table-and-children",
                &self.exclude_tables_and_children,
            ),
            ("--schema", &self.schemas),
            ("--exclude-schema", &self.exclude_schemas),
            ("--extension", &self.extensions),
            ("--exclude-extension", &self.exclude_extensions),
            ("--exclude-table-data", &self.exclude_table_data),
            (
                "--exclude-table-data-and-children",
                &self.exclude_table_data_and_children,
            ),
            ("--where", &self.conditions),
            ("--sample", &self.samples),
        ];
        lists
            .into_iter()
            .flat_map(|(name, values)| values.iter().map(move |value| format!("{name}={value}")))
            .collect()
    }
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
            tables_within_schemas: patterns.tables_within_schemas,
            exclude_table_data: parse_all(&patterns.exclude_table_data, RelationPattern::parse)?,
            tables_and_children: WithChildren::parse(&patterns.tables_and_children)?,
            exclude_tables_and_children: WithChildren::parse(
                &patterns.exclude_tables_and_children,
            )?,
            exclude_table_data_and_children: WithChildren::parse(
                &patterns.exclude_table_data_and_children,
            )?,
            extensions: parse_all(&patterns.extensions, SchemaPattern::parse)?,
            exclude_extensions: parse_all(&patterns.exclude_extensions, SchemaPattern::parse)?,
            foreign_data: parse_all(&patterns.foreign_data, SchemaPattern::parse)?,
            strict_names: patterns.strict_names,
            is_empty: false,
            rows: row_choices(patterns)?,
            parts: PartPatterns::parse(patterns)?,
            visible: None,
        })
    }

    /// A selection of nothing: for a dump of what lies in no database.
    pub fn nothing() -> Selection {
        Selection {
            is_empty: true,
            ..Selection::default()
        }
    }

    /// Leaves one more schema out.
    ///
    /// # Errors
    /// `Usage` if it is no pattern.
    pub(crate) fn leave_out_schema(&mut self, pattern: &str) -> Result<()> {
        self.exclude_schemas.push(SchemaPattern::parse(pattern)?);
        Ok(())
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        !self.is_empty
            && self.relation_patterns().next().is_none()
            && self.parts.is_empty()
            && self.plain_patterns().next().is_none()
    }

    /// Whether more than whole schemas are chosen or left out: tables, rows, extensions.
    pub fn chooses_within_schemas(&self) -> bool {
        self.relation_patterns().next().is_some()
            || !self.parts.is_empty()
            || !self.extensions.is_empty()
            || !self.exclude_extensions.is_empty()
            || !self.rows.is_empty()
    }

    /// Whether a relation of this schema and name is wanted.
    pub fn includes_relation(&self, schema: &str, name: &str) -> bool {
        let included = match self.names_objects() {
            false => self.includes_schema(schema),
            true => {
                self.is_searched_for_tables(schema)
                    && (self.matches(&self.tables, schema, name)
                        || self.tables_and_children.contains(schema, name))
            }
        };
        included
            && !self.matches(&self.exclude_tables, schema, name)
            && !self.exclude_tables_and_children.contains(schema, name)
    }

    /// Whether a schema (and what lies in it and is no relation) is wanted.
    pub fn includes_schema(&self, schema: &str) -> bool {
        !self.names_objects() && !self.is_empty && self.is_schema_wanted(schema)
    }

    /// Whether `-t` may mean tables of this schema.
    fn is_searched_for_tables(&self, schema: &str) -> bool {
        !self.tables_within_schemas || self.is_schema_wanted(schema)
    }

    /// Whether `-n` and `-N` leave it in, whatever else is chosen.
    pub fn is_schema_wanted(&self, schema: &str) -> bool {
        (self.schemas.is_empty() || self.schemas.iter().any(|p| p.matches(schema)))
            && !self.exclude_schemas.iter().any(|p| p.matches(schema))
    }

    /// Whether `-I`, `-P` or `--trigger` choose this part, which lies in a schema that `-n` and `-N` leave.
    pub(crate) fn includes_part(&self, schema: &str, part: &Part<'_>) -> bool {
        self.is_schema_wanted(schema) && self.parts.matches(part)
    }

    /// What `-I`, `-P` or `--trigger` asked for without any match among these.
    pub(crate) fn unmatched_parts(&self, parts: &[Part<'_>]) -> Option<String> {
        self.parts.unmatched(parts, self.strict_names)
    }

    /// Whether an extension is wanted: with `-e` those alone, else all unless `-t` or `-n` choose something else.
    pub fn includes_extension(&self, name: &str) -> bool {
        let is_asked_for = !self.extensions.is_empty() || self.includes_global_objects();
        is_asked_for && self.may_include_extension(name)
    }

    /// Whether a configuration table or sequence is wanted: with its extension or by its own name, unless `-T` or `-N` is against it.
    pub fn includes_configuration(&self, extension: &str, schema: &str, name: &str) -> bool {
        let comes_along = self.includes_extension(extension) && !self.excludes(schema, name);
        self.may_include_extension(extension)
            && (comes_along || self.includes_relation(schema, name))
    }

    /// Whether `-T` or `-N` is against it.
    fn excludes(&self, schema: &str, name: &str) -> bool {
        self.exclude_schemas.iter().any(|p| p.matches(schema))
            || self.matches(&self.exclude_tables, schema, name)
            || self.exclude_tables_and_children.contains(schema, name)
    }

    /// Whether neither `-e` nor `--exclude-extension` is against it.
    pub fn may_include_extension(&self, name: &str) -> bool {
        (self.extensions.is_empty() || self.extensions.iter().any(|p| p.matches(name)))
            && !self.exclude_extensions.iter().any(|p| p.matches(name))
    }

    /// Whether the rows of a wanted table are wanted.
    pub fn includes_data(&self, schema: &str, name: &str) -> bool {
        !self.matches(&self.exclude_table_data, schema, name)
            && !self.exclude_table_data_and_children.contains(schema, name)
    }

    /// Whether the rows of this server's foreign tables are wanted.
    pub fn includes_foreign_data(&self, server: &str) -> bool {
        self.foreign_data.iter().any(|p| p.matches(server))
    }

    /// What stands behind `FROM ONLY table` where not all of its rows are wanted: `TABLESAMPLE ...`, `WHERE ...`.
    pub fn rows_clause(&self, schema: &str, name: &str) -> Option<String> {
        let mut sample = String::new();
        let mut conditions = Vec::new();
        for choice in &self.rows {
            if !self.matches(std::slice::from_ref(&choice.pattern), schema, name) {
                continue;
            }
            match &choice.rows {
                Rows::Sample(percent) => {
                    sample = format!("TABLESAMPLE pg_catalog.bernoulli ({percent})");
                }
                Rows::Where(condition) => conditions.push(format!("({condition}\n)")),
            }
        }
        let filter = match conditions.is_empty() {
            true => String::new(),
            false => format!("WHERE {}", conditions.join(" AND ")),
        };
        let clause = format!("{sample} {filter}").trim().to_owned();
        (!clause.is_empty()).then_some(clause)
    }

    /// Whether `-t`, `-I` or their like choose objects by name.
    fn names_objects(&self) -> bool {
        !self.tables.is_empty()
            || !self.tables_and_children.patterns.is_empty()
            || !self.parts.is_empty()
    }

    /// Whether objects outside of schemas (extensions, large objects, default privileges of all schemas) are wanted:
    /// not with `-t`, `-n` or `-e`, as in pg_dump.
    pub fn includes_global_objects(&self) -> bool {
        !self.names_objects() && self.schemas.is_empty() && self.extensions.is_empty()
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

    /// Whether some pattern means children, too: see [`Selection::resolve_children`].
    pub(super) fn has_children(&self) -> bool {
        self.with_children().any(|list| !list.patterns.is_empty())
    }

    /// Finds out which relations the patterns that mean children mean. After [`Selection::set_visible`].
    pub(super) fn resolve_children(
        &mut self,
        relations: &[(String, String)],
        inheritance: &[Inheritance],
    ) {
        let matching: Vec<HashSet<(String, String)>> = self
            .with_children()
            .map(|list| {
                let named = relations
                    .iter()
                    .filter(|(schema, name)| self.matches(&list.patterns, schema, name));
                with_descendants(named.cloned().collect(), inheritance)
            })
            .collect();
        let lists = [
            &mut self.tables_and_children,
            &mut self.exclude_tables_and_children,
            &mut self.exclude_table_data_and_children,
        ];
        for (list, resolved) in lists.into_iter().zip(matching) {
            list.resolved = resolved;
        }
    }

    fn with_children(&self) -> impl Iterator<Item = &WithChildren> {
        [
            &self.tables_and_children,
            &self.exclude_tables_and_children,
            &self.exclude_table_data_and_children,
        ]
        .into_iter()
    }

    /// Refuses patterns that name another database than `current`.
    ///
    /// # Errors
    /// `Usage`.
    pub fn check_database(&self, current: &str) -> Result<()> {
        let of_relations = self.relation_patterns().map(|p| (&p.database, &p.text));
        let of_schemas = self.plain_patterns().map(|p| (&p.database, &p.text));
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

    /// What `-n`, `-t` or `-e` asked for without any match among these, in pg_dump's words: all patterns of an option
    /// together, or with `--strict-names` each of them. `None` if nothing was asked for in vain.
    pub fn unmatched(
        &self,
        schemas: &[&str],
        relations: &[(&str, &str)],
        extensions: &[&str],
        servers: &[&str],
    ) -> Option<String> {
        // As in pg_dump: whose foreign rows are wanted must be there.
        let absent = |pattern: &&SchemaPattern| !servers.iter().any(|name| pattern.matches(name));
        if let Some(pattern) = self.foreign_data.iter().find(absent) {
            return Some(format!(
                "no matching foreign servers were found for pattern \"{}\"",
                one_line(&pattern.text)
            ));
        }
        let missing = |what: &str, patterns: Vec<(&str, bool)>| {
            let vain: Vec<&(&str, bool)> =
                patterns.iter().filter(|(_, matched)| !matched).collect();
            match vain.first() {
                Some((text, _)) if self.strict_names => Some(format!(
                    "no matching {what} were found for pattern \"{}\"",
                    one_line(text)
                )),
                Some(_) if vain.len() == patterns.len() => {
                    Some(format!("no matching {what} were found"))
                }
                _ => None,
            }
        };
        let plain = |patterns: &'_ [SchemaPattern], names: &[&str]| -> Vec<(String, bool)> {
            let matched = |pattern: &SchemaPattern| names.iter().any(|name| pattern.matches(name));
            let patterns = patterns.iter();
            patterns.map(|p| (p.text.clone(), matched(p))).collect()
        };
        let named = self.tables.iter().chain(&self.tables_and_children.patterns);
        let tables: Vec<(String, bool)> = named
            .map(|pattern| {
                let pattern = std::slice::from_ref(pattern);
                let is_meant = |(s, n): &(&str, &str)| {
                    self.is_searched_for_tables(s) && self.matches(pattern, s, n)
                };
                let matched = relations.iter().any(is_meant);
                (pattern[0].text.clone(), matched)
            })
            .collect();
        // A condition on no table at all is always a mistake.
        for choice in &self.rows {
            let pattern = std::slice::from_ref(&choice.pattern);
            if !relations.iter().any(|(s, n)| self.matches(pattern, s, n)) {
                return Some(format!(
                    "no matching tables were found for pattern \"{}\"",
                    one_line(&choice.pattern.text)
                ));
            }
        }
        [
            ("schemas", plain(&self.schemas, schemas)),
            ("tables", tables),
            ("extensions", plain(&self.extensions, extensions)),
        ]
        .iter()
        .find_map(|(what, found)| {
            let found = found
                .iter()
                .map(|(text, matched)| (text.as_str(), *matched));
            missing(what, found.collect())
        })
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
            .chain(self.with_children().flat_map(|list| &list.patterns))
            .chain(self.rows.iter().map(|choice| &choice.pattern))
    }

    /// Patterns of schemas, extensions and servers.
    fn plain_patterns(&self) -> impl Iterator<Item = &SchemaPattern> {
        self.schemas
            .iter()
            .chain(&self.exclude_schemas)
            .chain(&self.extensions)
            .chain(&self.exclude_extensions)
            .chain(&self.foreign_data)
    }
}

fn row_choices(patterns: &SelectionPatterns) -> Result<Vec<RowChoice>> {
    let split = |text: &str| {
        let at = end_of_pattern(text).ok_or_else(|| {
            usage(
                text,
                "Give a table, an equals sign, and what is wanted of its rows.",
            )
        })?;
        let pattern = RelationPattern::parse(text[..at].trim())?;
        Ok::<_, Error>((pattern, text[at + 1..].trim().to_owned()))
    };
    let mut choices = Vec::new();
    for text in &patterns.conditions {
        let (pattern, condition) = split(text)?;
        if condition.is_empty() {
            return Err(usage(text, "The condition is missing."));
        }
        let rows = Rows::Where(condition);
        choices.push(RowChoice { pattern, rows });
    }
    for text in &patterns.samples {
        let (pattern, percent) = split(text)?;
        let percent = percent.parse().ok().filter(|p| (0.0..=100.0).contains(p));
        let percent = percent.ok_or_else(|| usage(text, "Give a number from 0 to 100."))?;
        let rows = Rows::Sample(percent);
        choices.push(RowChoice { pattern, rows });
    }
    Ok(choices)
}

/// OLD and NEW of `OLD=NEW`.
///
/// # Errors
/// `Usage`.
pub(crate) fn split_rename(text: &str) -> Result<(String, String)> {
    let at = end_of_pattern(text)
        .ok_or_else(|| usage(text, "Give a table, an equals sign, and its new name."))?;
    Ok((
        text[..at].trim().to_owned(),
        text[at + 1..].trim().to_owned(),
    ))
}

/// A name as SQL has it: folded unless quoted.
///
/// # Errors
/// `Usage` if it is more than one name, or none.
pub(crate) fn name_of_pattern(text: &str) -> Result<String> {
    let parts = split(text)?;
    match &parts[..] {
        [part] if !part.literal.is_empty() => Ok(part.literal.clone()),
        _ => Err(usage(text, "It must be one name without a schema.")),
    }
}

/// The place of the first equals sign outside of double quotes.
fn end_of_pattern(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == '=' && !quoted).then_some(at)
    })
}

impl WithChildren {
    fn parse(texts: &[String]) -> Result<Self> {
        Ok(WithChildren {
            patterns: parse_all(texts, RelationPattern::parse)?,
            resolved: HashSet::new(),
        })
    }

    fn contains(&self, schema: &str, name: &str) -> bool {
        !self.resolved.is_empty()
            && self
                .resolved
                .contains(&(schema.to_owned(), name.to_owned()))
    }
}

/// Tables with all that inherits from them, partitions of partitions included.
fn with_descendants(
    mut tables: HashSet<(String, String)>,
    inheritance: &[Inheritance],
) -> HashSet<(String, String)> {
    loop {
        let before = tables.len();
        for link in inheritance {
            if tables.contains(&link.parent) {
                tables.insert(link.child.clone());
            }
        }
        if tables.len() == before {
            return tables;
        }
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

pub(super) fn parse_all<T>(texts: &[String], parse: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    texts.iter().map(|text| parse(text)).collect()
}

/// One dotted part of a pattern: as a regular expression, and as the name it is if nothing in it is special.
#[derive(Default)]
pub(super) struct PatternPart {
    regex: String,
    literal: String,
}

/// Splits a pattern at its unquoted dots and translates each part.
pub(super) fn split(pattern: &str) -> Result<Vec<PatternPart>> {
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

pub(super) fn compile(pattern: &str, part: Option<PatternPart>) -> Result<Regex> {
    let regex = part.map(|part| part.regex).unwrap_or_default();
    Regex::new(&format!("(?s)^(?:{regex})$"))
        .map_err(|e| usage(pattern, "Its regular expression is not valid.").caused_by(e))
}

pub(super) fn usage(pattern: &str, detail: &str) -> Error {
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
    fn schemas_limit_tables_of_archives_alone() {
        let selection = |tables_within_schemas| {
            Selection::parse(&SelectionPatterns {
                tables: texts(&["users"]),
                schemas: texts(&["app*"]),
                exclude_schemas: texts(&["app2"]),
                tables_within_schemas,
                ..SelectionPatterns::default()
            })
            .unwrap()
        };
        for (schema, is_left) in [("app", true), ("app2", false), ("other", false)] {
            assert!(selection(false).includes_relation(schema, "users"));
            assert_eq!(selection(true).includes_relation(schema, "users"), is_left);
            let relations = [(schema, "users")];
            let unmatched = selection(true).unmatched(&["app"], &relations, &[], &[]);
            assert_eq!(unmatched.is_none(), is_left, "{unmatched:?}");
        }
        assert!(!selection(true).includes_relation("app", "orders"));
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
        let unmatched =
            |selection: &Selection| selection.unmatched(&["s"], &[("s", "t")], &["e"], &[]);
        let strict = |tables: &[&str]| Selection {
            strict_names: true,
            ..self::tables(tables)
        };
        for (selection, told) in [
            (tables(&["t", "zzz"]), None),
            (tables(&["zzz"]), Some("no matching tables were found")),
            (
                schemas(&["zzz"], &[]),
                Some("no matching schemas were found"),
            ),
            (Selection::default(), None),
            (strict(&["t"]), None),
            (
                strict(&["t", "zzz"]),
                Some("no matching tables were found for pattern \"zzz\""),
            ),
        ] {
            assert_eq!(unmatched(&selection).as_deref(), told);
        }
    }

    #[test]
    fn children_come_with_their_parents() {
        let pair = |name: &str| ("s".to_owned(), name.to_owned());
        let link = |child: &str, parent: &str| Inheritance {
            child: pair(child),
            parent: pair(parent),
        };
        let mut selection = Selection::parse(&SelectionPatterns {
            tables_and_children: texts(&["s.top"]),
            exclude_table_data_and_children: texts(&["s.mid"]),
            ..SelectionPatterns::default()
        })
        .unwrap();
        assert!(selection.has_children() && !selection.includes_global_objects());
        selection.resolve_children(
            &["top", "mid", "leaf", "other"].map(pair),
            &[link("leaf", "mid"), link("mid", "top")],
        );
        assert!(selection.includes_relation("s", "leaf"));
        assert!(!selection.includes_relation("s", "other"));
        assert!(selection.includes_data("s", "top"));
        assert!(!selection.includes_data("s", "leaf"));
    }

    #[test]
    fn rows_are_chosen_by_condition_and_by_chance() {
        let of = |conditions: &[&str], samples: &[&str]| {
            Selection::parse(&SelectionPatterns {
                conditions: texts(conditions),
                samples: texts(samples),
                ..SelectionPatterns::default()
            })
        };
        let selection = of(&["s.t=a = 1", "s.*=b"], &["s.t=2.5"]).unwrap();
        assert_eq!(
            selection.rows_clause("s", "t").as_deref(),
            Some("TABLESAMPLE pg_catalog.bernoulli (2.5) WHERE (a = 1\n) AND (b\n)")
        );
        assert_eq!(
            selection.rows_clause("s", "u").as_deref(),
            Some("WHERE (b\n)")
        );
        assert_eq!(selection.rows_clause("x", "t"), None);
        assert!(selection.includes_global_objects());
        assert!(
            of(&["\"a=b\"=c"], &[])
                .unwrap()
                .rows_clause("s", "a=b")
                .is_some()
        );
        assert!(of(&["t"], &[]).is_err() && of(&["t="], &[]).is_err());
        assert!(of(&[], &["t=101"]).is_err() && of(&[], &["t=x"]).is_err());
        assert!(selection.unmatched(&[], &[("s", "u")], &[], &[]).is_some());
    }

    #[test]
    fn extensions_are_chosen_by_themselves() {
        let of = |include: &[&str], exclude: &[&str]| {
            Selection::parse(&SelectionPatterns {
                extensions: texts(include),
                exclude_extensions: texts(exclude),
                ..SelectionPatterns::default()
            })
            .unwrap()
        };
        assert!(of(&["hst*"], &[]).includes_extension("hstore"));
        assert!(!of(&["hst*"], &[]).includes_extension("citext"));
        assert!(of(&["hst*"], &[]).includes_schema("any"));
        assert!(!of(&[], &["hstore"]).includes_extension("hstore"));
        assert!(of(&[], &["hstore"]).includes_extension("citext"));
        assert!(!tables(&["t"]).includes_extension("hstore"));
    }
}
