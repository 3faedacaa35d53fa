//! `--verify-rows` and `--swap`: every table that was loaded is read once, and its rows are compared with the archive's digest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::stream::{FuturesUnordered, StreamExt};

use crate::archive::{RowDigest, TextEncoding, TocEntry};
use crate::comparison::{
    RowDifference, TableContents, TableName, Tables, compare_rows, live_contents,
};
use crate::conn::Session;
use crate::event::{Event, Events, Phase};
use crate::objects::{Kind, quote};
use crate::{Error, ErrorKind, Result};

use super::plan::{Load, LoadTarget};

/// A table of the target, and the COPY that reads it.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    /// The table whose rows these are as far as the archive knows: the topmost one of partitions that found their rows anew.
    counts_for: TableName,
    label: String,
    /// What lets the owner see all rows, rolled back after the COPY.
    reveal: Option<String>,
    copy_out: String,
    bytes: u64,
}

/// What tells how a table is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TableSource {
    is_foreign: bool,
    /// Of configuration tables of extensions: which rows are not the extension's own; empty for all.
    condition: Option<String>,
    /// Whether row security binds the role, so that COPY would be refused.
    hides_rows: bool,
}

/// Refuses rows that nobody has a digest of before they are loaded.
///
/// # Errors
/// `Usage`, naming tables: their rows are INSERT statements of pg_dump.
pub(crate) fn expect_digests<'a>(entries: impl IntoIterator<Item = &'a TocEntry>) -> Result<()> {
    let without: Vec<&TocEntry> = entries
        .into_iter()
        .filter(|entry| entry.kind == Kind::TableData.as_str() && entry.rows.is_none())
        .collect();
    let [first, others @ ..] = without.as_slice() else {
        return Ok(());
    };
    let name = first.qualified_name();
    Err(Error::new(
        ErrorKind::Usage,
        match others.len() {
            0 => format!("the rows of {name} cannot be compared"),
            more => format!("the rows of {name} and {more} more tables cannot be compared"),
        },
    )
    .detail("In the archive they are INSERT statements of pg_dump (--inserts): only a server knows what rows these make."))
}

/// Reads the tables of a target, the largest first, over all sessions.
///
/// # Errors
/// `RestoreIncomplete`, naming those that do not hold the archive's rows; `Data`.
pub(crate) async fn verify_rows(
    sessions: &[Session],
    loads: &[Load],
    encoding: TextEncoding,
    events: &Events,
) -> Result<()> {
    let (mixed, alone): (Vec<&Load>, Vec<&Load>) = loads.iter().partition(|load| is_mixed(load));
    for load in mixed {
        events.warn(format!(
            "{}: not verified, the extension has rows of its own in it",
            load.label
        ));
    }
    compare(sessions, &alone, Database::OfOthersToo, encoding, events).await
}

/// As [`verify_rows`], of a database in which nothing else than this restore has made rows. Of configuration tables of extensions
/// what these declare as the user's is compared.
///
/// # Errors
/// Those of [`verify_rows`].
pub(crate) async fn verify_new_database(
    sessions: &[Session],
    loads: &[Load],
    encoding: TextEncoding,
    events: &Events,
) -> Result<()> {
    let loads: Vec<&Load> = loads.iter().collect();
    compare(sessions, &loads, Database::New, encoding, events).await
}

/// Whose the tables are that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Database {
    /// Nobody else uses it.
    New,
    /// Others may be at work in it.
    OfOthersToo,
}

async fn compare(
    sessions: &[Session],
    loads: &[&Load],
    database: Database,
    encoding: TextEncoding,
    events: &Events,
) -> Result<()> {
    let Some(first) = sessions.first() else {
        return Err(Error::internal("there is no session to read rows with"));
    };
    events.phase(Phase::Verify);
    let expected = expected_contents(loads)?;
    let mut sources = read_sources(first, &expected).await?;
    for source in sources.values_mut() {
        source.hides_rows &= database == Database::New;
    }
    let mut readings = readings_of_tables(loads, &sources, encoding);
    for root in roots(loads) {
        readings.extend(readings_of_partitions(first, root, &expected, encoding).await?);
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
    let loads: Vec<&Load> = loads.iter().filter(|load| !is_mixed(load)).collect();
    let names: BTreeSet<TableName> = tables(&loads).map(|(name, _)| name).collect();
    names.len() as u64
}

/// Whether the archive's rows are not alone in the table.
fn is_mixed(load: &Load) -> bool {
    load.of_extension && load.target != LoadTarget::LargeObjects
}

fn tables<'a>(loads: &[&'a Load]) -> impl Iterator<Item = (TableName, &'a Load)> {
    loads.iter().filter_map(|load| match &load.target {
        LoadTarget::Table { schema, name } => Some(((schema.clone(), name.clone()), *load)),
        LoadTarget::LargeObjects => None,
    })
}

fn expected_contents(loads: &[&Load]) -> Result<Tables> {
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

async fn read_sources(
    session: &Session,
    tables: &Tables,
) -> Result<HashMap<TableName, TableSource>> {
    let (schemas, names): (Vec<&str>, Vec<&str>) = tables
        .keys()
        .map(|(schema, name)| (schema.as_str(), name.as_str()))
        .unzip();
    let rows = session
        .query(
            "SELECT n.nspname::text AS nspname, c.relname::text AS relname, c.relkind = 'f' AS is_foreign, \
             (SELECT u.condition FROM pg_catalog.pg_extension e, unnest(e.extconfig, e.extcondition) AS u(relation, condition) \
             WHERE u.relation = c.oid) AS condition, pg_catalog.row_security_active(c.oid) AS hides_rows \
             FROM unnest($1::text[], $2::text[]) AS w(nspname, relname) \
             JOIN pg_catalog.pg_namespace n ON n.nspname = w.nspname \
             JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname",
            &[&schemas, &names],
        )
        .await
        .map_err(|error| Error::from_server(ErrorKind::Data, "could not look up tables", error))?;
    let sources = rows.into_iter().map(|row| {
        let source = TableSource {
            is_foreign: row.get("is_foreign"),
            condition: row.get("condition"),
            hides_rows: row.get("hides_rows"),
        };
        ((row.get("nspname"), row.get("relname")), source)
    });
    Ok(sources.collect())
}

fn readings_of_tables(
    loads: &[&Load],
    sources: &HashMap<TableName, TableSource>,
    encoding: TextEncoding,
) -> Vec<Reading> {
    tables(loads)
        .filter(|(_, load)| !load.through_root)
        .map(|(name, load)| {
            let table = quote::qualified(&name.0, &name.1);
            let source = sources.get(&name).cloned().unwrap_or_default();
            let from = copy_source(&table, &load.columns, &source);
            let reveal = format!("ALTER TABLE ONLY {table} NO FORCE ROW LEVEL SECURITY");
            Reading {
                label: quote::one_line(&table).into_owned(),
                reveal: source.hides_rows.then_some(reveal),
                copy_out: copy_out(&from, encoding),
                counts_for: name,
                bytes: load.bytes,
            }
        })
        .collect()
}

/// What is foreign, and what is chosen by a condition, has no plain COPY.
fn copy_source(table: &str, columns: &[String], source: &TableSource) -> String {
    let columns: Vec<String> = columns.iter().map(|name| quote::ident(name)).collect();
    let columns = columns.join(", ");
    match &source.condition {
        Some(condition) => format!("(SELECT {columns} FROM ONLY {table} {condition})"),
        None if source.is_foreign => format!("(SELECT {columns} FROM ONLY {table})"),
        None if columns.is_empty() => table.to_owned(),
        None => format!("{table} ({columns})"),
    }
}

/// Digests are those of rows in the archive's encoding.
fn copy_out(from: &str, encoding: TextEncoding) -> String {
    match encoding.is_as_is() {
        true => format!("COPY {from} TO STDOUT"),
        false => {
            let name = quote::literal(encoding.name());
            format!("COPY {from} TO STDOUT WITH (ENCODING {name})")
        }
    }
}

fn roots(loads: &[&Load]) -> BTreeSet<TableName> {
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
    encoding: TextEncoding,
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
                reveal: None,
                copy_out: copy_out(&table, encoding),
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
                let contents = contents_of(session, &reading).await;
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

async fn contents_of(session: &Session, reading: &Reading) -> Result<TableContents> {
    let Some(reveal) = &reading.reveal else {
        return live_contents(session, &reading.label, &reading.copy_out).await;
    };
    let failed = |error| {
        let what = format!("could not read {} past its row security", reading.label);
        Error::from_server(ErrorKind::Data, what, error)
    };
    let begin = format!("BEGIN; {reveal}");
    session.batch_execute(&begin).await.map_err(failed)?;
    let contents = live_contents(session, &reading.label, &reading.copy_out).await?;
    session.batch_execute("ROLLBACK").await.map_err(failed)?;
    Ok(contents)
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

    fn load(name: &str, columns: &[&str]) -> Load {
        Load {
            label: format!("TABLE DATA {name}"),
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            digest: "0".repeat(31) + "7",
            rows: 3,
            bytes: 30,
            ..Load::named(name)
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
        assert_eq!(count_tables(&loads), 3);
        let loads: Vec<&Load> = loads.iter().collect();
        let of_extension = TableSource {
            condition: Some("WHERE user".to_owned()),
            ..TableSource::default()
        };
        let name = |name: &str| ("s".to_owned(), name.to_owned());
        let sources = HashMap::from([(name("config"), of_extension)]);
        let copies = |encoding| -> Vec<String> {
            readings_of_tables(&loads, &sources, encoding)
                .into_iter()
                .map(|reading| reading.copy_out)
                .collect()
        };
        assert_eq!(
            copies(TextEncoding::UTF8),
            [
                "COPY \"s\".\"t\" (\"a\", \"b\") TO STDOUT",
                "COPY \"s\".\"none\" TO STDOUT",
                "COPY (SELECT \"a\" FROM ONLY \"s\".\"config\" WHERE user) TO STDOUT",
            ]
        );
        assert_eq!(
            copies("LATIN1".parse().unwrap())[1],
            "COPY \"s\".\"none\" TO STDOUT WITH (ENCODING 'LATIN1')"
        );
        assert_eq!(roots(&loads).len(), 1);
        let expected = expected_contents(&loads).unwrap();
        assert_eq!(expected.len(), 4);
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
