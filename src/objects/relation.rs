//! What tables, views, materialized views and sequences have in common as rows of `pg_class`.

use std::sync::Arc;

use super::acl::{Acl, AclTarget, GrantKind};
use super::attribute::{Attribute, Attributes};
use super::catalog_query::{Row, RowError, comment_join};
use super::{CatalogId, ObjectId, Oid, RenderOptions, catalog, quote};
use crate::conn::ServerVersion;

/// Condition on `pg_class c` and `pg_namespace n`: neither the system's nor an extension's member.
/// What belongs to a table (indexes, triggers...) goes by its table, as in pg_dump.
pub(super) const IS_USER_RELATION: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x \
         WHERE x.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND x.deptype = 'e' \
         AND x.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND x.objid = c.oid)";

/// A relation that something else refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelationName {
    /// Its `pg_class` row.
    pub(crate) oid: Oid,
    /// Its schema.
    pub(crate) schema: String,
    /// Its name.
    pub(crate) name: String,
}

impl RelationName {
    /// From the columns `{prefix}_oid`, `{prefix}_schema`, `{prefix}_name`.
    pub(super) fn from_row(row: &Row, prefix: &str) -> Result<Self, RowError> {
        Ok(RelationName {
            oid: row.try_get_of(prefix, "oid")?,
            schema: row.try_get_of(prefix, "schema")?,
            name: row.try_get_of(prefix, "name")?,
        })
    }

    /// The relation as an object of the dump.
    pub(crate) fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_CLASS, self.oid)
    }

    /// Its qualified name in SQL.
    pub(crate) fn sql(&self) -> String {
        quote::qualified(&self.schema, &self.name)
    }
}

/// What the kinds of relations share.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    /// Its name.
    pub(crate) name: RelationName,
    /// Its owner's role name.
    pub(crate) owner: String,
    /// Its comment.
    pub(crate) comment: Option<String>,
    /// Its privileges, columns' aside.
    pub(super) acl: Acl,
    /// The privileges on its row type.
    row_type_acl: Acl,
    /// Storage parameters, `name=value`.
    pub(crate) reloptions: Vec<String>,
    /// Storage parameters of its TOAST table.
    pub(crate) toast_reloptions: Vec<String>,
    /// Its tablespace, if it is not the database's.
    pub(crate) tablespace: Option<String>,
    /// Its table access method, unless heap. Known from 12.
    pub(crate) access_method: Option<String>,
    /// `relpersistence` is `u`.
    pub(crate) unlogged: bool,
    /// Its row type and that type's array type.
    companions: Vec<CatalogId>,
    /// See [`Attributes::granted_beside`].
    granted_beside: Vec<Arc<Attribute>>,
}

impl Relation {
    /// The query for relations whose `relkind` is in `relkinds` (`'r', 'p'`), by schema and name. Kinds
    /// add columns and joins; `c` is the relation, `n` its namespace.
    pub(super) fn query(
        server: ServerVersion,
        relkinds: &str,
        acl_letter: char,
        columns: &str,
        joins: &str,
    ) -> String {
        // Tables have had access methods since 12. Partitioned tables keep one for their partitions from 17.
        let (access_method, access_method_join) = if server >= ServerVersion::major(12) {
            (
                "am.amname",
                "LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam \
                 AND (am.amname <> 'heap' OR c.relkind = 'p')",
            )
        } else {
            ("NULL::name", "")
        };
        // 0 is the catalogs' way to say: none. NULL is not looked up.
        format!(
            "SELECT c.oid AS relation_oid, n.nspname AS relation_schema, c.relname AS relation_name, \
               pg_catalog.pg_get_userbyid(c.relowner) AS owner, \
               comment.description AS comment, c.relacl::text[] AS acl, \
               CASE WHEN c.relacl IS NOT NULL THEN \
                 pg_catalog.acldefault('{acl_letter}', c.relowner)::text[] END AS acl_default, \
               c.reloptions, toast.reloptions AS toast_reloptions, \
               tablespace.spcname AS tablespace, {access_method} AS access_method, c.relpersistence::text AS relpersistence, \
               c.reltype, row_type.typarray, row_type.typacl::text[] AS row_type_acl, \
               CASE WHEN row_type.typacl IS NOT NULL THEN \
                 pg_catalog.acldefault('T', c.relowner)::text[] END AS row_type_acl_default, \
               {columns} \
             FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_catalog.pg_class toast ON toast.oid = NULLIF(c.reltoastrelid, 0) AND toast.reloptions IS NOT NULL \
             LEFT JOIN pg_catalog.pg_type row_type ON row_type.oid = NULLIF(c.reltype, 0) \
             LEFT JOIN pg_catalog.pg_tablespace tablespace ON tablespace.oid = c.reltablespace \
             {access_method_join} {comment} {joins} \
             WHERE c.relkind IN ({relkinds}) AND {IS_USER_RELATION} \
             ORDER BY n.nspname, c.relname",
            comment = comment_join("pg_class", "c"),
        )
    }

    /// From a row of [`Relation::query`].
    pub(super) fn from_row(row: &Row) -> Result<Self, RowError> {
        let persistence: String = row.try_get("relpersistence")?;
        Ok(Relation {
            name: RelationName::from_row(row, "relation")?,
            owner: row.try_get("owner")?,
            comment: row.try_get("comment")?,
            acl: Acl::from_row(row)?,
            row_type_acl: Acl::from_columns(row, "row_type_acl", "row_type_acl_default")?,
            reloptions: row
                .try_get::<_, Option<Vec<String>>>("reloptions")?
                .unwrap_or_default(),
            toast_reloptions: row
                .try_get::<_, Option<Vec<String>>>("toast_reloptions")?
                .unwrap_or_default(),
            tablespace: row.try_get("tablespace")?,
            access_method: row.try_get("access_method")?,
            unlogged: persistence == "u",
            companions: companions(row)?,
            granted_beside: Vec::new(),
        })
    }

    /// Forgets what is not wanted of where and how it is stored.
    pub(super) fn simplify(&mut self, options: &RenderOptions) {
        if options.no_tablespaces {
            self.tablespace = None;
        }
        if options.no_table_access_method {
            self.access_method = None;
        }
    }

    /// Takes the columns that are not among those of its kind.
    pub(super) fn note_granted_beside(&mut self, attributes: &Attributes) {
        self.granted_beside = attributes.granted_beside(self.name.oid).to_vec();
    }

    /// What identifies it.
    pub(crate) fn id(&self) -> ObjectId {
        self.name.id()
    }

    /// Its own row and its companions'.
    pub(super) fn claims(&self) -> Vec<CatalogId> {
        let mut claims = vec![self.id().catalog];
        claims.extend(&self.companions);
        claims
    }

    /// `ALTER <object type> ... OWNER TO`.
    pub(super) fn render_owner(&self, object_type: &str) -> String {
        format!(
            "ALTER {object_type} {} OWNER TO {};",
            self.name.sql(),
            quote::ident(&self.owner)
        )
    }

    /// COMMENT ON the relation and its columns.
    pub(super) fn render_comments<'a>(
        &self,
        object_type: &str,
        columns: impl IntoIterator<Item = &'a Attribute>,
    ) -> Vec<String> {
        let name = self.name.sql();
        let mut out = Vec::new();
        if let Some(comment) = &self.comment {
            out.push(quote::comment_on(&format!("{object_type} {name}"), comment));
        }
        for column in columns {
            if let Some(comment) = &column.comment {
                let object = format!("COLUMN {name}.{}", quote::ident(&column.name));
                out.push(quote::comment_on(&object, comment));
            }
        }
        out
    }

    /// GRANT and REVOKE on the relation, then on its columns: a REVOKE on the whole takes back
    /// what columns were granted, so the order matters.
    pub(super) fn render_acl<'a>(
        &'a self,
        kind: GrantKind,
        columns: impl IntoIterator<Item = &'a Attribute>,
        server: ServerVersion,
    ) -> Vec<String> {
        let beside = self.granted_beside.iter().map(|column| &**column);
        let columns = columns.into_iter().chain(beside);
        let mut columns = columns
            .filter(|column| !column.acl.is_untouched())
            .peekable();
        if self.acl.is_untouched() && self.row_type_acl.is_untouched() && columns.peek().is_none() {
            return Vec::new();
        }
        // Columns have privileges under this word alone, those of sequences, too.
        let table = format!("TABLE {}", self.name.sql());
        let object = match kind {
            GrantKind::Sequence => format!("SEQUENCE {}", self.name.sql()),
            _ => table.clone(),
        };
        let mut out = self
            .acl
            .render(&AclTarget::new(kind, &object), &self.owner, server);
        for column in columns {
            let target = AclTarget::column(&table, &column.name);
            out.extend(column.acl.render(&target, &self.owner, server));
        }
        let row_type = format!("TYPE {}", self.name.sql());
        let target = AclTarget::new(GrantKind::Type, &row_type);
        out.extend(self.row_type_acl.render(&target, &self.owner, server));
        out
    }

    /// ` USING am`, ` WITH (...)` and ` TABLESPACE t` as they follow a table's columns.
    pub(super) fn render_storage(&self) -> String {
        let mut out = String::new();
        if let Some(am) = &self.access_method {
            out.push_str(&format!(" USING {}", quote::ident(am)));
        }
        let mut options = render_reloptions(&self.reloptions, "");
        options.extend(render_reloptions(&self.toast_reloptions, "toast."));
        if !options.is_empty() {
            out.push_str(&format!(" WITH ({})", options.join(", ")));
        }
        if let Some(tablespace) = &self.tablespace {
            out.push_str(&format!(" TABLESPACE {}", quote::ident(tablespace)));
        }
        out
    }
}

/// `name=value` storage parameters as they stand in WITH and SET.
pub(super) fn render_reloptions(options: &[String], namespace: &str) -> Vec<String> {
    options
        .iter()
        .map(|option| match option.split_once('=') {
            Some((name, value)) => {
                format!(
                    "{namespace}{}={}",
                    quote::ident(name),
                    quote::literal(value)
                )
            }
            None => format!("{namespace}{}", quote::ident(option)),
        })
        .collect()
}

/// `ALTER <what> DEPENDS ON EXTENSION ...` for each extension.
pub(super) fn render_depends_on_extensions(what: &str, extensions: &[String]) -> Vec<String> {
    extensions
        .iter()
        .map(|extension| {
            format!(
                "ALTER {what} DEPENDS ON EXTENSION {};",
                quote::ident(extension)
            )
        })
        .collect()
}

/// SQL expression: names of the extensions that the object depends on by ALTER ... DEPENDS ON EXTENSION.
pub(super) fn extensions_expression(class: &str, oid: &str) -> String {
    format!(
        "ARRAY(SELECT e.extname::text FROM pg_catalog.pg_depend xd \
           JOIN pg_catalog.pg_extension e ON e.oid = xd.refobjid \
           WHERE xd.classid = 'pg_catalog.{class}'::pg_catalog.regclass AND xd.objid = {oid} \
           AND xd.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND xd.deptype = 'x' \
           ORDER BY e.extname)"
    )
}

fn companions(row: &Row) -> Result<Vec<CatalogId>, RowError> {
    let mut out = Vec::new();
    for (column, class) in [
        ("reltype", catalog::PG_TYPE),
        ("typarray", catalog::PG_TYPE),
    ] {
        // 0 is the catalogs' way to say: none.
        match row.try_get::<_, Option<Oid>>(column)? {
            Some(oid) if oid != Oid(0) => out.push(CatalogId::new(class, oid)),
            Some(_) | None => {}
        }
    }
    Ok(out)
}
