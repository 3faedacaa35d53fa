//! `--verify-rows`: every table that was loaded is read once, and its rows are compared with the archive's digest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{FuturesUnordered, StreamExt};

use crate::archive::RowDigest;
use crate::comparison::{
    RowDifference, TableContents, TableName, Tables, compare_rows, live_contents,
};
use crate::conn::Session;
use crate::event::{Event, Events, Phase};
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

use super::plan::{Load, LoadTarget};

/// A table of the target, and the COPY that reads it.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    /// The table whose rows these are as far as the archive knows: the topmost one of partitions that found their rows anew.
    counts_for: TableName,
    label: String,
    copy_out: String,
    bytes: u64,
}

/// Reads the tables, the largest first, over all sessions.
///
/// # Errors
/// `RestoreIncomplete`, naming those that do not; `Data`.
pub(crate) async fn verify_rows(
    sessions: &[Session],
    loads: &[Load],
    events: &Events,
) -> Result<()> {
    let Some(first) = sessions.first() else {
        return Err(Error::internal("there is no session to read rows with"));
    };
    events.phase(Phase::Verify);
    for load in loads.iter().filter(|load| is_mixed(load)) {
        events.warn(format!(
            "{}: not verified, the extension has rows of its own in it",
            load.label
        ));
    }
    let expected = expected_contents(loads)?;
    let mut readings = readings_of_tables(loads);
    for root in roots(loads) {
        readings.extend(readings_of_partitions(first, root, &expected).await?);
    }
    readings.sort_by_key(|reading| Reverse(reading.bytes));
    events.emit(Event::Planned {
        items: readings.len() as u64,
        bytes: readings.iter().map(|reading| reading.bytes).sum(),
    });
    let found = read_all(sessions, readings, events).await?;
    let different = compare_rows(&expected, &found);
    match different.is_empty() {
        true => Ok(()),
        false => Err(mismatch(&different)),
    }
}

/// How many tables [`verify_rows`] looks at.
pub(crate) fn count_tables(loads: &[Load]) -> u64 {
    let names: BTreeSet<TableName> = tables(loads).map(|(name, _)| name).collect();
    names.len() as u64
}

/// Whether the archive's rows are not alone in the table.
fn is_mixed(load: &Load) -> bool {
    load.of_extension && load.target != LoadTarget::LargeObjects
}

fn tables(loads: &[Load]) -> impl Iterator<Item = (TableName, &Load)> {
    loads
        .iter()
        .filter(|load| !is_mixed(load))
        .filter_map(|load| match &load.target {
            LoadTarget::Table { schema, name } => Some(((schema.clone(), name.clone()), load)),
            LoadTarget::LargeObjects => None,
        })
}

fn expected_contents(loads: &[Load]) -> Result<Tables> {
    let mut expected = Tables::new();
    for (table, load) in tables(loads) {
        let digest = RowDigest::from_hex(&load.digest).ok_or_else(|| {
            Error::new(
                ErrorKind::RestoreIncomplete,
                format!("the archive has no digest of the rows of {}", load.label),
            )
        })?;
        expected.entry(table).or_default().merge(TableContents {
            rows: load.rows,
            digest,
        });
    }
    Ok(expected)
}

fn readings_of_tables(loads: &[Load]) -> Vec<Reading> {
    tables(loads)
        .filter(|(_, load)| !load.through_root)
        .map(|((schema, name), load)| {
            let table = quote::qualified(&schema, &name);
            let columns: Vec<String> = load.columns.iter().map(|name| quote::ident(name)).collect();
            let columns = match columns.is_empty() {
                true => String::new(),
                false => format!(" ({})", columns.join(", ")),
            };
            Reading {
                label: quote::one_line(&table).into_owned(),
                copy_out: format!("COPY {table}{columns} TO STDOUT"),
                counts_for: (schema, name),
                bytes: load.bytes,
            }
        })
        .collect()
}

fn roots(loads: &[Load]) -> BTreeSet<TableName> {
    tables(loads)
        .filter(|(_, load)| load.through_root)
        .map(|(table, _)| table)
        .collect()
}

/// The partitions below a table, but for those that the archive loads by their own names. Each is read with its own columns in
/// their order, as a dump reads it.
async fn readings_of_partitions(
    session: &Session,
    root: TableName,
    expected: &Tables,
) -> Result<Vec<Reading>> {
    let rows = session
        .query(
            "WITH RECURSIVE below AS ( \
             SELECT c.oid FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1::text \
             WHERE c.relname = $2::text \
             UNION ALL SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid) \
             SELECT n.nspname::text AS nspname, c.relname::text AS relname, \
             pg_catalog.pg_table_size(c.oid) AS bytes \
             FROM below b JOIN pg_catalog.pg_class c ON c.oid = b.oid AND c.relkind = 'r' \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2",
            &[&root.0, &root.1],
        )
        .await
        .map_err(|error| {
            Error::from_server(ErrorKind::Data, "could not look up partitions", error)
        })?;
    let partitions = rows.into_iter().map(|row| {
        let name: TableName = (row.get("nspname"), row.get("relname"));
        (name, row.get::<_, i64>("bytes").unsigned_abs())
    });
    Ok(partitions
        .filter(|(name, _)| !expected.contains_key(name))
        .map(|((schema, name), bytes)| {
            let table = quote::qualified(&schema, &name);
            Reading {
                label: quote::one_line(&table).into_owned(),
                copy_out: format!("COPY {table} TO STDOUT"),
                counts_for: root.clone(),
                bytes,
            }
        })
        .collect())
}

async fn read_all(sessions: &[Session], readings: Vec<Reading>, events: &Events) -> Result<Tables> {
    let mut found: Tables = BTreeMap::new();
    let mut left = readings.into_iter();
    let mut running = FuturesUnordered::new();
    let mut idle: Vec<usize> = (0..sessions.len()).rev().collect();
    loop {
        while let Some(worker) = idle.pop() {
            let Some(reading) = left.next() else { break };
            events.emit(Event::WorkerStarted {
                worker,
                item: format!("rows of {}", reading.label),
            });
            running.push(async move {
                let session = &sessions[worker];
                let contents = live_contents(session, &reading.label, &reading.copy_out).await;
                (worker, reading, contents)
            });
        }
        let Some((worker, reading, contents)) = running.next().await else {
            return Ok(found);
        };
        let contents = contents?;
        found.entry(reading.counts_for).or_default().merge(contents);
        events.emit(Event::WorkerAdvanced {
            worker,
            rows: contents.rows,
            bytes: reading.bytes,
        });
        events.emit(Event::WorkerFinished { worker });
        idle.push(worker);
    }
}

/// So many tables are named.
const NAMED: usize = 20;

fn mismatch(different: &[RowDifference]) -> Error {
    let error = Error::new(
        ErrorKind::RestoreIncomplete,
        match different {
            [_] => "a table does not hold the archive's rows".to_owned(),
            _ => format!("{} tables do not hold the archive's rows", different.len()),
        },
    );
    let error = different
        .iter()
        .take(NAMED)
        .fold(error, |error, difference| {
            let rows = |side: Option<TableContents>| side.map_or(0, |contents| contents.rows);
            let (before, after) = (rows(difference.before), rows(difference.after));
            let table = difference.table();
            error.detail(match before == after {
                true => format!("{table}: {before} rows, as in the archive, with other contents."),
                false => format!("{table}: {after} rows instead of {before}."),
            })
        });
    let error = match different.len().saturating_sub(NAMED) {
        0 => error,
        more => error.detail(format!("And {more} more.")),
    };
    error.hint(
        "The archive itself is verified: rows were there before (-a adds to them), something wrote to the tables meanwhile, or \
         a trigger changed them. Rows of a server before 12 differ in floating point numbers, which it wrote otherwise.",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::archive::DumpId;

    fn load(name: &str, columns: &[&str]) -> Load {
        Load {
            entry: DumpId(1),
            label: format!("TABLE DATA {name}"),
            target: LoadTarget::Table {
                schema: "s".to_owned(),
                name: name.to_owned(),
            },
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            digest: "0".repeat(31) + "7",
            through_root: false,
            of_extension: false,
            copy: None,
            rows_as_statements: false,
            rows: 3,
            bytes: 30,
            members: Vec::new(),
        }
    }

    #[test]
    fn tables_are_read_by_the_columns_of_the_archive() {
        let loads = [
            load("t", &["a", "b"]),
            load("none", &[]),
            Load {
                of_extension: true,
                ..load("config", &["a"])
            },
            Load {
                through_root: true,
                ..load("root", &["a"])
            },
            Load {
                through_root: true,
                ..load("root", &["a"])
            },
        ];
        let copies: Vec<String> = readings_of_tables(&loads)
            .into_iter()
            .map(|reading| reading.copy_out)
            .collect();
        assert_eq!(
            copies,
            [
                "COPY \"s\".\"t\" (\"a\", \"b\") TO STDOUT",
                "COPY \"s\".\"none\" TO STDOUT"
            ]
        );
        assert_eq!(roots(&loads).len(), 1);
        let expected = expected_contents(&loads).unwrap();
        assert_eq!(expected.len(), 3);
        assert_eq!(expected[&("s".to_owned(), "root".to_owned())].rows, 6);
    }

    #[test]
    fn tables_with_other_rows_are_named() {
        let contents = |rows| {
            Some(TableContents {
                rows,
                digest: RowDigest::default(),
            })
        };
        let difference = |after| RowDifference {
            table: ("s".to_owned(), "t".to_owned()),
            before: contents(3),
            after,
        };
        let error = mismatch(&[difference(contents(2)), difference(contents(3))]);
        assert_eq!(error.kind(), ErrorKind::RestoreIncomplete);
        assert_eq!(
            error.details(),
            [
                "s.t: 2 rows instead of 3.",
                "s.t: 3 rows, as in the archive, with other contents."
            ]
        );
    }
}
