//! The data phase of a dump: rows over many connections, all under one snapshot.

use std::collections::VecDeque;
use std::io::Write;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::archive::{DumpId, InsertStyle, TextEncoding};
use crate::conn::{Canceler, ConnectSettings, Session, connect};
use crate::event::{Event, Events};
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

use super::begun::{Begun, PREPARE_LOCKS, Ready, is_small};
use super::member_stream::{DataMember, Encoders, MemberStream};
use super::pace::Pace;
use super::plan::WorkItem;
use super::table_data::TableCopy;
use super::writer::{ScriptWriter, spawn_data_phase, writer_result};
use super::{ContentEntry, DataSource, large_objects, snapshot, table_data};

/// Members that may wait for the writer. Together with two blocks per worker this bounds memory.
const MEMBERS_IN_FLIGHT: usize = 2;

/// What all workers share.
pub(super) struct Shared {
    pub(super) settings: ConnectSettings,
    pub(super) snapshot: String,
    pub(super) encoders: Arc<Encoders>,
    pub(super) pace: Arc<Pace>,
    pub(super) encoding: TextEncoding,
    pub(super) inserts: Option<InsertStyle>,
    pub(super) entries: Arc<Vec<ContentEntry>>,
    /// What nobody has taken yet, of the wave that is copied.
    pub(super) items: Mutex<VecDeque<WorkItem>>,
    /// One for each worker that is connected.
    pub(super) cancelers: Mutex<Vec<Canceler>>,
    /// Items whose table a worker could not lock at once: they are the leader's.
    pub(super) behind_a_lock: Mutex<Vec<WorkItem>>,
    /// Foreign tables: all are the leader's, for it has one snapshot of each foreign server at most.
    pub(super) foreign: Vec<WorkItem>,
    pub(super) events: Events,
}

/// Copies all items over at most `jobs` connections while the writer appends what arrives: wave by wave, for the rows of one are in the
/// script before those of the next. The first failure ends all of them.
pub(super) async fn copy_all<W: Write + Send + 'static>(
    shared: Arc<Shared>,
    leader: &Session,
    jobs: NonZeroU32,
    waves: Vec<Vec<WorkItem>>,
    writer: ScriptWriter<W>,
) -> Result<ScriptWriter<W>> {
    let (sender, receiver) = mpsc::channel(MEMBERS_IN_FLIGHT);
    let writing = spawn_data_phase(writer, receiver);
    let copied = copy_waves(&shared, leader, jobs, waves, sender).await;
    if copied.is_err() {
        shared.cancel_all().await;
    }
    // With all senders gone the writer sees the end. Its own error comes first: it made the workers stop.
    let writer = writer_result(writing.await)?;
    copied.map(|()| writer)
}

async fn copy_waves(
    shared: &Arc<Shared>,
    leader: &Session,
    jobs: NonZeroU32,
    waves: Vec<Vec<WorkItem>>,
    sender: mpsc::Sender<DataMember>,
) -> Result<()> {
    let leader = Worker {
        shared,
        session: leader,
        number: 0,
    };
    for wave in waves {
        let workers = wave.len().min(jobs.get() as usize);
        *lock(&shared.items) = wave.into();
        let mut tasks = JoinSet::new();
        for worker in 0..workers {
            tasks.spawn(work(Arc::clone(shared), worker, sender.clone()));
        }
        let copied = first_failure(&mut tasks).await;
        tasks.shutdown().await;
        copied?;
        lock(&shared.cancelers).clear();
        leader.copy_what_waits(&sender).await?;
    }
    leader.copy_foreign(&sender).await
}

async fn first_failure(tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Some(done) = tasks.join_next().await {
        done.map_err(|e| Error::internal("a worker failed").caused_by(e))??;
    }
    Ok(())
}

/// One connection that copies items, one after the other.
#[derive(Clone, Copy)]
struct Worker<'a> {
    shared: &'a Shared,
    session: &'a Session,
    number: usize,
}

async fn work(shared: Arc<Shared>, number: usize, writer: mpsc::Sender<DataMember>) -> Result<()> {
    let session = connect(&shared.settings).await?;
    lock(&shared.cancelers).push(session.canceler());
    let worker = Worker {
        shared: &shared,
        session: &session,
        number,
    };
    worker
        .copy_items(shared.stream(writer))
        .await
        .map_err(|error| tell_why_it_ended(&session, error))
}

impl<'a> Worker<'a> {
    /// Copies what nobody else has taken.
    async fn copy_items(self, mut stream: MemberStream) -> Result<()> {
        pass_bytes_through(self.session).await?;
        snapshot::import(self.session, &self.shared.snapshot).await?;
        let prepared = self.session.batch_execute(PREPARE_LOCKS).await;
        prepared
            .map_err(|e| Error::from_server(ErrorKind::Data, "could not set a savepoint", e))?;
        let mut locked = None;
        let mut next = self.begin_next(locked)?;
        while let Some(begun) = next.take() {
            let item = begun.item;
            match begun.ready().await? {
                Ready::Locked => {
                    self.shared.leave_to_leader(item);
                    locked = None;
                }
                ready => {
                    locked = Some(item.entry);
                    let ahead = is_small(&item);
                    next = self.copy_item(&item, ready, ahead, &mut stream).await?;
                }
            }
            if next.is_none() {
                next = self.begin_next(locked)?;
            }
        }
        stream.settle().await
    }

    /// Takes the next item of all. One more range of the table that is locked needs no lock.
    fn begin_next(self, locked: Option<DumpId>) -> Result<Option<Begun<'a>>> {
        let item = lock(&self.shared.items).pop_front();
        item.map(|item| self.begin(item, locked != Some(item.entry)))
            .transpose()
    }

    fn begin(self, item: WorkItem, locks: bool) -> Result<Begun<'a>> {
        let begun = match self.shared.data(&item)? {
            DataSource::Table(table) => {
                Begun::table(self.session, item, table, self.shared.encoding, locks)
            }
            DataSource::LargeObjects(_) => Begun::large_objects(self.session, item),
        };
        Ok(begun)
    }

    /// Copies what workers left to the leader, which holds the locks already.
    async fn copy_what_waits(self, writer: &mpsc::Sender<DataMember>) -> Result<()> {
        let items = std::mem::take(&mut *lock(&self.shared.behind_a_lock));
        self.copy_unlocked(&items, writer).await
    }

    async fn copy_foreign(self, writer: &mpsc::Sender<DataMember>) -> Result<()> {
        if !self.shared.foreign.is_empty() {
            table_data::allow_foreign_tables(self.session).await?;
        }
        self.copy_unlocked(&self.shared.foreign, writer).await
    }

    async fn copy_unlocked(
        self,
        items: &[WorkItem],
        writer: &mpsc::Sender<DataMember>,
    ) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        pass_bytes_through(self.session).await?;
        let mut stream = self.shared.stream(writer.clone());
        for item in items {
            let ready = self.begin(*item, false)?.ready().await?;
            self.copy_item(item, ready, false, &mut stream).await?;
        }
        stream.settle().await
    }

    /// Copies an item. Begins the next one `ahead`, if that is wanted and there is one, and gives it.
    async fn copy_item(
        self,
        item: &WorkItem,
        ready: Ready,
        ahead: bool,
        stream: &mut MemberStream,
    ) -> Result<Option<Begun<'a>>> {
        let Worker {
            shared,
            session,
            number,
        } = self;
        let entry = shared.entry(item)?;
        let events = &shared.events;
        events.emit(Event::WorkerStarted {
            worker: number,
            item: describe(entry, item),
        });
        let next = match (shared.data(item)?, ready) {
            (DataSource::Table(table), Ready::Table(statement)) => {
                let copy = TableCopy {
                    entry: entry.id,
                    table,
                    encoding: shared.encoding,
                    inserts: shared.inserts,
                };
                let next = || match ahead {
                    true => self.begin_next(Some(item.entry)),
                    false => Ok(None),
                };
                table_data::copy_table(session, number, copy, &statement, next, stream, events)
                    .await?
            }
            (DataSource::LargeObjects(data), Ready::LargeObjects) => {
                large_objects::copy_large_objects(session, number, entry.id, data, stream, events)
                    .await?;
                None
            }
            _ => return Err(Error::internal("a work item was begun as another")),
        };
        events.emit(Event::WorkerFinished { worker: number });
        Ok(next)
    }
}

/// Statements only report that the connection is closed; the session may know the reason.
pub(super) fn tell_why_it_ended(session: &Session, error: Error) -> Error {
    match session.end_of_connection() {
        Some(reason) => error.detail(format!("The connection ended: {reason}")),
        None => error,
    }
}

fn entry_of<'a>(entries: &'a [ContentEntry], item: &WorkItem) -> Option<&'a ContentEntry> {
    let id = usize::try_from(item.entry.0).ok()?;
    entries.get(id.checked_sub(1)?)
}

pub(super) fn is_foreign(entries: &[ContentEntry], item: &WorkItem) -> bool {
    let data = entry_of(entries, item).and_then(|entry| entry.data.as_ref());
    matches!(data, Some(DataSource::Table(table)) if table.foreign_server.is_some())
}

impl Shared {
    fn stream(&self, writer: mpsc::Sender<DataMember>) -> MemberStream {
        MemberStream::new(Arc::clone(&self.encoders), writer, Arc::clone(&self.pace))
    }

    fn entry(&self, item: &WorkItem) -> Result<&ContentEntry> {
        entry_of(&self.entries, item).ok_or_else(|| Error::internal("a work item has no entry"))
    }

    fn data(&self, item: &WorkItem) -> Result<&DataSource> {
        let data = self.entry(item)?.data.as_ref();
        data.ok_or_else(|| Error::internal("a work item has no data"))
    }

    /// Stops the statements of all workers: a session that is dropped would still drain its COPY.
    async fn cancel_all(&self) {
        let cancelers = std::mem::take(&mut *lock(&self.cancelers));
        // What cannot be cancelled has ended already; the first failure is the one to report.
        join_all(cancelers.iter().map(Canceler::cancel)).await;
    }

    /// Somebody waits for an exclusive lock on the table and we would queue behind: for ever, since he waits
    /// for our leader. The server cannot see that circle. The leader has its lock, so it can copy.
    fn leave_to_leader(&self, item: WorkItem) {
        if let Ok(entry) = self.entry(&item) {
            self.events.note(format!(
                "another session waits to change {}, the leader copies it",
                describe(entry, &item)
            ));
        }
        lock(&self.behind_a_lock).push(item);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nobody knows what the bytes of a SQL_ASCII database mean: they pass as they are, not as checked UTF-8.
async fn pass_bytes_through(session: &Session) -> Result<()> {
    if session.encoding() != TextEncoding::SQL_ASCII.name() {
        return Ok(());
    }
    session
        .batch_execute("SET client_encoding = 'SQL_ASCII'")
        .await
        .map_err(|e| Error::from_server(ErrorKind::Data, "could not set the encoding", e))
}

fn describe(entry: &ContentEntry, item: &WorkItem) -> String {
    let schema = entry.schema.as_deref().map(|schema| format!("{schema}."));
    let name = format!("{}{}", schema.unwrap_or_default(), entry.tag);
    let range = item.range.map(|range| match range.end {
        Some(end) => format!(" blocks {}..{end}", range.start),
        None => format!(" blocks {}..", range.start),
    });
    quote::one_line(&format!("{name}{}", range.unwrap_or_default())).into_owned()
}
