//! `FILE.meta`: what a backup is, in JSON, readable without opening the archive.

use serde::{Deserialize, Serialize};

use crate::archive::{Index, WrittenArchive};

/// The version of the `.meta` format that this pgstow writes.
pub const META_FORMAT: u32 = 1;

/// The contents of `FILE.meta`. Holds no secrets and no row values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Version of this format, see [`META_FORMAT`].
    pub meta_format: u32,
    /// The archive's id, as in its index.
    pub id: String,
    /// The data file's base name.
    pub file: String,
    /// `manual`: made by hand. Scheduled kinds come with the scheduler.
    pub kind: String,
    /// The source database.
    pub database: String,
    /// `server_version` of the source.
    pub server_version: String,
    /// `pgstow 0.1.0`
    pub tool: String,
    /// Start of the run, RFC 3339, UTC.
    pub started: String,
    /// End of the run, RFC 3339, UTC.
    pub finished: String,
    /// The snapshot that all rows come from.
    pub snapshot: String,
    /// Bytes of the data file.
    pub size: u64,
    /// SHA-256 of the data file, 64 hexadecimal digits.
    pub sha256: String,
    /// Rows of all tables together.
    pub rows: u64,
    /// The tables whose rows it holds.
    pub tables: Vec<TableMeta>,
    /// Codec and jobs as given.
    pub settings: Settings,
    /// Options that make it less than the whole database; empty for a whole one.
    pub partial: Vec<String>,
    /// Objects left out by `--skip-unsupported`.
    pub unsupported: Vec<String>,
    /// When and how it was verified last; `null` for never.
    pub verified: Option<String>,
}

/// How the backup was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// `gzip:1`, `zstd:3` or `none`.
    pub compression: String,
    /// Connections that copied rows.
    pub jobs: u32,
}

/// One table's rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableMeta {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of COPY text.
    pub bytes: u64,
    /// Row digest, see `archive::TableRows::digest`.
    pub digest: String,
}

impl Meta {
    /// Describes a finished archive.
    pub fn of_archive<W>(
        archive: &WrittenArchive<W>,
        file: String,
        finished: jiff::Timestamp,
        settings: Settings,
        unsupported: Vec<String>,
    ) -> Meta {
        let header = &archive.index.header;
        let tables = table_metas(&archive.index);
        Meta {
            meta_format: META_FORMAT,
            id: header.archive_id.clone(),
            file,
            kind: "manual".to_owned(),
            database: header.database.clone(),
            server_version: header.server_version.clone(),
            tool: header.tool.clone(),
            started: header.started.clone(),
            finished: finished.to_string(),
            snapshot: header.snapshot.clone(),
            size: archive.size,
            sha256: archive.sha256.clone(),
            rows: tables.iter().map(|table| table.rows).sum(),
            tables,
            settings,
            partial: header.partial.clone(),
            unsupported,
            verified: None,
        }
    }
}

fn table_metas(index: &Index) -> Vec<TableMeta> {
    index
        .entries
        .iter()
        .filter_map(|entry| {
            let rows = entry.rows.as_ref()?;
            Some(TableMeta {
                schema: entry.schema.clone()?,
                name: entry.name.clone(),
                rows: rows.rows,
                bytes: rows.bytes,
                digest: rows.digest.clone(),
            })
        })
        .collect()
}
