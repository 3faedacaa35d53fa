//! One restore at a time in a database: an advisory lock that every connection of a run holds.
//!
//! All hold it in shared mode, and a run begins by taking it exclusively: so it neither overlaps with another run nor
//! with what a killed one left working on the server.

use std::time::{Duration, Instant};

use crate::conn::Session;
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

/// "pgstow_r" in ASCII, as a number.
const KEY: i64 = 0x7067_7374_6f77_5f72;
/// Between two looks whether those who hold the lock have gone.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes the turn for this session, which others of the run may then [`join`].
///
/// # Errors
/// `Locked` if somebody else still has it after `patience`; `Restore`.
pub(super) async fn take(session: &Session, patience: Duration) -> Result<()> {
    let began = Instant::now();
    while !try_lock(session).await? {
        if began.elapsed() >= patience {
            return Err(taken(session).await?);
        }
        tokio::time::sleep(PAUSE).await;
    }
    let sql = format!(
        "SELECT pg_catalog.pg_advisory_lock_shared({KEY}); SELECT pg_catalog.pg_advisory_unlock({KEY});"
    );
    session.batch_execute(&sql).await.map_err(failed)
}

/// Takes part in the turn of another session.
///
/// # Errors
/// `Restore`.
pub(super) async fn join(session: &Session) -> Result<()> {
    let sql = format!("SELECT pg_catalog.pg_advisory_lock_shared({KEY});");
    session.batch_execute(&sql).await.map_err(failed)
}

/// Ends those of the processes on the server that still hold the lock: they served connections that broke.
///
/// # Errors
/// `Restore`.
pub(super) async fn end_processes(session: &Session, pids: &[i32]) -> Result<()> {
    let query = format!(
        "SELECT pg_catalog.pg_terminate_backend(l.pid) FROM pg_catalog.pg_locks l {HOLDERS} AND l.pid = ANY($1)"
    );
    session
        .execute(&query, &[&pids])
        .await
        .map(drop)
        .map_err(failed)
}

/// Who holds the lock. The key's halves stand in two columns. Manual: "pg_locks".
const HOLDERS: &str = "JOIN pg_catalog.pg_database d ON d.oid = l.database \
     AND d.datname = pg_catalog.current_database() \
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid = 1885827956 AND l.objid = 1870094194 \
     AND l.pid <> pg_catalog.pg_backend_pid()";

async fn try_lock(session: &Session) -> Result<bool> {
    let query = format!("SELECT pg_catalog.pg_try_advisory_lock({KEY}) AS locked");
    let row = session.query_one(&query, &[]).await.map_err(failed)?;
    Ok(row.get("locked"))
}

async fn taken(session: &Session) -> Result<Error> {
    let query = format!("SELECT DISTINCT l.pid FROM pg_catalog.pg_locks l {HOLDERS} ORDER BY 1");
    let rows = session.query(&query, &[]).await.map_err(failed)?;
    let pids: Vec<String> = rows
        .iter()
        .map(|row| row.get::<_, i32>("pid").to_string())
        .collect();
    let database = quote::ident(session.database());
    Ok(Error::new(
        ErrorKind::Locked,
        format!(
            "another restore is at work in database {}",
            quote::one_line(&database)
        ),
    )
    .detail(format!("Processes on the server: {}.", pids.join(", ")))
    .hint(
        "Wait until it has ended. What a killed pgstow was doing, PostgreSQL 14 and later stop within seconds, \
         older servers at the end of the statement, or pg_terminate_backend() does.",
    ))
}

fn failed(error: tokio_postgres::Error) -> Error {
    let what = "could not make sure that no other restore is at work";
    Error::from_server(ErrorKind::Restore, what, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_the_key_are_those_of_the_query() {
        assert!(HOLDERS.contains(&format!("classid = {}", KEY >> 32)));
        assert!(HOLDERS.contains(&format!("objid = {}", KEY & 0xffff_ffff)));
    }
}
