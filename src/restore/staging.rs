//! Rows of which some may be there already, and rows for tables whose policies bind the role: COPY knows no ON CONFLICT and
//! no row security, so they come into a temporary table first.

use crate::archive::copy_statement;
use crate::objects::quote;

use super::plan::{Load, LoadTarget};

/// The statements that load one member of such a table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Staging {
    /// Makes the temporary table, empty, with the target's columns.
    pub(crate) create: String,
    /// Copies all rows into it.
    pub(crate) copy: String,
    /// Inserts them, or those that meet no equal key.
    pub(crate) insert: String,
    /// Whether it inserts all.
    pub(crate) takes_all: bool,
}

impl Staging {
    const TABLE: &str = "pgstow_rows";
    /// Drops the temporary table.
    pub(crate) const DROP: &str = "DROP TABLE pg_temp.pgstow_rows";

    /// `None` where rows are simply copied.
    pub(crate) fn of(load: &Load) -> Option<Staging> {
        let LoadTarget::Table { schema, name } = &load.target else {
            return None;
        };
        if !load.skips_conflicts && !load.through_policies {
            return None;
        }
        let on_conflict = match load.skips_conflicts {
            true => " ON CONFLICT DO NOTHING",
            false => "",
        };
        let target = quote::qualified(schema, name);
        let columns: Vec<String> = load.columns.iter().map(|name| quote::ident(name)).collect();
        let columns = columns.join(", ");
        let names = match columns.is_empty() {
            true => String::new(),
            false => format!(" ({columns}) OVERRIDING SYSTEM VALUE"),
        };
        let table = Staging::TABLE;
        Some(Staging {
            create: format!(
                "CREATE TEMPORARY TABLE {table} AS SELECT {columns} FROM {target} WITH NO DATA"
            ),
            copy: copy_statement("pg_temp", table, &load.columns),
            insert: format!(
                "INSERT INTO {target}{names} SELECT {columns} FROM pg_temp.{table}{on_conflict}"
            ),
            takes_all: !load.skips_conflicts,
        })
    }
}
