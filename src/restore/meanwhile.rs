//! Post-data while rows still come: what a connection does once no data member is left for it.
//!
//! Steps wait for rows as [`Gates`] say. When the last rows are there, nothing waits for rows any more, and the connections go on
//! with whatever is left of the steps: nobody waits for the longest index before the rest begins.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::archive::DumpId;
use crate::conn::{ServerVersion, Session};
use crate::event::{Event, Events, Phase};
use crate::failpoint::failpoint;
use crate::objects::Kind;
use crate::{Error, ErrorKind, Result};

use super::gates::Gates;
use super::journal::Journal;
use super::plan::Step;
use super::post_data::{Sent, StepQueue, circle, run_together};
use super::progress::RunState;
use super::texts::StatementTexts;

/// While others load, an index is built by the one process that serves the connection: as many work as the user wanted connections.
const ALONE: &str = "SET LOCAL max_parallel_maintenance_workers = 0;\n";

/// The first pass of post-data, for whichever connections have time.
pub(crate) struct Meanwhile {
    work: StepWork,
    queue: Mutex<Queue>,
    /// A step or a load is done, or somebody failed.
    changed: Notify,
    stopped: AtomicBool,
}

/// The steps, and what running them takes.
pub(crate) struct StepWork {
    pub(crate) steps: Vec<Step>,
    pub(crate) texts: Arc<StatementTexts>,
    pub(crate) journal: Option<Arc<Journal>>,
    pub(crate) state: Arc<RunState>,
    pub(crate) events: Events,
    /// How many steps come in later passes.
    pub(crate) steps_behind: u64,
    /// Whether the sessions give up waiting for locks: not for those of each other.
    pub(crate) has_lock_timeout: bool,
}

struct Queue {
    steps: StepQueue,
    gates: Gates,
    running: usize,
}

/// What a connection does next.
enum Next {
    Steps {
        /// One after the other.
        taken: Vec<usize>,
        /// Others may still load.
        beside_rows: bool,
    },
    /// Whatever comes next waits for somebody.
    Later,
    Nothing,
}

impl Meanwhile {
    pub(crate) fn new(work: StepWork, gates: Gates) -> Meanwhile {
        let mut steps = StepQueue::new(&work.steps);
        gates.held().for_each(|at| steps.hold(at));
        Meanwhile {
            work,
            queue: Mutex::new(Queue {
                steps,
                gates,
                running: 0,
            }),
            changed: Notify::new(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Takes steps until none is left.
    ///
    /// # Errors
    /// `RestoreIncomplete`, naming the entry.
    pub(crate) async fn work(&self, worker: usize, session: &Session) -> Result<()> {
        if self.work.has_lock_timeout {
            wait_for_our_own(session).await?;
        }
        loop {
            // Told from here on, also of what happens before it waits.
            let changed = self.changed.notified();
            match self.next()? {
                Next::Steps { taken, beside_rows } => {
                    self.run(worker, session, &taken, beside_rows).await?;
                }
                Next::Later => changed.await,
                Next::Nothing => return Ok(()),
            }
        }
    }

    fn next(&self) -> Result<Next> {
        if self.stopped.load(Ordering::SeqCst) {
            return Ok(Next::Nothing);
        }
        let mut queue = self.lock();
        let beside_rows = queue.gates.has_rows_left();
        let taken = queue.steps.take_some();
        if !taken.is_empty() {
            queue.running += taken.len();
            return Ok(Next::Steps { taken, beside_rows });
        }
        match queue.steps.unfinished() {
            0 => Ok(Next::Nothing),
            _ if queue.running == 0 && !beside_rows => Err(circle()),
            _ => Ok(Next::Later),
        }
    }

    async fn run(
        &self,
        worker: usize,
        session: &Session,
        taken: &[usize],
        beside_rows: bool,
    ) -> Result<()> {
        let work = &self.work;
        let mut together = Vec::new();
        for &at in taken {
            let step = &work.steps[at];
            let settings = match beside_rows && is_built_by_many(step.kind, session.version()) {
                true => ALONE,
                false => "",
            };
            let journal = work.journal.as_deref();
            together.push(Sent::new(at, step, settings, &work.texts, journal)?);
        }
        let mut failure = None;
        for (at, result) in run_together(worker, session, &together, &work.events).await {
            if let Err(error) = result {
                failure = failure.or(Some(error));
                continue;
            }
            work.state.statement_done();
            {
                let mut queue = self.lock();
                queue.steps.finish(at);
                queue.running -= 1;
            }
            self.changed.notify_waiters();
            failpoint("restore.step");
        }
        failure.map_or(Ok(()), Err)
    }

    /// All rows of a load are there.
    pub(crate) fn rows_done(&self, load: DumpId) {
        let steps_left = {
            let mut queue = self.lock();
            for at in queue.gates.rows_done(load) {
                queue.steps.release(at);
            }
            (!queue.gates.has_rows_left()).then(|| queue.steps.unfinished() as u64)
        };
        if let Some(steps_left) = steps_left {
            let events = &self.work.events;
            events.phase(Phase::PostData);
            events.emit(Event::Planned {
                items: steps_left + self.work.steps_behind,
                bytes: 0,
            });
        }
        self.changed.notify_waiters();
    }

    /// Somebody failed: nothing more is begun.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a server may build it with more than one process. Since 11.
fn is_built_by_many(kind: Kind, server: ServerVersion) -> bool {
    matches!(kind, Kind::Index | Kind::Constraint) && server >= ServerVersion::major(11)
}

/// From here on the session may wait for our others, however long an index takes.
pub(super) async fn wait_for_our_own(session: &Session) -> Result<()> {
    let set = session.batch_execute("SET lock_timeout = 0").await;
    set.map_err(|error| {
        let what = "could not set up the session";
        Error::from_server(ErrorKind::Restore, what, error)
    })
}
