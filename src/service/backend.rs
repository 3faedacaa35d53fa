//! What the service can do with the configured databases, whoever asks: the scheduler or a client.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::jobs::{Job, Jobs, Outcome, RunningJob, Work};
use super::metrics::Metrics;
use super::scheduler::{LastRuns, Runner};
use crate::archive::VerifyLevel;
use crate::backup::retention::Decision;
use crate::backup::{
    BackupSet, CleanupPlan, DrillOptions, Kind, Repository, decide, drill_set, plan_cleanup,
    run_backup, verify_set,
};
use crate::config::{Profile, Task};
use crate::event::Events;
use crate::restore::{RestoreOptions, prepare};
use crate::{Error, ErrorKind, Result};

/// How often, and how long apart, a scheduled backup waits for another process that makes one of the same name.
const LOCKED_ATTEMPTS: u32 = 60;
const LOCKED_PAUSE: Duration = Duration::from_secs(60);

/// The configured databases and what is done with them. Cheap to clone.
#[derive(Clone)]
pub struct Backend {
    databases: Arc<Vec<Database>>,
    /// What runs and ran.
    pub jobs: Jobs,
    /// What is counted.
    pub metrics: Metrics,
}

/// A configured database under the name that clients know.
#[derive(Clone, Debug)]
pub struct Database {
    /// The NAME of its files.
    pub name: String,
    /// What holds for it.
    pub profile: Profile,
}

/// A request that can start now: the job has its place already.
pub struct Admitted {
    job: RunningJob,
    database: Database,
    backend: Backend,
}

/// What a job is asked to do.
#[derive(Clone, Debug)]
pub enum Request {
    /// A backup of this kind.
    Create(Kind),
    /// Check this set; of `None` the newest good one.
    Verify(Option<Box<BackupSet>>, VerifyLevel),
    /// Prove this set; of `None` the newest good one.
    Drill(Option<Box<BackupSet>>),
    /// Delete what no rule keeps.
    Cleanup,
    /// Restore this set into the configured database.
    Restore(Box<BackupSet>),
}

impl Request {
    /// What it is called.
    pub fn work(&self) -> Work {
        match self {
            Request::Create(_) => Work::Create,
            Request::Verify(..) => Work::Verify,
            Request::Drill(_) => Work::Drill,
            Request::Cleanup => Work::Cleanup,
            Request::Restore(_) => Work::Restore,
        }
    }
}

impl Backend {
    /// Serves these databases.
    ///
    /// # Errors
    /// `Usage` if a name cannot be one, or two databases have the same.
    pub fn new(profiles: Vec<Profile>, metrics: Metrics) -> Result<Backend> {
        let mut databases: Vec<Database> = Vec::new();
        for profile in profiles {
            let name = profile.name()?;
            if databases.iter().any(|database| database.name == name) {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!("two configured databases have backups called {name}"),
                ));
            }
            databases.push(Database { name, profile });
        }
        Ok(Backend {
            databases: Arc::new(databases),
            jobs: Jobs::default(),
            metrics,
        })
    }

    /// All of them.
    pub fn databases(&self) -> &[Database] {
        &self.databases
    }

    /// The one of this name; without a name the only one.
    ///
    /// # Errors
    /// `NotFound`; `Usage` if there are several and none is named.
    pub fn database(&self, name: Option<&str>) -> Result<&Database> {
        match (name, self.databases.as_slice()) {
            (None, [only]) => Ok(only),
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|it| it.name.as_str()).collect();
                Err(Error::new(
                    ErrorKind::Usage,
                    "several databases are configured and none is named",
                )
                .hint(format!("They are: {}.", names.join(", "))))
            }
            (Some(name), databases) => databases
                .iter()
                .find(|database| database.name == name)
                .ok_or_else(|| {
                    Error::new(ErrorKind::NotFound, "there is no such configured database")
                }),
        }
    }

    /// Gives a request its place, unless a job of the same database runs.
    ///
    /// # Errors
    /// The running job.
    pub fn admit(&self, database: &Database, work: Work) -> Result<Admitted, Box<Job>> {
        let job = self.jobs.start(&database.name, work)?;
        Ok(Admitted {
            job,
            database: database.clone(),
            backend: self.clone(),
        })
    }
}

impl Database {
    /// Its sets.
    ///
    /// # Errors
    /// As [`Profile::repository`].
    pub fn repository(&self) -> Result<Repository> {
        Ok(self.profile.repository()?.only(self.name.clone()))
    }

    /// Its sets, the newest first, with what the next cleanup does with each.
    ///
    /// # Errors
    /// As [`Repository::list`].
    pub async fn sets(&self) -> Result<Vec<(BackupSet, Decision)>> {
        let listing = self.repository()?.list().await?;
        for (file, why) in &listing.unreadable {
            tracing::warn!(database = self.name, "{file} is no backup set: {why}");
        }
        let (policy, zone) = (self.profile.policy(), self.profile.zone());
        let decisions = decide(&listing.sets, &policy, Timestamp::now(), &zone);
        Ok(listing.sets.into_iter().zip(decisions).collect())
    }

    /// What the next cleanup would do.
    ///
    /// # Errors
    /// As [`plan_cleanup`].
    pub async fn cleanup_plan(&self) -> Result<CleanupPlan> {
        let (policy, zone) = (self.profile.policy(), self.profile.zone());
        plan_cleanup(&self.repository()?, &policy, Timestamp::now(), &zone).await
    }

    fn jobs(&self) -> NonZeroUsize {
        NonZeroUsize::try_from(self.profile.jobs()).unwrap_or(NonZeroUsize::MIN)
    }
}

impl Admitted {
    /// The job that it becomes.
    pub fn job(&self) -> &RunningJob {
        &self.job
    }

    /// Does it. `stop` ends it early, with its error as the reason.
    pub async fn run(self, request: Request, stop: impl Future<Output = Error>) -> Job {
        let Admitted {
            job,
            database,
            backend,
        } = self;
        let work = request.work();
        let name = database.name.clone();
        tracing::info!(job = job.id(), database = name, "{} starts", work.as_str());
        let outcome = act(&database, request, &job.events(), stop).await;
        if let Err(error) = &outcome {
            log_error(job.id(), &name, work, error);
        }
        let view = job.end(outcome.as_ref().map(Outcome::clone));
        backend.metrics.count(&view);
        if let Some(result) = &view.result {
            tracing::info!(
                job = view.id,
                database = name,
                "{} done: {result}",
                work.as_str()
            );
        }
        for failure in outcome.iter().flat_map(|outcome| &outcome.side_failures) {
            tracing::warn!(job = view.id, database = name, "{failure}");
        }
        view
    }
}

/// The whole chain goes to the log; clients get the message alone.
fn log_error(job: &str, database: &str, work: Work, error: &Error) {
    let details = error.details().join(" ");
    let hint = error.hint_text().unwrap_or_default();
    tracing::error!(
        job,
        database,
        "{} failed: {}: {details} {hint}",
        work.as_str(),
        error.message()
    );
}

async fn act(
    database: &Database,
    request: Request,
    events: &Events,
    stop: impl Future<Output = Error>,
) -> Result<Outcome> {
    match request {
        Request::Create(kind) => create(database, kind, events, stop).await,
        Request::Verify(set, level) => {
            let repository = database.repository()?;
            let set = chosen(&repository, set).await?;
            let work = verify_set(&repository, &set, level, database.jobs(), events);
            let (report, unrecorded) = tokio::select! {
                verified = work => verified?,
                error = stop => return Err(error),
            };
            let report = report.into_result()?;
            Ok(Outcome {
                set: Some(set.name.id.clone()),
                result: format!("{} is intact, {} rows", set.name.id, report.rows),
                side_failures: unrecorded.iter().map(ToString::to_string).collect(),
            })
        }
        Request::Drill(set) => {
            let repository = database.repository()?;
            let set = chosen(&repository, set).await?;
            let settings = database.profile.connect_settings()?;
            let options = DrillOptions {
                jobs: database.jobs(),
                no_owner: false,
            };
            let drilled = drill_set(&repository, &set, &settings, &options, stop, events).await?;
            Ok(Outcome {
                set: Some(set.name.id.clone()),
                result: format!(
                    "{} can be restored: {} tables, {} rows compared",
                    set.name.id, drilled.tables, drilled.rows
                ),
                side_failures: Vec::new(),
            })
        }
        Request::Cleanup => {
            let repository = database.repository()?;
            repository.clear_abandoned().await?;
            let report = database.cleanup_plan().await?.execute(&repository).await?;
            Ok(Outcome {
                set: None,
                result: format!(
                    "{} sets deleted, {} bytes freed",
                    report.deleted.len(),
                    report.freed_bytes
                ),
                side_failures: report
                    .stayed
                    .into_iter()
                    .map(|(id, why)| format!("{id} stayed: {why}"))
                    .collect(),
            })
        }
        Request::Restore(set) => restore(database, &set, events, stop).await,
    }
}

async fn create(
    database: &Database,
    kind: Kind,
    events: &Events,
    stop: impl Future<Output = Error>,
) -> Result<Outcome> {
    let mut job = database.profile.backup_job(kind)?;
    for warning in job.settings.warnings() {
        events.warn(warning.as_str());
    }
    job.repository = job.repository.only(database.name.clone());
    let outcome = run_backup(job, stop, events).await?;
    let set = &outcome.set;
    Ok(Outcome {
        set: Some(set.name.id.clone()),
        result: format!(
            "{}: {} rows, {} bytes",
            set.file, set.meta.rows, set.meta.size
        ),
        side_failures: outcome.side_failures,
    })
}

async fn restore(
    database: &Database,
    set: &BackupSet,
    events: &Events,
    stop: impl Future<Output = Error>,
) -> Result<Outcome> {
    let open = database.repository()?.open_set(set).await?;
    let settings = database.profile.connect_settings()?;
    let options = RestoreOptions::whole(database.jobs());
    let prepared = prepare(Arc::new(open.reader), settings, options, events).await?;
    // The restore itself knows how to stop: it tells what state the database is left in.
    let stop = async {
        match stop.await.kind() {
            ErrorKind::Interrupted(signal) => signal,
            _ => 15,
        }
    };
    let report = prepared.run(stop, events).await?;
    drop(open.lock);
    Ok(Outcome {
        set: Some(set.name.id.clone()),
        result: format!(
            "{} restored into {}: {} tables, {} rows",
            set.name.id, report.database, report.summary.tables, report.summary.rows
        ),
        side_failures: Vec::new(),
    })
}

async fn chosen(repository: &Repository, set: Option<Box<BackupSet>>) -> Result<BackupSet> {
    match set {
        Some(set) => Ok(*set),
        None => repository.find("latest").await,
    }
}

/// A database as the scheduler drives it. `stop` gives the future that ends a job early.
pub struct Scheduled<S> {
    /// Which.
    pub database: Database,
    /// The backend that has it.
    pub backend: Backend,
    /// When to stop.
    pub stop: S,
}

impl<S, F> Runner for Scheduled<S>
where
    S: Fn() -> F + Send + Sync,
    F: Future<Output = Error> + Send,
{
    async fn last_runs(&self) -> Result<LastRuns> {
        let listing = self.database.repository()?.list().await?;
        Ok(last_runs(&listing.sets))
    }

    async fn run(&self, task: Task) {
        let request = match task {
            Task::Backup(kind) => Request::Create(kind),
            Task::Cleanup => Request::Cleanup,
            Task::Verify => Request::Verify(None, VerifyLevel::Full),
            Task::Drill => Request::Drill(None),
        };
        let mut attempts = 0;
        loop {
            match self.backend.admit(&self.database, request.work()) {
                Ok(admitted) => {
                    let job = admitted.run(request.clone(), (self.stop)()).await;
                    let is_locked = job.exit_status == Some(ErrorKind::Locked.exit_status());
                    if !is_locked || attempts == LOCKED_ATTEMPTS {
                        return;
                    }
                    // A run by hand is not the one that is due.
                    attempts += 1;
                    tokio::time::sleep(LOCKED_PAUSE).await;
                }
                // A client's job goes first.
                Err(running) => {
                    if let Some(mut watch) = self.backend.jobs.watch(&running.id) {
                        let _ = watch.wait_for(|job| job.finished.is_some()).await;
                    }
                }
            }
        }
    }
}

/// What the sets tell of earlier runs. Failed and damaged ones count too: a run that made one is over all the same.
fn last_runs(sets: &[BackupSet]) -> LastRuns {
    let mut last = LastRuns {
        oldest: sets.iter().map(|set| set.name.created).min(),
        newest: sets.iter().map(|set| set.name.created).max(),
        ..LastRuns::default()
    };
    for set in sets {
        let times = [
            (Task::Backup(set.meta.kind), Some(set.name.created)),
            (
                Task::Verify,
                set.meta.verified.as_ref().and_then(|it| it.at.parse().ok()),
            ),
            (
                Task::Drill,
                set.meta.drilled.as_ref().and_then(|it| it.at.parse().ok()),
            ),
        ];
        for (task, at) in times {
            let Some(at) = at else { continue };
            let known = last.done.entry(task).or_insert(at);
            *known = at.max(*known);
        }
    }
    last
}
