//! Unlogged tables that a crash of the server has emptied behind the last COMMIT of a restore, before it was heard of. Nothing is left then
//! that a resumed restore could tell it by.

use crate::conn::Session;
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

use super::journal::read_unlogged;
use super::plan::{Load, LoadTarget};

/// Asks the target, after a last COMMIT whose end was not seen.
///
/// # Errors
/// `RowsLost` with the tables that are empty and should not be; `Restore`.
pub(super) async fn check(session: &Session, loads: &[Load]) -> Result<()> {
    let unlogged = read_unlogged(session).await.map_err(failed)?;
    let tables = loads.iter().filter(|load| load.rows > 0);
    let mut emptied = Vec::new();
    for load in tables {
        let LoadTarget::Table { schema, name } = &load.target else {
            continue;
        };
        let name = (schema.clone(), name.clone());
        if unlogged.contains(&name) && is_empty(session, &name).await? {
            emptied.push(format!(
                "{} ({} rows)",
                quote::qualified(&name.0, &name.1),
                load.rows
            ));
        }
    }
    if emptied.is_empty() {
        return Ok(());
    }
    let what =
        "everything was restored, and then the server crashed, which has emptied unlogged tables";
    let error = emptied
        .into_iter()
        .fold(Error::new(ErrorKind::RowsLost, what), Error::detail);
    Err(error
        .hint("Run the restore again, or restore their rows alone: -a, and -t with each table."))
}

async fn is_empty(session: &Session, (schema, name): &(String, String)) -> Result<bool> {
    let table = quote::qualified(schema, name);
    let query = format!("SELECT NOT EXISTS (SELECT FROM ONLY {table}) AS is_empty");
    let row = session.query_one(&query, &[]).await.map_err(failed)?;
    Ok(row.get("is_empty"))
}

fn failed(error: tokio_postgres::Error) -> Error {
    let what = "could not look for rows that a crash took";
    Error::from_server(ErrorKind::Restore, what, error)
}
