//! One side of a comparison: what an archive or a database defines and holds.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::counted::counted;
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
    /// Who wrote the definitions.
    pub written_by: WrittenBy,
    /// Whether it has large objects, whose bytes are not compared.
    pub has_large_objects: bool,
    /// What was left out because pgstow cannot dump it, one line each.
    pub unsupported: Vec<String>,
}

/// Whose words definitions are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrittenBy {
    /// pgstow's, from a database or in an archive.
    Pgstow,
    /// Those of a version of pg_dump: `pg_dump 18.3`.
    PgDump(String),
}

/// How far the definitions of two sides can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparable {
    /// Equal objects have equal SQL.
    Sql,
    /// Servers of other majors deparse the same objects otherwise.
    Names,
    /// Other programs write the same objects otherwise, and make entries of other parts of them.
    CommonNames,
}

impl Side {
    /// What an archive has of it. Rows are read of archives of pg_dump, and of tables whose columns are wanted in another order:
    /// else their digests stand in the index.
    ///
    /// # Errors
    /// `Usage` if the selection matches nothing or rows have no digest, `Damaged`.
    pub async fn of_archive(
        archive: &Arc<ArchiveReader>,
        jobs: NonZeroU32,
        selection: &Selection,
        contents: &ContentOptions,
        with_rows: bool,
        events: &Events,
    ) -> Result<Side> {
        let options = of_archive(selection, contents);
        let counted = match with_rows {
            true => {
                let chosen = chosen_entries(archive.index(), &options)?;
                Some(counted(archive, chosen, &contents.column_order, jobs, events).await?)
            }
            false => None,
        };
        let archive = Arc::clone(archive);
        let no_owner = contents.no_owner;
        spawn_blocking(move || {
            let index = archive.index();
            let entries = chosen_entries(index, &options)?;
            let tables = counted.as_ref().map(SideTables::of).transpose()?;
            let written_by = match index.header.pg_dump {
                Some(_) => WrittenBy::PgDump(index.header.tool.clone()),
                None => WrittenBy::Pgstow,
            };
            Ok(Side {
                written_by,
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
            written_by: WrittenBy::Pgstow,
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
            written_by: WrittenBy::Pgstow,
            has_large_objects: false,
            unsupported: Vec::new(),
        }
    }

    /// How far the definitions of both can be compared.
    pub fn comparable_with(&self, other: &Side) -> Comparable {
        if self.written_by != other.written_by {
            Comparable::CommonNames
        } else if self.server.major_number() != other.server.major_number() {
            Comparable::Names
        } else {
            Comparable::Sql
        }
    }
}

/// What a comparison chooses of an archive.
fn of_archive(selection: &Selection, contents: &ContentOptions) -> RestoreOptions {
    RestoreOptions {
        selection: selection.clone(),
        parts: contents.parts.clone(),
        ..RestoreOptions::whole(std::num::NonZeroUsize::MIN)
    }
}

fn is_large_object(kind: &str) -> bool {
    kind == Kind::LargeObjectData.as_str()
}
