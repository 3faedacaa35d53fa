//! What a restore commits on its way is not waited for (`synchronous_commit` is off). Before something is told to be done, one commit
//! is, and the server's log reaches the disk up to there, whoever wrote it.

use crate::conn::Session;

/// Makes the commit of the transaction that it stands in one that is waited for, as commits usually are on this server, and at least
/// until it is on the server's own disk. That takes a transaction that writes, see [`WRITES`].
pub(super) const DURABLY: &str = "SELECT pg_catalog.set_config(name, CASE reset_val WHEN 'off' THEN 'local' ELSE reset_val END, true) \
     FROM pg_catalog.pg_settings WHERE name = 'synchronous_commit';";

/// Lets a transaction write: a commit without anything of its own in the log is not waited for, even if the transaction has a
/// number. Server: `RecordTransactionCommit`.
pub(super) const WRITES: &str = "SELECT pg_catalog.pg_logical_emit_message(true, 'pgstow', '');";

/// Waits until all that was committed so far is durable. Within a transaction it does nothing.
pub(super) async fn flush(session: &Session) -> Result<(), tokio_postgres::Error> {
    // Statements that are sent together are one transaction.
    session.batch_execute(&format!("{DURABLY} {WRITES}")).await
}
