//! Rows as INSERT statements, for databases that know no COPY: the options of `create` and of `show --sql`.

use std::num::NonZeroU32;

use clap::{ArgGroup, Args};

use crate::archive::InsertStyle;

/// How rows are written.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "inserts_options", multiple = true)]
#[command(group = ArgGroup::new("as_inserts").args(["inserts", "column_inserts", "rows_per_insert"]).multiple(true))]
pub(super) struct InsertArgs {
    /// Rows as INSERT statements instead of COPY
    #[arg(long)]
    inserts: bool,
    /// Rows as INSERT statements with the names of the columns
    #[arg(long, alias = "attribute-inserts")]
    column_inserts: bool,
    /// Rows as INSERT statements with so many rows each [default: 1]
    #[arg(long, value_name = "N")]
    rows_per_insert: Option<NonZeroU32>,
    /// INSERT ... ON CONFLICT DO NOTHING: rows that meet an equal key are left out
    #[arg(long, requires = "as_inserts")]
    on_conflict_do_nothing: bool,
}

/// One row a statement, with the names of the columns.
pub(super) const ONE_BY_ONE: InsertStyle = InsertStyle {
    column_names: true,
    rows_per_statement: NonZeroU32::MIN,
    on_conflict_do_nothing: false,
};

impl InsertArgs {
    /// What was asked for; `None`: COPY.
    pub(super) fn style(&self) -> Option<InsertStyle> {
        let is_wanted = self.inserts || self.column_inserts || self.rows_per_insert.is_some();
        is_wanted.then(|| InsertStyle {
            column_names: self.column_inserts,
            rows_per_statement: self.rows_per_insert.unwrap_or(NonZeroU32::MIN),
            on_conflict_do_nothing: self.on_conflict_do_nothing,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        inserts: InsertArgs,
    }

    fn style(options: &[&str]) -> Option<InsertStyle> {
        let command = ["pgstow"].iter().chain(options);
        Command::try_parse_from(command).unwrap().inserts.style()
    }

    #[test]
    fn a_number_of_rows_is_enough() {
        assert_eq!(style(&[]), None);
        assert_eq!(style(&["--column-inserts"]), Some(ONE_BY_ONE));
        assert_eq!(
            style(&["--rows-per-insert=7", "--on-conflict-do-nothing"]),
            Some(InsertStyle {
                column_names: false,
                rows_per_statement: NonZeroU32::new(7).unwrap(),
                on_conflict_do_nothing: true,
            })
        );
    }

    #[test]
    fn a_conflict_needs_an_insert() {
        assert!(Command::try_parse_from(["pgstow", "--on-conflict-do-nothing"]).is_err());
        assert!(Command::try_parse_from(["pgstow", "--rows-per-insert=0"]).is_err());
    }
}
