//! ENABLE ROW LEVEL SECURITY: what puts a table's policies in force. FORCE is the table's own.

use super::catalog_query::read_all;
use super::relation::{IS_USER_RELATION, RelationName};
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, Part, RenderContext, Rendered, Section,
};
use crate::Result;
use crate::conn::Session;

/// That row level security is on for a table.
#[derive(Clone, Debug)]
pub struct RowSecurity {
    table: RelationName,
    owner: String,
}

pub(crate) async fn read(session: &Session) -> Result<Vec<RowSecurity>> {
    let sql = format!(
        "SELECT c.oid AS table_oid, n.nspname AS table_schema, c.relname AS table_name, \
           pg_catalog.pg_get_userbyid(c.relowner) AS owner \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relrowsecurity AND {IS_USER_RELATION} \
         ORDER BY n.nspname, c.relname"
    );
    read_all(session, "tables with row security", &sql, |row| {
        Ok(RowSecurity {
            table: RelationName::from_row(row, "table")?,
            owner: row.try_get("owner")?,
        })
    })
    .await
}

impl DumpObject for RowSecurity {
    fn kind(&self) -> Kind {
        Kind::RowSecurity
    }

    fn id(&self) -> ObjectId {
        self.table.id().with_part(Part::RowSecurity)
    }

    fn claims(&self) -> Vec<CatalogId> {
        Vec::new()
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.table.schema)
    }

    fn tag(&self) -> String {
        self.table.name.clone()
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        vec![self.table.id()]
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.table.id())
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        vec![(self.table.id(), LockStrength::Exclusive)]
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        Rendered {
            create: vec![format!(
                "ALTER TABLE {} ENABLE ROW LEVEL SECURITY;",
                self.table.sql()
            )],
            ..Rendered::default()
        }
    }
}
