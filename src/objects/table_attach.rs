//! ATTACH PARTITION: binds a partition to its partitioned table with its bounds.

use super::catalog_query::read_all;
use super::plain_definition::Deparser;
use super::relation::{IS_USER_RELATION, RelationName};
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, Oid, Part, RenderContext, Rendered,
    Section, catalog,
};
use crate::Result;
use crate::conn::Session;

/// What makes a table a partition.
#[derive(Clone, Debug)]
pub struct TableAttach {
    partition: RelationName,
    owner: String,
    parent: RelationName,
    /// `FOR VALUES ...` or `DEFAULT`.
    bound: String,
    /// The partition's valid check constraints: without those of its parent it cannot be attached.
    checks: Vec<Oid>,
}

pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<TableAttach>> {
    let sql = format!(
        "SELECT c.oid AS partition_oid, n.nspname AS partition_schema, c.relname AS partition_name, \
           pg_catalog.pg_get_userbyid(c.relowner) AS owner, \
           p.oid AS parent_oid, pn.nspname AS parent_schema, p.relname AS parent_name, \
           {bound} AS bound, checks.oids AS checks \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid \
         JOIN pg_catalog.pg_class p ON p.oid = i.inhparent \
         JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
         LEFT JOIN (SELECT k.conrelid, pg_catalog.array_agg(k.oid) AS oids FROM pg_catalog.pg_constraint k \
           WHERE k.contype = 'c' AND k.convalidated GROUP BY k.conrelid) checks ON checks.conrelid = c.oid \
         WHERE c.relkind IN ('r', 'p', 'f') AND c.relispartition AND {IS_USER_RELATION} \
         ORDER BY n.nspname, c.relname",
        bound = (deparser.deparsed())
            .of_relation("c.oid", "pg_catalog.pg_get_expr(c.relpartbound, c.oid)"),
    );
    read_all(session, "partitions", &sql, |row| {
        Ok(TableAttach {
            partition: RelationName::from_row(row, "partition")?,
            owner: row.try_get("owner")?,
            parent: RelationName::from_row(row, "parent")?,
            bound: row.try_get("bound")?,
            checks: row
                .try_get::<_, Option<Vec<Oid>>>("checks")?
                .unwrap_or_default(),
        })
    })
    .await
}

impl DumpObject for TableAttach {
    fn kind(&self) -> Kind {
        Kind::TableAttach
    }

    fn id(&self) -> ObjectId {
        self.partition.id().with_part(Part::Attach)
    }

    fn claims(&self) -> Vec<CatalogId> {
        Vec::new()
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.partition.schema)
    }

    fn tag(&self) -> String {
        self.partition.name.clone()
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        let checks = self.checks.iter();
        checks
            .map(|&oid| ObjectId::definition(catalog::PG_CONSTRAINT, oid))
            .chain([self.parent.id(), self.partition.id()])
            .collect()
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.partition.id())
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        vec![
            (self.parent.id(), LockStrength::Exclusive),
            (self.partition.id(), LockStrength::Exclusive),
        ]
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        Rendered {
            create: vec![format!(
                "ALTER TABLE ONLY {} ATTACH PARTITION {} {};",
                self.parent.sql(),
                self.partition.sql(),
                self.bound
            )],
            ..Rendered::default()
        }
    }
}
