//! Replaying any plain SQL script, as psql would: pg_dump's, pg_dumpall's, or one written by hand.
//!
//! [`survey_script`] reads a file to its end before any of it is run: a script that is cut off, or that holds what is refused,
//! changes nothing. Standard input can be read only once and is not surveyed. [`replay`] then runs it.
//!
//! `input` unpacks, `lexer` and `script` cut bytes into statements, commands and rows without I/O, `kind`, `command` and
//! `newer_setting` decide what becomes of these, `session` sends, `execute` does it all in turn. A statement is held whole, rows pass in pieces.

mod command;
mod execute;
mod input;
mod kind;
mod lexer;
mod newer_setting;
mod script;
mod session;
mod survey;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Instant;

use script::{Statement, beginning};

pub use input::Packing;
pub(super) use input::{Input, could_not_read, is_stdin};
pub use survey::ScriptSurvey;

use super::run::cancel_backends;
use super::{connect_for_create, drop_database};
use crate::conn::{ConnectSettings, Session};
use crate::event::Events;
use crate::objects::quote;
use crate::storage::spawn_blocking;
use crate::{Error, ErrorKind, Result};

/// What the user chose.
#[derive(Clone, Debug, Default)]
pub struct ReplayOptions {
    /// Everything in one transaction: all or nothing.
    pub single_transaction: bool,
    /// `\connect` to another database of the same server is obeyed.
    pub follow_connect: bool,
    /// Make the database, which must not exist.
    pub create: bool,
    /// SET ROLE on every connection.
    pub role: Option<String>,
    /// Bytes of the file, for progress; 0 if nobody knows.
    pub stored_bytes: u64,
}

/// What a finished replay amounts to.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ReplayReport {
    /// The database that the script was started in.
    pub database: String,
    /// Statements that were run.
    pub statements: u64,
    /// Rows that COPY took.
    pub rows: u64,
    /// Wall clock.
    pub elapsed_ms: u64,
}

/// Reads a script to its end without a server. `None` for what can be read only once, unless `once`: then it is read up.
///
/// # Errors
/// `Damaged` if it is cut off or not text; `Unsupported`, naming line and command, for what a replay would refuse.
pub async fn survey_script(
    path: &Path,
    options: &ReplayOptions,
    once: bool,
    events: &Events,
) -> Result<Option<ScriptSurvey>> {
    let (path, options, events) = (path.to_owned(), options.clone(), events.clone());
    spawn_blocking(move || match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() && !is_stdin(&path) => {
            let options = ReplayOptions {
                stored_bytes: metadata.len(),
                ..options
            };
            survey::survey(Input::open(&path)?, &options, &events).map(Some)
        }
        _ if once => survey::survey(Input::open(&path)?, &options, &events).map(Some),
        _ => Ok(None),
    })
    .await
}

/// Runs a script. `interrupt` ends with the number of a signal if one arrives; then the run stops.
///
/// # Errors
/// `Restore` and others while the target is unchanged; `RestoreIncomplete` with the state once it is not. The first error ends the
/// run; it names the line.
pub async fn replay(
    path: PathBuf,
    settings: ConnectSettings,
    options: ReplayOptions,
    interrupt: impl Future<Output = u8>,
    events: &Events,
) -> Result<ReplayReport> {
    let started = Instant::now();
    let input = spawn_blocking(move || Input::open(&path)).await?;
    let creates = options.create;
    if creates {
        create_database(&settings).await?;
    }
    let state = execute::Progress::default();
    let result = match session::open(&settings, &options).await {
        Ok(session) => {
            let work = execute::execute(input, session, &settings, &options, &state, events);
            tokio::select! {
                result = work => result,
                signal = interrupt => Err(Error::new(ErrorKind::Interrupted(signal), "the restore was interrupted")),
            }
        }
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        cancel_backends(&settings, &state.backends()).await;
        if creates && !state.is_changed() {
            drop_database(&settings).await?;
        }
        return Err(state.explain(error, &options));
    }
    Ok(ReplayReport {
        database: settings.database().to_owned(),
        statements: state.statements(),
        rows: state.rows(),
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// From template0, so that nothing is in it; of the cluster's encoding and locale, for the script names none.
async fn create_database(settings: &ConnectSettings) -> Result<()> {
    let session: Session = connect_for_create(settings).await?;
    let name = quote::ident(settings.database());
    let sql = format!("CREATE DATABASE {name} TEMPLATE template0");
    session.batch_execute(&sql).await.map_err(|error| {
        let shown = quote::one_line(&name).into_owned();
        Error::from_server(
            ErrorKind::Restore,
            format!("could not create database {shown}"),
            error,
        )
    })
}

/// What would have to be written to standard output.
fn refuse_copy_to(statement: &Statement) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "line {}: COPY to standard output is not obeyed: {}",
            statement.line,
            beginning(&statement.text)
        ),
    )
    .hint("Replay the script with psql, which prints the rows.")
}

/// What would end the one transaction before its end.
fn refuse_end(statement: &Statement) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "line {}: this cannot be part of a single transaction: {}",
            statement.line,
            beginning(&statement.text)
        ),
    )
    .hint("Leave out --single-transaction.")
}
