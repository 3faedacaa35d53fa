//! materialized_view: to be written.

use super::{DumpObject, Kind, ObjectId, RenderContext, Rendered, Section};
use crate::Result;
use crate::conn::Session;

/// To be written.
#[derive(Clone, Debug)]
pub struct MaterializedView {
    id: ObjectId,
}

impl DumpObject for MaterializedView {
    fn kind(&self) -> Kind {
        Kind::MaterializedView
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
pub struct MaterializedViewData {
    id: ObjectId,
}

impl DumpObject for MaterializedViewData {
    fn kind(&self) -> Kind {
        Kind::MaterializedViewData
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

pub(crate) async fn read(_session: &Session) -> Result<Vec<MaterializedView>> {
    Ok(Vec::new())
}

pub(crate) async fn read_materialized_view_data(
    _session: &Session,
) -> Result<Vec<MaterializedViewData>> {
    Ok(Vec::new())
}
