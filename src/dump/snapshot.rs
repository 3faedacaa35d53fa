//! One snapshot for all workers, and the locks that keep the tables under it as they were.

use crate::conn::Session;
use crate::event::Events;
use crate::objects::{Oid, quote};
use crate::{Error, ErrorKind, Result};

use super::selection::Selection;

/// How often to start again when tables change between snapshot and lock before giving up.
const ATTEMPTS: u32 = 10;

/// Tables named in one LOCK statement: few round trips, and still a statement that logs can bear.
const LOCK_BATCH: usize = 500;

/// A table to lock.
struct Relation {
    oid: Oid,
    name: String,
    filenode: Option<Oid>,
}

/// Opens the transaction whose snapshot all workers import, and locks every selected table.
///
/// Returns the snapshot's name. The transaction must stay open until the last worker has imported it,
/// and stays open to the end because it holds the locks.
///
/// A TRUNCATE or rewrite that commits between the snapshot and our lock leaves a table that the snapshot
/// sees as empty (manual: "Concurrency Control", caveats). `pg_class.relfilenode` as the snapshot sees it
/// then differs from the current one, and we start again with a new snapshot.
///
/// # Errors
/// `LockTimeout`; `Catalog` if tables keep changing or a lock is refused.
pub(crate) async fn begin(
    session: &Session,
    selection: &Selection,
    lock_wait_timeout_ms: Option<u64>,
    events: &Events,
) -> Result<String> {
    let failed = |e| Error::from_server(ErrorKind::Catalog, "could not begin a snapshot", e);
    for attempt in 1..=ATTEMPTS {
        session
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await
            .map_err(failed)?;
        if let Some(milliseconds) = lock_wait_timeout_ms {
            let set = format!("SET LOCAL lock_timeout = {milliseconds}");
            session.batch_execute(&set).await.map_err(failed)?;
        }
        let snapshot: String = session
            .query_one("SELECT pg_catalog.pg_export_snapshot() AS snapshot", &[])
            .await
            .map_err(failed)?
            .get("snapshot");
        let relations = read_relations(session, selection).await?;
        if lock(session, &relations).await? && unchanged(session, &relations).await? {
            return Ok(snapshot);
        }
        events.note(format!(
            "a table changed between snapshot and lock, starting again ({attempt} of {ATTEMPTS})"
        ));
        session.batch_execute("ROLLBACK").await.map_err(failed)?;
    }
    Err(Error::new(
        ErrorKind::Catalog,
        "tables keep being dropped, truncated or rewritten while the dump begins",
    )
    .hint("Run again when no migration or bulk load is running."))
}

/// The selected tables. Partitioned ones have no storage, though 10 and 11 gave them a file node.
async fn read_relations(session: &Session, selection: &Selection) -> Result<Vec<Relation>> {
    let rows = session
        .query(
            "SELECT c.oid, n.nspname::pg_catalog.text AS nspname, c.relname::pg_catalog.text AS relname, \
                    CASE WHEN c.relkind = 'r' THEN NULLIF(c.relfilenode, 0) END AS relfilenode \
             FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' \
               AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
             ORDER BY n.nspname, c.relname",
            &[],
        )
        .await
        .map_err(|e| Error::from_server(ErrorKind::Catalog, "could not read the tables", e))?;
    Ok(rows
        .iter()
        .map(|row| {
            (
                row.get::<_, String>("nspname"),
                row.get::<_, String>("relname"),
                row,
            )
        })
        .filter(|(schema, name, _)| selection.includes_relation(schema, name))
        .map(|(schema, name, row)| Relation {
            oid: row.get("oid"),
            name: quote::qualified(&schema, &name),
            filenode: row.get("relfilenode"),
        })
        .collect())
}

/// Locks the tables; `false` if one of them is gone.
async fn lock(session: &Session, relations: &[Relation]) -> Result<bool> {
    for batch in relations.chunks(LOCK_BATCH) {
        let names: Vec<&str> = batch
            .iter()
            .map(|relation| relation.name.as_str())
            .collect();
        let statement = format!(
            "LOCK TABLE ONLY {} IN ACCESS SHARE MODE",
            names.join(", ONLY ")
        );
        if let Err(error) = session.batch_execute(&statement).await {
            // 42P01 undefined_table, 3F000 invalid_schema_name
            return match error.code().map(|code| code.code()) {
                Some("42P01" | "3F000") => Ok(false),
                _ => {
                    Err(
                        Error::from_server(ErrorKind::Catalog, "could not lock the tables", error)
                            .hint("The role needs SELECT on every table that is to be dumped."),
                    )
                }
            };
        }
    }
    Ok(true)
}

/// Whether every table still has the storage (and the name) that the snapshot knows.
async fn unchanged(session: &Session, relations: &[Relation]) -> Result<bool> {
    let (oids, filenodes): (Vec<Oid>, Vec<Option<Oid>>) = relations
        .iter()
        .filter(|relation| relation.filenode.is_some())
        .map(|relation| (relation.oid, relation.filenode))
        .unzip();
    let changed = session
        .query(
            "SELECT r.oid FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), \
             pg_catalog.unnest($2::pg_catalog.oid[])) AS r (oid, relfilenode) \
             WHERE pg_catalog.pg_relation_filenode(r.oid) IS DISTINCT FROM r.relfilenode",
            &[&oids, &filenodes],
        )
        .await
        .map_err(|e| Error::from_server(ErrorKind::Catalog, "could not check the tables", e))?;
    Ok(changed.is_empty())
}
