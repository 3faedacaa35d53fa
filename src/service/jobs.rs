//! What the service does and did: one job per database at a time, each with its progress and its outcome.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::event::{Event, Events};
use crate::objects::quote::one_line;
use crate::{Error, Result};

/// Finished jobs that are remembered.
const REMEMBERED: usize = 200;

/// Warnings that a job keeps.
const MOST_WARNINGS: usize = 100;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Makes a backup.
    Create,
    /// Checks a set's bytes.
    Verify,
    /// Proves a set by restoring it.
    Drill,
    /// Deletes what no rule keeps.
    Cleanup,
    /// Restores a set into the database.
    Restore,
}

impl Work {
    /// As in JSON and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Work::Create => "create",
            Work::Verify => "verify",
            Work::Drill => "drill",
            Work::Cleanup => "cleanup",
            Work::Restore => "restore",
        }
    }
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// At work.
    Running,
    /// Done, but something beside it failed.
    Warned,
    /// Done.
    Done,
    /// Failed.
    Failed,
}

/// A job as clients see it. Holds no secrets.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Job {
    /// Unique in this process and across its restarts.
    pub id: String,
    /// The configured database.
    pub database: String,
    /// What it does.
    pub work: Work,
    /// How it stands.
    pub state: State,
    /// RFC 3339, UTC.
    pub started: String,
    /// RFC 3339, UTC; absent while it runs.
    pub finished: Option<String>,
    /// The step it is in.
    pub phase: Option<String>,
    /// Rows that went through so far.
    pub rows: u64,
    /// Bytes of rows that went through so far.
    pub bytes: u64,
    /// Bytes stored so far.
    pub stored_bytes: u64,
    /// The set that it made or works on.
    pub set: Option<String>,
    /// What it did, one line.
    pub result: Option<String>,
    /// Warnings, and what failed beside it.
    pub warnings: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// The exit status that the same command would have.
    pub exit_status: Option<u8>,
}

/// What a job did well.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The set that it made or worked on.
    pub set: Option<String>,
    /// One line.
    pub result: String,
    /// What failed beside it.
    pub side_failures: Vec<String>,
}

/// All jobs of the process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Jobs(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    jobs: HashMap<String, watch::Sender<Job>>,
    /// The oldest first.
    finished: VecDeque<String>,
    /// By database.
    running: HashMap<String, String>,
    count: u64,
}

/// A job that runs. Dropped without an outcome it counts as failed.
#[derive(Debug)]
pub struct RunningJob {
    jobs: Jobs,
    id: String,
    view: watch::Sender<Job>,
    ended: bool,
}

impl Jobs {
    /// Starts a job, unless the database has one that runs: then that is given instead.
    ///
    /// # Errors
    /// The running job.
    pub fn start(&self, database: &str, work: Work) -> Result<RunningJob, Box<Job>> {
        let mut inner = self.inner();
        let running = inner
            .running
            .get(database)
            .and_then(|id| inner.jobs.get(id));
        if let Some(running) = running {
            return Err(Box::new(running.borrow().clone()));
        }
        inner.count += 1;
        let now = Timestamp::now();
        let id = format!("{}-{}", now.as_microsecond(), inner.count);
        let (view, _) = watch::channel(Job {
            id: id.clone(),
            database: database.to_owned(),
            work,
            state: State::Running,
            started: now.to_string(),
            finished: None,
            phase: None,
            rows: 0,
            bytes: 0,
            stored_bytes: 0,
            set: None,
            result: None,
            warnings: Vec::new(),
            error: None,
            exit_status: None,
        });
        inner.jobs.insert(id.clone(), view.clone());
        inner.running.insert(database.to_owned(), id.clone());
        Ok(RunningJob {
            jobs: self.clone(),
            id,
            view,
            ended: false,
        })
    }

    /// A job, with all that it becomes.
    pub fn watch(&self, id: &str) -> Option<watch::Receiver<Job>> {
        self.inner().jobs.get(id).map(watch::Sender::subscribe)
    }

    /// The job that a database has now.
    pub fn running(&self, database: &str) -> Option<watch::Receiver<Job>> {
        let inner = self.inner();
        let id = inner.running.get(database)?;
        inner.jobs.get(id).map(watch::Sender::subscribe)
    }

    /// Waits until no job runs.
    pub async fn idle(&self) {
        loop {
            let running = {
                let inner = self.inner();
                let id = inner.running.values().next();
                id.and_then(|id| inner.jobs.get(id))
                    .map(watch::Sender::subscribe)
            };
            match running {
                Some(mut job) => drop(job.wait_for(|job| job.finished.is_some()).await),
                None => return,
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningJob {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// As it is now.
    pub fn view(&self) -> Job {
        self.view.borrow().clone()
    }

    /// All that it becomes.
    pub fn watch(&self) -> watch::Receiver<Job> {
        self.view.subscribe()
    }

    /// What takes the engine's events.
    pub fn events(&self) -> Events {
        let view = self.view.clone();
        Events::new(move |event| {
            view.send_if_modified(|job| job.see(event));
        })
    }

    /// Notes the outcome and lets the database's next job start.
    pub fn end(mut self, outcome: Result<Outcome, &Error>) -> Job {
        self.finish(|job| match outcome {
            Ok(outcome) => {
                job.state = match outcome.side_failures.is_empty() {
                    true => State::Done,
                    false => State::Warned,
                };
                job.exit_status = Some(if outcome.side_failures.is_empty() {
                    0
                } else {
                    3
                });
                job.set = outcome.set.or(job.set.take());
                job.result = Some(outcome.result);
                job.warnings.extend(outcome.side_failures);
            }
            Err(error) => {
                job.state = State::Failed;
                job.error = Some(one_line(error.message()).into_owned());
                job.exit_status = Some(error.kind().exit_status());
            }
        });
        self.view()
    }

    fn finish(&mut self, change: impl FnOnce(&mut Job)) {
        self.ended = true;
        let mut inner = self.jobs.inner();
        let database = self.view.borrow().database.clone();
        inner.running.remove(&database);
        inner.finished.push_back(self.id.clone());
        if inner.finished.len() > REMEMBERED
            && let Some(oldest) = inner.finished.pop_front()
        {
            inner.jobs.remove(&oldest);
        }
        drop(inner);
        self.view.send_modify(|job| {
            job.finished = Some(Timestamp::now().to_string());
            change(job);
        });
    }
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(|job| {
                job.state = State::Failed;
                job.error = Some("it was given up: the service stops".to_owned());
            });
        }
    }
}

impl Job {
    /// Takes an event of the engine; tells whether clients see anything of it.
    fn see(&mut self, event: Event) -> bool {
        match event {
            Event::PhaseStarted { phase } => {
                let name = serde_json::to_value(phase).ok();
                self.phase = name.and_then(|name| name.as_str().map(str::to_owned));
            }
            Event::WorkerAdvanced { rows, bytes, .. } => {
                self.rows += rows;
                self.bytes += bytes;
            }
            Event::Stored { bytes } => self.stored_bytes += bytes,
            Event::Warning { message } => {
                tracing::warn!(job = self.id, database = self.database, "{message}");
                if self.warnings.len() < MOST_WARNINGS {
                    self.warnings.push(one_line(&message).into_owned());
                }
            }
            Event::Note { message } => {
                tracing::debug!(job = self.id, database = self.database, "{message}");
                return false;
            }
            Event::Planned { .. } | Event::WorkerStarted { .. } | Event::WorkerFinished { .. } => {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_database_has_one_job_at_a_time() {
        let jobs = Jobs::default();
        let first = jobs.start("a", Work::Create).unwrap();
        assert_eq!(jobs.start("a", Work::Drill).unwrap_err().id, first.id());
        let other = jobs.start("b", Work::Create).unwrap();
        assert_ne!(other.id(), first.id());
        let ended = first.end(Ok(Outcome::default()));
        assert_eq!((ended.state, ended.exit_status), (State::Done, Some(0)));
        assert!(jobs.start("a", Work::Drill).is_ok());
    }

    #[test]
    fn a_failure_is_told_without_its_details() {
        let jobs = Jobs::default();
        let error = Error::new(ErrorKind::Connect, "no connection").detail("password=sesame");
        let ended = jobs.start("a", Work::Create).unwrap().end(Err(&error));
        let json = serde_json::to_string(&ended).unwrap();
        assert!(json.contains("no connection") && !json.contains("sesame"));
        assert_eq!(ended.exit_status, Some(20));
    }

    #[test]
    fn a_job_that_is_given_up_has_failed() {
        let jobs = Jobs::default();
        let watched = jobs.start("a", Work::Create).unwrap().watch();
        assert_eq!(watched.borrow().state, State::Failed);
        assert!(jobs.running("a").is_none());
    }

    #[test]
    fn finished_jobs_are_forgotten_in_time() {
        let jobs = Jobs::default();
        let mut ids = Vec::new();
        for _ in 0..=REMEMBERED {
            let job = jobs.start("a", Work::Verify).unwrap();
            ids.push(job.id().to_owned());
            job.end(Ok(Outcome::default()));
        }
        assert!(jobs.watch(&ids[0]).is_none());
        assert!(jobs.watch(&ids[1]).is_some());
    }
}
