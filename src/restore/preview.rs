//! What a restore will do and what stands in its way, for a person to confirm or a program to read.

use crate::objects::quote;

use super::Prepared;
use super::findings::Findings;
use super::plan::{LoadTarget, PlanSummary};

/// What a restore will do.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Preview {
    /// The target database.
    pub database: String,
    /// The target server's version.
    pub server_version: String,
    /// Whether nothing stands in the way.
    pub permitted: bool,
    /// Whether the database will be made.
    pub creates_database: bool,
    /// Whether all of it is one transaction (`--single-transaction`).
    pub single_transaction: bool,
    /// With `--swap`: what is exchanged for what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<SwapPreview>,
    /// How far the restore got that this one continues, in words (`--resume`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumes: Option<String>,
    /// The objects of the target that will be dropped, in words.
    pub dropped: Vec<String>,
    /// Objects that the archive does not hold and that will be dropped with them (`--cascade`).
    pub foreign: Vec<String>,
    /// Objects in the archive's schemas that it does not hold and that will be dropped (`--exact`).
    pub extra: Vec<String>,
    /// Schemas of the archive that stay, because they hold something else.
    pub kept_schemas: Vec<String>,
    /// The entries of the archive that will be created, in the order of their passes.
    pub created: Vec<String>,
    /// What will be loaded.
    pub loaded: Vec<PreviewLoad>,
    /// What will be created and loaded, in numbers.
    pub summary: PlanSummary,
    /// What was found in the target and in the archive.
    pub findings: Findings,
}

/// A database that takes the place of another one.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SwapPreview {
    /// The name of the new one while it is built.
    pub new: String,
    /// The name of the old one afterwards.
    pub before: String,
    /// Whether the old one is dropped in the end.
    pub drops_old: bool,
    /// The size of the old one.
    pub old_bytes: u64,
    /// How many tables it has.
    pub old_tables: u64,
    /// Its sessions, which will be ended.
    pub sessions: Vec<String>,
}

/// A table, or all large objects, to be loaded.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PreviewLoad {
    /// The entry of the archive.
    pub entry: String,
    /// Rows; none of large objects.
    pub rows: u64,
    /// Bytes before compression.
    pub bytes: u64,
}

impl Prepared {
    /// What [`Prepared::run`] will do.
    pub fn preview(&self) -> Preview {
        let foreign = match self.options.cascade {
            true => self.survey.foreign.as_slice(),
            false => &[],
        };
        let one_line = |text: &String| quote::one_line(text).into_owned();
        Preview {
            database: self.settings.database().to_owned(),
            server_version: self.server_version.to_string(),
            permitted: self.findings.permit(),
            creates_database: self.options.create && !self.options.resume,
            single_transaction: self.options.single_transaction,
            swap: None,
            resumes: self.resumes.clone(),
            dropped: self.survey.describe_drops(),
            foreign: foreign.iter().map(one_line).collect(),
            extra: self.survey.describe_extras(),
            kept_schemas: self.survey.kept_schemas.iter().map(one_line).collect(),
            created: self.plan.steps().map(|step| step.label.clone()).collect(),
            loaded: self
                .plan
                .loads
                .iter()
                .map(|load| PreviewLoad {
                    entry: load.label.clone(),
                    rows: match load.target {
                        LoadTarget::Table { .. } => load.rows,
                        LoadTarget::LargeObjects => 0,
                    },
                    bytes: load.bytes,
                })
                .collect(),
            summary: self.plan.summary(),
            findings: self.findings.clone(),
        }
    }
}
