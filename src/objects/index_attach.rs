//! ATTACH PARTITION of indexes: binds a partition's index to the partitioned table's. From 11.

use super::catalog_query::read_all;
use super::relation::{IS_USER_RELATION, RelationName};
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, Part, RenderContext, Rendered, Section,
};
use crate::Result;
use crate::conn::Session;

/// What makes an index part of a partitioned index.
#[derive(Clone, Debug)]
pub struct IndexAttach {
    index: RelationName,
    table: RelationName,
    owner: String,
    parent: RelationName,
    parent_table: RelationName,
}

pub(crate) async fn read(session: &Session) -> Result<Vec<IndexAttach>> {
    // 10 has no partitioned indexes, and finds no rows here. An index that is not dumped for being invalid is no part of
    // another one, which stays invalid. One behind EXCLUDE or WITHOUT OVERLAPS cannot be attached, see `constraint.rs`.
    let sql = format!(
        "SELECT ic.oid AS index_oid, n.nspname AS index_schema, ic.relname AS index_name, \
           c.oid AS table_oid, n.nspname AS table_schema, c.relname AS table_name, \
           pg_catalog.pg_get_userbyid(c.relowner) AS owner, \
           pi.oid AS parent_oid, pn.nspname AS parent_schema, pi.relname AS parent_name, \
           p.oid AS parent_table_oid, pn.nspname AS parent_table_schema, p.relname AS parent_table_name \
         FROM pg_catalog.pg_inherits h \
         JOIN pg_catalog.pg_class ic ON ic.oid = h.inhrelid AND ic.relkind IN ('i', 'I') \
         JOIN pg_catalog.pg_index i ON i.indexrelid = ic.oid \
         JOIN pg_catalog.pg_class c ON c.oid = i.indrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_class pi ON pi.oid = h.inhparent \
         JOIN pg_catalog.pg_index pix ON pix.indexrelid = pi.oid \
         JOIN pg_catalog.pg_class p ON p.oid = pix.indrelid \
         JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
         WHERE {IS_USER_RELATION} AND (c.relkind = 'p' OR i.indisvalid AND i.indisready) AND NOT i.indisexclusion \
         ORDER BY n.nspname, ic.relname"
    );
    read_all(session, "partitions of indexes", &sql, |row| {
        Ok(IndexAttach {
            index: RelationName::from_row(row, "index")?,
            table: RelationName::from_row(row, "table")?,
            owner: row.try_get("owner")?,
            parent: RelationName::from_row(row, "parent")?,
            parent_table: RelationName::from_row(row, "parent_table")?,
        })
    })
    .await
}

impl DumpObject for IndexAttach {
    fn kind(&self) -> Kind {
        Kind::IndexAttach
    }

    fn id(&self) -> ObjectId {
        self.index.id().with_part(Part::Attach)
    }

    fn claims(&self) -> Vec<CatalogId> {
        Vec::new()
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.index.schema)
    }

    fn tag(&self) -> String {
        self.index.name.clone()
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    /// Both indexes, and the table must be a partition already.
    fn extra_dependencies(&self) -> Vec<ObjectId> {
        vec![
            self.index.id(),
            self.parent.id(),
            self.table.id().with_part(Part::Attach),
        ]
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.table.id())
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        vec![
            (self.parent_table.id(), LockStrength::Exclusive),
            (self.table.id(), LockStrength::Exclusive),
        ]
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        Rendered {
            create: vec![format!(
                "ALTER INDEX {} ATTACH PARTITION {};",
                self.parent.sql(),
                self.index.sql()
            )],
            ..Rendered::default()
        }
    }
}
