//! FOREIGN KEY constraints (`pg_constraint`, contype `f`).
//!
//! One of a partitioned table has a clone on each partition, and one that references a partitioned table
//! a clone for each of its partitions. They come with it and are not created.

use super::catalog_query::read_all;
use super::relation::{IS_USER_RELATION, RelationName};
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, Oid, Part, RenderContext, Rendered,
    Section, catalog, quote,
};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// A foreign key.
#[derive(Clone, Debug)]
pub struct ForeignKey {
    oid: Oid,
    name: String,
    table: RelationName,
    owner: String,
    is_partitioned: bool,
    referenced: Oid,
    /// As `pg_get_constraintdef` prints it, with NOT VALID and NOT ENFORCED.
    definition: String,
    comment: Option<String>,
    /// Its clones.
    clones: Vec<Oid>,
    /// The internal triggers that uphold it and its clones.
    triggers: Vec<Oid>,
    /// Both tables and all their partitions: the statement locks them all.
    locked: Vec<Oid>,
    /// The partitions' parts of the referenced index: before all are attached it is not valid.
    referenced_index_partitions: Vec<Oid>,
}

pub(crate) async fn read(session: &Session) -> Result<Vec<ForeignKey>> {
    let sql = query(session.version());
    read_all(session, "foreign keys", &sql, |row| {
        Ok(ForeignKey {
            oid: row.try_get("oid")?,
            name: row.try_get("conname")?,
            table: RelationName::from_row(row, "table")?,
            owner: row.try_get("owner")?,
            is_partitioned: row.try_get("is_partitioned")?,
            referenced: row.try_get("confrelid")?,
            definition: row.try_get("definition")?,
            comment: row.try_get("comment")?,
            clones: row.try_get("clones")?,
            triggers: row.try_get("triggers")?,
            locked: row.try_get("locked")?,
            referenced_index_partitions: row.try_get("referenced_index_partitions")?,
        })
    })
    .await
}

fn query(server: ServerVersion) -> String {
    // Foreign keys have had clones since 11.
    let (is_root, children) = if server >= ServerVersion::major(11) {
        (
            "co.conparentid = 0",
            "SELECT conparentid, oid FROM pg_catalog.pg_constraint WHERE conparentid <> 0",
        )
    } else {
        (
            "true",
            "SELECT 0::pg_catalog.oid, 0::pg_catalog.oid WHERE false",
        )
    };
    // Both closures are computed once: a recursive subquery for each key reads all of pg_constraint each time.
    format!(
        "WITH RECURSIVE child (parent, oid) AS ({children}), \
         clone (root, oid) AS (SELECT parent, oid FROM child \
           UNION SELECT clone.root, child.oid FROM clone JOIN child ON child.parent = clone.oid), \
         clones AS (SELECT root, pg_catalog.array_agg(oid) AS oids FROM clone GROUP BY root), \
         descendant (root, oid) AS (SELECT inhparent, inhrelid FROM pg_catalog.pg_inherits \
           UNION SELECT d.root, i.inhrelid FROM descendant d \
             JOIN pg_catalog.pg_inherits i ON i.inhparent = d.oid), \
         descendants AS (SELECT root, pg_catalog.array_agg(oid) AS oids FROM descendant GROUP BY root) \
         SELECT co.oid, co.conname, co.confrelid, c.relkind = 'p' AS is_partitioned, \
           c.oid AS table_oid, n.nspname AS table_schema, c.relname AS table_name, \
           pg_catalog.pg_get_userbyid(c.relowner) AS owner, \
           pg_catalog.pg_get_constraintdef(co.oid) AS definition, \
           (SELECT de.description FROM pg_catalog.pg_description de WHERE de.objoid = co.oid \
             AND de.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND de.objsubid = 0) AS comment, \
           COALESCE(clones.oids, '{{}}') AS clones, \
           ARRAY(SELECT t.oid FROM pg_catalog.pg_trigger t \
             WHERE t.tgconstraint = ANY (clones.oids || co.oid)) AS triggers, \
           ARRAY(SELECT DISTINCT l.oid FROM pg_catalog.unnest( \
             ARRAY[co.conrelid, co.confrelid] || referencing.oids || referenced.oids) AS l (oid)) AS locked, \
           COALESCE(index_partitions.oids, '{{}}') AS referenced_index_partitions \
         FROM pg_catalog.pg_constraint co \
         JOIN pg_catalog.pg_class c ON c.oid = co.conrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN clones ON clones.root = co.oid \
         LEFT JOIN descendants referencing ON referencing.root = co.conrelid \
         LEFT JOIN descendants referenced ON referenced.root = co.confrelid \
         LEFT JOIN descendants index_partitions ON index_partitions.root = co.conindid \
         WHERE co.contype = 'f' AND {is_root} AND {IS_USER_RELATION} \
         ORDER BY n.nspname, c.relname, co.conname"
    )
}

impl DumpObject for ForeignKey {
    fn kind(&self) -> Kind {
        Kind::ForeignKey
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_CONSTRAINT, self.oid)
    }

    fn claims(&self) -> Vec<CatalogId> {
        let constraints = self.clones.iter();
        let triggers = self.triggers.iter();
        let mut claims = vec![self.id().catalog];
        claims.extend(constraints.map(|&oid| CatalogId::new(catalog::PG_CONSTRAINT, oid)));
        claims.extend(triggers.map(|&oid| CatalogId::new(catalog::PG_TRIGGER, oid)));
        claims
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.table.schema)
    }

    fn tag(&self) -> String {
        format!("{} {}", self.table.name, self.name)
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    /// Both tables with their rows, and the referenced index as a whole.
    fn extra_dependencies(&self) -> Vec<ObjectId> {
        let tables = [self.table.oid, self.referenced];
        let mut needed = Vec::new();
        for table in tables {
            let id = ObjectId::definition(catalog::PG_CLASS, table);
            needed.extend([id, id.with_part(Part::Data)]);
        }
        for &index in &self.referenced_index_partitions {
            needed.push(ObjectId::definition(catalog::PG_CLASS, index).with_part(Part::Attach));
        }
        needed
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.table.id())
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        self.locked
            .iter()
            .map(|&oid| ObjectId::definition(catalog::PG_CLASS, oid))
            .map(|id| (id, LockStrength::Exclusive))
            .collect()
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let table = self.table.sql();
        let name = quote::ident(&self.name);
        // A partitioned table's foreign key is its partitions' too; the server refuses ONLY.
        let only = if self.is_partitioned { "" } else { "ONLY " };
        Rendered {
            create: vec![format!(
                "ALTER TABLE {only}{table} ADD CONSTRAINT {name} {};",
                self.definition
            )],
            drop: Some(format!(
                "ALTER TABLE IF EXISTS {table} DROP CONSTRAINT IF EXISTS {name};"
            )),
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&format!("CONSTRAINT {name} ON {table}"), text))
                .collect(),
            ..Rendered::default()
        }
    }
}
