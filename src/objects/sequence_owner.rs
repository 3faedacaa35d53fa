//! OWNED BY: the column that a sequence goes with (`pg_depend`, deptype `a`).

use super::catalog_query::read_all;
use super::relation::{IS_USER_RELATION, RelationName};
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, Part, RenderContext, Rendered, Section,
    quote,
};
use crate::Result;
use crate::conn::Session;

/// Which column owns a sequence.
#[derive(Clone, Debug)]
pub struct SequenceOwner {
    sequence: RelationName,
    owner: String,
    table: RelationName,
    column: String,
}

pub(crate) async fn read(session: &Session) -> Result<Vec<SequenceOwner>> {
    let sql = format!(
        "SELECT c.oid AS sequence_oid, n.nspname AS sequence_schema, c.relname AS sequence_name, \
           pg_catalog.pg_get_userbyid(c.relowner) AS owner, \
           t.oid AS table_oid, tn.nspname AS table_schema, t.relname AS table_name, a.attname \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_depend d ON d.objid = c.oid AND d.deptype = 'a' \
           AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objsubid = 0 \
           AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
         JOIN pg_catalog.pg_class t ON t.oid = d.refobjid \
         JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
         WHERE c.relkind = 'S' AND d.refobjsubid > 0 AND {IS_USER_RELATION} \
         ORDER BY n.nspname, c.relname"
    );
    read_all(session, "owners of sequences", &sql, |row| {
        Ok(SequenceOwner {
            sequence: RelationName::from_row(row, "sequence")?,
            owner: row.try_get("owner")?,
            table: RelationName::from_row(row, "table")?,
            column: row.try_get("attname")?,
        })
    })
    .await
}

impl DumpObject for SequenceOwner {
    fn kind(&self) -> Kind {
        Kind::SequenceOwner
    }

    fn id(&self) -> ObjectId {
        self.sequence.id().with_part(Part::Attach)
    }

    fn claims(&self) -> Vec<CatalogId> {
        Vec::new()
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.sequence.schema)
    }

    fn tag(&self) -> String {
        self.sequence.name.clone()
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        vec![self.sequence.id(), self.table.id()]
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.sequence.id())
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        vec![
            (self.sequence.id(), LockStrength::Exclusive),
            (self.table.id(), LockStrength::Exclusive),
        ]
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        Rendered {
            create: vec![format!(
                "ALTER SEQUENCE {} OWNED BY {}.{};",
                self.sequence.sql(),
                self.table.sql(),
                quote::ident(&self.column)
            )],
            ..Rendered::default()
        }
    }
}
