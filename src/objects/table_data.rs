//! The rows of a table: what `COPY` has to name.

use std::sync::Arc;

use super::attribute::{Attribute, Attributes, ExpressionKind};
use super::catalog_query::{read_all, since};
use super::relation::IS_USER_RELATION;
use super::{
    DumpObject, Kind, ObjectId, Oid, OidMap, Part, RenderContext, RenderOptions, Rendered, Section,
    catalog,
};
use crate::Result;
use crate::archive::InsertColumns;
use crate::conn::{ServerVersion, Session};

/// The rows of one table that stores rows itself, or of a foreign one.
#[derive(Clone, Debug)]
pub struct TableData {
    /// The table's `pg_class` row.
    pub table: Oid,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its owner's role name.
    pub owner: String,
    /// Columns in attribute order, without dropped and generated ones. May be empty.
    pub columns: Vec<String>,
    /// What INSERT statements have to know of them.
    pub insert_columns: InsertColumns,
    /// Of configuration tables of extensions: the condition (`WHERE ...`) on the rows to dump.
    pub condition: Option<String>,
    /// Of a partition: schema and name of the topmost table. Kept only where rows must be loaded through it: a hash of
    /// an enum's value is another one in every database.
    pub root: Option<(String, String)>,
    /// Whether the rows must be loaded through the root.
    needs_root: bool,
    /// Whether its access method is heap, so that ranges of blocks can be read by `ctid`.
    pub is_heap: bool,
    /// Whether its rows are lost in a crash.
    pub is_unlogged: bool,
    /// Of a foreign table, whose rows are dumped only if one asks for them: its server.
    pub foreign_server: Option<String>,
    /// Of configuration tables of extensions: the extension that makes the table.
    pub extension: Option<Oid>,
    /// Tables that the rows refer to by foreign keys which are there when rows are loaded: those that CREATE EXTENSION makes, and in
    /// a dump of rows alone those of all tables. The table itself may be among them.
    pub refers_to: Vec<Oid>,
}

impl DumpObject for TableData {
    fn kind(&self) -> Kind {
        Kind::TableData
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_CLASS, self.table).with_part(Part::Data)
    }

    fn claims(&self) -> Vec<super::CatalogId> {
        Vec::new()
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.schema)
    }

    fn tag(&self) -> String {
        self.name.clone()
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::Data
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        let made_by = match self.extension {
            Some(extension) => ObjectId::definition(catalog::PG_EXTENSION, extension),
            None => ObjectId::definition(catalog::PG_CLASS, self.table),
        };
        let referenced = self.refers_to.iter();
        let referenced = referenced
            .map(|&table| ObjectId::definition(catalog::PG_CLASS, table).with_part(Part::Data));
        referenced.chain([made_by]).collect()
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(ObjectId::definition(catalog::PG_CLASS, self.table))
    }

    /// Nothing: the data members hold the COPY statements.
    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        Rendered::default()
    }
}

impl TableData {
    /// Forgets the topmost table unless rows are to be loaded, or can only be loaded, through it.
    pub(super) fn simplify(&mut self, options: &RenderOptions) {
        if !self.needs_root && !options.load_via_partition_root {
            self.root = None;
        }
    }
}

/// Whose rows are to be dumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    AllTables,
    /// The same without definitions: the tables are there, and so are their foreign keys.
    WithoutDefinitions,
    /// What extensions declare as configuration.
    Configuration,
}

pub(crate) async fn read(
    session: &Session,
    rows: Rows,
    attributes: &Attributes,
) -> Result<Vec<TableData>> {
    let sql = query(session.version(), rows);
    let mut tables = read_all(session, "tables with rows", &sql, |row| {
        let table = row.try_get("oid")?;
        let attributes = attributes.of(table);
        Ok(TableData {
            table,
            schema: row.try_get("nspname")?,
            name: row.try_get("relname")?,
            owner: row.try_get("owner")?,
            columns: stored_columns(attributes),
            insert_columns: insert_columns(attributes),
            condition: row.try_get("condition")?,
            root: match row.try_get::<_, Option<String>>("root_schema")? {
                Some(schema) => Some((schema, row.try_get("root_name")?)),
                None => None,
            },
            needs_root: row.try_get("needs_root")?,
            is_heap: row.try_get("is_heap")?,
            is_unlogged: row.try_get("is_unlogged")?,
            foreign_server: row.try_get("foreign_server")?,
            extension: row.try_get("extension")?,
            refers_to: Vec::new(),
        })
    })
    .await?;
    if rows == Rows::WithoutDefinitions || tables.iter().any(|table| table.extension.is_some()) {
        let mut references = read_references(session, rows).await?;
        for table in &mut tables {
            table.refers_to = references.remove(&table.table).unwrap_or_default();
        }
    }
    Ok(tables)
}

/// By table: those that its rows refer to.
async fn read_references(session: &Session, rows: Rows) -> Result<OidMap<Oid, Vec<Oid>>> {
    let sql = references_query(session.version(), rows);
    let references = read_all(session, "foreign keys between rows", &sql, |row| {
        Ok((row.try_get("conrelid")?, row.try_get("referenced")?))
    });
    Ok(references.await?.into_iter().collect())
}

/// A partitioned table that is referred to stands for its partitions; each partition that refers has a key of its own.
fn references_query(server: ServerVersion, rows: Rows) -> String {
    let enforced = since(server, 18, "AND k.conenforced", "");
    let of_whom = match rows {
        Rows::WithoutDefinitions => "",
        Rows::AllTables | Rows::Configuration => {
            "AND k.conrelid IN (SELECT pg_catalog.unnest(e.extconfig) FROM pg_catalog.pg_extension e)"
        }
    };
    format!(
        "WITH RECURSIVE keys AS ( \
           SELECT DISTINCT k.conrelid, k.confrelid FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' {enforced} {of_whom}), \
         tree AS (SELECT confrelid AS root, confrelid AS oid FROM keys \
           UNION SELECT t.root, i.inhrelid FROM tree t \
           JOIN pg_catalog.pg_class c ON c.oid = t.oid AND c.relkind = 'p' \
           JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid) \
         SELECT k.conrelid, pg_catalog.array_agg(DISTINCT t.oid) AS referenced \
         FROM keys k JOIN tree t ON t.root = k.confrelid GROUP BY k.conrelid"
    )
}

/// What has a value of its own in each row.
fn stored_columns(attributes: &[Arc<Attribute>]) -> Vec<String> {
    let stored = attributes.iter().filter(|column| !is_generated(column));
    stored.map(|column| column.name.clone()).collect()
}

fn insert_columns(attributes: &[Arc<Attribute>]) -> InsertColumns {
    let mut columns = InsertColumns::default();
    let mut stored = 0;
    for attribute in attributes {
        columns.overriding |= attribute.is_identity_always;
        match is_generated(attribute) {
            true => columns.generated.push(stored),
            false => stored += 1,
        }
    }
    columns
}

fn is_generated(attribute: &Attribute) -> bool {
    let default = attribute.default.as_ref();
    default.is_some_and(|default| default.kind != ExpressionKind::Default)
}

/// Plain tables and partitions that hold rows, foreign tables, and what extensions declare as configuration: of an
/// extension's tables those alone have rows that CREATE EXTENSION does not bring.
fn query(server: ServerVersion, rows: Rows) -> String {
    // Table access methods came with 12.
    let is_heap = since(
        server,
        12,
        "EXISTS (SELECT FROM pg_catalog.pg_am am WHERE am.oid = c.relam AND am.amname = 'heap')",
        "c.relkind = 'r'",
    );
    let configuration = "config.extension IS NOT NULL";
    let wanted = match rows {
        Rows::AllTables | Rows::WithoutDefinitions => {
            format!("({configuration} OR ({IS_USER_RELATION}))")
        }
        Rows::Configuration => configuration.to_owned(),
    };
    format!(
        "WITH RECURSIVE up AS ( \
           SELECT i.inhrelid AS part, i.inhparent AS oid, 1 AS depth FROM pg_catalog.pg_inherits i \
           JOIN pg_catalog.pg_class p ON p.oid = i.inhrelid AND p.relispartition AND p.relkind IN ('r', 'f') \
           UNION ALL SELECT up.part, i.inhparent, up.depth + 1 FROM up \
           JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid), \
         root AS (SELECT DISTINCT ON (up.part) up.part, rn.nspname::text AS schema, r.relname::text AS name, \
             pg_catalog.bool_or(p.partstrat = 'h' AND EXISTS (SELECT FROM pg_catalog.pg_opclass o \
               WHERE o.oid = ANY (p.partclass) AND o.opcname = 'enum_ops')) OVER (PARTITION BY up.part) AS is_unsafe \
           FROM up JOIN pg_catalog.pg_class r ON r.oid = up.oid \
           JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace \
           JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = up.oid \
           ORDER BY up.part, up.depth DESC) \
         SELECT c.oid, n.nspname, c.relname, \
           pg_catalog.pg_get_userbyid(c.relowner) AS owner, \
           root.schema AS root_schema, root.name AS root_name, COALESCE(root.is_unsafe, false) AS needs_root, \
           {is_heap} AS is_heap, c.relpersistence = 'u' AS is_unlogged, fs.srvname AS foreign_server, config.extension, config.condition \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN (SELECT e.oid AS extension, u.relation, NULLIF(u.condition, '') AS condition \
             FROM pg_catalog.pg_extension e, \
             ROWS FROM (pg_catalog.unnest(e.extconfig), pg_catalog.unnest(e.extcondition)) AS u (relation, condition)) config \
           ON config.relation = c.oid \
         LEFT JOIN root ON root.part = c.oid \
         LEFT JOIN pg_catalog.pg_foreign_table ft ON ft.ftrelid = c.oid \
         LEFT JOIN pg_catalog.pg_foreign_server fs ON fs.oid = ft.ftserver \
         WHERE c.relkind IN ('r', 'f') AND {wanted} \
         ORDER BY n.nspname, c.relname"
    )
}
