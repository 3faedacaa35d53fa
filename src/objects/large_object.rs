//! large_object: to be written.

use super::{DumpObject, Kind, ObjectId, RenderContext, Rendered, Section};
use crate::Result;
use crate::conn::Session;

/// To be written.
#[derive(Clone, Debug)]
pub struct LargeObject {
    id: ObjectId,
}

impl DumpObject for LargeObject {
    fn kind(&self) -> Kind {
        Kind::LargeObject
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
pub struct LargeObjectData {
    id: ObjectId,
    /// The large objects whose contents belong to this entry, ascending.
    pub oids: Vec<super::Oid>,
}

impl DumpObject for LargeObjectData {
    fn kind(&self) -> Kind {
        Kind::LargeObjectData
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

pub(crate) async fn read(_session: &Session) -> Result<Vec<LargeObject>> {
    Ok(Vec::new())
}

pub(crate) async fn read_large_object_data(_session: &Session) -> Result<Vec<LargeObjectData>> {
    Ok(Vec::new())
}
