//! Running the catalog query of a kind.

use tokio_postgres::Row;

use crate::conn::Session;
use crate::{Error, ErrorKind, Result};

/// Runs a query and makes something of each row. `what` is the plural that an error names.
///
/// # Errors
/// `Catalog` if the query fails or a row is not what its reader expects.
pub(super) async fn read_all<T>(
    session: &Session,
    what: &str,
    sql: &str,
    from_row: impl Fn(&Row) -> Result<T, RowError>,
) -> Result<Vec<T>> {
    let failed = || format!("could not read the {what} from the catalogs");
    let rows = session
        .query(sql, &[])
        .await
        .map_err(|e| Error::from_server(ErrorKind::Catalog, failed(), e))?;
    rows.iter()
        .map(|row| from_row(row).map_err(|e| e.into_error(failed())))
        .collect()
}

/// Why a row could not be read.
#[derive(Debug)]
pub(super) enum RowError {
    /// A column is missing, NULL against expectation or of another type.
    Column(tokio_postgres::Error),
    /// A value that we do not know.
    Value(Error),
}

impl RowError {
    /// A catalog column holds a value that this version does not know.
    pub(super) fn unknown(column: &str, value: &str, of: &str) -> Self {
        RowError::Value(Error::new(
            ErrorKind::Catalog,
            format!("{column} of {of} has the unknown value \"{value}\""),
        ))
    }

    fn into_error(self, what: String) -> Error {
        match self {
            RowError::Column(error) => Error::from_server(ErrorKind::Catalog, what, error),
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
