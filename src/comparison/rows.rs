//! Rows by number and digest, from an index or a table that is read once, and what differs between two of them.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;

use crate::archive::{RowDigest, TocEntry};
use crate::conn::Session;
use crate::objects::quote::one_line;
use crate::{Error, ErrorKind, Result};

/// Schema and name of a table.
pub type TableName = (String, String);

/// What tables hold.
pub type Tables = BTreeMap<TableName, TableContents>;

/// What a table holds, as far as it is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableContents {
    /// Number of rows.
    pub rows: u64,
    /// The sum of their hashes, whatever their order.
    pub digest: RowDigest,
}

/// A table that only one side has, or that holds other rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowDifference {
    /// Which table.
    pub table: TableName,
    /// What it holds on the first side.
    pub before: Option<TableContents>,
    /// What it holds on the second side.
    pub after: Option<TableContents>,
}

impl TableContents {
    /// What an entry's members hold together; `None` without rows.
    ///
    /// # Errors
    /// `Damaged` if its digest is none.
    pub fn of_entry(entry: &TocEntry) -> Result<Option<TableContents>> {
        let Some(rows) = &entry.rows else {
            return Ok(None);
        };
        let digest = RowDigest::from_hex(&rows.digest).ok_or_else(|| {
            Error::new(
                ErrorKind::Damaged,
                format!("the digest of {} is no digest", entry.qualified_name()),
            )
        })?;
        Ok(Some(TableContents {
            rows: rows.rows,
            digest,
        }))
    }

    /// Adds other rows of the same table.
    pub fn merge(&mut self, other: TableContents) {
        self.rows += other.rows;
        self.digest.merge(other.digest);
    }
}

/// What the tables of an index hold. Rows that found their partition anew may be in another one: such partitions are
/// taken together, as the table that they are loaded into.
///
/// # Errors
/// `Damaged` if a digest is none.
pub fn tables_of<'a>(entries: impl IntoIterator<Item = &'a TocEntry>) -> Result<Tables> {
    let mut tables = Tables::new();
    for entry in entries {
        if let (Some((schema, name)), Some(contents)) =
            (entry.loaded_into(), TableContents::of_entry(entry)?)
        {
            let table = tables.entry((schema.to_owned(), name.to_owned()));
            table.or_default().merge(contents);
        }
    }
    Ok(tables)
}

impl RowDifference {
    /// The table, on one line.
    pub fn table(&self) -> String {
        let (schema, name) = &self.table;
        one_line(&format!("{schema}.{name}")).into_owned()
    }
}

/// What differs, by table.
pub fn compare_rows(before: &Tables, after: &Tables) -> Vec<RowDifference> {
    let names: BTreeSet<&TableName> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .map(|name| RowDifference {
            table: name.clone(),
            before: before.get(name).copied(),
            after: after.get(name).copied(),
        })
        .filter(|difference| difference.before != difference.after)
        .collect()
}

/// Streams a `COPY ... TO STDOUT` once and sums its rows up.
///
/// # Errors
/// `Data`, naming `table`.
pub async fn live_contents(
    session: &Session,
    table: &str,
    copy_out: &str,
) -> Result<TableContents> {
    let failed = |e| {
        let table = one_line(table);
        Error::from_server(ErrorKind::Data, format!("could not read {table}"), e)
    };
    let mut contents = TableContents::default();
    let rows = session.copy_out(copy_out).await.map_err(failed)?;
    futures::pin_mut!(rows);
    while let Some(row) = rows.next().await {
        let row = row.map_err(failed)?;
        contents
            .digest
            .add_row(row.strip_suffix(b"\n").unwrap_or(&row));
        contents.rows += 1;
        if contents.rows.is_multiple_of(YIELD_ROWS) {
            tokio::task::yield_now().await;
        }
    }
    // A COPY stream that merely stops looks like one that ended: the next statement proves it.
    session.batch_execute("SELECT").await.map_err(failed)?;
    Ok(contents)
}

/// Rows that are ready are summed up without a pause; others want their turn, too.
const YIELD_ROWS: u64 = 10_000;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::archive::TableRows;
    use crate::archive::tests::entries;

    fn with(change: fn(&mut TableRows)) -> Vec<RowDifference> {
        let before = tables_of(&entries()).unwrap();
        let mut changed = entries();
        change(changed[2].rows.as_mut().unwrap());
        compare_rows(&before, &tables_of(&changed).unwrap())
    }

    #[test]
    fn tables_that_are_lost_or_hold_other_rows_are_told() {
        assert!(with(|_| {}).is_empty());
        let fewer = with(|rows| rows.rows = 2);
        assert_eq!(fewer[0].table, ("s".to_owned(), "t".to_owned()));
        assert_eq!(fewer[0].before.unwrap().rows, 3);
        assert_eq!(fewer[0].after.unwrap().rows, 2);
        assert_eq!(with(|rows| rows.digest = "0".repeat(32)).len(), 1);
        let lost = compare_rows(&tables_of(&entries()).unwrap(), &Tables::new());
        assert_eq!(lost[0].after, None);
    }

    #[test]
    fn partitions_that_are_loaded_through_their_root_are_one_table() {
        let mut parts = entries();
        parts.push(parts[2].clone());
        for part in [2, parts.len() - 1] {
            parts[part].rows.as_mut().unwrap().root = Some(("s".to_owned(), "root".to_owned()));
        }
        let tables = tables_of(&parts).unwrap();
        assert_eq!(tables.len(), 1);
        assert_eq!(tables[&("s".to_owned(), "root".to_owned())].rows, 6);
    }

    #[test]
    fn digest_that_is_none_is_damage() {
        let mut broken = entries();
        broken[2].rows.as_mut().unwrap().digest = "x".to_owned();
        assert_eq!(tables_of(&broken).unwrap_err().kind(), ErrorKind::Damaged);
    }
}
