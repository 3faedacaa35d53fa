//! Reading a database as one side of a comparison.

use std::num::NonZeroU32;

use super::side::is_large_object;
use super::{Definitions, Tables, tables_of};
use crate::Result;
use crate::archive::{Compression, TextEncoding};
use crate::conn::{ConnectSettings, ServerVersion};
use crate::dump::selection::Selection;
use crate::dump::{ContentOptions, CreateOptions, SnapshotOptions, create, read_definitions};
use crate::event::Events;

/// Whether rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsRead {
    /// Definitions alone.
    None,
    /// In this encoding, as [`CreateOptions::encoding`] has it: digests of the same rows are equal in the same one only.
    InEncoding(Option<TextEncoding>),
}

/// What a database was under one snapshot.
pub struct DatabaseSide {
    /// Its definitions.
    pub definitions: Definitions,
    /// Its rows; `None` unless they were asked for.
    pub tables: Option<Tables>,
    /// The server.
    pub server: ServerVersion,
    /// Whether it has large objects, whose bytes are not compared.
    pub has_large_objects: bool,
    /// What was left out because pgstow cannot dump it, one line each.
    pub unsupported: Vec<String>,
}

/// Reads a database as a dump with these options would: the definitions, and the rows once if they are asked for.
///
/// # Errors
/// Those of [`create`].
pub async fn read_database(
    settings: &ConnectSettings,
    jobs: NonZeroU32,
    selection: &Selection,
    contents: &ContentOptions,
    rows: RowsRead,
    events: &Events,
) -> Result<DatabaseSide> {
    let held = read_definitions(settings, selection, contents).await?;
    let definitions = Definitions::of_database(&held.contents.entries);
    let server = held.session.version();
    let mut kinds = held.contents.entries.iter().map(|entry| entry.kind);
    let has_large_objects = kinds.any(|kind| is_large_object(kind.as_str()));
    let tables = match rows {
        RowsRead::None => None,
        RowsRead::InEncoding(encoding) => {
            let options = CreateOptions {
                compression: Compression::None,
                selection: selection.clone(),
                contents: contents.clone(),
                snapshot: SnapshotOptions {
                    imported: Some(held.snapshot.clone()),
                    ..SnapshotOptions::default()
                },
                encoding,
                ..CreateOptions::whole(jobs)
            };
            // A dump to nowhere: it reads with all connections, and its index has the digests.
            let read = create(settings, options, std::io::sink(), events.clone()).await?;
            Some(tables_of(&read.index().entries)?)
        }
    };
    Ok(DatabaseSide {
        definitions,
        tables,
        server,
        has_large_objects,
        unsupported: held.contents.unsupported,
    })
}
