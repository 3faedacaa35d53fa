//! function: to be written.

use super::{DumpObject, Kind, ObjectId, RenderContext, Rendered, Section};
use crate::Result;
use crate::conn::Session;

/// To be written.
#[derive(Clone, Debug)]
pub struct Function {
    id: ObjectId,
}

impl DumpObject for Function {
    fn kind(&self) -> Kind {
        Kind::Function
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

pub(crate) async fn read(_session: &Session) -> Result<Vec<Function>> {
    Ok(Vec::new())
}
