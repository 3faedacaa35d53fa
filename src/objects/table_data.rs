//! The rows of a table: what `COPY` has to name.

use super::{DumpObject, Kind, ObjectId, Oid, Part, RenderContext, Rendered, Section, catalog};
use crate::Result;
use crate::conn::Session;

/// The rows of one table that stores rows itself (not partitioned, not foreign).
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
    /// Of configuration tables of extensions: the condition (`WHERE ...`) on the rows to dump.
    pub condition: Option<String>,
    /// Whether its access method is heap, so that ranges of blocks can be read by `ctid`.
    pub is_heap: bool,
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
        vec![ObjectId::definition(catalog::PG_CLASS, self.table)]
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(ObjectId::definition(catalog::PG_CLASS, self.table))
    }

    /// Nothing: the data members hold the COPY statements.
    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        Rendered::default()
    }
}

pub(crate) async fn read(_session: &Session) -> Result<Vec<TableData>> {
    Ok(Vec::new())
}
