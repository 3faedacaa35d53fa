//! One side of a comparison: what an archive or a database defines and holds.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::{Definitions, SideTables};
use crate::Result;
use crate::archive::{ArchiveReader, Compression, TextEncoding};
use crate::conn::{ConnectSettings, ServerVersion};
use crate::dump::selection::Selection;
use crate::dump::{ContentOptions, CreateOptions, SnapshotOptions, create, read_definitions};
use crate::event::Events;
use crate::objects::Kind;
use crate::restore::{RestoreOptions, chosen_entries};
use crate::storage::spawn_blocking;

/// Whether rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsRead {
    /// Definitions alone.
    None,
    /// In this encoding, as [`CreateOptions::encoding`] has it: digests of the same rows are equal in the same one only.
    InEncoding(Option<TextEncoding>),
}

/// What an archive or a database defines and holds.
#[derive(Debug)]
pub struct Side {
    /// Its definitions.
    pub definitions: Definitions,
    /// Its rows; `None` unless they were asked for.
    pub tables: Option<SideTables>,
    /// The server that it is on or came from.
    pub server: ServerVersion,
    /// Whether it has large objects, whose bytes are not compared.
    pub has_large_objects: bool,
    /// What was left out because pgstow cannot dump it, one line each.
    pub unsupported: Vec<String>,
}

impl Side {
    /// What an archive has of it. Reads no rows: their digests stand in the index.
    ///
    /// # Errors
    /// `Usage` if the selection matches nothing, `Damaged`.
    pub async fn of_archive(
        archive: &Arc<ArchiveReader>,
        selection: &Selection,
        contents: &ContentOptions,
        with_rows: bool,
    ) -> Result<Side> {
        let archive = Arc::clone(archive);
        let options = RestoreOptions {
            selection: selection.clone(),
            parts: contents.parts.clone(),
            ..RestoreOptions::whole(std::num::NonZeroUsize::MIN)
        };
        let no_owner = contents.no_owner;
        spawn_blocking(move || {
            let index = archive.index();
            let entries = chosen_entries(index, &options)?;
            let tables = match with_rows {
                true => Some(SideTables::of(entries.iter().copied())?),
                false => None,
            };
            Ok(Side {
                has_large_objects: entries.iter().any(|entry| is_large_object(&entry.kind)),
                definitions: Definitions::of_archive(&archive, entries, no_owner)?,
                tables,
                server: ServerVersion::from_num(index.header.server_version_num),
                unsupported: Vec::new(),
            })
        })
        .await
    }

    /// Reads a database as a dump with these options would, under one snapshot: the definitions, and the rows once if they
    /// are asked for.
    ///
    /// # Errors
    /// Those of [`create`].
    pub async fn of_database(
        settings: &ConnectSettings,
        jobs: NonZeroU32,
        selection: &Selection,
        contents: &ContentOptions,
        rows: RowsRead,
        events: &Events,
    ) -> Result<Side> {
        let held = read_definitions(settings, selection, contents).await?;
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
                Some(SideTables::of(&read.index().entries)?)
            }
        };
        Ok(Side {
            definitions: Definitions::of_database(&held.contents.entries),
            tables,
            server: held.session.version(),
            has_large_objects,
            unsupported: held.contents.unsupported,
        })
    }

    /// A side of which nothing is wanted.
    pub fn empty(with_rows: bool, server: ServerVersion) -> Side {
        Side {
            definitions: Definitions::default(),
            tables: with_rows.then(SideTables::default),
            server,
            has_large_objects: false,
            unsupported: Vec::new(),
        }
    }

    /// Whether the other side's server deparses the same objects to the same SQL.
    pub fn deparses_as(&self, other: &Side) -> bool {
        self.server.major_number() == other.server.major_number()
    }
}

fn is_large_object(kind: &str) -> bool {
    kind == Kind::LargeObjectData.as_str()
}
