//! index_attach: to be written.

use super::{DumpObject, Kind, ObjectId, RenderContext, Rendered, Section};
use crate::Result;
use crate::conn::Session;

/// To be written.
#[derive(Clone, Debug)]
pub struct IndexAttach {
    id: ObjectId,
}

impl DumpObject for IndexAttach {
    fn kind(&self) -> Kind {
        Kind::IndexAttach
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

pub(crate) async fn read(_session: &Session) -> Result<Vec<IndexAttach>> {
    Ok(Vec::new())
}
