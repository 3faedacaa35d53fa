//! One snapshot for all workers, and the locks that keep the tables under it as they were.

use crate::conn::Session;
use crate::event::Events;
use crate::objects::{Oid, quote};
use crate::{Error, ErrorKind, Result};

use super::contents::resolve;
use super::selection::Selection;

/// How often to start again when tables change between snapshot and lock before giving up.
const ATTEMPTS: u32 = 10;

/// Tables named in one LOCK statement: few round trips, and still a statement that logs can bear.
const LOCK_BATCH: usize = 500;

/// For sessions that read the catalogs. Of 50 000 tables the largest sort or hash table takes 40 MB; on disk, or with
/// parallel workers beside our own sessions, it takes longer.
pub(super) const CATALOG_SETTINGS: &str =
    "SET LOCAL work_mem = '64MB'; SET LOCAL max_parallel_workers_per_gather = 0";

/// A table to lock.
struct Relation {
    oid: Oid,
    name: String,
    filenode: Option<Oid>,
}

/// How the snapshot is taken.
#[derive(Clone, Debug, Default)]
pub struct SnapshotOptions {
    /// How long to wait for the lock of a table; `None` for as long as it takes.
    pub lock_wait_timeout_ms: Option<u64>,
    /// `--serializable-deferrable`: wait for a moment at which no serializable transaction can be in the way of another.
    pub serializable_deferrable: bool,
    /// `--snapshot`: one that another session exported and holds.
    pub imported: Option<String>,
}

impl SnapshotOptions {
    /// What begins the transaction.
    fn begin(&self) -> String {
        let level = match self.serializable_deferrable {
            true => "SERIALIZABLE, READ ONLY, DEFERRABLE",
            false => "REPEATABLE READ, READ ONLY",
        };
        let import = match &self.imported {
            Some(name) => format!("; SET TRANSACTION SNAPSHOT {}", quote::literal(name)),
            None => String::new(),
        };
        format!("BEGIN ISOLATION LEVEL {level}{import}")
    }
}

/// Opens the transaction whose snapshot all workers import, and locks every selected table.
///
/// Returns the snapshot's name, and what `beside` makes of it, which is called before the locks. The transaction must stay open until the last worker has imported it,
/// and stays open to the end because it holds the locks.
///
/// A TRUNCATE or rewrite that commits between the snapshot and our lock leaves a table that the snapshot
/// sees as empty (manual: "Concurrency Control", caveats). `pg_class.relfilenode` as the snapshot sees it
/// then differs from the current one, and we start again with a new snapshot. So we do when a name now
/// belongs to another table: locks and COPY go by name.
///
/// # Errors
/// `LockTimeout`; `Catalog` if tables keep changing or a lock is refused.
pub(crate) async fn begin<T>(
    session: &Session,
    selection: &Selection,
    options: &SnapshotOptions,
    events: &Events,
    beside: impl Fn(&str) -> T,
) -> Result<(String, T)> {
    let failed = |e| Error::from_server(ErrorKind::Catalog, "could not begin a snapshot", e);
    // Another's snapshot stays the same however often we start.
    let attempts = if options.imported.is_some() {
        1
    } else {
        ATTEMPTS
    };
    for attempt in 1..=attempts {
        session
            .batch_execute(&options.begin())
            .await
            .map_err(failed)?;
        session
            .batch_execute(CATALOG_SETTINGS)
            .await
            .map_err(failed)?;
        if let Some(milliseconds) = options.lock_wait_timeout_ms {
            let set = format!("SET LOCAL lock_timeout = {milliseconds}");
            session.batch_execute(&set).await.map_err(failed)?;
        }
        let snapshot: String = session
            .query_one("SELECT pg_catalog.pg_export_snapshot() AS snapshot", &[])
            .await
            .map_err(failed)?
            .get("snapshot");
        let beside = beside(&snapshot);
        // Patterns without a schema mean what is visible; only then do we know all that will be dumped.
        let selection = resolve(session, selection).await?;
        let relations = read_relations(session, &selection).await?;
        if lock(session, &relations).await? && unchanged(session, &relations).await? {
            return Ok((snapshot, beside));
        }
        events.note(format!(
            "a table changed between snapshot and lock, starting again ({attempt} of {attempts})"
        ));
        session.batch_execute("ROLLBACK").await.map_err(failed)?;
    }
    Err(Error::new(
        ErrorKind::Catalog,
        "tables keep being dropped, truncated or rewritten while the dump begins",
    )
    .hint("Run again when no migration or bulk load is running."))
}

/// Opens a transaction on another session under a snapshot of [`begin`].
///
/// # Errors
/// `Data` if the transaction that exported it is over.
pub(crate) async fn import(session: &Session, snapshot: &str) -> Result<()> {
    let import = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
        quote::literal(snapshot)
    );
    session.batch_execute(&import).await.map_err(lost)
}

/// The error of a statement without which a session does not have the snapshot.
pub(crate) fn lost(error: tokio_postgres::Error) -> Error {
    Error::from_server(ErrorKind::Data, "could not import the snapshot", error)
}

/// Tables that will be dumped. An extension's are not, except for its configuration tables.
async fn read_relations(session: &Session, selection: &Selection) -> Result<Vec<Relation>> {
    let rows = session
        .query(
            "SELECT c.oid, n.nspname::pg_catalog.text AS nspname, c.relname::pg_catalog.text AS relname, \
                    CASE WHEN c.relkind = 'r' THEN NULLIF(c.relfilenode, 0) END AS relfilenode, \
                    (SELECT e.extname::pg_catalog.text FROM pg_catalog.pg_extension e \
                     WHERE c.oid = ANY (e.extconfig)) AS extension \
             FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' \
               AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema' \
               AND n.nspname OPERATOR(pg_catalog.!~) '^pg_' \
               AND (NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
                      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid \
                        AND d.objsubid = 0 AND d.deptype = 'e') \
                 OR EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE c.oid = ANY (e.extconfig))) \
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
        .filter(|(schema, name, row)| match row.get("extension") {
            Some(extension) => selection.includes_configuration(extension, schema, name),
            None => selection.includes_relation(schema, name),
        })
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
                Some("55P03") => Err(lock_timeout(session, batch, error).await),
                code => {
                    let hint = match code {
                        // out_of_memory, of the shared table of locks
                        Some("53200") => {
                            "Every table takes a lock to the end: raise max_locks_per_transaction on the server."
                        }
                        _ => "The role needs SELECT on every table that is to be dumped.",
                    };
                    let what = "could not lock the tables";
                    Err(Error::from_server(ErrorKind::Catalog, what, error).hint(hint))
                }
            };
        }
    }
    Ok(true)
}

/// The server does not say which table it waited for: we look who has or wants a lock that excludes ours.
async fn lock_timeout(
    session: &Session,
    batch: &[Relation],
    error: tokio_postgres::Error,
) -> Error {
    let error = Error::from_server(ErrorKind::LockTimeout, "could not lock the tables", error)
        .hint("Wait for the other session to end, or allow more with --lock-wait-timeout.");
    match read_blockers(session, batch).await {
        Ok(blockers) => blockers.into_iter().fold(error, Error::detail),
        // The timeout is what happened; not knowing whom to blame changes nothing.
        Err(_) => error,
    }
}

async fn read_blockers(
    session: &Session,
    batch: &[Relation],
) -> Result<Vec<String>, tokio_postgres::Error> {
    session.batch_execute("ROLLBACK").await?;
    let oids: Vec<Oid> = batch.iter().map(|relation| relation.oid).collect();
    let rows = session
        .query(
            "SELECT l.relation, l.pid, l.granted FROM pg_catalog.pg_locks l \
             JOIN pg_catalog.pg_database d ON d.oid = l.database \
             WHERE d.datname = pg_catalog.current_database() AND l.relation = ANY ($1) \
               AND l.mode = 'AccessExclusiveLock' AND l.pid IS NOT NULL \
             ORDER BY l.granted DESC, l.relation, l.pid",
            &[&oids],
        )
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let oid: Oid = row.get("relation");
            let name = &batch.iter().find(|relation| relation.oid == oid)?.name;
            let pid: i32 = row.get("pid");
            let verb = if row.get("granted") {
                "holds"
            } else {
                "waits for"
            };
            Some(format!(
                "Process {pid} {verb} an exclusive lock on {}.",
                quote::one_line(name)
            ))
        })
        .collect())
}

/// Whether every table still has the name and the storage that the snapshot knows.
///
/// Both functions look at the current catalogs, whatever the transaction's snapshot.
async fn unchanged(session: &Session, relations: &[Relation]) -> Result<bool> {
    let oids: Vec<Oid> = relations.iter().map(|relation| relation.oid).collect();
    let names: Vec<&str> = relations.iter().map(|r| r.name.as_str()).collect();
    let filenodes: Vec<Option<Oid>> = relations.iter().map(|r| r.filenode).collect();
    let changed = session
        .query(
            "SELECT r.oid FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), \
               pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.oid[])) \
               AS r (oid, name, relfilenode) \
             WHERE pg_catalog.to_regclass(r.name)::pg_catalog.oid IS DISTINCT FROM r.oid \
               OR (r.relfilenode IS NOT NULL \
                 AND pg_catalog.pg_relation_filenode(r.oid) IS DISTINCT FROM r.relfilenode) \
             LIMIT 1",
            &[&oids, &names, &filenodes],
        )
        .await
        .map_err(|e| Error::from_server(ErrorKind::Catalog, "could not check the tables", e))?;
    Ok(changed.is_empty())
}
