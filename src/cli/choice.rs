//! `-I -P --trigger` and `-L`: objects of an archive, for the commands that read one.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::Args;

use super::contents_list::read_list;
use super::selection::{SelectionArgs, read};
use crate::Result;
use crate::archive::Index;
use crate::dump::selection::{Selection, SelectionPatterns};
use crate::restore::RestoreOptions;

/// Which objects of an archive besides tables and schemas.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "choice", multiple = true)]
pub(super) struct ChoiceArgs {
    /// Only these indexes (pattern; repeatable). -t, -I, -P and --trigger add up
    #[arg(short = 'I', long = "index", value_name = "PATTERN")]
    indexes: Vec<String>,
    /// Only these functions, procedures, aggregates: NAME, or NAME(TYPE, ...) for one of them (pattern; repeatable)
    #[arg(short = 'P', long = "function", value_name = "PATTERN")]
    functions: Vec<String>,
    /// Only these triggers: [[SCHEMA.]TABLE.]TRIGGER (pattern; repeatable)
    #[arg(long = "trigger", value_name = "PATTERN")]
    triggers: Vec<String>,
    /// Of what is chosen only the entries of this list, as restore -l prints it. Their order stays the archive's
    #[arg(short = 'L', long, value_name = "FILE")]
    use_list: Option<PathBuf>,
    /// Also what the chosen objects need, over any number of steps: schemas, types, functions, sequences, tables with their rows.
    /// What the target has of it stays as it is
    #[arg(long, conflicts_with_all = ["data_only", "sections"])]
    with_dependencies: bool,
}

impl ChoiceArgs {
    /// The selection of an archive's objects.
    ///
    /// # Errors
    /// Those of [`SelectionArgs::patterns_of_archive`] and [`Selection::parse`].
    pub(super) fn selection(&self, selection: &SelectionArgs) -> Result<Selection> {
        Selection::parse(&SelectionPatterns {
            indexes: self.indexes.clone(),
            functions: self.functions.clone(),
            triggers: self.triggers.clone(),
            ..selection.patterns_of_archive()?
        })
    }

    /// Puts in what needs the archive to be understood.
    ///
    /// # Errors
    /// `Io`; `Usage` if the list does not fit the archive.
    pub(super) fn complete(&self, options: &mut RestoreOptions, index: &Index) -> Result<()> {
        if let Some(path) = &self.use_list {
            let list = read_list(index, &read(path)?, &path.display().to_string())?;
            options.list = Some(list);
        }
        options.dependencies = self.with_dependencies.then(HashSet::new);
        Ok(())
    }
}
