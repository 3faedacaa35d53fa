//! A restore from its first change to its last, and again from where it stopped after what may pass.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::conn::{ConnectSettings, ServerVersion, Session, connect};
use crate::error::Outlook;
use crate::event::{Event, Events, Phase};
use crate::failpoint::failpoint;
use crate::objects::Kind;
use crate::{Error, ErrorKind, Result};

use super::durable::{DURABLY, WRITES};
use super::gates::Gates;
use super::journal::{Done, Journal, Work};
use super::load::LoadContext;
use super::meanwhile::{Meanwhile, StepWork, wait_for_our_own};
use super::plan::{Load, PlanSummary, RestorePlan};
use super::progress::RunState;
use super::retry::Patience;
use super::{Prepared, RestoreOptions, RestoreReport, verify_rows};
use super::{
    clean, connect_for_create, database, disabled, drop_database, emptied, finish, journal, load,
    open_another, open_session, post_data, single_transaction, tablespaces, turn,
};

/// How long a run that failed waits for its own backends to be told so.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a run waits for what a killed one left working on the server.
pub(super) const TURN_PATIENCE: Duration = Duration::from_secs(3);

/// The same for a run with these options.
pub(super) fn turn_patience(options: &RestoreOptions) -> Duration {
    match options.resume {
        true => options.retry_for.max(TURN_PATIENCE),
        false => TURN_PATIENCE,
    }
}

impl Prepared {
    /// Restores. `interrupt` ends with the number of a signal if one arrives; then the run stops.
    ///
    /// # Errors
    /// `Restore` and others while the target is unchanged; `RestoreIncomplete` with the state once it is not; `Locked`.
    pub async fn run(
        self,
        interrupt: impl Future<Output = u8>,
        events: &Events,
    ) -> Result<RestoreReport> {
        let state = Arc::new(self.state());
        let (settings, creates) = (self.settings.clone(), self.options.create);
        let undo = Journal::new(&self.reader.index().header.archive_id);
        let result = tokio::select! {
            result = self.run_as_chosen(&state, events) => result,
            signal = interrupt => {
                single_transaction::settle(&settings, &state, TURN_PATIENCE).await;
                Err(interrupted(signal))
            }
        };
        if result.is_err() && state.is_ending() && has_ended(&settings, &undo).await {
            state.all_done();
        }
        let result = result.map_err(|error| match error.kind() {
            ErrorKind::SideJob | ErrorKind::RowsLost => error,
            _ => state.explain(error),
        });
        if result.is_err() {
            cancel_backends(&settings, &state.backends()).await;
            if creates && state.is_database_made() && !state.is_changed() {
                drop_database(&settings).await?;
            } else if state.has_only_begun() {
                forget(&settings, &undo).await;
            }
        }
        result
    }

    fn state(&self) -> RunState {
        let (members, statements) = (self.plan.member_count(), self.plan.recorded_steps());
        match self.options.single_transaction {
            true => RunState::of_one_transaction(members, statements),
            false => {
                let starts_afresh = self.options.clean && !self.options.parts.data_only;
                RunState::new(members, statements, starts_afresh)
            }
        }
    }

    async fn run_as_chosen(self, state: &Arc<RunState>, events: &Events) -> Result<RestoreReport> {
        match self.options.single_transaction {
            true => self.run_in_one_transaction(state, events).await,
            false => self.run_all(state, events).await,
        }
    }

    /// Tries until all is done or patience ends.
    async fn run_all(mut self, state: &Arc<RunState>, events: &Events) -> Result<RestoreReport> {
        let mut session = self.take_first_session(state, events).await?;
        let run = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        let mut patience = Patience::new(self.options.retry_for);
        let side_job = loop {
            let result = self.attempt(session.take(), &run, state, events).await;
            let error = match result {
                Ok(side_job) => break side_job,
                Err(error) => error,
            };
            let Some(pause) = patience.pause_after(&error, state.advances(), Instant::now()) else {
                return Err(patience.explain(error, Instant::now()));
            };
            warn_and_wait(&error, pause, events).await;
        };
        match side_job {
            Some(error) => Err(error),
            None => Ok(self.report(state)),
        }
    }

    pub(super) fn report(&self, state: &RunState) -> RestoreReport {
        let planned = self.plan.summary();
        RestoreReport {
            database: self.settings.database().to_owned(),
            kept: None,
            dropped: self.survey.describe_drops().len() + self.survey.describe_extras().len(),
            summary: match self.options.rows.is_some()
                || self.reader.index().header.skips_conflicts()
            {
                true => PlanSummary {
                    rows: state.rows_loaded(),
                    ..planned
                },
                false => planned,
            },
            tables_verified: (self.options.verify_rows)
                .then(|| verify_rows::count_tables(&self.plan.loads)),
            bytes_read: self.reader.bytes_read(),
            archive_bytes: self.reader.size(),
            elapsed_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The session of the preparations, if it is one in the target. Makes the target if that is to be done.
    async fn take_first_session(
        &mut self,
        state: &RunState,
        events: &Events,
    ) -> Result<Option<Session>> {
        let session = self.session.take();
        let (true, false, Some(session)) = (self.options.create, self.options.resume, &session)
        else {
            return Ok(session);
        };
        let header = &self.reader.index().header;
        let name = self.settings.database();
        let made = || state.database_made();
        database::create(session, name, header, &self.options, made, events).await?;
        Ok(None)
    }

    pub(super) async fn open_session(&self) -> Result<Session> {
        open_session(&self.settings, &self.options, &self.reader.index().header).await
    }

    /// Goes once through all that is not done. Gives the error of a side job that failed after all else was done.
    async fn attempt(
        &self,
        session: Option<Session>,
        run: &str,
        state: &Arc<RunState>,
        events: &Events,
    ) -> Result<Option<Error>> {
        let first = match session {
            Some(session) => session,
            None => self.open_session().await?,
        };
        let Some((journal, done)) = self.begin(&first, run, state, events).await? else {
            return Ok(None);
        };
        let journal = journal.map(Arc::new);
        let mut left = self.plan.without(&done);

        // Their owners are roles that the first transaction made; the privileges on them come later.
        tablespaces::create(&first, &left.tablespaces, &self.texts).await?;

        let mut sessions = self.join_with_others(first, state, events).await?;
        if !left.large_objects.is_empty() {
            events.phase(Phase::PreData);
            let (steps, journal) = (&left.large_objects, journal.as_deref());
            events.emit(Event::Planned {
                items: steps.len() as u64,
                bytes: 0,
            });
            // One at a time: each takes many locks.
            post_data::run_steps(&sessions[..1], steps, &self.texts, journal, state, events)
                .await?;
        }
        let mut is_post_data_begun = false;
        if left.member_count() > 0 {
            let journal = journal.as_ref();
            (sessions, is_post_data_begun) = self
                .load_left(sessions, &mut left, journal, state, events)
                .await?;
        }

        // Nobody waits for indexes on rows that are not the archive's.
        if self.options.verify_rows {
            let encoding = self.reader.index().header.text_encoding();
            verify_rows::verify_rows(&sessions, &self.plan.loads, encoding, events).await?;
        }

        if self.options.lock_wait_timeout_ms.is_some() {
            for session in &sessions {
                wait_for_our_own(session).await?;
            }
        }
        if !is_post_data_begun {
            events.phase(Phase::PostData);
            events.emit(Event::Planned {
                items: left.steps_after_rows(),
                bytes: 0,
            });
        }
        let journal = journal.as_deref();
        for steps in left.passes() {
            post_data::run_steps(&sessions, steps, &self.texts, journal, state, events).await?;
        }

        events.phase(Phase::Finish);
        let side_job = match self.finish(&sessions, journal, &done, events).await {
            Err(error) if error.outlook() != Outlook::Lasting && journal.is_some() => {
                return Err(not_ended(&error));
            }
            result => result.err(),
        };
        failpoint("restore.before_end");
        self.end(&sessions[0], journal, state).await?;
        Ok(side_job)
    }

    /// Loads the members that are left. Tells whether the first pass of post-data was done along with it.
    async fn load_left(
        &self,
        mut sessions: Vec<Session>,
        left: &mut RestorePlan,
        journal: Option<&Arc<Journal>>,
        state: &Arc<RunState>,
        events: &Events,
    ) -> Result<(Vec<Session>, bool)> {
        let comes_again = self.plan.has_waiting_done(left);
        if comes_again {
            quieten_triggers(&sessions, events).await?;
        }
        events.phase(Phase::Data);
        events.emit(Event::Planned {
            items: left.member_count(),
            bytes: left.loads.iter().map(Load::bytes_of_members).sum(),
        });
        let mut groups = self.order.groups(&left.loads);
        let last = groups.pop().unwrap_or_default();
        let rows = self.options.rows.as_ref();
        let mut context = LoadContext {
            reader: Arc::clone(&self.reader),
            journal: journal.cloned(),
            meanwhile: None,
            state: Arc::clone(state),
            events: events.clone(),
        };
        for loads in groups {
            sessions = load::load_members(sessions, &loads, rows, &context).await?;
        }
        // Nobody waits for indexes on rows that are not the archive's.
        if sessions.len() > 1 && !comes_again && !self.options.verify_rows {
            context.meanwhile = self.take_post_data(left, &last, journal, state, events);
        }
        sessions = load::load_members(sessions, &last, rows, &context).await?;
        if comes_again {
            wake_triggers(&sessions).await?;
        }
        Ok((sessions, context.meanwhile.is_some()))
    }

    /// Takes the first pass of post-data out of the plan, if some of it need not wait for all rows. `loads`: those that are still to come.
    fn take_post_data(
        &self,
        left: &mut RestorePlan,
        loads: &[Load],
        journal: Option<&Arc<Journal>>,
        state: &Arc<RunState>,
        events: &Events,
    ) -> Option<Arc<Meanwhile>> {
        let tables = (self.plan.pre_data.iter()).filter(|step| step.kind == Kind::Table);
        let made = tables.map(|step| step.id).collect();
        let gates = Gates::new(self.reader.index(), &made, &left.post_data, loads);
        if !gates.has_early() {
            return None;
        }
        let steps = std::mem::take(&mut left.post_data);
        let work = StepWork {
            steps,
            texts: Arc::clone(&self.texts),
            journal: journal.cloned(),
            state: Arc::clone(state),
            events: events.clone(),
            steps_behind: left.steps_after_rows(),
            has_lock_timeout: self.options.lock_wait_timeout_ms.is_some(),
        };
        Some(Arc::new(Meanwhile::new(work, gates)))
    }

    /// As many sessions as there are jobs, or as the server takes.
    async fn join_with_others(
        &self,
        first: Session,
        state: &RunState,
        events: &Events,
    ) -> Result<Vec<Session>> {
        let header = &self.reader.index().header;
        let mut sessions = vec![first];
        while sessions.len() < self.options.jobs.get() {
            let held = sessions.len();
            let another = open_another(&self.settings, &self.options, header, held, events).await?;
            let Some(session) = another else {
                // A new database gets its properties over one more, from outside.
                if self.options.create
                    && held > 1
                    && let Some(last) = sessions.pop()
                {
                    last.close().await;
                }
                break;
            };
            turn::join(&session).await?;
            state.add_backend(session.backend_pid());
            sessions.push(session);
        }
        Ok(sessions)
    }

    /// The last transaction removes the journal and makes the event triggers, so that these see nothing of the restore.
    /// Its commit is durable, and so is all that was committed before without waiting for the disk.
    async fn end(
        &self,
        session: &Session,
        journal: Option<&Journal>,
        state: &RunState,
    ) -> Result<()> {
        let failed = |error| {
            let what = "could not end the restore";
            Error::from_server(ErrorKind::RestoreIncomplete, what, error)
        };
        let mut sql = format!("BEGIN; {DURABLY} {WRITES}");
        if let Some(journal) = journal {
            sql.push_str(&journal::render_removal(session, journal.schema()).await?);
        }
        session.batch_execute(&sql).await.map_err(failed)?;
        for step in &self.plan.event_triggers {
            let sql = self.texts.sql(step)?;
            session.batch_execute(&sql).await.map_err(|error| {
                let what = format!("could not create {}", step.label);
                Error::from_server(ErrorKind::RestoreIncomplete, what, error)
            })?;
        }
        state.end_commits();
        session.batch_execute("COMMIT").await.map_err(failed)?;
        state.all_done();
        Ok(())
    }

    /// Waits until nothing works for an earlier attempt or another restore.
    pub(super) async fn take_turn(&self, session: &Session, state: &RunState) -> Result<()> {
        let patience = match state.backends().as_slice() {
            [] => turn_patience(&self.options),
            // Our own, whose connections broke.
            backends => {
                turn::end_processes(session, backends).await?;
                self.options.retry_for.max(TURN_PATIENCE)
            }
        };
        turn::take(session, patience).await?;
        state.add_backend(session.backend_pid());
        Ok(())
    }

    /// Takes the turn and makes or finds the journal: gives it and what is done. `None`: all is done, the last transaction
    /// had committed.
    async fn begin(
        &self,
        session: &Session,
        run: &str,
        state: &RunState,
        events: &Events,
    ) -> Result<Option<(Option<Journal>, Done)>> {
        self.take_turn(session, state).await?;
        let mut journal = Journal::new(&self.reader.index().header.archive_id);
        let facts = journal.facts(session).await?;
        match &facts {
            Some(facts) if self.options.resume || facts.is_of_run(run) => {
                let done = journal.read(session).await?;
                state.beginning_commits(self.plan.changes_definitions(), true);
                state.recall(&done);
                return Ok(Some((Some(journal), done)));
            }
            None if state.is_ending() => {
                emptied::check(session, &self.plan.loads).await?;
                return Ok(None);
            }
            None if self.options.resume => {
                return Err(Error::new(
                    ErrorKind::Restore,
                    "the record of the unfinished restore is gone",
                ));
            }
            _ => {}
        }
        state.beginning_is_undone();
        let journal = match may_create_schema(session).await? {
            true => Some(journal),
            false if !self.order.disabled.is_empty() => {
                return Err(Error::new(
                    ErrorKind::Restore,
                    "the role may not create a schema any more, and without a record no trigger is disabled",
                ));
            }
            false => {
                events.warn(
                    "the role may not create a schema in this database: a restore that stops cannot be resumed",
                );
                None
            }
        };
        self.define(session, journal.as_ref(), run, state, events)
            .await?;
        let Some(mut journal) = journal else {
            return Ok(Some((None, Done::default())));
        };
        let done = journal.read(session).await?;
        Ok(Some((Some(journal), done)))
    }

    /// Drops, definitions and the journal, in one transaction, or in a new database in a few.
    async fn define(
        &self,
        session: &Session,
        journal: Option<&Journal>,
        run: &str,
        state: &RunState,
        events: &Events,
    ) -> Result<()> {
        let has_definitions = self.plan.changes_definitions();
        let failed = |error| {
            let what = "could not begin";
            Error::from_server(ErrorKind::Restore, what, error)
        };
        if state.has_pieces() {
            let what = "the connection was lost while definitions were made in the new database";
            return Err(Error::new(ErrorKind::Restore, what).hint("Run the restore again."));
        }
        let sql = render_beginning(session).await?;
        session.batch_execute(&sql).await.map_err(failed)?;
        if has_definitions {
            let (plan, texts, cascade) = (&self.plan, &self.texts, self.options.cascade);
            let new_database = self.options.create.then_some(state);
            clean::clean_and_create(session, plan, texts, cascade, new_database, events).await?;
        }
        if let Some(journal) = journal {
            disabled::disable(session, &self.order.disabled).await?;
            let archive_id = &self.reader.index().header.archive_id;
            let disabled = &self.order.disabled;
            let create =
                journal.render_create(archive_id, run, &self.options, &self.plan, disabled)?;
            session.batch_execute(&create).await.map_err(failed)?;
        }
        failpoint("restore.before_beginning");
        state.beginning_commits(has_definitions, journal.is_some());
        session.batch_execute("COMMIT").await.map_err(|error| {
            let what = "could not commit the definitions";
            Error::from_server(ErrorKind::RestoreIncomplete, what, error)
        })?;
        failpoint("restore.after_beginning");
        Ok(())
    }

    /// Statistics that came with the archive are as good, where the server could take them.
    pub(super) fn wants_analyze(&self, session: &Session) -> bool {
        let has_statistics =
            !self.plan.statistics.is_empty() && session.version() >= ServerVersion::major(18);
        self.options.analyze && !has_statistics
    }

    /// Statistics for the planner, and what belongs to the database as a whole.
    ///
    /// # Errors
    /// `SideJob`.
    async fn finish(
        &self,
        sessions: &[Session],
        journal: Option<&Journal>,
        done: &Done,
        events: &Events,
    ) -> Result<()> {
        if self.wants_analyze(&sessions[0]) {
            let loads = self.plan.loads.iter();
            let loads = loads
                .filter(|load| load.rows > 0 && !done.has(Work::Analyze(load.entry)))
                .collect();
            finish::analyze(sessions, loads, journal, events).await?;
        }
        self.order.check_keys(&sessions[0]).await?;
        if self.options.create {
            let session = connect_for_create(&self.settings)
                .await
                .map_err(|error| error.with_kind(ErrorKind::SideJob))?;
            let header = &self.reader.index().header;
            database::set_properties(&session, self.settings.database(), header, &self.options)
                .await?;
        }
        Ok(())
    }
}

/// Begins a transaction whose COMMIT is durable. Records of unfinished restores go with what they are about.
///
/// # Errors
/// `Restore`.
pub(super) async fn render_beginning(session: &Session) -> Result<String> {
    let mut sql = format!("BEGIN; {DURABLY}");
    for schema in journal::schemas(session).await? {
        sql.push_str(&journal::render_removal(session, &schema).await?);
    }
    Ok(sql)
}

/// Says why it is tried again, and waits.
pub(super) async fn warn_and_wait(error: &Error, pause: Duration, events: &Events) {
    let details = error.details().join(" ");
    events.warn(format!(
        "{}: {}. Trying again in {:.1} s.",
        error.message(),
        details.trim_end_matches('.'),
        pause.as_secs_f64()
    ));
    tokio::time::sleep(pause).await;
}

pub(super) async fn may_create_schema(session: &Session) -> Result<bool> {
    let query =
        "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS may";
    let row = session.query_one(query, &[]).await.map_err(|error| {
        let what = "could not look up what the role may do";
        Error::from_server(ErrorKind::Restore, what, error)
    })?;
    Ok(row.get("may"))
}

/// Rows that come again after triggers and foreign keys, because a crash emptied an unlogged table, must not fire them.
async fn quieten_triggers(sessions: &[Session], events: &Events) -> Result<()> {
    for session in sessions {
        let set = session.batch_execute("SET session_replication_role = replica");
        match set.await {
            Ok(()) => {}
            Err(error) if error.as_db_error().is_some() => {
                events.warn("rows are loaded again into unlogged tables whose triggers are there already, and the role may not keep them from firing");
                return Ok(());
            }
            Err(error) => {
                let what = "could not set up the session";
                return Err(Error::from_server(ErrorKind::Restore, what, error));
            }
        }
    }
    Ok(())
}

async fn wake_triggers(sessions: &[Session]) -> Result<()> {
    for session in sessions {
        // Of a role that may not set it, it was never changed.
        if let Err(error) = session
            .batch_execute("RESET session_replication_role")
            .await
            && error.as_db_error().is_none()
        {
            let what = "could not set up the session";
            return Err(Error::from_server(ErrorKind::Restore, what, error));
        }
    }
    Ok(())
}

fn interrupted(signal: u8) -> Error {
    Error::new(
        ErrorKind::Interrupted(signal),
        "the restore was interrupted",
    )
}

/// A side job lost its connection before the last transaction, which removes the journal and makes the event triggers.
fn not_ended(cause: &Error) -> Error {
    let message = "all rows and definitions are in place, but the restore has not ended";
    let error = Error::new(ErrorKind::RestoreIncomplete, message).with_outlook(cause.outlook());
    let details = cause.details().iter().map(String::as_str);
    [cause.message()]
        .into_iter()
        .chain(details)
        .fold(error, Error::detail)
}

/// Whether the last transaction has committed, whose end was not waited for: then the journal is gone.
async fn has_ended(settings: &ConnectSettings, journal: &Journal) -> bool {
    let look = async {
        let session = connect(settings).await.ok()?;
        turn::take(&session, CANCEL_TIMEOUT).await.ok()?;
        Some(journal.facts(&session).await.ok()?.is_none())
    };
    let looked = tokio::time::timeout(CANCEL_TIMEOUT * 2, look).await;
    looked.ok().flatten() == Some(true)
}

/// Removes the journal of a restore that did nothing else. Best effort: `--abandon` does it, too.
async fn forget(settings: &ConnectSettings, journal: &Journal) {
    let forget = async {
        let session = connect(settings).await.ok()?;
        turn::take(&session, CANCEL_TIMEOUT).await.ok()?;
        let done = journal::read_done(&session, journal.schema()).await.ok()?;
        if done.is_empty() {
            let sql = journal::render_removal(&session, journal.schema()).await;
            session.batch_execute(&sql.ok()?).await.ok()?;
        }
        Some(())
    };
    let _ = tokio::time::timeout(CANCEL_TIMEOUT * 2, forget).await;
}

/// Stops what our own backends still do: a server notices only at the end of a statement that its client is gone. Best effort.
pub(super) async fn cancel_backends(settings: &ConnectSettings, pids: &[i32]) {
    let cancel = async {
        let session = connect(settings).await.ok()?;
        session
            .execute(
                "SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity \
                 WHERE pid = ANY($1) AND datname = pg_catalog.current_database()",
                &[&pids],
            )
            .await
            .ok()
    };
    if !pids.is_empty() {
        let _ = tokio::time::timeout(CANCEL_TIMEOUT, cancel).await;
    }
}
