//! Is the database named rightly, can it be reached, may its tables be read?

use super::Check;
use crate::config::Profile;
use crate::conn::{Session, connect};
use crate::objects::quote::one_line;
use crate::{Error, ErrorKind, Result};

/// Tables that are named.
const NAMED: usize = 3;

/// The checks, and the database's size if it is known.
pub(super) async fn checks(profile: &Profile) -> (Vec<Check>, Option<u64>) {
    let settings = match profile.connect_settings() {
        Ok(settings) => settings,
        Err(error) => return (vec![Check::of_error("connection", &error)], None),
    };
    let shown = settings.describe();
    let mut checks = vec![match &profile.settings.url {
        Some(url) => Check::ok("connection", format!("{shown} ({})", url.origin)),
        None if profile.source.names_database() => Check::ok("connection", shown),
        None if ["PGHOST", "PGDATABASE", "PGSERVICE"]
            .iter()
            .any(|name| std::env::var_os(name).is_some()) =>
        {
            Check::ok("connection", format!("{shown} (PG* variables)"))
        }
        None => Check::warn(
            "connection",
            format!("{shown} (nothing is set, so libpq's defaults hold)"),
        )
        .hint("Set DATABASE_URL=postgresql://USER@HOST/DATABASE, or write a pgstow.toml."),
    }];
    let session = match connect(&settings).await {
        Ok(session) => session,
        Err(error) => {
            checks.push(Check::of_error("PostgreSQL", &error));
            return (checks, None);
        }
    };
    checks.push(match session.version_warning() {
        None => Check::ok("PostgreSQL", format!("version {}", session.version())),
        Some(warning) => Check::warn("PostgreSQL", warning),
    });
    checks.push(match unreadable(&session).await {
        Ok(tables) if tables.is_empty() => Check::ok("rights", "all tables can be read"),
        Ok(tables) => {
            let named: Vec<String> = tables.iter().take(NAMED).cloned().collect();
            let more = match tables.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Check::fail("rights", format!("cannot read {}{more}", named.join(", "))).hint(
                "Grant pg_read_all_data (14 and later) to the role, with BYPASSRLS if tables have row security.",
            )
        }
        Err(error) => Check::of_error("rights", &error),
    });
    match crate::restore::left_behind(&session).await {
        Ok(names) if names.is_empty() => {}
        Ok(names) => checks.push(
            Check::warn(
                "swap",
                format!(
                    "databases that a restore --swap is building, or was when it died: {}",
                    one_line(&names.join(", "))
                ),
            )
            .hint("If none is at work, the next restore --swap into the same target drops them."),
        ),
        Err(error) => checks.push(Check::of_error("swap", &error)),
    }
    match size(&session).await {
        Ok(bytes) => (checks, Some(bytes)),
        Err(error) => {
            checks.push(Check::of_error("size", &error));
            (checks, None)
        }
    }
}

/// Tables and sequences that a dump would stop at: no SELECT, no USAGE of the schema, or row security that hides rows.
async fn unreadable(session: &Session) -> Result<Vec<String>> {
    let sql = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'S', 'm') AND n.nspname <> 'information_schema' \
         AND n.nspname !~ '^pg_' \
         AND (NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
           OR NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') \
           OR (c.relrowsecurity AND pg_catalog.row_security_active(c.oid))) \
         ORDER BY 1";
    let rows = session
        .query(sql, &[])
        .await
        .map_err(|e| Error::from_server(ErrorKind::Catalog, "could not read the catalogs", e))?;
    Ok(rows
        .iter()
        .map(|row| one_line(row.get("name")).into_owned())
        .collect())
}

async fn size(session: &Session) -> Result<u64> {
    let sql = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database()) AS bytes";
    let row = session
        .query_one(sql, &[])
        .await
        .map_err(|e| Error::from_server(ErrorKind::Catalog, "could not ask for the size", e))?;
    Ok(u64::try_from(row.get::<_, i64>("bytes")).unwrap_or(0))
}
