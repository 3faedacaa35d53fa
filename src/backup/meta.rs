//! `FILE.meta`: what a backup is, in JSON, readable without opening the archive.

use serde::{Deserialize, Serialize};

use super::retention::Kind;
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
    /// Whose backup it is: the NAME of its file name.
    pub name: String,
    /// What made it.
    pub kind: Kind,
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
    /// From start to end.
    pub duration_ms: u64,
    /// The snapshot that all rows come from.
    pub snapshot: String,
    /// Bytes of the data file as stored.
    pub size: u64,
    /// SHA-256 of the data file as stored, 64 hexadecimal digits.
    pub sha256: String,
    /// BLAKE3 of the archive's index as its footer has it, 64 hexadecimal digits. It covers every member.
    pub blake3: String,
    /// Whether the data file is encrypted (age).
    pub encrypted: bool,
    /// Rows of all tables together.
    pub rows: u64,
    /// Bytes of COPY text of all tables together.
    pub bytes: u64,
    /// The tables whose rows it holds.
    pub tables: Vec<TableMeta>,
    /// Codec and jobs as given.
    pub settings: Settings,
    /// Options that make it less than the whole database; empty for a whole one.
    pub partial: Vec<String>,
    /// Objects left out by `--skip-unsupported`.
    pub unsupported: Vec<String>,
    /// What fell sharply against the previous set of its kind, a line each; empty if nothing did.
    pub anomalies: Vec<String>,
    /// Whether retention leaves it alone.
    pub pinned: bool,
    /// When and how it was verified last; `null` for never.
    pub verified: Option<Verified>,
    /// The last restore into a scratch database that proved it; `null` for never.
    pub drilled: Option<Drilled>,
    /// What a newer pgstow of the same format wrote beside.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
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

/// A verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Verified {
    /// RFC 3339, UTC.
    pub at: String,
    /// How far it looked.
    pub how: How,
    /// Whether it found nothing wrong. A set that is not intact never counts as a kept one.
    pub intact: bool,
}

impl Verified {
    /// One that ends now.
    pub(super) fn now(how: How, intact: bool) -> Verified {
        Verified {
            at: jiff::Timestamp::now().to_string(),
            how,
            intact,
        }
    }
}

/// How far a verification looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Footer, index and sizes.
    Quick,
    /// Every byte, row and statement.
    ReadData,
    /// Restored and compared.
    Restore,
}

impl How {
    /// As in `.meta`.
    pub fn as_str(self) -> &'static str {
        match self {
            How::Quick => "quick",
            How::ReadData => "read-data",
            How::Restore => "restore",
        }
    }
}

/// A restore that proved a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Drilled {
    /// RFC 3339, UTC.
    pub at: String,
    /// `server_version` of the server it was restored into.
    pub server_version: String,
    /// Objects whose definitions were compared.
    pub objects: u64,
    /// Tables whose rows and digests were compared.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// From the start to the end of the comparison.
    pub elapsed_ms: u64,
}

/// What an archive's index does not say about its set.
#[derive(Clone, Debug)]
pub struct SetFile {
    /// The data file's base name.
    pub file: String,
    /// The NAME of its file name.
    pub name: String,
    /// What made it.
    pub kind: Kind,
    /// Bytes as stored.
    pub size: u64,
    /// SHA-256 as stored.
    pub sha256: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Codec and jobs.
    pub settings: Settings,
    /// What `--skip-unsupported` left out.
    pub unsupported: Vec<String>,
    /// End of the run.
    pub finished: jiff::Timestamp,
}

/// What an archive of the cluster's globals says of itself among its options.
pub(crate) const GLOBALS_OPTION: &str = "--globals";

impl Meta {
    /// Describes a finished archive and the file it is stored in.
    pub fn of_archive<W>(archive: &WrittenArchive<W>, file: SetFile) -> Meta {
        let header = &archive.index.header;
        let tables = table_metas(&archive.index);
        let started: Option<jiff::Timestamp> = header.started.parse().ok();
        let duration = started.map(|started| file.finished.duration_since(started).as_millis());
        Meta {
            meta_format: META_FORMAT,
            id: header.archive_id.clone(),
            file: file.file,
            name: file.name,
            kind: file.kind,
            database: header.database.clone(),
            server_version: header.server_version.clone(),
            tool: header.tool.clone(),
            started: header.started.clone(),
            finished: file.finished.to_string(),
            // A clock that was set back meanwhile makes no run shorter than nothing.
            duration_ms: duration.map_or(0, |ms| u64::try_from(ms).unwrap_or(0)),
            snapshot: header.snapshot.clone(),
            size: file.size,
            sha256: file.sha256,
            blake3: archive.blake3.clone(),
            encrypted: file.encrypted,
            rows: tables.iter().map(|table| table.rows).sum(),
            bytes: tables.iter().map(|table| table.bytes).sum(),
            tables,
            settings: file.settings,
            partial: header.partial.clone(),
            unsupported: file.unsupported,
            anomalies: Vec::new(),
            pinned: false,
            verified: None,
            drilled: None,
            other: serde_json::Map::new(),
        }
    }

    /// Whether it holds all of what it is about, and no check has found fault with it.
    pub fn is_good(&self) -> bool {
        self.is_whole() && !self.is_damaged()
    }

    /// Whether it holds all of what it is about: a database, or the cluster's globals.
    pub fn is_whole(&self) -> bool {
        self.partial.is_empty() || self.is_of_cluster()
    }

    /// Whether it holds the cluster's globals and no database.
    pub fn is_of_cluster(&self) -> bool {
        self.partial == [GLOBALS_OPTION]
    }

    /// Whether the last check found it damaged.
    pub fn is_damaged(&self) -> bool {
        self.verified
            .as_ref()
            .is_some_and(|verified| !verified.intact)
    }

    /// As it stands in the file.
    ///
    /// # Errors
    /// `Internal`.
    pub fn to_text(&self) -> crate::Result<String> {
        serde_json::to_string_pretty(self)
            .map(|json| json + "\n")
            .map_err(|e| crate::Error::internal("the .meta is no JSON").caused_by(e))
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
