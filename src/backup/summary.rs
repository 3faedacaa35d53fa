//! A set as programs are told of it: `pgstow list --json` and the HTTP API.

use serde::Serialize;
use utoipa::ToSchema;

use super::retention::{Decision, Kind};
use super::{BackupSet, Drilled, Verified};

/// What `list` tells of a set.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SetSummary {
    /// The set's id: its file name without extension.
    pub id: String,
    /// Its data file.
    pub file: String,
    /// Whose backup it is.
    pub name: String,
    /// What made it.
    pub kind: Kind,
    /// The source database.
    pub database: String,
    /// When its run started, RFC 3339, UTC.
    pub created: String,
    /// Bytes as stored.
    pub size: u64,
    /// Tables with rows.
    pub tables: usize,
    /// Their rows.
    pub rows: u64,
    /// How long its run took.
    pub duration_ms: u64,
    /// SHA-256 as stored.
    pub sha256: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Options that make it less than the whole database.
    pub partial: Vec<String>,
    /// Whether retention leaves it alone.
    pub pinned: bool,
    /// What fell sharply against the set before.
    pub anomalies: Vec<String>,
    /// The last verification.
    pub verified: Option<Verified>,
    /// The last proof by a restore.
    pub drilled: Option<Drilled>,
    /// Whether the next cleanup keeps it.
    pub kept: bool,
    /// Why it is kept; empty if it is not.
    pub kept_because: Vec<String>,
}

impl SetSummary {
    /// Tells of a set and what retention decided about it.
    pub fn of(set: &BackupSet, decision: &Decision) -> SetSummary {
        let meta = &set.meta;
        SetSummary {
            id: set.name.id.clone(),
            file: set.file.clone(),
            name: set.name.name.clone(),
            kind: meta.kind,
            database: meta.database.clone(),
            created: set.name.created.to_string(),
            size: meta.size,
            tables: meta.tables.len(),
            rows: meta.rows,
            duration_ms: meta.duration_ms,
            sha256: meta.sha256.clone(),
            encrypted: meta.encrypted,
            partial: meta.partial.clone(),
            pinned: meta.pinned,
            anomalies: meta.anomalies.clone(),
            verified: meta.verified.clone(),
            drilled: meta.drilled.clone(),
            kept: decision.keep,
            kept_because: if decision.keep {
                decision.reasons.clone()
            } else {
                Vec::new()
            },
        }
    }
}
