//! `-t -T -n -N -e` and `-s -a --section --no-...`, the same for all commands that have them.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::archive::Section;
use crate::dump::filter_file::add_filters;
use crate::dump::parts::Parts;
use crate::dump::selection::SelectionPatterns;
use crate::{Error, ErrorKind, Result};

/// Which objects, by name: in a database or in an archive.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "selection", multiple = true)]
pub(crate) struct SelectionArgs {
    /// Only these tables, views, sequences (pattern; repeatable)
    #[arg(short, long = "table", value_name = "PATTERN")]
    pub(super) tables: Vec<String>,
    /// Not these tables
    #[arg(short = 'T', long = "exclude-table", value_name = "PATTERN")]
    exclude_tables: Vec<String>,
    /// Only these schemas
    #[arg(short = 'n', long = "schema", value_name = "PATTERN")]
    schemas: Vec<String>,
    /// Not these schemas
    #[arg(short = 'N', long = "exclude-schema", value_name = "PATTERN")]
    exclude_schemas: Vec<String>,
    /// Of the extensions only these
    #[arg(short = 'e', long = "extension", value_name = "PATTERN")]
    extensions: Vec<String>,
    /// Not these extensions
    #[arg(long = "exclude-extension", value_name = "PATTERN")]
    exclude_extensions: Vec<String>,
    /// These tables without their rows
    #[arg(long, value_name = "PATTERN")]
    exclude_table_data: Vec<String>,
    /// Each pattern of -t, -n and -e must match something
    #[arg(long)]
    strict_names: bool,
    /// Patterns from a file, one in a line: include|exclude table|table_and_children|table_data|schema|extension|foreign_data PATTERN
    #[arg(long, value_name = "FILE")]
    filter: Vec<PathBuf>,
}

impl SelectionArgs {
    /// The patterns, those of the filter files included.
    ///
    /// # Errors
    /// `Io` if a file cannot be read, `Usage` if it makes no sense.
    pub(super) fn patterns(&self) -> Result<SelectionPatterns> {
        let mut patterns = SelectionPatterns {
            tables: self.tables.clone(),
            exclude_tables: self.exclude_tables.clone(),
            schemas: self.schemas.clone(),
            exclude_schemas: self.exclude_schemas.clone(),
            exclude_table_data: self.exclude_table_data.clone(),
            extensions: self.extensions.clone(),
            exclude_extensions: self.exclude_extensions.clone(),
            strict_names: self.strict_names,
            ..SelectionPatterns::default()
        };
        for path in &self.filter {
            add_filters(&read(path)?, &mut patterns)?;
        }
        Ok(patterns)
    }

    /// The patterns for an archive, which does not tell what inherits from what.
    ///
    /// # Errors
    /// As [`SelectionArgs::patterns`]; `Usage` if a filter file asks for children.
    pub(super) fn patterns_of_archive(&self) -> Result<SelectionPatterns> {
        let patterns = self.patterns()?;
        let asks_for_children = !patterns.tables_and_children.is_empty()
            || !patterns.exclude_tables_and_children.is_empty()
            || !patterns.exclude_table_data_and_children.is_empty();
        if !patterns.foreign_data.is_empty() {
            return Err(Error::new(
                ErrorKind::Usage,
                "an archive has rows of foreign tables or has not, since it was made",
            )
            .hint("Choose the tables by --table and --exclude-table-data."));
        }
        match asks_for_children {
            true => Err(Error::new(
                ErrorKind::Usage,
                "children of tables are known when a dump is made, not when an archive is read",
            )
            .hint("Name them by patterns of --table.")),
            false => Ok(SelectionPatterns {
                tables_within_schemas: true,
                ..patterns
            }),
        }
    }
}

pub(super) fn read(path: &Path) -> Result<String> {
    let failed = |e| Error::io(format!("could not read {}", path.display()), e);
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// Which parts of the objects.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "parts", multiple = true)]
pub(crate) struct PartsArgs {
    /// Definitions only
    #[arg(short, long, alias = "no-data", conflicts_with = "data_only")]
    schema_only: bool,
    /// Rows, large objects and sequence values only; a restore adds them to what exists
    #[arg(short = 'a', long, alias = "no-schema")]
    data_only: bool,
    /// Only this section: pre-data, data or post-data (repeatable)
    #[arg(long = "section", value_name = "SECTION")]
    sections: Vec<Section>,
    /// No GRANT, no REVOKE
    #[arg(short = 'x', long, alias = "no-acl")]
    no_privileges: bool,
    /// No COMMENT ON
    #[arg(long)]
    no_comments: bool,
    /// No security labels
    #[arg(long)]
    no_security_labels: bool,
    /// No row security policies
    #[arg(long)]
    no_policies: bool,
    /// No publications
    #[arg(long)]
    no_publications: bool,
    /// No subscriptions
    #[arg(long)]
    no_subscriptions: bool,
    /// Large objects even with -t, -n or -e
    #[arg(
        short = 'b',
        long,
        alias = "blobs",
        conflicts_with = "no_large_objects"
    )]
    large_objects: bool,
    /// Values of sequences even with -s
    #[arg(long)]
    sequence_data: bool,
    /// No large objects
    #[arg(short = 'B', long, alias = "no-blobs")]
    no_large_objects: bool,
    /// The planner's statistics, too. Servers before 18 cannot restore them
    #[arg(long)]
    statistics: bool,
    /// No statistics of the planner, even if the archive has them
    #[arg(long, conflicts_with_all = ["statistics", "statistics_only"])]
    no_statistics: bool,
    /// The planner's statistics and nothing else
    #[arg(long, conflicts_with_all = ["schema_only", "data_only"])]
    statistics_only: bool,
}

impl PartsArgs {
    /// Of an archive: its statistics are wanted unless one says otherwise.
    pub(super) fn parts_of_archive(&self) -> Parts {
        let is_part = self.schema_only || self.data_only;
        Parts {
            statistics: self.statistics || !(self.no_statistics || is_part),
            ..self.parts()
        }
    }

    pub(super) fn parts(&self) -> Parts {
        Parts {
            schema_only: self.schema_only,
            data_only: self.data_only,
            sections: self.sections.clone(),
            no_privileges: self.no_privileges,
            no_comments: self.no_comments,
            no_security_labels: self.no_security_labels,
            no_policies: self.no_policies,
            no_publications: self.no_publications,
            no_subscriptions: self.no_subscriptions,
            no_large_objects: self.no_large_objects,
            large_objects: self.large_objects,
            sequence_data: self.sequence_data,
            statistics: self.statistics,
            statistics_only: self.statistics_only,
        }
    }
}
