//! Post-data in parallel: what is ready runs, as far as locks allow, large tables first.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio_postgres::error::SqlState;

use crate::archive::DumpId;
use crate::conn::Session;
use crate::error::Outlook;
use crate::event::{Event, Events};
use crate::failpoint::failpoint;
use crate::objects::Kind;
use crate::{Error, ErrorKind, Result};

use super::journal::Journal;
use super::plan::Step;
use super::progress::RunState;
use super::texts::StatementTexts;

/// How often a statement is tried again that lost a deadlock: each loser makes room for others, so
/// more than a few in a row have another cause.
const ATTEMPTS: u32 = 5;

/// Light steps that a connection is given at once: they do not wait for round trips, and no other connection long for them.
const TOGETHER: usize = 8;

/// Which steps may start now. Pure.
///
/// Every step is taken once and finished once; a step is not taken before all it depends on (within the
/// queue) have finished and whoever held it has released it, nor while a conflicting lock is held by one that was taken and not
/// finished.
pub(crate) struct StepQueue {
    steps: Vec<Waiting>,
    /// Steps that wait for locks only: largest first, then script order.
    ready: BTreeSet<(Reverse<u64>, usize)>,
    shared: HashMap<DumpId, usize>,
    exclusive: BTreeSet<DumpId>,
    unfinished: usize,
}

/// A step in the queue.
struct Waiting {
    weight: u64,
    is_light: bool,
    locks: Vec<(DumpId, bool)>,
    /// Steps that wait for this one.
    dependents: Vec<usize>,
    /// How many others it still waits for.
    waits_for: usize,
}

impl StepQueue {
    pub(crate) fn new(steps: &[Step]) -> Self {
        let position: HashMap<DumpId, usize> = steps
            .iter()
            .enumerate()
            .map(|(at, step)| (step.id, at))
            .collect();
        let waiting = steps.iter().map(|step| Waiting {
            weight: step.weight,
            is_light: step.is_light,
            locks: step.locks.clone(),
            dependents: Vec::new(),
            waits_for: 0,
        });
        let mut queue = StepQueue {
            steps: waiting.collect(),
            ready: BTreeSet::new(),
            shared: HashMap::new(),
            exclusive: BTreeSet::new(),
            unfinished: steps.len(),
        };
        let needs = |at: usize| -> BTreeSet<usize> {
            let ids = steps[at].depends_on.iter();
            ids.filter_map(|id| position.get(id).copied())
                .filter(|need| *need != at)
                .collect()
        };
        let attached = attached(steps, needs);
        for (at, step) in steps.iter().enumerate() {
            queue.ready.insert((Reverse(step.weight), at));
            for need in needs(at) {
                if attached.contains(&(at, need)) {
                    continue;
                }
                queue.hold(at);
                queue.steps[need].dependents.push(at);
            }
        }
        queue
    }

    /// Makes a step wait until it is released, as often as it was held. It must not have been taken.
    pub(crate) fn hold(&mut self, at: usize) {
        let step = &mut self.steps[at];
        step.waits_for += 1;
        self.ready.remove(&(Reverse(step.weight), at));
    }

    /// What it was held for is there.
    pub(crate) fn release(&mut self, at: usize) {
        let step = &mut self.steps[at];
        step.waits_for -= 1;
        if step.waits_for == 0 {
            self.ready.insert((Reverse(step.weight), at));
        }
    }

    /// Takes the next step that may run now.
    pub(crate) fn take(&mut self) -> Option<usize> {
        let next = self
            .ready
            .iter()
            .find(|(_, at)| self.locks_are_free(&self.steps[*at]))
            .copied()?;
        self.ready.remove(&next);
        for (table, exclusive) in &self.steps[next.1].locks {
            if *exclusive {
                self.exclusive.insert(*table);
            } else {
                *self.shared.entry(*table).or_default() += 1;
            }
        }
        Some(next.1)
    }

    /// Takes what one connection runs now, in this order: a step, or a few of which all but the last are light.
    pub(crate) fn take_some(&mut self) -> Vec<usize> {
        let mut taken = Vec::new();
        while taken.len() < TOGETHER
            && let Some(at) = self.take()
        {
            taken.push(at);
            if !self.steps[at].is_light {
                break;
            }
        }
        taken
    }

    /// Releases the locks of a step and makes ready what waited for it.
    pub(crate) fn finish(&mut self, at: usize) {
        let step = &mut self.steps[at];
        for (table, exclusive) in &step.locks {
            if *exclusive {
                self.exclusive.remove(table);
            } else if let Some(count) = self.shared.get_mut(table) {
                *count -= 1;
            }
        }
        self.unfinished -= 1;
        for dependent in std::mem::take(&mut step.dependents) {
            self.release(dependent);
        }
    }

    /// How many steps were not finished.
    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished
    }

    fn locks_are_free(&self, step: &Waiting) -> bool {
        step.locks.iter().all(|(table, exclusive)| {
            let shared = self.shared.get(table).copied().unwrap_or(0);
            !self.exclusive.contains(table) && (!exclusive || shared == 0)
        })
    }
}

/// Pairs of which the first need not wait for the second: to the server, the index of a partition depends on that of the partitioned
/// table, but what ATTACH brings together can be made in any order.
fn attached(steps: &[Step], needs: impl Fn(usize) -> BTreeSet<usize>) -> HashSet<(usize, usize)> {
    let attaching = (0..steps.len()).filter(|at| steps[*at].kind == Kind::IndexAttach);
    attaching
        .flat_map(|at| {
            let made: Vec<usize> = needs(at).into_iter().collect();
            let pairs = made
                .iter()
                .flat_map(|one| made.iter().map(|other| (*one, *other)));
            pairs.collect::<Vec<_>>()
        })
        .collect()
}

/// Runs the steps on all sessions in parallel. The statements of one step and its record are one transaction.
///
/// # Errors
/// `RestoreIncomplete`, naming the entry. If the cause may pass, what the others do is finished first; else it is
/// given up.
pub(crate) async fn run_steps(
    sessions: &[Session],
    steps: &[Step],
    texts: &StatementTexts,
    journal: Option<&Journal>,
    state: &RunState,
    events: &Events,
) -> Result<()> {
    let mut queue = StepQueue::new(steps);
    let mut idle: Vec<usize> = (0..sessions.len()).rev().collect();
    let mut running = FuturesUnordered::new();
    let mut failure = None;
    loop {
        while failure.is_none()
            && let Some(worker) = idle.pop()
        {
            let taken = queue.take_some();
            if taken.is_empty() {
                idle.push(worker);
                break;
            }
            let mut together = Vec::new();
            for at in taken {
                together.push(Sent::new(at, &steps[at], "", texts, journal)?);
            }
            running.push(async move {
                let done = run_together(worker, &sessions[worker], &together, events).await;
                (worker, done)
            });
        }
        let Some((worker, done)) = running.next().await else {
            break;
        };
        for (at, result) in done {
            match result {
                Ok(()) => {
                    queue.finish(at);
                    state.statement_done();
                    failpoint("restore.step");
                }
                Err(error) if error.outlook() == Outlook::Lasting => return Err(error),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        idle.push(worker);
    }
    match failure {
        Some(error) => Err(error),
        None if queue.unfinished() == 0 => Ok(()),
        None => Err(circle()),
    }
}

/// Nothing runs, and no step that is left may start.
pub(super) fn circle() -> Error {
    Error::internal("entries of the archive wait for each other in a circle")
}

/// A step of the queue with its statements and record, for one connection.
pub(super) struct Sent<'a> {
    at: usize,
    step: &'a Step,
    sql: String,
}

impl<'a> Sent<'a> {
    /// What the journal says of the step ends its transaction; `settings` hold for it alone.
    pub(super) fn new(
        at: usize,
        step: &'a Step,
        settings: &str,
        texts: &StatementTexts,
        journal: Option<&Journal>,
    ) -> Result<Sent<'a>> {
        let mut sql = settings.to_owned();
        sql.push_str(&texts.sql(step)?);
        sql.extend(journal.map(|journal| journal.render_step(step)));
        Ok(Sent { at, step, sql })
    }
}

/// Runs steps on one connection, one after the other but without waiting for each answer. Those that others were in the way of
/// run again in the end. Gives what became of each.
///
/// Errors are `RestoreIncomplete`, naming the entry.
pub(super) async fn run_together(
    worker: usize,
    session: &Session,
    steps: &[Sent<'_>],
    events: &Events,
) -> Vec<(usize, Result<()>)> {
    let sent = steps.iter().map(|Sent { step, sql, .. }| {
        events.emit(Event::WorkerStarted {
            worker,
            item: step.label.clone(),
        });
        session.batch_execute(sql)
    });
    // The first poll sends, in this order.
    let answers = join_all(sent).await;
    let mut done = Vec::new();
    for (Sent { at, step, sql }, answer) in steps.iter().zip(answers) {
        let mut result = answer;
        for _ in 1..ATTEMPTS {
            match &result {
                Err(error) if may_pass_later(error) => result = session.batch_execute(sql).await,
                _ => break,
            }
        }
        events.emit(Event::WorkerFinished { worker });
        let failed = |error| {
            let what = format!("could not create {}", step.label);
            Error::from_server(ErrorKind::RestoreIncomplete, what, error)
        };
        done.push((*at, result.map_err(failed)));
    }
    done
}

/// Deadlocks, and "tuple concurrently updated": two statements that changed one catalog row at once, which the
/// server reports as an internal error (XX000).
fn may_pass_later(error: &tokio_postgres::Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::T_R_DEADLOCK_DETECTED | &SqlState::INTERNAL_ERROR)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: u32, depends_on: &[u32], locks: &[(u32, bool)], weight: u64) -> Step {
        Step {
            id: DumpId(id),
            depends_on: depends_on.iter().copied().map(DumpId).collect(),
            locks: locks.iter().map(|(t, e)| (DumpId(*t), *e)).collect(),
            weight,
            ..Step::named(Kind::Index, "")
        }
    }

    #[test]
    fn largest_table_starts_first_then_script_order() {
        let steps = [
            step(1, &[], &[], 5),
            step(2, &[], &[], 9),
            step(3, &[], &[], 5),
        ];
        let mut queue = StepQueue::new(&steps);
        let order: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(order, [1, 0, 2]);
    }

    #[test]
    fn light_steps_go_together_and_a_heavy_one_ends_them() {
        let light = |id| Step {
            is_light: true,
            ..step(id, &[], &[], 1)
        };
        let waits = Step {
            depends_on: vec![DumpId(1)],
            ..light(5)
        };
        let steps = [
            step(1, &[], &[], 9),
            light(2),
            light(3),
            step(4, &[], &[], 0),
            waits,
        ];
        let mut queue = StepQueue::new(&steps);
        assert_eq!(queue.take_some(), [0]);
        assert_eq!(queue.take_some(), [1, 2, 3]);
        assert!(queue.take_some().is_empty());
        queue.finish(0);
        assert_eq!(queue.take_some(), [4]);
    }

    #[test]
    fn step_waits_for_its_dependencies() {
        let steps = [
            step(1, &[77], &[], 0),
            step(2, &[1, 1], &[], 9),
            step(3, &[2, 3], &[], 9),
        ];
        let mut queue = StepQueue::new(&steps);
        for at in 0..3 {
            assert_eq!(queue.take(), Some(at));
            assert_eq!(queue.take(), None);
            queue.finish(at);
        }
        assert_eq!(queue.unfinished(), 0);
    }

    #[test]
    fn shared_locks_go_together_and_exclude_exclusive_ones() {
        let steps = [
            step(1, &[], &[(50, false)], 0),
            step(2, &[], &[(50, false)], 0),
            step(3, &[], &[(50, true)], 0),
            step(4, &[], &[(50, true), (51, true)], 0),
        ];
        let mut queue = StepQueue::new(&steps);
        assert_eq!((queue.take(), queue.take()), (Some(0), Some(1)));
        assert_eq!(queue.take(), None);
        queue.finish(0);
        assert_eq!(queue.take(), None);
        queue.finish(1);
        assert_eq!((queue.take(), queue.take()), (Some(2), None));
        queue.finish(2);
        assert_eq!(queue.take(), Some(3));
        queue.finish(3);
        assert_eq!(queue.unfinished(), 0);
    }

    #[test]
    fn indexes_that_are_attached_do_not_wait_for_each_other() {
        let attach = Step {
            kind: Kind::IndexAttach,
            ..step(3, &[1, 2], &[], 0)
        };
        // The constraint of a partition that the partitioned table's makes.
        let steps = [
            step(1, &[], &[], 0),
            step(2, &[1], &[], 9),
            attach,
            step(4, &[1], &[], 9),
        ];
        let mut queue = StepQueue::new(&steps);
        let first: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(first, [1, 0]);
        queue.finish(0);
        assert_eq!((queue.take(), queue.take()), (Some(3), None));
        queue.finish(1);
        assert_eq!(queue.take(), Some(2));
    }

    #[test]
    fn held_steps_wait_until_they_are_released_as_often() {
        let steps = [
            step(1, &[], &[], 9),
            step(2, &[1], &[], 9),
            step(3, &[], &[], 0),
        ];
        let mut queue = StepQueue::new(&steps);
        queue.hold(0);
        queue.hold(0);
        queue.hold(1);
        assert_eq!((queue.take(), queue.take()), (Some(2), None));
        queue.release(0);
        assert_eq!(queue.take(), None);
        queue.release(0);
        assert_eq!(queue.take(), Some(0));
        queue.finish(0);
        assert_eq!(queue.take(), None);
        queue.release(1);
        assert_eq!(queue.take(), Some(1));
    }

    #[test]
    fn circle_is_never_done() {
        let steps = [step(1, &[2], &[], 0), step(2, &[1], &[], 0)];
        let mut queue = StepQueue::new(&steps);
        assert_eq!(queue.take(), None);
        assert_eq!(queue.unfinished(), 2);
    }
}
