//! The order in which the columns of tables are read. It is the tables' own, unless rows are to be compared with others whose
//! columns stand otherwise: those of a child come in another order from a restore, where one came to the parent later. Pure.

use std::collections::BTreeMap;

use crate::archive::TocEntry;

/// In which order columns are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ColumnOrder {
    /// That of each table.
    #[default]
    Own,
    /// By name.
    ByName,
    /// Another one for some tables, by schema and name.
    Of(BTreeMap<(String, String), Vec<String>>),
}

impl ColumnOrder {
    /// That of an archive's rows.
    pub fn of_archive<'a>(entries: impl IntoIterator<Item = &'a TocEntry>) -> ColumnOrder {
        let tables = entries.into_iter().filter_map(|entry| {
            let name = (entry.schema.clone()?, entry.name.clone());
            Some((name, entry.rows.as_ref()?.columns.clone()))
        });
        ColumnOrder::Of(tables.collect())
    }

    /// Brings the columns of a table into this order. Where it is not of the same columns they stay.
    pub(crate) fn arrange(&self, schema: &str, table: &str, columns: &mut Vec<String>) {
        match self {
            ColumnOrder::Own => {}
            ColumnOrder::ByName => columns.sort(),
            ColumnOrder::Of(tables) => {
                let name = (schema.to_owned(), table.to_owned());
                if let Some(wanted) = tables.get(&name)
                    && sorted(wanted) == sorted(columns)
                {
                    columns.clone_from(wanted);
                }
            }
        }
    }
}

fn sorted(columns: &[String]) -> Vec<&String> {
    let mut columns: Vec<&String> = columns.iter().collect();
    columns.sort();
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_columns_are_arranged() {
        let texts =
            |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
        let name = ("s".to_owned(), "t".to_owned());
        let order = ColumnOrder::Of(BTreeMap::from([(name, texts(&["a", "c", "b"]))]));
        let arranged = |order: &ColumnOrder, table: &str, names: &[&str]| {
            let mut columns = texts(names);
            order.arrange("s", table, &mut columns);
            columns.join(" ")
        };
        assert_eq!(arranged(&order, "t", &["a", "b", "c"]), "a c b");
        assert_eq!(arranged(&order, "t", &["b", "c"]), "b c");
        assert_eq!(arranged(&order, "u", &["a", "b", "c"]), "a b c");
        assert_eq!(arranged(&ColumnOrder::Own, "t", &["b", "a"]), "b a");
        assert_eq!(arranged(&ColumnOrder::ByName, "t", &["b", "a"]), "a b");
    }
}
