//! Who else is in the target, and which locks a restore would wait for.

use crate::Result;
use crate::conn::Session;
use crate::objects::{Oid, quote};

use super::check::cannot_check;
use super::findings::{Check, Findings};

/// Names the sessions whose locks are in the way: any lock on what would be dropped, and locks against writers on what would
/// be loaded. Others who are connected are counted.
///
/// `loaded`: schemas and names of tables that get rows and stay.
///
/// # Errors
/// `Restore`.
pub(crate) async fn check_sessions(
    session: &Session,
    dropped: &[Oid],
    loaded: &[(String, String)],
    findings: &mut Findings,
) -> Result<()> {
    let (schemas, names): (Vec<&str>, Vec<&str>) = loaded
        .iter()
        .map(|(schema, name)| (schema.as_str(), name.as_str()))
        .unzip();
    // Whose transaction is prepared has no process, but a lock on the transaction's number; a waiting one holds nothing.
    let rows = session
        .query(
            "WITH wanted AS ( \
             SELECT w.oid, true AS is_dropped FROM pg_catalog.unnest($1::oid[]) AS w(oid) \
             UNION ALL \
             SELECT c.oid, false FROM unnest($2::text[], $3::text[]) AS w(nspname, relname) \
             JOIN pg_catalog.pg_namespace n ON n.nspname = w.nspname \
             JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname) \
             SELECT l.pid, a.usename::text AS usename, COALESCE(a.application_name, '') AS application, a.state, p.gid, \
             pg_catalog.array_agg(DISTINCT l.mode || ' on ' || i.type || ' ' || i.identity) AS locks \
             FROM pg_catalog.pg_locks l \
             JOIN wanted w ON w.oid = l.relation \
             CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_class'::pg_catalog.regclass, l.relation, 0) i \
             LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
             LEFT JOIN (pg_catalog.pg_locks t JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = t.transactionid) \
             ON l.pid IS NULL AND t.pid IS NULL AND t.virtualtransaction = l.virtualtransaction \
             WHERE l.locktype = 'relation' AND l.granted \
             AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
             AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid() \
             AND (w.is_dropped OR l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')) \
             GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 5",
            &[&dropped, &schemas, &names],
        )
        .await
        .map_err(cannot_check)?;
    for row in rows {
        let pid: Option<i32> = row.get("pid");
        let state: Option<&str> = row.get("state");
        let locks: Vec<String> = row.get("locks");
        let who = match pid {
            Some(pid) => format!(
                "{}, {}",
                describe_session(pid, row.get("usename"), row.get("application")),
                state.unwrap_or("state unknown")
            ),
            None => match row.get::<_, Option<&str>>("gid") {
                Some(gid) => format!("prepared transaction {}", quote::literal(gid)),
                None => "a prepared transaction".to_owned(),
            },
        };
        findings.warning(
            Check::Sessions,
            format!(
                "{who}, holds {}: the restore will wait for it",
                quote::some_of(&locks)
            ),
        );
    }
    let others = other_sessions(session, session.database()).await?;
    if !others.is_empty() {
        findings.note(
            Check::Sessions,
            format!(
                "{} others are connected: {}",
                others.len(),
                quote::some_of(&others)
            ),
        );
    }
    Ok(())
}

/// Client sessions of a database other than our own, in words. Of other roles' a plain role is not told what they are.
///
/// # Errors
/// `Restore`.
pub(crate) async fn other_sessions(session: &Session, database: &str) -> Result<Vec<String>> {
    let rows = session
        .query(
            "SELECT pid, usename::text AS usename, COALESCE(application_name, '') AS application \
             FROM pg_catalog.pg_stat_activity \
             WHERE datname = $1 AND pid <> pg_catalog.pg_backend_pid() \
             AND (backend_type = 'client backend' OR (backend_type IS NULL AND usesysid IS NOT NULL)) ORDER BY pid",
            &[&database],
        )
        .await
        .map_err(cannot_check)?;
    Ok(rows
        .iter()
        .map(|row| describe_session(row.get("pid"), row.get("usename"), row.get("application")))
        .collect())
}

pub(super) fn describe_session(pid: i32, user: Option<&str>, application: &str) -> String {
    let user = user.map_or_else(|| "unknown".to_owned(), quote::ident);
    match application {
        "" => format!("session {pid} of {user}"),
        name => format!("session {pid} of {user} ({})", quote::one_line(name)),
    }
}
