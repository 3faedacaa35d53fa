//! sequence_set: to be written.

use super::{DumpObject, Kind, ObjectId, RenderContext, Rendered, Section};
use crate::Result;
use crate::conn::Session;

/// To be written.
#[derive(Clone, Debug)]
pub struct SequenceSet {
    id: ObjectId,
}

impl DumpObject for SequenceSet {
    fn kind(&self) -> Kind {
        Kind::SequenceSet
    }
    fn id(&self) -> ObjectId {
        self.id
    }
    fn schema(&self) -> Option<&str> {
        None
    }
    fn tag(&self) -> String {
        String::new()
    }
    fn section(&self) -> Section {
        Section::PreData
    }
    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        Rendered::default()
    }
}

pub(crate) async fn read(_session: &Session) -> Result<Vec<SequenceSet>> {
    Ok(Vec::new())
}
