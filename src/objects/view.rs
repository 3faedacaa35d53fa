//! view: to be written.

use super::{DumpObject, Kind, ObjectId, RenderContext, Rendered, Section};
use crate::Result;
use crate::conn::Session;

/// To be written.
#[derive(Clone, Debug)]
pub struct View {
    id: ObjectId,
}

impl DumpObject for View {
    fn kind(&self) -> Kind {
        Kind::View
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

/// To be written.
#[derive(Clone, Debug)]
pub struct ViewQuery {
    id: ObjectId,
}

impl DumpObject for ViewQuery {
    fn kind(&self) -> Kind {
        Kind::ViewQuery
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

pub(crate) async fn read(_session: &Session) -> Result<Vec<View>> {
    Ok(Vec::new())
}

pub(crate) async fn read_view_query(_session: &Session) -> Result<Vec<ViewQuery>> {
    Ok(Vec::new())
}
