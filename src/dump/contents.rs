//! Everything that will be dumped, rendered and in order. Read from the catalogs by [`read_contents`].

use crate::archive::{DumpId, Section};
use crate::conn::Session;
use crate::event::Events;
use crate::objects::{Kind, LargeObjectData, TableData};
use crate::{Error, Result};

use super::selection::Selection;

/// Which parts of the selected objects are wanted.
#[derive(Clone, Debug, Default)]
pub struct ContentOptions {
    /// `-s`: definitions only.
    pub schema_only: bool,
    /// `-a`: data only.
    pub data_only: bool,
    /// `-O`: no ALTER ... OWNER.
    pub no_owner: bool,
    /// `-x`: no GRANT, no REVOKE.
    pub no_privileges: bool,
    /// `--skip-unsupported`: list what cannot be dumped yet instead of stopping.
    pub skip_unsupported: bool,
}

/// The contents of a dump in script order.
#[derive(Debug)]
pub struct Contents {
    /// All entries; `entries[i].id.0 == i + 1`.
    pub entries: Vec<ContentEntry>,
    /// Objects that are left out because `--skip-unsupported` was given, one line each.
    pub unsupported: Vec<String>,
}

/// One entry of the future table of contents with its SQL.
#[derive(Debug)]
pub struct ContentEntry {
    /// Its number, counted from 1 in script order.
    pub id: DumpId,
    /// Its kind.
    pub kind: Kind,
    /// The schema it lies in.
    pub schema: Option<String>,
    /// Its name in the table of contents.
    pub tag: String,
    /// See `archive::TocEntry::relation`.
    pub relation: Option<DumpId>,
    /// See `archive::TocEntry::subject`.
    pub subject: Option<DumpId>,
    /// Its owner's role name.
    pub owner: Option<String>,
    /// Its section after loop repair.
    pub section: Section,
    /// Entries that come before it and that it needs.
    pub depends_on: Vec<DumpId>,
    /// Tables that its statements lock, `true` for exclusively.
    pub locks: Vec<(DumpId, bool)>,
    /// The statement that drops it.
    pub drop: Option<String>,
    /// Statements, one each, with their semicolon.
    pub create: Vec<String>,
    /// ALTER ... OWNER TO, unless `no_owner`.
    pub alter_owner: Option<String>,
    /// What the data phase has to copy for this entry.
    pub data: Option<DataSource>,
}

/// What the data phase copies.
#[derive(Clone, Debug)]
pub enum DataSource {
    /// The rows of a table.
    Table(TableData),
    /// The contents of large objects.
    LargeObjects(LargeObjectData),
}

/// Reads the catalogs under the session's snapshot, sweeps them for unclaimed rows, orders and renders.
///
/// # Errors
/// `Unsupported` with the names of all objects that no kind claims, unless `skip_unsupported`;
/// `Usage` if a pattern of the selection matches nothing (pg_dump's rule: an error only if no
/// table or schema matched at all); `Catalog`.
pub async fn read_contents(
    _session: &Session,
    _selection: &Selection,
    _options: &ContentOptions,
    _events: &Events,
) -> Result<Contents> {
    Err(Error::internal("dump::contents is not written yet"))
}
