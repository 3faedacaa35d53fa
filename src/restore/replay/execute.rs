//! Runs a script's items in turn.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use futures::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::ErrorPosition;

use super::command::{Asked, Commands};
use super::input::Input;
use super::kind::Kind;
use super::lexer::CopyWith;
use super::newer_setting;
use super::script::{Item, Script, Statement, beginning, count_lines};
use super::survey::{PIECE_BYTES, refuse_connect_in_one};
use super::{ReplayOptions, refuse_copy_to, refuse_end, session};
use crate::conn::{ConnectSettings, Session};
use crate::event::{Event, Events, Phase};
use crate::objects::quote::one_line;
use crate::restore::durable::{self, DURABLY};
use crate::restore::load::{copy_line, without_value};
use crate::{Error, ErrorKind, Result};

/// Pieces of text that are read ahead.
const PIECES_AHEAD: usize = 4;

/// One message with many statements spares as many round trips. Larger ones gain nothing, and hold more memory.
const BATCH_BYTES: usize = 128 << 10;
const BATCH_STATEMENTS: usize = 1000;

/// How far a run got.
#[derive(Debug, Default)]
pub(super) struct Progress {
    backends: Mutex<Vec<i32>>,
    statements: AtomicU64,
    rows: AtomicU64,
    /// All up to this line is done for good; 0 for nothing.
    line: AtomicU64,
    /// Something other than a setting was done for good, or may have been.
    changed: AtomicBool,
    /// COMMIT was sent, and no answer came.
    unknown: AtomicBool,
}

impl Progress {
    pub(super) fn backends(&self) -> Vec<i32> {
        (self.backends.lock().unwrap_or_else(PoisonError::into_inner)).clone()
    }

    pub(super) fn statements(&self) -> u64 {
        self.statements.load(Ordering::SeqCst)
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::SeqCst)
    }

    pub(super) fn is_changed(&self) -> bool {
        self.changed.load(Ordering::SeqCst)
    }

    /// Gives an error the kind that its moment calls for, and tells how far the run got.
    pub(super) fn explain(&self, error: Error, options: &ReplayOptions) -> Error {
        if !self.is_changed() {
            let text = match options.single_transaction {
                true => "Everything was rolled back: the target is unchanged.",
                false => "The target is unchanged.",
            };
            return error.detail(text);
        }
        let (statements, line) = (self.statements(), self.line.load(Ordering::SeqCst));
        let error = error
            .with_kind(ErrorKind::RestoreIncomplete)
            .detail(match self.unknown.load(Ordering::SeqCst) {
                true => "The connection was lost during a commit: whether it was done is not known.".to_owned(),
                false => format!(
                    "{statements} statements are done: all up to line {line}, and nothing behind it."
                ),
            });
        match error.hint_text() {
            Some(_) => error,
            None => error.hint(
                "Remove what is done, or restore into an empty database; with --single-transaction an error leaves nothing behind.",
            ),
        }
    }
}

/// Runs the script in the session, to its end or to the first error.
pub(super) async fn execute(
    input: Input,
    session: Session,
    settings: &ConnectSettings,
    options: &ReplayOptions,
    progress: &Progress,
    events: &Events,
) -> Result<()> {
    events.phase(Phase::Data);
    events.emit(Event::Planned {
        items: 0,
        bytes: options.stored_bytes,
    });
    let name = input.name().to_owned();
    let mut replay = Replay {
        pieces: read_ahead(input),
        script: Script::new(),
        name,
        session,
        settings,
        options,
        progress,
        events,
        commands: Commands::new(options.follow_connect),
        batch: Batch::default(),
        in_transaction: options.single_transaction,
        open: Done::default(),
        told_of_transactions: false,
    };
    replay.session_is_open();
    replay.all().await
}

/// What of a script is read, with the stored bytes that this took.
type Piece = Result<(Vec<u8>, u64)>;

/// Reads and unpacks on a thread of its own.
fn read_ahead(mut input: Input) -> mpsc::Receiver<Piece> {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    tokio::task::spawn_blocking(move || {
        let stored = input.stored_bytes();
        let mut before = 0;
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let read = input.read(&mut piece).map(|length| {
                piece.truncate(length);
                let now = stored.load(Ordering::Relaxed);
                let bytes = now - std::mem::replace(&mut before, now);
                (piece, bytes)
            });
            let is_last = !matches!(&read, Ok((piece, _)) if !piece.is_empty());
            if sender.blocking_send(read).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// What was run and is not yet there for good.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    statements: u64,
    changes: bool,
}

struct Replay<'a> {
    pieces: mpsc::Receiver<Piece>,
    script: Script,
    name: String,
    session: Session,
    settings: &'a ConnectSettings,
    options: &'a ReplayOptions,
    progress: &'a Progress,
    events: &'a Events,
    commands: Commands,
    batch: Batch,
    /// Ours or the script's own.
    in_transaction: bool,
    open: Done,
    told_of_transactions: bool,
}

impl Replay<'_> {
    async fn all(&mut self) -> Result<()> {
        if self.options.single_transaction {
            let begun = self.session.batch_execute("BEGIN").await;
            begun.map_err(|e| Error::from_server(ErrorKind::Restore, "could not begin", e))?;
        }
        loop {
            match self.next_item().await? {
                Item::Statement(statement) => self.statement(statement).await?,
                Item::Command(command) => {
                    self.send_batch().await?;
                    if let Asked::Connect(database) = self.commands.obey(&command)? {
                        refuse_connect_in_one(self.options, command.line)?;
                        self.connect(&database).await?;
                    }
                }
                Item::Rows(_) | Item::EndOfRows => {
                    return Err(Error::internal("rows came without their COPY"));
                }
                Item::End => break,
            }
        }
        self.send_batch().await?;
        self.finish().await
    }

    async fn next_item(&mut self) -> Result<Item> {
        loop {
            let next = self.script.next();
            if let Some(item) = next.map_err(|fault| fault.into_error(&self.name))? {
                return Ok(item);
            }
            match self.pieces.recv().await {
                Some(Ok((piece, bytes))) => {
                    self.script.push(&piece);
                    self.events.emit(Event::WorkerAdvanced {
                        worker: 0,
                        rows: 0,
                        bytes,
                    });
                }
                Some(Err(error)) => return Err(error),
                None => self.script.finish(),
            }
        }
    }

    async fn statement(&mut self, statement: Statement) -> Result<()> {
        let kind = Kind::of(&statement.words);
        match statement.copy {
            Some(CopyWith::Script) => {
                self.send_batch().await?;
                return self.copy(&statement).await;
            }
            Some(CopyWith::Output | CopyWith::ScriptBinary) => {
                return Err(refuse_copy_to(&statement));
            }
            None => {}
        }
        if self.options.single_transaction {
            match kind {
                Kind::Begin | Kind::Commit => {
                    self.leave_out(&statement);
                    return Ok(());
                }
                Kind::OtherEnd => return Err(refuse_end(&statement)),
                _ => {}
            }
        }
        if let Some(setting) = newer_setting::is_as_set(&statement.text, self.session.version()) {
            self.events.warn(format!(
                "line {}: {setting} is left out: the server does not have it, and is as if it were so set",
                statement.line
            ));
            return Ok(());
        }
        let may_wait = kind == Kind::Rows || (kind == Kind::Definition && self.in_transaction);
        if may_wait && self.batch.push(&statement) {
            if self.batch.is_full() {
                self.send_batch().await?;
            }
            return Ok(());
        }
        self.send_batch().await?;
        self.alone(&statement, kind).await
    }

    /// All is one transaction already.
    fn leave_out(&mut self, statement: &Statement) {
        if !std::mem::replace(&mut self.told_of_transactions, true) {
            self.events.warn(format!(
                "line {}: the script's own BEGIN and COMMIT are left out, for everything is one transaction",
                statement.line
            ));
        }
    }

    async fn alone(&mut self, statement: &Statement, kind: Kind) -> Result<()> {
        if kind == Kind::Commit {
            self.progress.unknown.store(true, Ordering::SeqCst);
        }
        let run = session::run(&self.session, &statement.text).await;
        self.after_commit(&run);
        run.map_err(|error| self.failed(statement, error))?;
        match kind {
            Kind::Begin => self.in_transaction = true,
            Kind::Commit | Kind::OtherEnd => self.in_transaction = self.options.single_transaction,
            _ => {}
        }
        if kind == Kind::OtherEnd {
            // Rolled back, or prepared and no longer ours.
            self.open = Done::default();
        }
        let changes = !matches!(
            kind,
            Kind::Setting | Kind::Begin | Kind::Commit | Kind::OtherEnd
        );
        self.done(1, changes);
        self.session_is_open();
        Ok(())
    }

    /// A commit whose answer is an error of the connection may have been done; one that the server refused was not.
    fn after_commit<T>(&self, run: &Result<T, tokio_postgres::Error>) {
        let is_unknown = matches!(run, Err(error) if error.as_db_error().is_none())
            && self.progress.unknown.load(Ordering::SeqCst);
        self.progress.unknown.store(is_unknown, Ordering::SeqCst);
        if is_unknown {
            self.progress.changed.store(true, Ordering::SeqCst);
        }
    }

    /// Notes statements that were run, for good unless a transaction is open.
    fn done(&mut self, statements: u64, changes: bool) {
        self.open.statements += statements;
        self.open.changes |= changes;
        self.tell_notices();
        if self.in_transaction {
            return;
        }
        let open = std::mem::take(&mut self.open);
        self.progress
            .statements
            .fetch_add(open.statements, Ordering::SeqCst);
        self.progress
            .changed
            .fetch_or(open.changes, Ordering::SeqCst);
        self.progress
            .line
            .store(self.script.line(), Ordering::SeqCst);
    }

    fn tell_notices(&self) {
        let line = self.script.line();
        for notice in self.session.take_notices() {
            let text = format!(
                "up to line {line}: server: {}",
                without_value(&notice.message)
            );
            match notice.severity.as_str() {
                "WARNING" => self.events.warn(text),
                _ => self.events.note(text),
            }
        }
    }

    /// The lexer follows what the server reports.
    fn session_is_open(&mut self) {
        let mut backends = (self.progress.backends.lock()).unwrap_or_else(PoisonError::into_inner);
        *backends = vec![self.session.backend_pid()];
        self.script.set_reading(session::reading(&self.session));
    }

    async fn connect(&mut self, database: &str) -> Result<()> {
        let settings = self.settings.with_database(database);
        durable::flush(&self.session).await.map_err(|error| {
            Error::from_server(ErrorKind::Restore, "could not finish in a database", error)
        })?;
        self.session = session::open(&settings, self.options).await?;
        self.in_transaction = false;
        self.session_is_open();
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        self.events.phase(Phase::Finish);
        if self.in_transaction && !self.options.single_transaction {
            return Err(Error::new(
                ErrorKind::Restore,
                format!("{} ends within a transaction that it began", self.name),
            )
            .hint("What it did in there was rolled back. Is the script cut off?"));
        }
        let failed = |error| Error::from_server(ErrorKind::Restore, "could not commit", error);
        if !self.options.single_transaction {
            return durable::flush(&self.session).await.map_err(failed);
        }
        self.progress.unknown.store(true, Ordering::SeqCst);
        let run = self
            .session
            .batch_execute(&format!("{DURABLY} COMMIT"))
            .await;
        self.after_commit(&run);
        run.map_err(failed)?;
        self.in_transaction = false;
        self.done(0, true);
        Ok(())
    }

    async fn send_batch(&mut self) -> Result<()> {
        if self.batch.statements.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let mut done = 0;
        match run_batch(&self.session, &batch.text, &mut done).await {
            Ok(()) => {
                self.done(batch.statements.len() as u64, true);
                self.batch.reuse(batch);
                Ok(())
            }
            Err(error) => {
                let at = batch.failed_at(done, &error);
                // Nobody knows what became of it.
                if error.as_db_error().is_none() && !self.in_transaction {
                    self.progress.changed.store(true, Ordering::SeqCst);
                }
                Err(failure(at.line, at.text, at.position, error))
            }
        }
    }

    /// Streams the rows that follow.
    async fn copy(&mut self, statement: &Statement) -> Result<()> {
        self.events.emit(Event::WorkerStarted {
            worker: 0,
            item: beginning(&statement.text),
        });
        let sink = session::copy_in(&self.session, &statement.text).await;
        let mut sink = pin!(sink.map_err(|error| self.failed(statement, error))?);
        let first_line = statement.line + count_lines(&statement.text) + 1;
        let failed = |error| copy_failure(statement, first_line, error);
        loop {
            match self.next_item().await? {
                Item::Rows(rows) => {
                    if let Err(error) = sink.send(rows).await {
                        // The sink knows only that it is closed; its end tells why.
                        let told = sink.as_mut().finish().await.err();
                        return Err(failed(told.unwrap_or(error)));
                    }
                }
                Item::EndOfRows => break,
                Item::Statement(_) | Item::Command(_) | Item::End => {
                    return Err(Error::internal("the rows of a COPY have no end"));
                }
            }
        }
        let rows = sink.as_mut().finish().await.map_err(failed)?;
        self.progress.rows.fetch_add(rows, Ordering::SeqCst);
        self.events.emit(Event::WorkerAdvanced {
            worker: 0,
            rows,
            bytes: 0,
        });
        self.done(1, true);
        Ok(())
    }

    fn failed(&self, statement: &Statement, error: tokio_postgres::Error) -> Error {
        if error.as_db_error().is_none() && !self.in_transaction {
            self.progress.changed.store(true, Ordering::SeqCst);
        }
        let position = position(&error);
        failure(statement.line, &statement.text, position, error)
    }
}

/// Runs the statements of one message; counts those that were done.
async fn run_batch(
    session: &Session,
    text: &str,
    done: &mut usize,
) -> Result<(), tokio_postgres::Error> {
    let mut answers = pin!(session.simple_query_raw(text).await?);
    while let Some(answer) = answers.next().await {
        if let SimpleQueryMessage::CommandComplete(_) = answer? {
            *done += 1;
        }
    }
    Ok(())
}

/// Statements for one message.
#[derive(Debug, Default)]
struct Batch {
    text: String,
    /// Where each starts, and its line in the script.
    statements: Vec<(usize, u64)>,
}

/// A statement of a batch that failed.
struct FailedAt<'a> {
    line: u64,
    text: &'a [u8],
    /// The character in it that the server points at, from 0.
    position: Option<usize>,
}

impl Batch {
    /// Adds a statement; `false` if it is no UTF-8 and has to go another way.
    fn push(&mut self, statement: &Statement) -> bool {
        let Ok(text) = std::str::from_utf8(&statement.text) else {
            return false;
        };
        self.statements.push((self.text.len(), statement.line));
        self.text.push_str(text);
        true
    }

    fn is_full(&self) -> bool {
        self.text.len() >= BATCH_BYTES || self.statements.len() >= BATCH_STATEMENTS
    }

    /// Takes back the buffers of one that was sent.
    fn reuse(&mut self, mut sent: Batch) {
        sent.text.clear();
        sent.text.shrink_to(2 * BATCH_BYTES);
        sent.statements.clear();
        *self = sent;
    }

    /// The statement that failed after `done` others: the next, but for errors of syntax, which the server finds in
    /// all of them before it runs the first.
    fn failed_at(&self, done: usize, error: &tokio_postgres::Error) -> FailedAt<'_> {
        let offset = position(error).and_then(|position| {
            let found = self.text.char_indices().nth(position);
            found.map(|(offset, _)| offset)
        });
        let last = self.statements.len() - 1;
        let number = match offset {
            Some(offset) => {
                self.statements
                    .partition_point(|(start, _)| *start <= offset)
                    - 1
            }
            None => done.min(last),
        };
        let (start, line) = self.statements[number];
        let end = self
            .statements
            .get(number + 1)
            .map_or(self.text.len(), |(start, _)| *start);
        FailedAt {
            line,
            text: &self.text.as_bytes()[start..end],
            position: offset.map(|offset| self.text[start..offset].chars().count()),
        }
    }
}

/// The character that the server points at, from 0.
fn position(error: &tokio_postgres::Error) -> Option<usize> {
    match error.as_db_error()?.position()? {
        ErrorPosition::Original(position) => usize::try_from(*position).ok()?.checked_sub(1),
        ErrorPosition::Internal { .. } => None,
    }
}

/// Names the line that the server points at, or else the statement's first.
fn failure(
    line: u64,
    statement: &[u8],
    position: Option<usize>,
    error: tokio_postgres::Error,
) -> Error {
    let text = String::from_utf8_lossy(statement);
    let before = position.unwrap_or(0);
    let line = line + text.chars().take(before).filter(|c| *c == '\n').count() as u64;
    with_server_message(
        format!("line {line}: {} failed", beginning(statement)),
        error,
    )
}

/// A COPY counts lines from the first of its rows.
fn copy_failure(statement: &Statement, first_line: u64, error: tokio_postgres::Error) -> Error {
    let row = error
        .as_db_error()
        .and_then(|db| db.where_())
        .and_then(copy_line);
    let line = row.map_or(statement.line, |row| first_line + row - 1);
    with_server_message(
        format!("line {line}: {} failed", beginning(&statement.text)),
        error,
    )
}

/// The server's message without the value that it may quote. Its error is not attached: the context holds rows.
fn with_server_message(message: String, error: tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(db) => Error::new(ErrorKind::Restore, message).detail(format!(
            "Server: {} (SQLSTATE {})",
            one_line(without_value(db.message())),
            db.code().code()
        )),
        None => Error::from_server(ErrorKind::Restore, message, error),
    }
}
