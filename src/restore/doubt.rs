//! A COMMIT whose end was not seen: the server is asked by the transaction's number what became of it.

use std::time::Duration;

use tokio_postgres::error::{Severity, SqlState};

use crate::conn::Session;
use crate::{Error, ErrorKind, Result};

use super::durable;
use super::progress::Commit;

/// A server that crashed is back after some seconds as a rule, and nobody else can tell what became of a COMMIT.
pub(super) const SETTLE_PATIENCE: Duration = Duration::from_secs(15);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a run waits for what makes the answer certain.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the server said that it rolled back. What ends the session as well (FATAL) may come after the COMMIT.
pub(super) fn is_refusal(error: &tokio_postgres::Error) -> bool {
    let severity = error.as_db_error().and_then(|db| db.parsed_severity());
    severity == Some(Severity::Error)
}

/// Makes the server write its log to the disk as far as it has come, and with it the number of a transaction that is about to commit: a
/// crash would else let another transaction have the same one. Over a session beside it. Best effort: without it the answer may be wrong
/// in one of very many crashes.
pub(super) async fn write_number(connecting: impl Future<Output = Result<Session>>) {
    let write = async {
        let session = connecting.await.ok()?;
        durable::flush(&session).await.ok()?;
        session.close().await;
        Some(())
    };
    let _ = tokio::time::timeout(FLUSH_TIMEOUT, write).await;
}

/// Asks until somebody knows; `None` if nobody did within `patience`.
pub(super) async fn settle<F>(patience: Duration, ask: impl Fn() -> F) -> Option<Commit>
where
    F: Future<Output = Result<Option<Commit>>>,
{
    let asked = async {
        loop {
            if let Ok(Some(commit)) = ask().await {
                return commit;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(patience, asked).await.ok()
}

/// What the server knows of a transaction; `None` while it is in progress.
///
/// # Errors
/// `Restore`.
pub(super) async fn status_of(session: &Session, number: i64) -> Result<Option<Commit>> {
    // A standby may be behind.
    if session.in_recovery() {
        return Ok(None);
    }
    let query = "SELECT pg_catalog.txid_status($1) AS status";
    let status = match session.query_one(query, &[&number]).await {
        Ok(row) => row.get::<_, Option<String>>("status"),
        // The server has not given this number out: a crash has lost it.
        Err(error) if error.code() == Some(&SqlState::INVALID_PARAMETER_VALUE) => {
            return Ok(Some(Commit::Open));
        }
        Err(error) => {
            let what = "could not ask what became of the transaction";
            return Err(Error::from_server(ErrorKind::Restore, what, error));
        }
    };
    Ok(match status.as_deref() {
        Some("committed") => Some(Commit::Done),
        Some("aborted") => Some(Commit::Open),
        _ => None,
    })
}
