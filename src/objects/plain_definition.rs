//! Definitions of plain indexes, keys and foreign keys, made here from columns of the catalogs.
//!
//! The server's deparser (`pg_get_indexdef` and its like) opens the table of each index: 50 µs and some kilobytes, for
//! a text that mostly holds nothing but names. Whatever is not plain is left to it. A test compares both ways.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::Oid;
use super::attribute::Attributes;
use super::catalog_query::{read_all, read_all_with};
use super::deparsed::Deparsed;
use super::relation::RelationName;
use crate::conn::Session;
use crate::{Error, Result};

/// What plain definitions are made of.
#[derive(Debug)]
pub(crate) struct Deparser {
    attributes: Attributes,
    rules: Rules,
    deparsed: Deparsed,
}

/// How the server deparses.
#[derive(Debug)]
pub(crate) struct Rules {
    default_opclasses: HashMap<Oid, DefaultOpclass>,
    quoting: Quoting,
}

/// An operator class that needs not be named for columns of its type.
#[derive(Clone, Copy, Debug)]
struct DefaultOpclass {
    type_oid: Oid,
    /// Whether it is also the default for varchar, which has none of its own.
    is_for_varchar: bool,
}

/// How the server quotes identifiers: only those that need it.
#[derive(Debug, Default)]
struct Quoting {
    /// Words that the grammar does not take as names everywhere.
    keywords: HashSet<String>,
    quotes_all: bool,
}

/// An index whose columns are columns of the table, without options, conditions and orders.
#[derive(Debug)]
pub(super) struct PlainIndex {
    pub(super) access_method: String,
    pub(super) is_unique: bool,
    pub(super) columns: Vec<i16>,
    pub(super) opclasses: Vec<Oid>,
    pub(super) collations: Vec<Oid>,
}

/// Reads what a [`Deparser`] needs beside the columns.
pub(crate) async fn read_rules(session: &Session) -> Result<Rules> {
    let (opclasses, keywords, settings) = futures::try_join!(
        read_all(session, "operator classes", OPCLASSES_QUERY, |row| {
            let opclass = DefaultOpclass {
                type_oid: row.try_get("opcintype")?,
                is_for_varchar: row.try_get("is_for_varchar")?,
            };
            Ok((row.try_get("oid")?, opclass))
        }),
        read_all(session, "keywords", KEYWORDS_QUERY, |row| {
            Ok(row.try_get("word")?)
        }),
        read_all(session, "settings", SETTING_QUERY, |row| {
            Ok(row.try_get("quotes_all")?)
        }),
    )?;
    Ok(Rules {
        default_opclasses: opclasses.into_iter().collect(),
        quoting: Quoting {
            keywords: keywords.into_iter().collect(),
            quotes_all: settings.into_iter().any(|quotes_all: bool| quotes_all),
        },
    })
}

/// Of btree and hash (403, 405: their headers fix them), without those that take options: an index's options would have
/// to be looked up. The class for text serves varchar as long as it alone has a type that its category prefers.
const OPCLASSES_QUERY: &str = "SELECT o.oid, o.opcintype, \
       o.oid < 16384 AND o.opcintype = 'pg_catalog.text'::pg_catalog.regtype AND NOT EXISTS ( \
         SELECT FROM pg_catalog.pg_opclass other JOIN pg_catalog.pg_type t ON t.oid = other.opcintype \
         WHERE other.oid >= 16384 AND other.opcdefault AND other.opcmethod = o.opcmethod \
         AND (t.typispreferred OR t.oid = 'pg_catalog.varchar'::pg_catalog.regtype)) AS is_for_varchar \
     FROM pg_catalog.pg_opclass o WHERE o.opcdefault AND o.opcmethod IN (403, 405) \
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_amproc p WHERE p.amprocfamily = o.opcfamily \
       AND p.amprocnum = CASE o.opcmethod WHEN 403 THEN 5 ELSE 3 END)";

/// The type varchar (catalog/pg_type.dat).
const VARCHAR: Oid = Oid(1043);

const KEYWORDS_QUERY: &str =
    "SELECT k.word FROM pg_catalog.pg_get_keywords() k WHERE k.catcode <> 'U'";

const SETTING_QUERY: &str =
    "SELECT pg_catalog.current_setting('quote_all_identifiers')::bool AS quotes_all";

impl Deparser {
    pub(crate) fn new(attributes: Attributes, rules: Rules, deparsed: Deparsed) -> Self {
        Deparser {
            attributes,
            rules,
            deparsed,
        }
    }

    /// Whose definitions the server is asked for.
    pub(super) fn deparsed(&self) -> &Deparsed {
        &self.deparsed
    }

    /// The columns that definitions are made of.
    pub(crate) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// As `pg_get_indexdef` prints it. `None` if the index is not plain after all.
    pub(super) fn index(
        &self,
        name: &RelationName,
        table: &RelationName,
        index: &PlainIndex,
    ) -> Option<String> {
        let parts = index.opclasses.iter().zip(&index.collations);
        for (&number, (opclass, &collation)) in index.columns.iter().zip(parts) {
            let attribute = self.attributes.numbered(table.oid, number)?;
            let default = self.rules.default_opclasses.get(opclass)?;
            let is_default = default.type_oid == attribute.type_oid
                || (default.is_for_varchar && attribute.type_oid == VARCHAR);
            if !is_default || (collation != Oid(0) && collation != attribute.collation_oid) {
                return None;
            }
        }
        Some(format!(
            "CREATE {}INDEX {} ON {} USING {} {}",
            if index.is_unique { "UNIQUE " } else { "" },
            self.rules.quoting.ident(&name.name),
            self.relation(table),
            self.rules.quoting.ident(&index.access_method),
            self.columns(table.oid, &index.columns)?
        ))
    }

    /// Names of columns in parentheses. `None` if one is not known.
    pub(super) fn columns(&self, relation: Oid, numbers: &[i16]) -> Option<String> {
        let mut out = String::from("(");
        for (place, &number) in numbers.iter().enumerate() {
            if place > 0 {
                out.push_str(", ");
            }
            let attribute = self.attributes.numbered(relation, number)?;
            out.push_str(&self.rules.quoting.ident(&attribute.name));
        }
        out.push(')');
        Some(out)
    }

    /// A relation's qualified name, as deparsed under an empty `search_path`.
    pub(super) fn relation(&self, relation: &RelationName) -> String {
        format!(
            "{}.{}",
            self.rules.quoting.ident(&relation.schema),
            self.rules.quoting.ident(&relation.name)
        )
    }
}

/// Gives each object its definition: the one that was made here, or what this function of the server
/// (`pg_get_indexdef`) prints. `definition` tells where it belongs.
pub(super) async fn define<T>(
    session: &Session,
    function: &str,
    drafts: Vec<(T, Option<String>)>,
    oid: impl Fn(&T) -> Oid,
    definition: impl Fn(&mut T) -> &mut String,
) -> Result<Vec<T>> {
    let open = drafts.iter().filter(|(_, made)| made.is_none());
    let open: Vec<Oid> = open.map(|(object, _)| oid(object)).collect();
    let mut printed = print(session, function, &open).await?;
    let defined = drafts.into_iter().map(|(mut object, made)| {
        let made = made.or_else(|| printed.remove(&oid(&object)));
        *definition(&mut object) =
            made.ok_or_else(|| Error::internal(format!("{function} left out an object")))?;
        Ok(object)
    });
    defined.collect()
}

/// What this function of the server prints of each object.
pub(super) async fn print(
    session: &Session,
    function: &str,
    oids: &[Oid],
) -> Result<HashMap<Oid, String>> {
    if oids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT d.oid, pg_catalog.{function}(d.oid) AS definition \
         FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS d (oid)"
    );
    let definitions = read_all_with(session, "definitions", &sql, &[&oids], |row| {
        Ok((row.try_get("oid")?, row.try_get("definition")?))
    })
    .await?;
    Ok(definitions.into_iter().collect())
}

impl Quoting {
    fn ident<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let is_safe = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && (name.chars()).all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if is_safe && !self.quotes_all && !self.keywords.contains(name) {
            Cow::Borrowed(name)
        } else {
            Cow::Owned(super::quote::ident(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_only_where_they_must_be() {
        let mut quoting = Quoting {
            keywords: HashSet::from(["select".to_owned()]),
            quotes_all: false,
        };
        for (name, quoted) in [
            ("a", "a"),
            ("_a1", "_a1"),
            ("1a", "\"1a\""),
            ("A", "\"A\""),
            ("a$", "\"a$\""),
            ("ä", "\"ä\""),
            ("a\"b", "\"a\"\"b\""),
            ("select", "\"select\""),
            ("selects", "selects"),
        ] {
            assert_eq!(quoting.ident(name), quoted);
        }
        quoting.quotes_all = true;
        assert_eq!(quoting.ident("a"), "\"a\"");
    }
}
