//! Whether the server's disk has room for the rows, where that can be known.
//!
//! A server does not tell how much space its disk has. If it runs on this host, its data directory can be looked at: it is the
//! same if its `postmaster.pid` says what the server says. Else the answer is that nobody knows.

use std::path::Path;

use crate::Result;
use crate::conn::Session;
use crate::objects::Oid;

use super::check::cannot_check;
use super::findings::{Check, Findings};

/// Compares the bytes of rows with the free space and with what will be given back.
///
/// `dropped`: tables that go before rows come.
///
/// # Errors
/// `Restore`.
pub(crate) async fn check_room(
    session: &Session,
    bytes: u64,
    dropped: &[Oid],
    findings: &mut Findings,
) -> Result<()> {
    // Pages as of the last VACUUM or ANALYZE: to ask for exact sizes would wait for whoever has locked a table.
    let row = session
        .query_one(
            "SELECT CASE WHEN pg_catalog.pg_has_role('pg_read_all_settings', 'MEMBER') \
             THEN pg_catalog.current_setting('data_directory', true) END AS directory, \
             pg_catalog.current_setting('port') AS port, \
             NULLIF(pg_catalog.pg_tablespace_location(d.dattablespace), '') AS location, \
             (SELECT (COALESCE(pg_catalog.sum(c.relpages), 0) * pg_catalog.current_setting('block_size')::int)::bigint \
             FROM pg_catalog.pg_class c WHERE c.oid = ANY($1::oid[]) \
             OR c.oid IN (SELECT t.reltoastrelid FROM pg_catalog.pg_class t WHERE t.oid = ANY($1::oid[])) \
             OR c.oid IN (SELECT i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid = ANY($1::oid[]))) AS dropped \
             FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()",
            &[&dropped],
        )
        .await
        .map_err(cannot_check)?;
    let directory: Option<&str> = row.get("directory");
    let location: Option<&str> = row.get("location");
    let given_back = u64::try_from(row.get::<_, i64>("dropped")).unwrap_or(0);
    let free = directory
        .filter(|directory| is_of_this_server(Path::new(directory), row.get("port")))
        .and_then(|directory| free_bytes(Path::new(location.unwrap_or(directory))));
    judge(bytes, free, given_back, findings);
    Ok(())
}

/// Whether the directory is one that a running server on this host uses with this port. Who may not read it does not know.
fn is_of_this_server(directory: &Path, port: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(directory.join("postmaster.pid")) else {
        return false;
    };
    // Process, data directory, start, port, ... one a line.
    let mut lines = text.lines();
    lines.nth(1) == directory.to_str() && lines.nth(1) == Some(port)
}

fn free_bytes(directory: &Path) -> Option<u64> {
    let statistics = rustix::fs::statvfs(directory).ok()?;
    Some(statistics.f_bavail.saturating_mul(statistics.f_frsize))
}

/// A table takes more or less than its rows as text, so this warns and never stops.
fn judge(bytes: u64, free: Option<u64>, given_back: u64, findings: &mut Findings) {
    let human = indicatif::HumanBytes;
    match free {
        Some(free) if bytes > free.saturating_add(given_back) => findings.warning(
            Check::Space,
            format!(
                "the rows have {} as text, and the server's disk has {} free",
                human(bytes),
                human(free)
            ),
        ),
        Some(free) => findings.note(
            Check::Space,
            format!("free on the server's disk: {}", human(free)),
        ),
        None => findings.note(Check::Space, "free on the server's disk: unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Severity;
    use super::*;

    fn severity(bytes: u64, free: Option<u64>, given_back: u64) -> Severity {
        let mut findings = Findings::default();
        judge(bytes, free, given_back, &mut findings);
        match findings.of(Severity::Warning).count() {
            0 => Severity::Note,
            _ => Severity::Warning,
        }
    }

    #[test]
    fn what_is_dropped_first_makes_room() {
        assert_eq!(severity(10, Some(9), 0), Severity::Warning);
        assert_eq!(severity(10, Some(9), 1), Severity::Note);
        assert_eq!(severity(10, None, 0), Severity::Note);
    }
}
