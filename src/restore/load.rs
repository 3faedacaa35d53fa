//! Loading rows: each member is one COPY, and with the record of it one transaction. Any number of connections may fill
//! one table; different tables are preferred, for they do not compete for the same file's end.
//!
//! The record costs no round trip: BEGIN goes out with the COPY, record and COMMIT with the next member's BEGIN.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{FutureExt, SinkExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;
use tokio_postgres::{SimpleQueryMessage, Statement};

use crate::archive::{ArchiveReader, DumpId, Piece, PieceForm, PlacedFilter, RowFilter};
use crate::conn::Session;
use crate::error::Outlook;
use crate::event::{Event, Events};
use crate::failpoint::failpoint;
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

use super::arriving::{Arriving, Opening};
use super::journal::Journal;
use super::meanwhile::Meanwhile;
use super::plan::{Load, LoadTarget, PlannedMember};
use super::progress::RunState;
use super::staging::Staging;

/// One CopyData message. The connection keeps two or three of them in flight: large enough that their cost vanishes,
/// small enough that memory does not show them.
const CHUNK_BYTES: usize = 128 << 10;

/// The next member is taken once so much of one is left: enough to read its beginning while this is sent. Taken earlier, it would wait
/// for the end of a long one while others have nothing to do.
const AHEAD_BYTES: u64 = 8 << 20;

/// Members up to here may be read ahead by any number of connections, and their COPY is sent ahead.
const SMALL_BYTES: u64 = 64 << 10;

/// A member to load next.
#[derive(Clone, Debug)]
pub(crate) struct LoadItem {
    table: usize,
    label: Arc<str>,
    target: Arc<LoadTarget>,
    /// Instead of the archive's COPY.
    copy: Option<Arc<str>>,
    /// For rows that cannot simply be copied.
    staging: Option<Arc<Staging>>,
    /// Which rows of it; `None` for all.
    filter: Option<Arc<PlacedFilter>>,
    member: PlannedMember,
}

/// Which member comes next. Pure.
///
/// The table that fewest workers are busy with, among these the one with most bytes left.
pub(crate) struct LoadQueue {
    tables: Vec<TableQueue>,
    /// Tables with members left, by [`TableQueue::rank`].
    open: BTreeSet<(usize, Reverse<u64>, usize)>,
}

struct TableQueue {
    entry: DumpId,
    label: Arc<str>,
    target: Arc<LoadTarget>,
    copy: Option<Arc<str>>,
    /// For rows that cannot simply be copied.
    staging: Option<Arc<Staging>>,
    filter: Option<Arc<PlacedFilter>>,
    members: VecDeque<PlannedMember>,
    bytes_left: u64,
    busy: usize,
}

impl TableQueue {
    fn rank(&self, at: usize) -> (usize, Reverse<u64>, usize) {
        (self.busy, Reverse(self.bytes_left), at)
    }
}

impl LoadQueue {
    pub(crate) fn new(loads: &[Load], rows: Option<&RowFilter>) -> Self {
        let tables: Vec<TableQueue> = loads
            .iter()
            .filter(|load| !load.members.is_empty())
            .map(|load| TableQueue {
                entry: load.entry,
                label: load.label.as_str().into(),
                target: Arc::new(load.target.clone()),
                copy: load.copy.as_deref().map(Arc::from),
                staging: Staging::of(load).map(Arc::new),
                // The plan has checked that its columns are there.
                filter: rows
                    .and_then(|rows| rows.place(&load.columns).ok())
                    .map(Arc::new),
                members: load.members.iter().copied().collect(),
                bytes_left: load.bytes_of_members(),
                busy: 0,
            })
            .collect();
        let ranks = tables.iter().enumerate();
        let open = ranks.map(|(at, table)| table.rank(at)).collect();
        LoadQueue { tables, open }
    }

    /// Takes the next member, unless it is longer.
    pub(crate) fn take(&mut self, at_most: u64) -> Option<LoadItem> {
        let &(_, _, at) = self.open.first()?;
        let table = self.tables.get_mut(at)?;
        if table.members.front()?.length > at_most {
            return None;
        }
        self.open.pop_first();
        let member = table.members.pop_front()?;
        table.bytes_left -= member.length;
        table.busy += 1;
        if !table.members.is_empty() {
            self.open.insert(table.rank(at));
        }
        Some(LoadItem {
            table: at,
            label: Arc::clone(&table.label),
            target: Arc::clone(&table.target),
            copy: table.copy.clone(),
            staging: table.staging.clone(),
            filter: table.filter.clone(),
            member,
        })
    }

    /// A member that was taken is loaded. Gives the entry if it was the last of it.
    pub(crate) fn finish(&mut self, item: &LoadItem) -> Option<DumpId> {
        let table = &mut self.tables[item.table];
        let was_open = self.open.remove(&table.rank(item.table));
        table.busy -= 1;
        if was_open {
            self.open.insert(table.rank(item.table));
        }
        (!was_open && table.busy == 0).then_some(table.entry)
    }
}

/// What loads of one restore share.
#[derive(Clone)]
pub(crate) struct LoadContext {
    pub(crate) reader: Arc<ArchiveReader>,
    /// `None`: nothing is recorded, and whoever called began a transaction or wants none.
    pub(crate) journal: Option<Arc<Journal>>,
    /// What sessions do that have nothing more to load. Only if no rows come after these.
    pub(crate) meanwhile: Option<Arc<Meanwhile>>,
    pub(crate) state: Arc<RunState>,
    pub(crate) events: Events,
}

/// What the workers of a load share.
#[derive(Clone)]
struct Loader {
    context: LoadContext,
    queue: Arc<Mutex<LoadQueue>>,
    /// Somebody failed: nothing more is begun.
    stopped: Arc<AtomicBool>,
    /// Long members that may be read while those before them are sent. Each takes some 6 MiB, and no more of them than there are cores
    /// come the sooner for it.
    ahead: Arc<Semaphore>,
}

/// Loads all members over the sessions and gives these back. The steps of `meanwhile` are done, too, in the end.
///
/// # Errors
/// `RestoreIncomplete`, naming table or entry; `Damaged`. If the cause may pass, what other workers do is finished first;
/// else it is given up.
pub(crate) async fn load_members(
    sessions: Vec<Session>,
    loads: &[Load],
    rows: Option<&RowFilter>,
    context: &LoadContext,
) -> Result<Vec<Session>> {
    let loader = Loader {
        context: context.clone(),
        queue: Arc::new(Mutex::new(LoadQueue::new(loads, rows))),
        stopped: Arc::default(),
        ahead: Arc::new(Semaphore::new(rayon::current_num_threads())),
    };
    let mut workers = JoinSet::new();
    for (worker, session) in sessions.into_iter().enumerate() {
        workers.spawn(loader.clone().work(worker, session));
    }
    let mut sessions = Vec::new();
    let mut failure = None;
    while let Some(joined) = workers.join_next().await {
        match joined.map_err(worker_died)? {
            Ok(session) => sessions.push(session),
            Err(error) if error.outlook() == Outlook::Lasting => return Err(error),
            Err(error) => {
                loader.stop();
                failure = failure.or(Some(error));
            }
        }
    }
    failure.map_or(Ok(sessions), Err)
}

fn worker_died(error: tokio::task::JoinError) -> Error {
    Error::internal("a worker of the load died").caused_by(error)
}

impl Loader {
    /// Takes members until none is left. While the end of one is sent, the next is read and decompressed, and the one before is
    /// committed.
    async fn work(self, worker: usize, session: Session) -> Result<Session> {
        self.work_on(worker, &session).await?;
        if let Some(meanwhile) = &self.context.meanwhile {
            meanwhile.work(worker, &session).await?;
        }
        Ok(session)
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        if let Some(meanwhile) = &self.context.meanwhile {
            meanwhile.stop();
        }
    }

    async fn work_on(&self, worker: usize, session: &Session) -> Result<()> {
        let mut ahead = None;
        let mut before: Option<Sent<'_>> = None;
        while let Some(next) = ahead.take().or_else(|| self.fetch(u64::MAX, None)) {
            let Next {
                item,
                member,
                statement,
                permit,
            } = next;
            let member = member.here().await?;
            drop(permit);
            let form = member.form().clone();
            let coming = Coming {
                member,
                left: item.member.length,
                statement,
                ahead: &mut ahead,
            };
            self.context.events.emit(Event::WorkerStarted {
                worker,
                item: item.label.to_string(),
            });
            before = Some(match form {
                PieceForm::Rows(_) if item.staging.is_some() => {
                    self.finished(before.take()).await?;
                    let rows = self.insert(worker, session, &item, coming).await?;
                    self.commit(session, item, rows)
                }
                PieceForm::Rows(copy) => {
                    let begun = self
                        .context
                        .journal
                        .as_ref()
                        .map(|_| send(session, "BEGIN".to_owned()));
                    let copy = item.copy.as_deref().unwrap_or(&copy);
                    let copied = self.copy(worker, session, &item, copy, coming);
                    // The answers come in the order of the requests.
                    let (committed, begun, copied) =
                        futures::join!(self.finished(before.take()), answered(begun), copied);
                    committed?;
                    begun.map_err(|error| load_failed(&item, error))?;
                    let rows = copied?;
                    self.commit(session, item, rows)
                }
                // They name their table, which is not the one that is meant.
                PieceForm::Statements if item.copy.is_some() => {
                    return Err(Error::internal("statements were to be loaded elsewhere"));
                }
                PieceForm::Statements => {
                    self.finished(before.take()).await?;
                    let rows = self.call(worker, session, &item, coming).await?;
                    let record = None;
                    Sent { item, rows, record }
                }
            });
            self.context.events.emit(Event::WorkerFinished { worker });
        }
        self.finished(before.take()).await
    }

    /// Sends record and COMMIT of rows that were copied.
    fn commit<'a>(&self, session: &'a Session, item: LoadItem, rows: u64) -> Sent<'a> {
        let record = match (&self.context.journal, &*item.target) {
            (Some(journal), LoadTarget::Table { .. }) => {
                let record = journal.render_member(&item.target, item.member.id, rows);
                Some(send(session, format!("{record} COMMIT")))
            }
            _ => None,
        };
        Sent { item, rows, record }
    }

    /// Waits until a member is there for good.
    async fn finished(&self, sent: Option<Sent<'_>>) -> Result<()> {
        let Some(Sent { item, rows, record }) = sent else {
            return Ok(());
        };
        let result = answered(record).await;
        result.map_err(|error| load_failed(&item, error))?;
        self.context.state.member_done(rows);
        let loaded = self.lock_queue().finish(&item);
        if let (Some(meanwhile), Some(entry)) = (&self.context.meanwhile, loaded) {
            meanwhile.rows_done(entry);
        }
        failpoint("restore.member");
        Ok(())
    }

    /// Starts to read the next member on a thread that may block.
    fn fetch<'a>(&self, at_most: u64, permit: Option<OwnedSemaphorePermit>) -> Option<Next<'a>> {
        let stopped = self.stopped.load(Ordering::SeqCst);
        let item = self.lock_queue().take(at_most).filter(|_| !stopped)?;
        let opening = Opening::new(&self.context.reader, item.member.id);
        Some(Next {
            item,
            member: Member::Opening(opening),
            statement: None,
            permit,
        })
    }

    /// The next piece of a member. Near its end the next member is begun.
    async fn next_piece(&self, coming: &mut Coming<'_, '_>) -> Result<Option<Piece>> {
        let piece = coming.member.next().await?;
        let bytes = piece.as_ref().map_or(u64::MAX, |it| it.bytes.len() as u64);
        coming.left = coming.left.saturating_sub(bytes);
        if coming.left <= AHEAD_BYTES && coming.ahead.is_none() {
            let permit = Arc::clone(&self.ahead).try_acquire_owned().ok();
            let at_most = permit.as_ref().map_or(SMALL_BYTES, |_| u64::MAX);
            *coming.ahead = self.fetch(at_most, permit);
        }
        Ok(piece)
    }

    /// Sends the COPY of the next member, if that is small, for the server to parse behind the end of this one: a small table takes a
    /// round trip less.
    async fn prepare_next<'a>(
        &self,
        session: &'a Session,
        ahead: &mut Option<Next<'a>>,
    ) -> Result<()> {
        let is_small = |next: &mut Next<'_>| {
            next.item.member.length <= SMALL_BYTES && next.item.staging.is_none()
        };
        let Some(mut next) = ahead.take_if(is_small) else {
            return Ok(());
        };
        let member = next.member.here().await?;
        if let PieceForm::Rows(copy) = member.form() {
            let copy = next.item.copy.as_deref().unwrap_or(copy);
            next.statement = Some(prepare(session, self.copy_statement(copy)));
        }
        next.member = Member::Here(member);
        *ahead = Some(next);
        Ok(())
    }

    fn lock_queue(&self) -> std::sync::MutexGuard<'_, LoadQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one COPY. Gives the number of rows.
    async fn copy<'a>(
        &self,
        worker: usize,
        session: &'a Session,
        item: &LoadItem,
        statement: &str,
        mut coming: Coming<'_, 'a>,
    ) -> Result<u64> {
        let failed = |error| load_failed(item, error);
        let statement = self.copy_statement(statement);
        let (mut sent, mut read) = (0, 0);
        let mut sink = None;
        while let Some(piece) = self.next_piece(&mut coming).await? {
            read += piece.count;
            let (mut rows, count) = match &item.filter {
                Some(filter) => {
                    let (chosen, count) = filter.choose(&piece.bytes);
                    (Bytes::from(chosen.into_owned()), count)
                }
                None => (piece.bytes, piece.count),
            };
            sent += count;
            // Without a row there is nothing to do.
            if rows.is_empty() {
                continue;
            }
            if sink.is_none() {
                let statement = match coming.statement.take() {
                    Some(statement) => statement.await,
                    None => session.prepare(&statement).await,
                };
                let begun = session.copy_in(&statement.map_err(failed)?).await;
                sink = Some(Box::pin(begun.map_err(failed)?));
            }
            let Some(sink) = &mut sink else { continue };
            while !rows.is_empty() {
                let chunk = rows.split_to(rows.len().min(CHUNK_BYTES));
                let bytes = chunk.len() as u64;
                sink.send(chunk).await.map_err(failed)?;
                self.context.events.emit(Event::WorkerAdvanced {
                    worker,
                    rows: 0,
                    bytes,
                });
            }
        }
        check_read(item, read)?;
        let rows = match &mut sink {
            Some(sink) => {
                self.prepare_next(session, coming.ahead).await?;
                sink.as_mut().finish().await.map_err(failed)?
            }
            None => 0,
        };
        self.context.events.emit(Event::WorkerAdvanced {
            worker,
            rows,
            bytes: 0,
        });
        expect_all(item, sent, rows)?;
        Ok(rows)
    }

    /// Inserts the rows, or those that are not there yet. Gives their number.
    async fn insert<'a>(
        &self,
        worker: usize,
        session: &'a Session,
        item: &LoadItem,
        coming: Coming<'_, 'a>,
    ) -> Result<u64> {
        let failed = |error| load_failed(item, error);
        let Some(staging) = &item.staging else {
            return Err(Error::internal("a load has no staging table"));
        };
        // Without a journal whoever called began a transaction.
        if self.context.journal.is_some() {
            session.batch_execute("BEGIN").await.map_err(failed)?;
        }
        let created = session.batch_execute(&staging.create).await;
        created.map_err(failed)?;
        let copied = self
            .copy(worker, session, item, &staging.copy, coming)
            .await?;
        let inserted = session.execute(&staging.insert, &[]).await;
        let inserted = inserted.map_err(failed)?;
        if staging.takes_all {
            expect_all(item, copied, inserted)?;
        }
        session.batch_execute(Staging::DROP).await.map_err(failed)?;
        Ok(inserted)
    }

    /// The archive's COPY statement for this session, which speaks UTF-8. The server converts the rows.
    fn copy_statement(&self, statement: &str) -> String {
        let encoding = self.context.reader.index().header.text_encoding();
        match statement.strip_suffix(';') {
            Some(copy) if !encoding.is_as_is() => {
                format!("{copy} WITH (ENCODING {})", quote::literal(encoding.name()))
            }
            _ => statement.to_owned(),
        }
    }

    /// Runs statements that make rows or fill large objects, as one transaction. Gives the number of those that make rows.
    async fn call<'a>(
        &self,
        worker: usize,
        session: &'a Session,
        item: &LoadItem,
        mut coming: Coming<'_, 'a>,
    ) -> Result<u64> {
        let failed = |error| load_failed(item, error);
        let encoding = self.context.reader.index().header.text_encoding();
        let (mut read, mut made) = (0, 0);
        // Without a journal whoever called began a transaction or wants none.
        if self.context.journal.is_some() {
            session.batch_execute("BEGIN").await.map_err(failed)?;
        }
        while let Some(piece) = self.next_piece(&mut coming).await? {
            read += piece.count;
            let sql = encoding.decode(&piece.bytes).ok_or_else(|| {
                let message = format!("{} is not {}", item.label, encoding.name());
                Error::new(ErrorKind::Damaged, message)
            })?;
            for answer in session.simple_query(&sql).await.map_err(failed)? {
                if let SimpleQueryMessage::CommandComplete(rows) = answer {
                    made += rows;
                }
            }
            self.context.events.emit(Event::WorkerAdvanced {
                worker,
                rows: 0,
                bytes: piece.bytes.len() as u64,
            });
        }
        check_read(item, read)?;
        let rows = match *item.target {
            // Fewer than statements say where they do nothing on a conflict.
            LoadTarget::Table { .. } => made,
            LoadTarget::LargeObjects => 0,
        };
        if let Some(journal) = &self.context.journal {
            let record = journal.render_member(&item.target, item.member.id, rows);
            let commit = format!("{record} COMMIT");
            session.batch_execute(&commit).await.map_err(failed)?;
        }
        Ok(rows)
    }
}

/// All rows that were sent must be in the table.
fn expect_all(item: &LoadItem, sent: u64, taken: u64) -> Result<()> {
    if taken == sent {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::RestoreIncomplete,
        format!("{} did not take every row", item.label),
    )
    .detail(format!(
        "Member {}: {sent} rows sent, {taken} taken.",
        item.member.id.0
    ))
    .hint("Does a trigger or rule of the target drop rows?"))
}

/// The archive was read before anything changed: it must hold the same now.
fn check_read(item: &LoadItem, read: u64) -> Result<()> {
    if read == item.member.rows {
        return Ok(());
    }
    let message = format!(
        "{} changed in the archive while it was restored",
        item.label
    );
    Err(Error::new(ErrorKind::Damaged, message).detail(format!(
        "Member {}: {read} rows or statements instead of {}.",
        item.member.id.0, item.member.rows
    )))
}

/// A member of which pieces come, and the one behind it.
struct Coming<'a, 's> {
    member: Arriving,
    /// Bytes that are still to come of it.
    left: u64,
    /// Its COPY, if it was sent before.
    statement: Option<Answer<'s, Statement>>,
    /// Once it was begun.
    ahead: &'a mut Option<Next<'s>>,
}

/// A member that is being read.
struct Next<'s> {
    item: LoadItem,
    member: Member,
    /// Its COPY, if it was sent already.
    statement: Option<Answer<'s, Statement>>,
    /// To be read ahead, if it is long.
    permit: Option<OwnedSemaphorePermit>,
}

enum Member {
    Opening(Opening),
    Here(Arriving),
}

impl Member {
    /// Waits for its first piece.
    async fn here(self) -> Result<Arriving> {
        match self {
            Member::Opening(opening) => opening.first().await,
            Member::Here(arriving) => Ok(arriving),
        }
    }
}

/// A member whose rows the server has taken.
struct Sent<'a> {
    item: LoadItem,
    rows: u64,
    /// Record and COMMIT; `None` if they are not wanted or came with it.
    record: Option<Answer<'a>>,
}

/// The answer to what is on its way.
type Answer<'a, T = ()> =
    Pin<Box<dyn Future<Output = std::result::Result<T, tokio_postgres::Error>> + Send + 'a>>;

/// Sends statements without waiting. Whatever is sent after them, the server runs after them.
fn send(session: &Session, sql: String) -> Answer<'_> {
    sent(async move { session.batch_execute(&sql).await })
}

/// Sends a statement to be parsed, without waiting.
fn prepare(session: &Session, sql: String) -> Answer<'_, Statement> {
    sent(async move { session.prepare(&sql).await })
}

/// Polls once, which sends. An answer that is there already is an error of the connection, which the next request meets, too.
fn sent<'a, T: Send + 'a>(
    answer: impl Future<Output = std::result::Result<T, tokio_postgres::Error>> + Send + 'a,
) -> Answer<'a, T> {
    let mut answer: Answer<'a, T> = Box::pin(answer);
    match answer.as_mut().now_or_never() {
        Some(result) => Box::pin(std::future::ready(result)),
        None => answer,
    }
}

async fn answered(answer: Option<Answer<'_>>) -> std::result::Result<(), tokio_postgres::Error> {
    match answer {
        Some(answer) => answer.await,
        None => Ok(()),
    }
}

/// Tells what the server says without the value it may quote, and the line of the member that it refused. The
/// server's error itself is not attached: its context holds the row.
fn load_failed(item: &LoadItem, error: tokio_postgres::Error) -> Error {
    let message = format!("could not load {}", item.label);
    let Some(db) = error.as_db_error() else {
        return Error::from_server(ErrorKind::RestoreIncomplete, message, error);
    };
    let line = db
        .where_()
        .and_then(copy_line)
        .map(|line| format!(", COPY line {line}"))
        .unwrap_or_default();
    let kind = match db.code() {
        &SqlState::LOCK_NOT_AVAILABLE => ErrorKind::LockTimeout,
        _ => ErrorKind::RestoreIncomplete,
    };
    Error::new(kind, message)
        .detail(format!(
            "Member {}. Server: {} (SQLSTATE {}){line}",
            item.member.id.0,
            quote::one_line(without_value(db.message())),
            db.code().code()
        ))
        .with_outlook(Outlook::of(&error))
}

/// `invalid input syntax for type integer: "abc"` without its end.
pub(super) fn without_value(message: &str) -> &str {
    message
        .split_once(": \"")
        .map_or(message, |(before, _)| before)
}

/// The number in `COPY t, line 12, column c: "..."`; `None` where the server speaks another language.
pub(super) fn copy_line(context: &str) -> Option<u64> {
    let (_, rest) = context.split_once(", line ")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn load(id: u32, members: &[(u32, u64)]) -> Load {
        let numbered = |&(id, length): &(u32, u64)| PlannedMember::numbered(id, length);
        Load {
            entry: DumpId(id),
            bytes: members.iter().map(|(_, length)| length).sum(),
            members: members.iter().map(numbered).collect(),
            ..Load::named(&format!("t{id}"))
        }
    }

    #[test]
    fn members_of_idle_tables_come_first_then_of_the_largest() {
        let loads = [load(1, &[(0, 5)]), load(2, &[(1, 9), (2, 9), (3, 9)])];
        let mut queue = LoadQueue::new(&loads, None);
        assert!(queue.take(0).is_none());
        let first = queue.take(u64::MAX).unwrap();
        let second = queue.take(u64::MAX).unwrap();
        assert_eq!((first.member.id.0, second.member.id.0), (1, 0));
        assert_eq!(queue.finish(&second), Some(crate::archive::DumpId(1)));
        let rest: Vec<u32> = std::iter::from_fn(|| queue.take(u64::MAX))
            .map(|item| item.member.id.0)
            .collect();
        assert_eq!(rest, [2, 3]);
    }

    #[test]
    fn row_values_are_cut_from_messages() {
        assert_eq!(
            without_value("invalid input syntax for type integer: \"abc\""),
            "invalid input syntax for type integer"
        );
        assert_eq!(copy_line("COPY t1, line 12, column c: \"77\""), Some(12));
    }
}
