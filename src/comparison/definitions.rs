//! Definitions by object, from an archive or from a database, and what differs between two of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::archive::{ArchiveReader, MemberId, Span, TocEntry};
use crate::dump::ContentEntry;
use crate::lexer;
use crate::objects::Kind;
use crate::objects::quote::one_line;
use crate::{Error, Result};

/// An object by its kind, schema and name. Several entries may share it: two comments on one function, say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind, as the table of contents has it.
    pub kind: String,
    /// Its schema; empty outside of schemas.
    pub schema: String,
    /// Its name in the table of contents.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    /// `TABLE s.t`, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectKey { kind, schema, name } = self;
        let text = match schema.as_str() {
            "" => format!("{kind} {name}"),
            schema => format!("{kind} {schema}.{name}"),
        };
        f.write_str(&one_line(&text))
    }
}

impl ObjectKey {
    /// The name that it has in whatever archive; `None` of what only some have an entry for, or under names of their own.
    fn in_common(&self, texts: &[String]) -> Option<ObjectKey> {
        let kind = Kind::parse(&self.kind)?;
        let (mut schema, mut name) = (self.schema.as_str(), self.name.as_str());
        let kind = match kind {
            Kind::Acl | Kind::DefaultAcl | Kind::Comment | Kind::SecurityLabel => return None,
            Kind::Default | Kind::DomainDefault | Kind::LargeObject => return None,
            Kind::ViewQuery | Kind::FunctionBody => return None,
            Kind::Rule if name.ends_with(" _RETURN") => return None,
            // The sequence of an identity column; a trigger that came with its table's parent, and has a property of its own.
            Kind::Sequence | Kind::Trigger
                if texts.iter().all(|text| !text.contains("CREATE ")) =>
            {
                return None;
            }
            Kind::EnumType | Kind::RangeType | Kind::BaseType | Kind::ShellType => {
                Kind::CompositeType
            }
            Kind::CheckConstraint => Kind::Constraint,
            // Some name arguments, some only have their types.
            Kind::Function | Kind::Procedure | Kind::Aggregate => {
                name = &name[..name.find('(').unwrap_or(name.len())];
                kind
            }
            Kind::PublicationSchema => {
                schema = "";
                kind
            }
            other => other,
        };
        Some(ObjectKey {
            kind: kind.as_str().to_owned(),
            schema: schema.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Several functions of a name are told by their number.
    fn with_overloads(mut self, count: usize) -> ObjectKey {
        let kinds = [Kind::Function, Kind::Procedure, Kind::Aggregate];
        if count > 1 && kinds.iter().any(|kind| kind.as_str() == self.kind) {
            self.name = format!("{} ({count} overloads)", self.name);
        }
        self
    }
}

/// Definitions by object, each with its texts in order. The planner's statistics are none: they are what the planner had,
/// not what the database is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions(BTreeMap<ObjectKey, Vec<String>>);

/// An object that only one side has, or that the sides define differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionDifference {
    /// Which object.
    pub object: ObjectKey,
    /// Its SQL on the first side.
    pub before: Option<String>,
    /// Its SQL on the second side.
    pub after: Option<String>,
}

impl Definitions {
    /// Those of an archive's entries. Blocks.
    ///
    /// # Errors
    /// Those of [`ArchiveReader::read_member`].
    pub fn of_archive<'a>(
        archive: &ArchiveReader,
        entries: impl IntoIterator<Item = &'a TocEntry>,
        no_owner: bool,
    ) -> Result<Definitions> {
        let mut definitions = Definitions::default();
        let mut texts = MemberTexts {
            archive,
            last: None,
        };
        for entry in entries {
            let owner = entry.alter_owner.filter(|_| !no_owner);
            let spans: Vec<Span> = entry.create.into_iter().chain(owner).collect();
            let mut text = String::new();
            for &span in &spans {
                text.push_str(texts.read(span)?.trim_end());
                text.push('\n');
            }
            if let Some(statement) = entry.give_to_owner.as_ref().filter(|_| !no_owner) {
                text.push_str(statement.trim_end());
                text.push('\n');
            }
            if !text.is_empty() {
                definitions.add(&entry.kind, entry.schema.as_deref(), &entry.name, text);
            }
        }
        definitions.sort();
        Ok(definitions)
    }

    /// Those of a database.
    pub fn of_database(entries: &[ContentEntry]) -> Definitions {
        let mut definitions = Definitions::default();
        for entry in entries {
            let statements = entry.create.iter().chain(&entry.alter_owner);
            let text: String = statements
                .map(|statement| format!("{}\n", statement.trim_end()))
                .collect();
            if !text.is_empty() {
                definitions.add(
                    entry.kind.as_str(),
                    entry.schema.as_deref(),
                    &entry.tag,
                    text,
                );
            }
        }
        definitions.sort();
        definitions
    }

    /// How many objects they define.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Leaves out the objects for which `is_unwanted` says so.
    pub fn without(mut self, is_unwanted: impl Fn(&ObjectKey) -> bool) -> Definitions {
        self.0.retain(|object, _| !is_unwanted(object));
        self
    }

    /// With the names that objects have in whatever archive, pgstow's or pg_dump's, and without what only some of them have an entry for.
    pub fn in_common_names(&self) -> Definitions {
        let mut common = Definitions::default();
        for (object, texts) in &self.0 {
            if let Some(object) = object.in_common(texts) {
                common.0.entry(object).or_default().extend_from_slice(texts);
            }
        }
        let told = common.0.into_iter();
        Definitions(
            told.map(|(object, texts)| (object.with_overloads(texts.len()), texts))
                .collect(),
        )
    }

    fn add(&mut self, kind: &str, schema: Option<&str>, name: &str, text: String) {
        if kind == Kind::RelationStatistics.as_str() {
            return;
        }
        let key = ObjectKey {
            kind: kind.to_owned(),
            schema: schema.unwrap_or_default().to_owned(),
            name: name.to_owned(),
        };
        self.0.entry(key).or_default().push(text);
    }

    fn sort(&mut self) {
        self.0.values_mut().for_each(|texts| texts.sort());
    }

    fn sql(&self, object: &ObjectKey) -> Option<String> {
        self.0.get(object).map(|texts| texts.concat())
    }
}

/// What differs, by object. Servers of different majors deparse differently: then `by_name_only`.
pub fn compare_definitions(
    before: &Definitions,
    after: &Definitions,
    by_name_only: bool,
) -> Vec<DefinitionDifference> {
    let objects: BTreeSet<&ObjectKey> = before.0.keys().chain(after.0.keys()).collect();
    let differs = |object: &&ObjectKey| match (before.0.get(*object), after.0.get(*object)) {
        (Some(before), Some(after)) => !by_name_only && !are_alike(before, after),
        _ => true,
    };
    objects
        .into_iter()
        .filter(differs)
        .map(|object| DefinitionDifference {
            object: object.clone(),
            before: before.sql(object),
            after: after.sql(object),
        })
        .collect()
}

/// Equal but for how strings are quoted: an archive may have none in dollar quotes.
fn are_alike(before: &[String], after: &[String]) -> bool {
    let alike = |(one, other): (&String, &String)| {
        one == other
            || matches!(
                (lexer::without_dollar_quotes(one), lexer::without_dollar_quotes(other)),
                (Ok(one), Ok(other)) if one == other
            )
    };
    before.len() == after.len() && before.iter().zip(after).all(alike)
}

/// A new database has a schema public, which the source may have dropped: nothing in an archive says so.
pub fn is_of_every_database(object: &ObjectKey) -> bool {
    object.name == "SCHEMA public"
        || (object.kind == Kind::Schema.as_str() && object.name == "public")
}

/// Statements as the catalogs have them. What cannot be decoded is no text that a database could have given.
fn decoded(archive: &ArchiveReader, bytes: &[u8]) -> String {
    match archive.index().header.text_encoding().decode(bytes) {
        Some(text) => text.into_owned(),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Reads each statement member once: spans come in the order of the file.
struct MemberTexts<'a> {
    archive: &'a ArchiveReader,
    last: Option<(MemberId, Vec<u8>)>,
}

impl MemberTexts<'_> {
    fn read(&mut self, span: Span) -> Result<String> {
        let text = match self.last.take() {
            Some((member, text)) if member == span.member => text,
            _ => self.archive.read_member(span.member)?,
        };
        let slice = span.slice(&text).map(|bytes| decoded(self.archive, bytes));
        self.last = Some((span.member, text));
        slice.ok_or_else(|| Error::internal("a span exceeds its member"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::archive::Compression;
    use crate::archive::tests::{open, small_archive};
    use crate::archive::{DumpId, Section};

    fn entry(kind: Kind, schema: Option<&str>, name: &str, sql: &str) -> ContentEntry {
        ContentEntry {
            id: DumpId(1),
            kind,
            schema: schema.map(str::to_owned),
            tag: name.to_owned(),
            relation: None,
            subject: None,
            owner: None,
            section: Section::PreData,
            depends_on: Vec::new(),
            locks: Vec::new(),
            drop: None,
            create: vec![sql.to_owned()],
            alter_owner: None,
            data: None,
        }
    }

    fn differences(database: &[ContentEntry], by_name_only: bool) -> Vec<String> {
        let archive = open(small_archive(Compression::None).sink).unwrap();
        let archived = Definitions::of_archive(&archive, &archive.index().entries, false).unwrap();
        let database = Definitions::of_database(database);
        compare_definitions(&archived, &database, by_name_only)
            .iter()
            .filter(|difference| !is_of_every_database(&difference.object))
            .map(|difference| {
                let side = |sql: &Option<String>| if sql.is_some() { "+" } else { "-" };
                let (before, after) = (side(&difference.before), side(&difference.after));
                format!("{before}{after} {}", difference.object)
            })
            .collect()
    }

    #[test]
    fn what_two_programs_wrote_has_common_names() {
        let ours = [
            entry(Kind::EnumType, Some("s"), "e", "CREATE TYPE e"),
            entry(Kind::Function, Some("s"), "f(a integer)", "CREATE"),
            entry(Kind::Function, Some("s"), "f(\"(\" text, b text)", "CREATE"),
            entry(Kind::Function, Some("s"), "g(a integer)", "CREATE"),
            entry(Kind::Acl, Some("s"), "TABLE t", "GRANT"),
            entry(Kind::PublicationSchema, None, "p s", "ALTER"),
            entry(Kind::Sequence, Some("s"), "q", "CREATE SEQUENCE q"),
        ];
        let theirs = [
            entry(Kind::CompositeType, Some("s"), "e", "CREATE TYPE e"),
            entry(Kind::Function, Some("s"), "f(integer)", "CREATE"),
            entry(Kind::Function, Some("s"), "f(text)", "CREATE"),
            entry(Kind::Function, Some("s"), "f(text, text)", "CREATE"),
            entry(Kind::Function, Some("s"), "g(integer)", "CREATE"),
            entry(Kind::PublicationSchema, Some("s"), "p s", "ALTER"),
            entry(Kind::Sequence, Some("s"), "q", "CREATE SEQUENCE q"),
            entry(Kind::Sequence, Some("s"), "t_id_seq", "ALTER TABLE t ADD"),
        ];
        let [ours, theirs] =
            [&ours[..], &theirs].map(|side| Definitions::of_database(side).in_common_names());
        let differences = compare_definitions(&ours, &theirs, true);
        let names: Vec<String> = differences.iter().map(|it| it.object.to_string()).collect();
        assert_eq!(
            names,
            ["FUNCTION s.f (2 overloads)", "FUNCTION s.f (3 overloads)"]
        );
    }

    #[test]
    fn definitions_that_are_lost_added_or_changed_are_told() {
        let schema = || entry(Kind::Schema, None, "s", "CREATE SCHEMA \"s\";");
        let public = || entry(Kind::Schema, None, "public", "CREATE SCHEMA public;");
        let table = |sql: &str| entry(Kind::Table, Some("s"), "t", sql);
        let same = || table("CREATE TABLE \"s\".\"t\" (\"a\" integer);");
        assert_eq!(differences(&[schema(), public()], true), ["+- TABLE s.t"]);
        let more = [schema(), same(), entry(Kind::View, Some("s"), "v", "")];
        assert_eq!(differences(&more, true), ["-+ VIEW s.v"]);
        let other = [schema(), table("CREATE TABLE \"s\".\"t\" (\"a\" bigint);")];
        assert_eq!(differences(&other, true), [""; 0]);
        assert!(differences(&other, false).contains(&"++ TABLE s.t".to_owned()));
    }
}
