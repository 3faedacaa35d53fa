//! Whether a backup is suspiciously smaller than the one before. Pure.
//!
//! A backup with an anomaly is published all the same: the database may have shrunk by intention, and if it did not, what is
//! left is worth keeping. Who is told decides.

use std::collections::HashMap;

use super::Meta;
use crate::objects::quote::one_line;

/// Tables that are named; of more only the number is told.
const MOST_TABLES: usize = 10;

/// What falls more than this is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// A part that may go without a word, of the rows of each table, of all rows, of the tables and of the stored size.
    pub max_drop_percent: u8,
    /// Tables with fewer rows than this before are only told when they are empty now: small ones change by nature.
    pub min_rows: u64,
    /// Sets with fewer stored bytes than this before are not compared by size: the script's head outweighs their rows.
    pub min_bytes: u64,
}

impl Thresholds {
    /// The usual ones, with another part.
    pub fn of_percent(max_drop_percent: u8) -> Self {
        Thresholds {
            max_drop_percent,
            min_rows: 1000,
            min_bytes: 1 << 20,
        }
    }

    fn is_sharp(&self, before: u64, now: u64) -> bool {
        let kept = u128::from(100 - self.max_drop_percent.min(100));
        u128::from(now) * 100 < u128::from(before) * kept
    }
}

impl Default for Thresholds {
    /// Half of it may go.
    fn default() -> Self {
        Thresholds::of_percent(50)
    }
}

/// What fell sharply from `previous` to `current`, a line each. Sets that do not hold the whole database are not compared.
pub fn anomalies(previous: &Meta, current: &Meta, thresholds: &Thresholds) -> Vec<String> {
    if !previous.partial.is_empty() || !current.partial.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let tables = |meta: &Meta| meta.tables.len() as u64;
    let totals = [
        ("tables", tables(previous), tables(current), 0),
        ("rows", previous.rows, current.rows, thresholds.min_rows),
    ];
    for (what, before, now, floor) in totals {
        if before >= floor && thresholds.is_sharp(before, now) {
            found.push(format!("{now} {what}, {before} before"));
        }
    }
    let comparable = previous.settings.compression == current.settings.compression
        && previous.encrypted == current.encrypted
        && previous.size >= thresholds.min_bytes;
    if comparable && thresholds.is_sharp(previous.size, current.size) {
        found.push(format!(
            "{} bytes stored, {} before",
            current.size, previous.size
        ));
    }
    found.extend(table_anomalies(previous, current, thresholds));
    found
}

/// Tables that lost many of their rows. Tables that are gone count as a table less, not here: they may have been dropped.
fn table_anomalies(previous: &Meta, current: &Meta, thresholds: &Thresholds) -> Vec<String> {
    let now: HashMap<(&str, &str), u64> = current
        .tables
        .iter()
        .map(|table| ((table.schema.as_str(), table.name.as_str()), table.rows))
        .collect();
    let mut lines: Vec<String> = previous
        .tables
        .iter()
        .filter_map(|table| {
            let rows = *now.get(&(table.schema.as_str(), table.name.as_str()))?;
            let emptied = rows == 0 && table.rows > 0;
            let shrunk = table.rows >= thresholds.min_rows && thresholds.is_sharp(table.rows, rows);
            let name = format!("{}.{}", table.schema, table.name);
            (emptied || shrunk)
                .then(|| format!("{}: {rows} rows, {} before", one_line(&name), table.rows))
        })
        .collect();
    if lines.len() > MOST_TABLES {
        let more = lines.len() - MOST_TABLES;
        lines.truncate(MOST_TABLES);
        lines.push(format!("and {more} more tables"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::meta::{Settings, TableMeta};
    use super::super::{Kind, META_FORMAT};
    use super::*;

    fn meta(tables: &[(&str, u64)], size: u64) -> Meta {
        Meta {
            meta_format: META_FORMAT,
            id: String::new(),
            file: String::new(),
            name: String::new(),
            kind: Kind::Daily,
            database: String::new(),
            server_version: String::new(),
            tool: String::new(),
            started: String::new(),
            finished: String::new(),
            duration_ms: 0,
            snapshot: String::new(),
            size,
            sha256: String::new(),
            blake3: String::new(),
            encrypted: false,
            rows: tables.iter().map(|(_, rows)| rows).sum(),
            bytes: 0,
            tables: tables
                .iter()
                .map(|(name, rows)| TableMeta {
                    schema: "s".to_owned(),
                    name: (*name).to_owned(),
                    rows: *rows,
                    bytes: 0,
                    digest: String::new(),
                })
                .collect(),
            settings: Settings {
                compression: "gzip:1".to_owned(),
                jobs: 1,
            },
            partial: Vec::new(),
            unsupported: Vec::new(),
            anomalies: Vec::new(),
            pinned: false,
            verified: None,
            drilled: None,
            other: serde_json::Map::new(),
        }
    }

    fn found(previous: &Meta, current: &Meta) -> Vec<String> {
        anomalies(previous, current, &Thresholds::default())
    }

    #[test]
    fn what_falls_by_more_than_half_is_told() {
        let before = meta(&[("a", 4000), ("b", 4000)], 8 << 20);
        assert_eq!(
            found(&before, &meta(&[("a", 1999), ("b", 4000)], 8 << 20)),
            ["s.a: 1999 rows, 4000 before"]
        );
        assert_eq!(
            found(&before, &meta(&[("a", 2000), ("b", 4000)], 3 << 20)),
            ["3145728 bytes stored, 8388608 before"]
        );
        assert_eq!(
            found(&before, &meta(&[("a", 0), ("b", 0)], 8 << 20)),
            [
                "0 rows, 8000 before",
                "s.a: 0 rows, 4000 before",
                "s.b: 0 rows, 4000 before"
            ]
        );
        let shrunk = meta(&[("a", 2000), ("b", 2000)], 4 << 20);
        assert!(found(&before, &shrunk).is_empty());
    }

    #[test]
    fn a_small_table_is_told_only_when_it_is_emptied() {
        let before = meta(&[("a", 10), ("b", 10)], 0);
        assert_eq!(
            found(&before, &meta(&[("a", 1), ("b", 0)], 0)),
            ["s.b: 0 rows, 10 before"]
        );
    }

    #[test]
    fn a_partial_set_is_not_compared() {
        let before = meta(&[("a", 4000)], 8 << 20);
        let mut partial = meta(&[], 1);
        partial.partial.push("--schema-only".to_owned());
        assert!(found(&before, &partial).is_empty());
        assert!(found(&partial, &before).is_empty());
        assert_eq!(found(&before, &meta(&[], 8 << 20)).len(), 2);
    }

    #[test]
    fn names_stay_on_their_line() {
        let lines = found(&meta(&[("a\nb", 1)], 0), &meta(&[("a\nb", 0)], 0));
        assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
    }

    proptest! {
        #[test]
        fn what_grows_is_never_told(rows in proptest::collection::vec((0u64..100_000, 0u64..1000), 0..20), size in 0u64..1 << 40) {
            let names: Vec<String> = (0..rows.len()).map(|n| format!("t{n}")).collect();
            let tables = |grown: bool| -> Vec<(&str, u64)> {
                names.iter().zip(&rows)
                    .map(|(name, (before, more))| (name.as_str(), before + if grown { *more } else { 0 }))
                    .collect()
            };
            prop_assert!(found(&meta(&tables(false), size), &meta(&tables(true), size * 2)).is_empty());
        }
    }
}
