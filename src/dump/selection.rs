//! `-t -T -n -N --exclude-table-data`: psql's patterns, resolved against names. Pure.

use crate::Result;

/// A selection of schemas and tables as the user gave it. The default selects everything.
#[derive(Clone, Debug, Default)]
pub struct Selection {}

/// The texts of the options.
#[derive(Clone, Debug, Default)]
pub struct SelectionPatterns {
    /// `-t`
    pub tables: Vec<String>,
    /// `-T`
    pub exclude_tables: Vec<String>,
    /// `-n`
    pub schemas: Vec<String>,
    /// `-N`
    pub exclude_schemas: Vec<String>,
    /// `--exclude-table-data`
    pub exclude_table_data: Vec<String>,
}

impl Selection {
    /// Compiles psql patterns.
    ///
    /// # Errors
    /// `Usage` if a pattern has more parts than it may have, or an open quote.
    pub fn parse(_patterns: &SelectionPatterns) -> Result<Self> {
        Ok(Selection {})
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        true
    }

    /// Whether a relation of this schema and name is wanted.
    pub fn includes_relation(&self, _schema: &str, _name: &str) -> bool {
        true
    }

    /// Whether a schema (and what lies in it and is no relation) is wanted.
    pub fn includes_schema(&self, _schema: &str) -> bool {
        true
    }

    /// Whether the rows of a wanted table are wanted.
    pub fn includes_data(&self, _schema: &str, _name: &str) -> bool {
        true
    }

    /// Whether objects outside of schemas (extensions, large objects, default privileges of all schemas) are wanted:
    /// not with `-t` or `-n`, as in pg_dump.
    pub fn includes_global_objects(&self) -> bool {
        true
    }
}
