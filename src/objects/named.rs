//! What the rows of most catalogs have in common: a name, perhaps in a schema, perhaps an owner, a comment, privileges.

use super::acl::{Acl, AclTarget};
use super::catalog_query::{Row, RowError, comment_join, is_no_member, is_users, is_users_schema};
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, Oid, RenderContext, Rendered, Section,
    quote,
};
use crate::Result;
use crate::conn::ServerVersion;

/// A catalog whose rows have names.
pub(super) struct NamedCatalog {
    /// Its name: `pg_collation`.
    pub(super) name: &'static str,
    /// What its columns begin with: `coll`.
    pub(super) prefix: &'static str,
    /// Whether there is a `{prefix}namespace`.
    pub(super) in_schema: bool,
    /// Whether there is a `{prefix}owner`.
    pub(super) has_owner: bool,
    /// What `acldefault()` knows the kind by, if there is a `{prefix}acl`.
    pub(super) acl_letter: Option<char>,
}

impl NamedCatalog {
    /// The query for all rows that are the user's and no extension's, by schema and name. `r` is the row, `n` its
    /// schema; columns, joins and a condition are the kind's own.
    pub(super) fn query(&self, columns: &str, joins: &str, condition: &str) -> String {
        let NamedCatalog { name, prefix, .. } = self;
        let (schema, schema_join, users_schema, order) = match self.in_schema {
            true => (
                "n.nspname",
                format!("JOIN pg_catalog.pg_namespace AS n ON n.oid = r.{prefix}namespace "),
                is_users_schema("n"),
                "n.nspname, ",
            ),
            false => (
                "NULL::pg_catalog.name",
                String::new(),
                "true".to_owned(),
                "",
            ),
        };
        let owner = match self.has_owner {
            true => format!("pg_catalog.pg_get_userbyid(r.{prefix}owner)"),
            false => "NULL::pg_catalog.name".to_owned(),
        };
        let acl = match self.acl_letter {
            Some(letter) => format!(
                "r.{prefix}acl::pg_catalog.text[] AS acl, \
                 pg_catalog.acldefault('{letter}', r.{prefix}owner)::pg_catalog.text[] AS acl_default"
            ),
            None => "NULL::pg_catalog.text[] AS acl, ARRAY[]::pg_catalog.text[] AS acl_default"
                .to_owned(),
        };
        format!(
            "SELECT r.oid, {schema} AS schema, r.{prefix}name AS name, {owner} AS owner, \
             comment.description, {acl}, {columns} \
             FROM pg_catalog.{name} AS r {schema_join}{joins} {comment} \
             WHERE {users} AND {users_schema} AND {condition} ORDER BY {order}r.{prefix}name, r.oid",
            comment = comment_join(name, "r"),
            users = match self.in_schema {
                true => is_no_member(name, "r"),
                false => is_users(name, "r"),
            },
        )
    }
}

/// A row of a [`NamedCatalog`].
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) oid: Oid,
    pub(super) schema: Option<String>,
    pub(super) name: String,
    pub(super) owner: Option<String>,
    pub(super) comment: Option<String>,
    pub(super) acl: Acl,
}

impl Named {
    /// From a row of [`NamedCatalog::query`].
    pub(super) fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Named {
            oid: row.try_get("oid")?,
            schema: row.try_get("schema")?,
            name: row.try_get("name")?,
            owner: row.try_get("owner")?,
            comment: row.try_get("description")?,
            acl: Acl::from_row(row)?,
        })
    }

    /// Its name in SQL, with the schema if it lies in one.
    pub(super) fn sql(&self) -> String {
        match &self.schema {
            Some(schema) => quote::qualified(schema, &self.name),
            None => quote::ident(&self.name),
        }
    }

    /// `ALTER object OWNER TO ...;`
    pub(super) fn render_owner(&self, object: &str) -> Option<String> {
        let owner = self.owner.as_ref()?;
        Some(format!("ALTER {object} OWNER TO {};", quote::ident(owner)))
    }

    /// `COMMENT ON object`, if there is a comment.
    pub(super) fn render_comments(&self, object: &str) -> Vec<String> {
        let comment = self.comment.iter();
        comment
            .map(|text| quote::comment_on(object, text))
            .collect()
    }

    /// GRANT and REVOKE; none of what has no owner.
    pub(super) fn render_acl(&self, target: &AclTarget<'_>, server: ServerVersion) -> Vec<String> {
        let owner = self.owner.as_deref().unwrap_or_default();
        self.acl.render(target, owner, server)
    }
}

/// An object that is a row of a [`NamedCatalog`]: what [`DumpObject`] asks of all objects is read off the row.
pub(super) trait NamedObject {
    /// Its kind.
    const KIND: Kind;
    /// The catalog, see [`super::catalog`].
    const CLASS: Oid;

    /// Its row.
    fn named(&self) -> &Named;

    /// As [`DumpObject::claims`], but for its own row.
    fn parts(&self) -> Vec<CatalogId> {
        Vec::new()
    }

    /// As [`DumpObject::tag`].
    fn tag(&self) -> String {
        self.named().name.clone()
    }

    /// As [`DumpObject::section`].
    fn section(&self) -> Section {
        Section::PreData
    }

    /// As [`DumpObject::extra_dependencies`].
    fn extra_dependencies(&self) -> Vec<ObjectId> {
        Vec::new()
    }

    /// The table that it hangs on, as [`DumpObject::relation`]; CREATE locks it exclusively.
    fn table(&self) -> Option<ObjectId> {
        None
    }

    /// As [`DumpObject::render`].
    fn render(&self, context: &RenderContext<'_>) -> Rendered;
}

impl<T: NamedObject> DumpObject for T {
    fn kind(&self) -> Kind {
        T::KIND
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(T::CLASS, self.named().oid)
    }

    fn claims(&self) -> Vec<CatalogId> {
        let own = CatalogId::new(T::CLASS, self.named().oid);
        [own].into_iter().chain(self.parts()).collect()
    }

    fn schema(&self) -> Option<&str> {
        self.named().schema.as_deref()
    }

    fn tag(&self) -> String {
        NamedObject::tag(self)
    }

    fn owner(&self) -> Option<&str> {
        self.named().owner.as_deref()
    }

    fn section(&self) -> Section {
        NamedObject::section(self)
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        NamedObject::extra_dependencies(self)
            .into_iter()
            .chain(self.table())
            .collect()
    }

    fn relation(&self) -> Option<ObjectId> {
        self.table()
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        let table = self.table().into_iter();
        table.map(|id| (id, LockStrength::Exclusive)).collect()
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        NamedObject::render(self, context)
    }
}

/// SQL: the name of the function in the column, as the server would find it again; NULL for none.
pub(super) fn function_name(column: &str) -> String {
    format!("NULLIF({column}::pg_catalog.oid, 0)::pg_catalog.regproc::pg_catalog.text")
}

/// SQL: the function in the column with its argument types; NULL for none.
pub(super) fn function_signature(column: &str) -> String {
    format!("NULLIF({column}::pg_catalog.oid, 0)::pg_catalog.regprocedure::pg_catalog.text")
}

/// ` OPTIONS (...)` of foreign data wrappers and all that hangs on them, from `name=value` texts; empty without any.
pub(super) fn options_clause(options: &[String]) -> String {
    match options.is_empty() {
        true => String::new(),
        false => format!(" OPTIONS ({})", option_list(options)),
    }
}

/// `"name" 'value', ...`
pub(super) fn option_list(options: &[String]) -> String {
    let one = |option: &String| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        format!("{} {}", quote::ident(name), quote::literal(value))
    };
    options.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A row for tests of the kinds.
    pub(in crate::objects) fn named(schema: Option<&str>, name: &str) -> Named {
        Named {
            oid: Oid(20000),
            schema: schema.map(str::to_owned),
            name: name.to_owned(),
            owner: Some("o".to_owned()),
            comment: Some("why".to_owned()),
            acl: Acl::default(),
        }
    }

    #[test]
    fn options_are_names_and_literals() {
        assert_eq!(options_clause(&[]), "");
        assert_eq!(
            options_clause(&["host=a=b".to_owned(), "pass word=it's".to_owned()]),
            " OPTIONS (\"host\" 'a=b', \"pass word\" 'it''s')"
        );
    }

    #[test]
    fn what_has_no_schema_and_no_owner_says_nothing_of_them() {
        let mut row = named(None, "n");
        assert_eq!(row.sql(), "\"n\"");
        assert_eq!(
            row.render_owner("LANGUAGE \"n\"").as_deref(),
            Some("ALTER LANGUAGE \"n\" OWNER TO \"o\";")
        );
        row.owner = None;
        assert_eq!(row.render_owner("LANGUAGE \"n\""), None);
    }
}
