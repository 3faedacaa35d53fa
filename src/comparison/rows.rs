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

/// What the tables of a side hold, each by its own name, and those whose rows are loaded through another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideTables {
    contents: Tables,
    /// The topmost tables of partitions whose rows may come to be in another partition.
    roots: BTreeMap<TableName, TableName>,
}

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

impl SideTables {
    /// What the tables of an index hold.
    ///
    /// # Errors
    /// `Damaged` if a digest is none.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a TocEntry>) -> Result<SideTables> {
        let mut tables = SideTables::default();
        for entry in entries {
            let (Some(schema), Some(contents)) = (&entry.schema, TableContents::of_entry(entry)?)
            else {
                continue;
            };
            let name = (schema.clone(), entry.name.clone());
            if let Some(root) = entry.rows.as_ref().and_then(|rows| rows.root.clone()) {
                tables.roots.insert(name.clone(), root);
            }
            tables.contents.entry(name).or_default().merge(contents);
        }
        Ok(tables)
    }

    /// How many tables they are, by the tables that they are loaded into.
    pub fn count(&self) -> usize {
        self.folded(self).len()
    }

    /// Partitions that find their rows anew, on this side or on the `other`, are one table, the topmost.
    fn folded(&self, other: &SideTables) -> Tables {
        let mut folded = Tables::new();
        for (name, contents) in &self.contents {
            let root = self.roots.get(name).or_else(|| other.roots.get(name));
            let table = folded.entry(root.unwrap_or(name).clone());
            table.or_default().merge(*contents);
        }
        folded
    }
}

impl RowDifference {
    /// The table, on one line.
    pub fn table(&self) -> String {
        let (schema, name) = &self.table;
        one_line(&format!("{schema}.{name}")).into_owned()
    }
}

/// What differs between two sides, by table.
pub fn compare_tables(before: &SideTables, after: &SideTables) -> Vec<RowDifference> {
    compare_rows(&before.folded(after), &after.folded(before))
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
        let before = SideTables::of(&entries()).unwrap();
        let mut changed = entries();
        change(changed[2].rows.as_mut().unwrap());
        compare_tables(&before, &SideTables::of(&changed).unwrap())
    }

    #[test]
    fn tables_that_are_lost_or_hold_other_rows_are_told() {
        assert!(with(|_| {}).is_empty());
        let fewer = with(|rows| rows.rows = 2);
        assert_eq!(fewer[0].table, ("s".to_owned(), "t".to_owned()));
        assert_eq!(fewer[0].before.unwrap().rows, 3);
        assert_eq!(fewer[0].after.unwrap().rows, 2);
        assert_eq!(with(|rows| rows.digest = "0".repeat(32)).len(), 1);
        let lost = compare_tables(&SideTables::of(&entries()).unwrap(), &SideTables::default());
        assert_eq!(lost[0].after, None);
    }

    #[test]
    fn partitions_that_either_side_loads_through_their_root_are_one_table() {
        let mut parts = entries();
        let other = parts.len();
        parts.push(parts[2].clone());
        parts[other].name = "u".to_owned();
        let by_name = SideTables::of(&parts).unwrap();
        for part in [2, other] {
            parts[part].rows.as_mut().unwrap().root = Some(("s".to_owned(), "root".to_owned()));
        }
        let through_root = SideTables::of(&parts).unwrap();
        assert_eq!(compare_tables(&by_name, &through_root), []);
        assert_eq!(compare_tables(&through_root, &by_name), []);

        // A row is lost, wherever it was.
        parts[other].rows.as_mut().unwrap().rows = 2;
        let fewer = compare_tables(&by_name, &SideTables::of(&parts).unwrap());
        assert_eq!(fewer.len(), 1);
        assert_eq!(fewer[0].table(), "s.root");
        assert_eq!(fewer[0].before.unwrap().rows, 6);
        assert_eq!(fewer[0].after.unwrap().rows, 5);
    }

    #[test]
    fn digest_that_is_none_is_damage() {
        let mut broken = entries();
        broken[2].rows.as_mut().unwrap().digest = "x".to_owned();
        assert_eq!(
            SideTables::of(&broken).unwrap_err().kind(),
            ErrorKind::Damaged
        );
    }
}
