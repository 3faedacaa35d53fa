//! What the catalog queries of all kinds have in common.

use tokio_postgres::Row;

use super::quote;
use crate::conn::{ServerVersion, Session};
use crate::{Error, ErrorKind, Result};

/// Runs a catalog query. `what` names the kind in the error: "enum types".
///
/// # Errors
/// `Catalog` if the server refuses or the connection breaks.
pub(crate) async fn rows(session: &Session, what: &str, query: &str) -> Result<Vec<Row>> {
    session.query(query, &[]).await.map_err(|error| {
        Error::from_server(
            ErrorKind::Catalog,
            format!("could not read {what} from the system catalogs"),
            error,
        )
    })
}

/// SQL: the row `alias` of `catalog` was neither made by initdb nor is it an extension's member.
pub(crate) fn is_users(catalog: &str, alias: &str) -> String {
    format!(
        "({alias}.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS member \
         WHERE member.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass \
         AND member.objid = {alias}.oid AND member.deptype = 'e'))"
    )
}

/// SQL: the row `alias` of `pg_namespace` is no schema of the system's and holds nothing temporary.
/// Users cannot make schemas whose names begin with `pg_`.
pub(crate) fn is_users_schema(alias: &str) -> String {
    format!("({alias}.nspname !~ '^pg_' AND {alias}.nspname <> 'information_schema')")
}

/// SQL: joins the comment on the row `alias` of `catalog` as `comment.description`.
pub(crate) fn comment_join(catalog: &str, alias: &str) -> String {
    format!(
        "LEFT JOIN pg_catalog.pg_description AS comment \
         ON comment.classoid = 'pg_catalog.{catalog}'::pg_catalog.regclass \
         AND comment.objoid = {alias}.oid AND comment.objsubid = 0"
    )
}

/// Schema and name of what a row may refer to.
pub(crate) fn name_pair(row: &Row, schema: &str, name: &str) -> Option<(String, String)> {
    let schema: Option<String> = row.get(schema);
    schema.zip(row.get::<_, Option<String>>(name))
}

/// SQL for servers from this major on, and for those before.
pub(crate) fn since<'a>(
    server: ServerVersion,
    major: u32,
    expression: &'a str,
    otherwise: &'a str,
) -> &'a str {
    match server >= ServerVersion::major(major) {
        true => expression,
        false => otherwise,
    }
}

/// An error for a value in a catalog that we do not know: nothing is guessed, nothing skipped.
pub(crate) fn unexpected(object: &str, attribute: &str, value: &str) -> Error {
    Error::new(
        ErrorKind::Catalog,
        format!(
            "{} has an unknown {attribute}: {}",
            quote::one_line(object),
            quote::one_line(value)
        ),
    )
    .hint("The server may be newer than this version of pgstow knows.")
}

/// Runs a catalog query and makes something of each row. `what` names the kind in the error.
///
/// # Errors
/// `Catalog` if the query fails or a row is not what its reader expects.
pub(crate) async fn read_all<T>(
    session: &Session,
    what: &str,
    query: &str,
    from_row: impl Fn(&Row) -> Result<T, RowError>,
) -> Result<Vec<T>> {
    let rows = rows(session, what, query).await?;
    rows.iter()
        .map(|row| from_row(row).map_err(|error| error.into_error(what)))
        .collect()
}

/// Why a row could not be read.
#[derive(Debug)]
pub(crate) enum RowError {
    /// A column is missing, NULL against expectation or of another type.
    Column(tokio_postgres::Error),
    /// A value that we do not know.
    Value(Error),
}

impl RowError {
    fn into_error(self, what: &str) -> Error {
        match self {
            RowError::Column(error) => Error::from_server(
                ErrorKind::Catalog,
                format!("could not understand {what} in the system catalogs"),
                error,
            ),
            RowError::Value(error) => error,
        }
    }
}

impl From<tokio_postgres::Error> for RowError {
    fn from(error: tokio_postgres::Error) -> Self {
        RowError::Column(error)
    }
}

impl From<Error> for RowError {
    fn from(error: Error) -> Self {
        RowError::Value(error)
    }
}
