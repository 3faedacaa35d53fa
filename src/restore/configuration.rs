//! Rows of extensions' configuration tables. A restore keeps the extensions that the target has, so it takes out what their
//! configuration tables hold, as far as a dump would have it, before the archive's rows come.

use std::collections::{BTreeSet, HashSet};

use crate::conn::Session;
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

use super::check::cannot_check;
use super::findings::{Check, Findings};

/// Tells whose rows will be replaced. `held`: schemas and names in the archive.
///
/// # Errors
/// `Restore` if the catalogs cannot be read.
pub(super) async fn tell(
    session: &Session,
    held: &BTreeSet<(String, String)>,
    findings: &mut Findings,
) -> Result<()> {
    let tables = existing(session, held).await.map_err(cannot_check)?;
    if tables.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    findings.note(
        Check::Extension,
        format!(
            "configuration tables of extensions whose rows are replaced: {}",
            quote::some_of(&names)
        ),
    );
    Ok(())
}

/// Takes out the rows of extensions that were there `before`; what CREATE EXTENSION brought stays. One statement for all: foreign keys
/// between the tables are checked at its end.
///
/// # Errors
/// `Restore`.
pub(super) async fn empty(
    session: &Session,
    held: &BTreeSet<(String, String)>,
    before: &HashSet<&str>,
) -> Result<()> {
    let failed = |error| {
        let what = "could not take out the rows of configuration tables of extensions, which the archive replaces";
        Error::from_server(ErrorKind::Restore, what, error)
    };
    let tables = existing(session, held).await.map_err(failed)?;
    let kept = (tables.iter()).filter(|table| before.contains(table.extension.as_str()));
    let deletes: Vec<String> = kept
        .enumerate()
        .map(|(at, table)| {
            format!(
                "d{at} AS (DELETE FROM ONLY {} {}\n)",
                table.name, table.condition
            )
        })
        .collect();
    if deletes.is_empty() {
        return Ok(());
    }
    let delete = format!("WITH {} SELECT;", deletes.join(", "));
    session.batch_execute(&delete).await.map_err(failed)
}

/// A configuration table of the target.
struct ConfigurationTable {
    extension: String,
    /// As SQL.
    name: String,
    /// `WHERE ...`, or nothing.
    condition: String,
}

/// The archive's that the target has. An extension may yet be in another schema than the archive's.
async fn existing(
    session: &Session,
    held: &BTreeSet<(String, String)>,
) -> std::result::Result<Vec<ConfigurationTable>, tokio_postgres::Error> {
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let (schemas, names): (Vec<&str>, Vec<&str>) = held
        .iter()
        .map(|(schema, name)| (schema.as_str(), name.as_str()))
        .unzip();
    let rows = session
        .query(
            "SELECT DISTINCT e.extname::text AS extname, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, \
             COALESCE(u.condition, '') AS condition \
             FROM pg_catalog.pg_extension e \
             CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(e.extconfig), pg_catalog.unnest(e.extcondition)) AS u (relation, condition) \
             JOIN pg_catalog.pg_class c ON c.oid = u.relation AND c.relkind = 'r' \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             JOIN ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS w (nspname, relname) \
               ON w.relname = c.relname AND (w.nspname = n.nspname OR n.oid = e.extnamespace) ORDER BY 2",
            &[&schemas, &names],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| ConfigurationTable {
            extension: row.get("extname"),
            name: row.get("name"),
            condition: row.get("condition"),
        })
        .collect())
}
