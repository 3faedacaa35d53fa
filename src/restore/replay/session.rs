//! Sending a script's own bytes to the server, whatever their encoding.
//!
//! The driver takes statements as UTF-8, and passes that on as it is, whatever `client_encoding` says. Statements that are
//! no UTF-8 (of a dump in LATIN1, of a SQL_ASCII database) travel as a parameter, whose bytes the server takes to be in `client_encoding` just like
//! those of a statement, and are executed from there.

use bytes::{Bytes, BytesMut};
use tokio_postgres::CopyInSink;
use tokio_postgres::types::{IsNull, ToSql, Type};

use super::ReplayOptions;
use super::script::Reading;
use crate::characters::Characters;
use crate::conn::{ConnectSettings, Session, connect};
use crate::lexer::StringSyntax;
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

/// Where a statement waits that is no UTF-8.
const PARAMETER: &str = "pgstow.statement";

/// Opens a session as psql would, but for the waiting at each commit: the last one of a run waits for all.
///
/// # Errors
/// `Connect`; `Restore` if there is no such role.
pub(super) async fn open(settings: &ConnectSettings, options: &ReplayOptions) -> Result<Session> {
    let session = connect(settings).await?;
    let failed =
        |error| Error::from_server(ErrorKind::Restore, "could not set up the session", error);
    session.use_server_defaults().await.map_err(failed)?;
    let mut sql = "SET synchronous_commit = off;".to_owned();
    if let Some(role) = &options.role {
        sql.push_str(&format!("SET ROLE {};", quote::ident(role)));
    }
    session.batch_execute(&sql).await.map_err(failed)?;
    Ok(session)
}

/// How the server reads what follows.
pub(super) fn reading(session: &Session) -> Reading {
    let reported = session.reported();
    let encoding = Characters::of_encoding(&reported.client_encoding);
    Reading {
        strings: match reported.standard_conforming_strings.as_str() {
            "off" => StringSyntax::Escaped,
            _ => StringSyntax::Standard,
        },
        characters: encoding.map(|(_, characters)| characters),
    }
}

/// Runs one statement.
pub(super) async fn run(session: &Session, statement: &[u8]) -> Result<(), tokio_postgres::Error> {
    match std::str::from_utf8(statement) {
        Ok(text) => session.batch_execute(text).await,
        Err(_) => run_bytes(session, statement).await,
    }
}

async fn run_bytes(session: &Session, statement: &[u8]) -> Result<(), tokio_postgres::Error> {
    let keep = format!("SELECT pg_catalog.set_config('{PARAMETER}', $1, false)");
    session
        .execute_typed(&keep, &[(&Raw(statement), Type::TEXT)])
        .await?;
    let execute = format!("EXECUTE pg_catalog.current_setting('{PARAMETER}');");
    session.batch_execute(&quote::do_block(&execute)).await
}

/// Starts a COPY of rows, which are sent as they are.
pub(super) async fn copy_in(
    session: &Session,
    statement: &[u8],
) -> Result<CopyInSink<Bytes>, tokio_postgres::Error> {
    match std::str::from_utf8(statement) {
        Ok(text) => session.copy_in(text).await,
        Err(_) => copy_in_bytes(session, statement).await,
    }
}

/// COPY cannot be executed from a parameter: the server translates the statement, which is then parsed as UTF-8, and run under
/// the encoding of the rows.
async fn copy_in_bytes(
    session: &Session,
    statement: &[u8],
) -> Result<CopyInSink<Bytes>, tokio_postgres::Error> {
    let encoding = quote::literal(&session.reported().client_encoding);
    session
        .batch_execute("SET client_encoding = 'UTF8'")
        .await?;
    let translate = format!("SELECT pg_catalog.convert_from($1, {encoding})");
    let rows = session
        .query_typed(&translate, &[(&statement, Type::BYTEA)])
        .await?;
    let text: String = match rows.first() {
        Some(row) => row.try_get(0)?,
        None => String::new(),
    };
    let prepared = session.prepare(&text).await?;
    session
        .batch_execute(&format!("SET client_encoding = {encoding}"))
        .await?;
    session.copy_in(&prepared).await
}

/// A text in whatever encoding the session has.
#[derive(Debug)]
struct Raw<'a>(&'a [u8]);

impl ToSql for Raw<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TEXT
    }

    tokio_postgres::types::to_sql_checked!();
}
