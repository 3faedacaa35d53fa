//! `--single-transaction`: one connection, one transaction, in place. The target is as it was or wholly restored, whatever
//! dies at whatever moment.
//!
//! There is no journal, for until COMMIT there is nothing that could be gone on with: after what may pass, all of it begins anew. Of a
//! COMMIT whose answer did not come, the server is asked by the transaction's number what became of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::archive::Index;
use crate::conn::{ConnectSettings, Session, connect};
use crate::event::{Event, Events, Phase};
use crate::failpoint::failpoint;
use crate::objects::{Kind, quote};
use crate::{Error, ErrorKind, Result};

use super::check::cannot_check;
use super::doubt::{SETTLE_PATIENCE, is_refusal};
use super::findings::{Check, Findings};
use super::load::LoadContext;
use super::plan::{Load, RestorePlan, Step};
use super::progress::{Commit, RunState};
use super::retry::Patience;
use super::run::{render_beginning, warn_and_wait};
use super::{Prepared, RestoreReport, clean, doubt, emptied, finish, load, turn, verify_rows};

/// Finds what cannot be in a transaction, or is not undone with it.
///
/// # Errors
/// `Restore` if the catalogs cannot be read.
pub(super) async fn check(
    session: &Session,
    index: &Index,
    plan: &RestorePlan,
    findings: &mut Findings,
) -> Result<()> {
    let names: Vec<&str> = (plan.tablespaces.iter())
        .map(|step| step.name.as_str())
        .collect();
    let query = "SELECT spcname::text AS spcname FROM pg_catalog.pg_tablespace WHERE spcname = ANY($1::text[])";
    let rows = session
        .query(query, &[&names])
        .await
        .map_err(cannot_check)?;
    let existing: Vec<String> = rows.iter().map(|row| row.get("spcname")).collect();
    for step in &plan.tablespaces {
        if !existing.contains(&step.name) {
            findings.problem(
                Check::Transaction,
                format!("{} cannot be made in a transaction", step.label),
            );
        }
    }
    for sequence in foreign_sequences(session, plan).await? {
        findings.problem(
            Check::Transaction,
            format!("the role does not own sequence {sequence}, whose value would not be undone with the transaction"),
        );
    }
    for load in &plan.loads {
        let entry = index.entry(load.entry);
        if entry.is_some_and(|entry| index.is_of_foreign_table(entry)) {
            findings.warning(
                Check::Transaction,
                format!(
                    "{}: the server behind it has transactions of its own, or none",
                    load.label
                ),
            );
        }
    }
    Ok(())
}

/// Existing sequences that get a value and belong to others, see [`render_new_state`].
async fn foreign_sequences(session: &Session, plan: &RestorePlan) -> Result<Vec<String>> {
    let (schemas, names): (Vec<&str>, Vec<&str>) = plan
        .steps()
        .filter(|step| step.kind == Kind::SequenceSet)
        .map(|step| {
            (
                step.schema.as_deref().unwrap_or_default(),
                step.name.as_str(),
            )
        })
        .unzip();
    let rows = session
        .query(
            "SELECT c.oid::pg_catalog.regclass::text AS name FROM unnest($1::text[], $2::text[]) AS w(nspname, relname) \
             JOIN pg_catalog.pg_namespace n ON n.nspname = w.nspname \
             JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname AND c.relkind = 'S' \
             WHERE NOT pg_catalog.pg_has_role(c.relowner, 'USAGE') ORDER BY 1",
            &[&schemas, &names],
        )
        .await
        .map_err(cannot_check)?;
    Ok(rows.iter().map(|row| row.get("name")).collect())
}

impl Prepared {
    /// Tries until the transaction has committed or patience ends. Collects statistics then.
    pub(super) async fn run_in_one_transaction(
        mut self,
        state: &Arc<RunState>,
        events: &Events,
    ) -> Result<RestoreReport> {
        let mut session = self.session.take();
        let mut patience = Patience::new(self.options.retry_for);
        let session = loop {
            state.starts_over();
            let error = match self
                .attempt_transaction(session.take(), state, events)
                .await
            {
                Ok(session) => break session,
                Err(error) => error,
            };
            let patience_to_ask = self.options.retry_for.max(SETTLE_PATIENCE);
            match settle(&self.settings, state, patience_to_ask).await {
                Some(Commit::Done) => {
                    let session = self.open_session().await?;
                    emptied::check(&session, &self.plan.loads).await?;
                    break session;
                }
                Some(Commit::Sent(_)) => return Err(error),
                Some(Commit::Open) | None => {}
            }
            // What was done is undone: that nothing was got done holds for all attempts together.
            let Some(pause) = patience.pause_after(&error, 0, Instant::now()) else {
                return Err(patience.explain(error, Instant::now()));
            };
            warn_and_wait(&error, pause, events).await;
        };
        if self.wants_analyze(&session) {
            let loads = self.plan.loads.iter().filter(|load| load.rows > 0);
            finish::analyze(&[session], loads.collect(), None, events).await?;
        }
        Ok(self.report(state))
    }

    async fn attempt_transaction(
        &self,
        session: Option<Session>,
        state: &Arc<RunState>,
        events: &Events,
    ) -> Result<Session> {
        let session = match session {
            Some(session) => session,
            None => self.open_session().await?,
        };
        self.take_turn(&session, state).await?;
        let number = begin(&session).await?;
        self.run_transaction(session, number, state, events)
            .await
            .map_err(with_hint)
    }

    /// From the first drop to COMMIT.
    async fn run_transaction(
        &self,
        session: Session,
        number: i64,
        state: &Arc<RunState>,
        events: &Events,
    ) -> Result<Session> {
        if self.plan.changes_definitions() {
            let cascade = self.options.cascade;
            clean::clean_and_create(&session, &self.plan, &self.texts, cascade, None, events)
                .await?;
        }
        self.order.begin_transaction(&session).await?;
        let sessions = self.load_rows(session, state, events).await?;
        if self.options.verify_rows {
            let encoding = self.reader.index().header.text_encoding();
            verify_rows::verify_rows(&sessions, &self.plan.loads, encoding, events).await?;
        }
        let [session] = <[Session; 1]>::try_from(sessions)
            .map_err(|_| Error::internal("the load did not give its one session back"))?;
        self.order.end_load(&session).await?;
        events.phase(Phase::PostData);
        events.emit(Event::Planned {
            items: self.plan.steps_after_rows(),
            bytes: 0,
        });
        for step in self.plan.passes().into_iter().flatten() {
            self.run_step(&session, step, events).await?;
            state.statement_done();
            failpoint("restore.step");
        }
        events.phase(Phase::Finish);
        self.order.check_keys_before_commit(&session).await?;
        for step in &self.plan.event_triggers {
            self.run_step(&session, step, events).await?;
        }
        self.commit(&session, number, state).await?;
        Ok(session)
    }

    async fn load_rows(
        &self,
        session: Session,
        state: &Arc<RunState>,
        events: &Events,
    ) -> Result<Vec<Session>> {
        events.phase(Phase::Data);
        events.emit(Event::Planned {
            items: self.plan.member_count(),
            bytes: self.plan.loads.iter().map(Load::bytes_of_members).sum(),
        });
        let context = LoadContext {
            reader: Arc::clone(&self.reader),
            journal: None,
            meanwhile: None,
            state: Arc::clone(state),
            events: events.clone(),
        };
        let mut sessions = vec![session];
        for loads in self.order.groups(&self.plan.loads) {
            let rows = self.options.rows.as_ref();
            sessions = load::load_members(sessions, &loads, rows, &context).await?;
        }
        Ok(sessions)
    }

    /// Once: after an error the transaction takes nothing more.
    async fn run_step(&self, session: &Session, step: &Step, events: &Events) -> Result<()> {
        events.emit(Event::WorkerStarted {
            worker: 0,
            item: step.label.clone(),
        });
        let sql = self.texts.sql(step)?;
        let sql = match step.kind {
            Kind::SequenceSet => format!("{}{sql}", render_new_state(step)),
            _ => sql,
        };
        session.batch_execute(&sql).await.map_err(|error| {
            let message = format!("could not create {}", step.label);
            Error::from_server(ErrorKind::Restore, message, error)
        })?;
        events.emit(Event::WorkerFinished { worker: 0 });
        Ok(())
    }

    async fn commit(&self, session: &Session, number: i64, state: &RunState) -> Result<()> {
        doubt::write_number(connect(&self.settings)).await;
        failpoint("restore.before_commit");
        state.set_commit(Commit::Sent(number));
        let committed = session.batch_execute("COMMIT").await;
        if let Err(error) = committed {
            if is_refusal(&error) {
                state.set_commit(Commit::Open);
            }
            let what = "could not commit the restore";
            return Err(Error::from_server(ErrorKind::Restore, what, error));
        }
        state.set_commit(Commit::Done);
        failpoint("restore.after_commit");
        Ok(())
    }
}

/// Begins the transaction and gives its number.
async fn begin(session: &Session) -> Result<i64> {
    let failed = |error| Error::from_server(ErrorKind::Restore, "could not begin", error);
    let sql = render_beginning(session).await?;
    session.batch_execute(&sql).await.map_err(failed)?;
    let row = session
        .query_one("SELECT pg_catalog.txid_current() AS number", &[])
        .await
        .map_err(failed)?;
    Ok(row.get("number"))
}

/// What `setval` does to a sequence stays when a transaction is rolled back, unless the same transaction has given the sequence a new
/// file, as RESTART does. Manual: "Sequence Manipulation Functions"; server: `AlterSequence`.
fn render_new_state(step: &Step) -> String {
    let schema = step.schema.as_deref().unwrap_or_default();
    format!(
        "ALTER SEQUENCE {} RESTART;\n",
        quote::qualified(schema, &step.name)
    )
}

/// The transaction holds all its locks at the same time.
fn with_hint(error: Error) -> Error {
    match error.details().iter().any(|line| line.contains("53200")) {
        true => error.hint(
            "One transaction needs a lock for each table, index and sequence: raise max_locks_per_transaction on the target \
             server and restart it, or restore without --single-transaction (--swap is all or nothing, too).",
        ),
        false => error,
    }
}

/// Finds out what became of a COMMIT whose end was not seen, notes it and gives it. [`Commit::Sent`] stays if nobody could be asked
/// within `patience`.
pub(super) async fn settle(
    settings: &ConnectSettings,
    state: &RunState,
    patience: Duration,
) -> Option<Commit> {
    let Some(Commit::Sent(number)) = state.commit() else {
        return state.commit();
    };
    let backends = state.backends();
    if let Some(commit) = doubt::settle(patience, || ask(settings, number, &backends)).await {
        state.set_commit(commit);
    }
    state.commit()
}

/// `None` while nobody knows yet. The process that served us is ended first: it may not have heard that we are gone, or not have got
/// the COMMIT.
async fn ask(settings: &ConnectSettings, number: i64, backends: &[i32]) -> Result<Option<Commit>> {
    let session = connect(settings).await?;
    if !session.in_recovery() {
        turn::end_processes(&session, backends).await?;
    }
    doubt::status_of(&session, number).await
}
