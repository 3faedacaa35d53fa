//! What the catalog queries of all kinds have in common.

use std::cell::Cell;
use std::error::Error as _;

use futures::{StreamExt, TryStreamExt};
use tokio_postgres::types::{FromSql, ToSql, WasNull};

use super::quote;
use crate::conn::{ServerVersion, Session};
use crate::error::Outlook;
use crate::{Error, ErrorKind, Result};

/// A row of a catalog query. Its columns are found by name, and fast if asked for in the order in which the query
/// lists them: the search begins behind the last one found.
pub(crate) struct Row {
    row: tokio_postgres::Row,
    next: Cell<usize>,
}

impl Row {
    fn new(row: tokio_postgres::Row) -> Self {
        let next = Cell::new(0);
        Row { row, next }
    }

    /// The column's value.
    ///
    /// # Errors
    /// If there is no such column, it is NULL against expectation or of another type.
    pub(crate) fn try_get<'a, N: AsRef<str>, T: FromSql<'a>>(
        &'a self,
        name: N,
    ) -> Result<T, tokio_postgres::Error> {
        let name = name.as_ref();
        self.try_get_where(name, |column| column == name)
    }

    /// The letter in a column of type `"char"`; `None` if it is empty.
    ///
    /// # Errors
    /// As [`Row::try_get`].
    pub(crate) fn try_get_letter(&self, name: &str) -> Result<Option<char>, tokio_postgres::Error> {
        let letter: i8 = self.try_get(name)?;
        Ok((letter != 0).then(|| char::from(letter.cast_unsigned())))
    }

    /// The value of the column that is called `{prefix}_{name}`.
    ///
    /// # Errors
    /// As [`Row::try_get`].
    pub(crate) fn try_get_of<'a, T: FromSql<'a>>(
        &'a self,
        prefix: &str,
        name: &str,
    ) -> Result<T, tokio_postgres::Error> {
        self.try_get_where(name, |column| {
            let rest = column.strip_prefix(prefix);
            rest.and_then(|rest| rest.strip_prefix('_')) == Some(name)
        })
    }

    fn try_get_where<'a, T: FromSql<'a>>(
        &'a self,
        name: &str,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<T, tokio_postgres::Error> {
        let columns = self.row.columns();
        let start = self.next.get();
        let found = (start..columns.len())
            .chain(0..start)
            .find(|&at| is_wanted(columns[at].name()));
        match found {
            Some(at) => {
                self.next.set(at + 1);
                self.row.try_get(at)
            }
            None => self.row.try_get(name), // says so
        }
    }
}

fn could_not_read(what: &str, error: tokio_postgres::Error) -> Error {
    Error::from_server(
        ErrorKind::Catalog,
        format!("could not read {what} from the system catalogs"),
        error,
    )
}

/// SQL: the row `alias` of `catalog`, which is in no schema, was neither made by initdb nor is it an extension's member.
pub(crate) fn is_users(catalog: &str, alias: &str) -> String {
    let (not_initdbs, no_member) = (is_not_initdbs(catalog, alias), is_no_member(catalog, alias));
    format!("(({not_initdbs}) AND {no_member})")
}

/// SQL: the row `alias` of `catalog` is no extension's member. (An index leads from extensions to their members; without it every
/// query of every kind would read `pg_depend` as a whole.)
pub(crate) fn is_no_member(catalog: &str, alias: &str) -> String {
    format!(
        "NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS member \
         WHERE member.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND member.deptype = 'e' \
         AND member.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass AND member.objid = {alias}.oid)"
    )
}

/// SQL: the row `alias` of `catalog` was not made by initdb. Between initdb and the server's first start, `postgres --single` gives
/// what it makes OIDs of the same range: whose that is can be told by its schema, or where initdb makes nothing or few things by name.
pub(crate) fn is_not_initdbs(catalog: &str, alias: &str) -> String {
    match catalog {
        "pg_default_acl"
        | "pg_event_trigger"
        | "pg_foreign_data_wrapper"
        | "pg_foreign_server"
        | "pg_policy"
        | "pg_publication"
        | "pg_publication_namespace"
        | "pg_publication_rel"
        | "pg_transform" => "true".to_owned(),
        "pg_extension" => format!("{alias}.oid >= 16384 OR {alias}.extname <> 'plpgsql'"),
        "pg_language" => format!(
            "{alias}.oid >= 16384 OR {alias}.lanname NOT IN ('internal', 'c', 'sql', 'plpgsql')"
        ),
        "pg_namespace" => {
            format!("{alias}.oid >= 16384 OR {}", is_users_schema(alias))
        }
        _ => format!("{alias}.oid >= 16384"),
    }
}

/// SQL: the lowest OID that may be the user's: 16384, or that of the first table, function or operator that `postgres --single` made in a
/// schema of his before the server's first start. What initdb made is older.
pub(crate) fn first_users_oid() -> String {
    let users_schema = is_users_schema("n");
    let first = |catalog: &str, prefix: &str| {
        format!(
            "(SELECT pg_catalog.min(r.oid) FROM pg_catalog.{catalog} r \
             JOIN pg_catalog.pg_namespace n ON n.oid = r.{prefix}namespace WHERE r.oid < 16384 AND {users_schema})"
        )
    };
    format!(
        "(SELECT LEAST(16384::pg_catalog.oid, {}, {}, {}, {}))",
        first("pg_class", "rel"),
        first("pg_type", "typ"),
        first("pg_proc", "pro"),
        first("pg_operator", "opr")
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
///
/// # Errors
/// As [`Row::try_get`].
pub(crate) fn name_pair(
    row: &Row,
    schema: &str,
    name: &str,
) -> Result<Option<(String, String)>, tokio_postgres::Error> {
    let schema: Option<String> = row.try_get(schema)?;
    Ok(schema.zip(row.try_get::<_, Option<String>>(name)?))
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

/// Runs a catalog query and makes something of each row. `what` names the kind in the error: "enum types".
///
/// # Errors
/// `Catalog` if the query fails or a row is not what its reader expects.
pub(crate) async fn read_all<T>(
    session: &Session,
    what: &str,
    query: &str,
    from_row: impl Fn(&Row) -> Result<T, RowError>,
) -> Result<Vec<T>> {
    read_all_with(session, what, query, &[], from_row).await
}

/// As [`read_all`], with parameters. Of each row no more is kept than what was made of it.
///
/// # Errors
/// As [`read_all`].
pub(crate) async fn read_all_with<T>(
    session: &Session,
    what: &str,
    query: &str,
    parameters: &[&(dyn ToSql + Sync)],
    from_row: impl Fn(&Row) -> Result<T, RowError>,
) -> Result<Vec<T>> {
    let failed = |error| could_not_read(what, error);
    let parameters = parameters.iter().copied();
    let rows = session.query_raw(query, parameters).await.map_err(failed)?;
    rows.map(|row| {
        let row = Row::new(row.map_err(failed)?);
        from_row(&row).map_err(|error| error.into_error(what))
    })
    .try_collect()
    .await
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
            // The server deparses by the catalogs of now, and gives NULL for what our snapshot still has.
            RowError::Column(error) if error.source().is_some_and(|it| it.is::<WasNull>()) => {
                Error::new(ErrorKind::Catalog, format!("could not read {what}"))
                    .detail("One was dropped while they were read.")
                    .hint("Start again.")
                    .with_outlook(Outlook::Passing)
                    .caused_by(error)
            }
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
