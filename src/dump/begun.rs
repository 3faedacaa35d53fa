//! A work item whose first statements are on their way. Those of the next small table are sent while the rows of one are
//! still to come: a table takes one round trip instead of four.

use std::pin::Pin;

use futures::FutureExt;
use tokio_postgres::Statement;

use crate::archive::TextEncoding;
use crate::conn::Session;
use crate::objects::{TableData, quote};
use crate::{Error, ErrorKind, Result};

use super::plan::WorkItem;
use super::table_data::copy_out_statement;

/// Beside a table with more bytes no other is begun: it would wait for the end while other workers have nothing to do.
const SMALL_BYTES: u64 = 1 << 20;

/// What a worker begins with.
pub(super) enum Ready {
    /// The COPY of a table that is locked.
    Table(Statement),
    /// The lock of the table would have meant waiting.
    Locked,
    /// Their rows are read by other statements.
    LargeObjects,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Ready>> + Send + 'a>>;

/// The item, and what comes back.
pub(super) struct Begun<'a> {
    pub(super) item: WorkItem,
    answer: Answer<'a>,
    answered: Option<Result<Ready>>,
}

impl<'a> Begun<'a> {
    /// Sends the table's COPY for the server to parse, and before it the lock that it needs, if that is to be taken: see
    /// [`lock_at_once`].
    pub(super) fn table(
        session: &'a Session,
        item: WorkItem,
        table: &TableData,
        encoding: TextEncoding,
        locks: bool,
    ) -> Begun<'a> {
        let name = quote::qualified(&table.schema, &table.name);
        let lock = locks.then(|| lock_at_once(&name));
        let copy = copy_out_statement(table, item.range, encoding);
        let answer = async move {
            let locking = async {
                match &lock {
                    Some(lock) => session.batch_execute(lock).await,
                    None => Ok(()),
                }
            };
            // Sent in this order. After a lock that failed, the other fails, too.
            let (locked, copy) = futures::join!(locking, session.prepare(&copy));
            let name = quote::one_line(&name);
            match locked {
                // 55P03 lock_not_available
                Err(e) if e.code().is_some_and(|code| code.code() == "55P03") => Ok(Ready::Locked),
                Err(e) => Err(("lock", e)),
                Ok(()) => copy.map(Ready::Table).map_err(|e| ("copy", e)),
            }
            .map_err(|(verb, e)| {
                Error::from_server(ErrorKind::Data, format!("could not {verb} table {name}"), e)
            })
        };
        Begun::sent(item, Box::pin(answer))
    }

    /// Large objects need nothing but a server that is done with what came before.
    pub(super) fn large_objects(session: &'a Session, item: WorkItem) -> Begun<'a> {
        let answer = async move {
            let answered = session.batch_execute("SELECT").await;
            let failed = |e| Error::from_server(ErrorKind::Data, "could not read large objects", e);
            answered.map(|()| Ready::LargeObjects).map_err(failed)
        };
        Begun::sent(item, Box::pin(answer))
    }

    /// The first poll sends.
    fn sent(item: WorkItem, mut answer: Answer<'a>) -> Begun<'a> {
        let answered = answer.as_mut().now_or_never();
        Begun {
            item,
            answer,
            answered,
        }
    }

    /// Waits for the server's answer. Any, also an error, proves that it is done with all that was sent before. `false` if it
    /// gives none.
    pub(super) async fn is_answered(&mut self) -> bool {
        let answered = match self.answered.take() {
            Some(answered) => answered,
            None => self.answer.as_mut().await,
        };
        let is_from_server = |answer: &Result<Ready>| {
            answer
                .as_ref()
                .map_or_else(|e| e.sqlstate().is_some(), |_| true)
        };
        is_from_server(self.answered.insert(answered))
    }

    /// What came back.
    ///
    /// # Errors
    /// `Data`, naming the table.
    pub(super) async fn ready(self) -> Result<Ready> {
        match self.answered {
            Some(answered) => answered,
            None => self.answer.await,
        }
    }
}

/// Whether the next item may be begun beside the rows of this one.
pub(super) fn is_small(item: &WorkItem) -> bool {
    item.size_bytes <= SMALL_BYTES
}

/// What [`lock_at_once`] goes back to, in the transaction of the snapshot.
pub(super) const PREPARE_LOCKS: &str = "SAVEPOINT unlocked";

/// Takes a table's lock, unless that means waiting. Gives the locks of earlier calls back: the server's table of locks would not have
/// room for those of all tables from each worker.
fn lock_at_once(name: &str) -> String {
    format!("ROLLBACK TO SAVEPOINT unlocked; LOCK TABLE ONLY {name} IN ACCESS SHARE MODE NOWAIT")
}
