//! What a role that is no superuser may not do for a swap: found before anything is built, each by name.

use tokio_postgres::error::SqlState;

use crate::conn::{ServerVersion, Session};
use crate::objects::{Database, quote};
use crate::{Error, ErrorKind, Result};

use super::check::cannot_check;
use super::findings::{Check, Findings};
use super::sessions::describe_session;

/// Whether the role `me` may end a session `s` of the role `r`, a superuser or not. Server: `pg_signal_backend`.
pub(super) const MAY_END: &str = "(me.rolsuper OR (NOT COALESCE(r.rolsuper, false) AND \
     (pg_catalog.pg_has_role(s.usesysid, 'USAGE') OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE'))))";

/// Sessions of a database, but for autovacuum, which goes by itself. Of other roles a plain one sees no more than that they are there.
pub(super) const SESSIONS: &str = "pg_catalog.pg_stat_activity s \
     JOIN pg_catalog.pg_roles me ON me.rolname = CURRENT_USER \
     LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.usesysid \
     WHERE s.pid <> pg_catalog.pg_backend_pid() AND s.usesysid IS NOT NULL \
     AND s.backend_type IS DISTINCT FROM 'autovacuum worker'";

/// Which of the statements that give the new database what the old one has the role may not run, by their places in
/// [`render_properties`]. Those are problems, or left out with `--skip-privileged`.
///
/// # Errors
/// `Restore`.
pub(super) async fn check(
    session: &Session,
    properties: &Database,
    skip_privileged: bool,
    findings: &mut Findings,
) -> Result<Vec<usize>> {
    check_exchange(session, findings).await?;
    check_sessions(session, findings).await?;
    let statements = render_properties(properties, session.database(), session.version())?;
    let denied = try_out(session, &statements).await?;
    for statement in denied.iter().filter_map(|at| statements.get(*at)) {
        let statement = quote::one_line(statement.trim_end_matches(';'));
        match skip_privileged {
            true => findings.warning(
                Check::Rights,
                format!(
                    "the new database will not have what the role may not give it: {statement}"
                ),
            ),
            false => findings.problem(
                Check::Rights,
                format!("the role may not give the new database what the old one has: {statement}"),
            ),
        }
    }
    Ok(denied)
}

/// What gives a database privileges, security labels and settings of another one. The comment comes with the exchange.
pub(super) fn render_properties(
    properties: &Database,
    name: &str,
    server: ServerVersion,
) -> Result<Vec<String>> {
    let mut statements = properties.render_acl(name, server)?;
    statements.extend(properties.render_labels(name));
    statements.extend(properties.render_settings(name));
    statements.extend(properties.render_limits(name));
    Ok(statements)
}

async fn check_exchange(session: &Session, findings: &mut Findings) -> Result<()> {
    // Who may only SET ROLE to the owner renames nothing.
    let may_give = match session.version() >= ServerVersion::major(16) {
        true => "pg_catalog.pg_has_role(d.datdba, 'SET')",
        false => "true",
    };
    let row = session
        .query_one(
            &format!(
                "SELECT r.rolsuper OR (r.rolcreatedb AND pg_catalog.pg_has_role(d.datdba, 'USAGE') AND {may_give}) AS may_swap \
                 FROM pg_catalog.pg_database d, pg_catalog.pg_roles r \
                 WHERE d.datname = pg_catalog.current_database() AND r.rolname = CURRENT_USER"
            ),
            &[],
        )
        .await
        .map_err(cannot_check)?;
    if !row.get::<_, bool>("may_swap") {
        findings.problem(
            Check::Swap,
            "the exchange needs a superuser, or the database's owner with CREATEDB",
        );
    }
    Ok(())
}

/// Sessions come and go: those of today tell whose will be in the way.
async fn check_sessions(session: &Session, findings: &mut Findings) -> Result<()> {
    let query = format!(
        "SELECT s.pid, s.usename::text AS usename, COALESCE(s.application_name, '') AS application \
         FROM {SESSIONS} AND s.datname = pg_catalog.current_database() AND NOT {MAY_END} ORDER BY s.pid"
    );
    let rows = session.query(&query, &[]).await.map_err(cannot_check)?;
    let sessions: Vec<String> = rows
        .iter()
        .map(|row| describe_session(row.get("pid"), row.get("usename"), row.get("application")))
        .collect();
    if !sessions.is_empty() {
        findings.warning(
            Check::Swap,
            format!(
                "the role may not end sessions of these, which must be gone when the databases are exchanged (pg_signal_backend lets it, but for superusers'): {}",
                quote::some_of(&sessions)
            ),
        );
    }
    Ok(())
}

/// Runs statements that change nothing, for so it is already, in a transaction that is undone. What else is wrong with them than
/// rights shows when it matters.
async fn try_out(session: &Session, statements: &[String]) -> Result<Vec<usize>> {
    let failed = |error| {
        let what = "could not look up what the role may do";
        Error::from_server(ErrorKind::Restore, what, error)
    };
    let mut denied = Vec::new();
    session
        .batch_execute("BEGIN; SET LOCAL lock_timeout = '5s'")
        .await
        .map_err(failed)?;
    for (at, statement) in statements.iter().enumerate() {
        let tried = format!("SAVEPOINT tried; {statement}");
        match session.batch_execute(&tried).await {
            Ok(()) => {}
            Err(error) if error.as_db_error().is_none() => return Err(failed(error)),
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                denied.push(at);
            }
            Err(_) => {}
        }
        let undo = "ROLLBACK TO SAVEPOINT tried; RELEASE SAVEPOINT tried";
        session.batch_execute(undo).await.map_err(failed)?;
    }
    session.batch_execute("ROLLBACK").await.map_err(failed)?;
    Ok(denied)
}
