//! OWNED BY: the column that a sequence goes with (`pg_depend`, deptype `a`). Read with the sequence.

use super::relation::RelationName;
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, Part, RenderContext, Rendered, Section,
    quote,
};

/// Which column owns a sequence.
#[derive(Clone, Debug)]
pub struct SequenceOwner {
    pub(super) sequence: RelationName,
    pub(super) owner: String,
    pub(super) table: RelationName,
    pub(super) column: String,
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
