//! Restoring an archive into a database, in place.
//!
//! [`prepare`] verifies the archive, plans, connects and looks; it changes nothing. [`Prepared::run`] acts:
//!
//! 1. `clean`: drops and pre-data in ONE transaction. Until its COMMIT the target is as it was.
//! 2. `load`: the data members over all connections, each one COPY in one transaction.
//! 3. `post_data`: indexes, constraints, triggers and the like by dependencies and locks; then privileges; then refreshes.
//! 4. `finish`: ANALYZE. Rows were counted member by member while they were loaded.
//!
//! `single_transaction` does all of that over one connection in one transaction instead, if asked to.
//!
//! `journal` keeps in the target what is done. `run` goes through the steps and, after what may pass (`retry`), again,
//! leaving out what is done; `resume` does the same for a run that died.
//!
//! `plan` decides all of it from the index and the options, without a server.

mod arriving;
mod check;
mod chosen;
mod clean;
mod configuration;
mod database;
mod dependencies;
mod disabled;
mod doubt;
mod durable;
mod emptied;
mod exact;
mod extensions;
mod findings;
mod finish;
mod gates;
mod journal;
mod large_objects;
mod load;
mod locks;
mod meanwhile;
mod moved;
mod newer_syntax;
mod pieces;
mod plan;
mod post_data;
mod preview;
mod progress;
mod replay;
mod resume;
mod retry;
mod rights;
mod room;
mod run;
mod server;
mod sessions;
mod single_transaction;
mod source;
mod staging;
mod statement_words;
mod storage;
mod swap;
mod swap_rights;
mod tablespaces;
mod texts;
mod ties;
mod triggers;
mod turn;
mod verify_rows;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use crate::archive::{ArchiveReader, DumpId, Header, MemberRole, RowFilter};
use crate::conn::{ConnectSettings, ServerVersion, Session, connect};
use crate::dump::parts::Parts;
use crate::dump::selection::Selection;
use crate::event::{Events, Phase};
use crate::objects::{Database, Oid};
use crate::{Error, ErrorKind, Result};

use check::{Needs, check_target, check_version, loaded_only};
pub(crate) use check::{check_members, read_members};
use clean::Survey;
pub(crate) use database::drop_database;
use extensions::Extensions;
pub use findings::{Check, Finding, Findings, Severity};
pub(crate) use journal::schemas as unfinished_schemas;
pub use moved::Moves;
pub use plan::PlanSummary;
use plan::RestorePlan;
pub(crate) use plan::chosen_entries;
pub use preview::{Preview, PreviewLoad, SwapPreview};
pub use replay::{Packing, ReplayOptions, ReplayReport, ScriptSurvey, replay, survey_script};
pub use resume::{Abandoned, abandon, unfinished};
use server::MEMORY_KIB;
pub(crate) use source::{DumpSource, recognize};
pub use storage::DefaultStorage;
pub(crate) use swap::left_behind;
pub use swap::{PreparedSwap, look_at_swap};
use texts::StatementTexts;
use triggers::LoadOrder;
pub(crate) use verify_rows::expect_digests;

/// How long a run tries to go on after the connection or the server went away.
pub(crate) const RETRY_FOR: Duration = Duration::from_secs(60);

/// What the user chose.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// Connections.
    pub jobs: NonZeroUsize,
    /// Drop what the archive recreates. Without it an object that exists already stops the restore.
    pub clean: bool,
    /// Drop dependents that the archive does not hold, too.
    pub cascade: bool,
    /// Leave out what the role has no right to, but never a table or its rows. Without it such statements stop the restore
    /// before anything changes.
    pub skip_privileged: bool,
    /// Drop what the target holds in the archive's schemas and the archive does not.
    pub exact: bool,
    /// Make the database, which must not exist.
    pub create: bool,
    /// With `create`: give it the owner, comment, privileges and settings of the source.
    pub properties: bool,
    /// With `create`: make it as this one is, not as the source was.
    pub like: Option<Database>,
    /// `-O`: everything belongs to the role that restores.
    pub no_owner: bool,
    /// SET ROLE on every connection.
    pub role: Option<String>,
    /// `-t -T -n -N --exclude-table-data`, against the archive's names.
    pub selection: Selection,
    /// `-L`: of what the selection chooses, these entries only.
    pub list: Option<HashSet<DumpId>>,
    /// `--with-dependencies`: also what the chosen entries need and the target does not have. Those that it has; a
    /// restore that looks at it finds out.
    pub dependencies: Option<HashSet<DumpId>>,
    /// Tables come back in another place than they were in.
    pub moves: Option<Moves>,
    /// `--no-tablespaces --no-table-access-method`
    pub storage: DefaultStorage,
    /// `-s -a -x --section --no-comments` and their like. With data alone nothing is dropped.
    pub parts: Parts,
    /// With data alone: only the rows of tables, and of those only these. Sequences stay as they are.
    pub rows: Option<RowFilter>,
    /// Load the rows of foreign tables, which go to the servers behind them.
    pub foreign_data: bool,
    /// Read each table that was loaded once and compare its rows with the archive's digest.
    pub verify_rows: bool,
    /// Collect the planner's statistics at the end.
    pub analyze: bool,
    /// Go on with an unfinished restore of the same archive.
    pub resume: bool,
    /// Everything over one connection in one transaction. Not with `create` and `resume`.
    pub single_transaction: bool,
    /// With data alone: disable the triggers of the target that would fire, until the end.
    pub disable_triggers: bool,
    /// With data alone: the target's policies hold for the rows that come in, and must allow them.
    pub row_security: bool,
    /// Milliseconds after which a lock is given up that others hold on what is dropped or loaded; without it the restore
    /// waits.
    pub lock_wait_timeout_ms: Option<u64>,
    /// How long to try again after failures that may pass, without anything getting done. Zero: not at all.
    pub retry_for: Duration,
}

impl RestoreOptions {
    /// Everything that an archive holds, with owners and privileges, into a database whose objects may be there already.
    pub fn whole(jobs: NonZeroUsize) -> RestoreOptions {
        RestoreOptions {
            jobs,
            clean: true,
            cascade: false,
            skip_privileged: false,
            exact: false,
            create: false,
            properties: true,
            like: None,
            no_owner: false,
            role: None,
            selection: Selection::default(),
            list: None,
            dependencies: None,
            moves: None,
            storage: DefaultStorage::default(),
            parts: Parts {
                statistics: true,
                ..Parts::default()
            },
            rows: None,
            foreign_data: true,
            verify_rows: false,
            analyze: true,
            resume: false,
            single_transaction: false,
            disable_triggers: false,
            row_security: false,
            lock_wait_timeout_ms: None,
            retry_for: RETRY_FOR,
        }
    }
}

/// A restore that is verified and planned and has changed nothing.
pub struct Prepared {
    reader: Arc<ArchiveReader>,
    settings: ConnectSettings,
    options: RestoreOptions,
    plan: RestorePlan,
    texts: Arc<StatementTexts>,
    survey: Survey,
    findings: Findings,
    /// How far an earlier run got that this one continues, in words.
    resumes: Option<String>,
    order: LoadOrder,
    /// In the target; in a maintenance database if the target is yet to be made.
    session: Option<Session>,
    /// Of the server that `session` leads to.
    server_version: ServerVersion,
    started: Instant,
}

/// What a finished restore amounts to.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RestoreReport {
    /// The target database.
    pub database: String,
    /// With `--swap`: the name of the database that it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// How many objects were dropped, as shown in the preview.
    pub dropped: usize,
    /// What was created and loaded.
    #[serde(flatten)]
    pub summary: PlanSummary,
    /// With `verify_rows`: how many tables hold exactly the archive's rows.
    pub tables_verified: Option<u64>,
    /// Bytes that were read of the archive: what was not asked for is not read.
    pub bytes_read: u64,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// Wall clock from the start of the verification.
    pub elapsed_ms: u64,
}

/// Verifies and plans a restore and looks at the target. Changes nothing.
///
/// # Errors
/// Those of [`look`]; `Restore` with everything that stands in the way.
pub async fn prepare(
    reader: Arc<ArchiveReader>,
    settings: ConnectSettings,
    options: RestoreOptions,
    events: &Events,
) -> Result<Prepared> {
    let prepared = look(reader, settings, options, events).await?;
    prepared.findings.refuse()?;
    for warning in prepared.findings.of(Severity::Warning) {
        events.warn(warning.message.as_str());
    }
    Ok(prepared)
}

/// As [`prepare`], but what stands in the way is left to the caller: [`Prepared::run`] is not to be called then.
///
/// # Errors
/// `Damaged` if a member that would be used is not what the index says; `Usage` if the selection matches
/// nothing, or if rows are to be verified of which nobody has a digest; `Connect`; `Restore` if the target's catalogs cannot be read.
pub async fn look(
    reader: Arc<ArchiveReader>,
    settings: ConnectSettings,
    options: RestoreOptions,
    events: &Events,
) -> Result<Prepared> {
    let started = Instant::now();
    let mut options = options;
    if options.verify_rows {
        verify_rows::expect_digests(chosen_entries(reader.index(), &options)?)?;
    }
    let encoding = reader.index().header.text_encoding();
    let rows = options.rows.map(|rows| rows.encoded(encoding));
    options.rows = rows.transpose()?;
    if options.resume {
        return resume::look(reader, settings, options, events).await;
    }
    let stays = leave_present(&reader, &settings, &mut options).await?;
    let mut plan = plan::plan_restore(reader.index(), &options)?;
    // The preamble is not run, but a whole restore of an archive that `verify` calls damaged helps nobody.
    let preamble = reader
        .index()
        .numbered_members()
        .filter(|(_, member)| member.role == MemberRole::Preamble)
        .map(|(id, _)| id);
    let members = plan.members().into_iter().chain(preamble).collect();
    let counts = check_members(&reader, members, options.jobs.get(), events).await?;
    plan.take_counts(&counts);
    let texts = read_texts(&reader, &plan, options.storage).await?;

    events.phase(Phase::Connect);
    let header = &reader.index().header;
    let session = if options.create {
        connect_for_create(&settings).await?
    } else {
        open_session(&settings, &options, header).await?
    };
    if !options.create {
        turn::take(&session, run::turn_patience(&options)).await?;
    }
    let mut findings = Findings::default();
    let connections = match options.single_transaction {
        true => NonZeroUsize::MIN,
        false => options.jobs,
    };
    server::check_server(&session, connections, &mut findings).await?;
    let target = (!options.create).then_some(&session);
    let ties = ties::leave_out(target, reader.index(), &mut plan).await?;
    for line in ties::of_what_stays(&plan).chain(stays).chain(ties) {
        findings.warning(Check::Dependencies, line);
    }
    let mut survey = survey_target(&session, &plan, &options).await?;
    let extensions = Extensions::read(&session, options.create).await?;
    let rights = rights::read(&session, &extensions, options.create).await?;
    let denied = rights::judge(&plan, &texts, &rights, &survey.kept_schemas)?;
    denied.tell(options.skip_privileged, &mut findings);
    if options.skip_privileged {
        plan = plan::plan_restore_without(reader.index(), &options, &denied.exclusions())?;
        plan.take_counts(&counts);
        ties::leave_out(target, reader.index(), &mut plan).await?;
        survey = survey_target(&session, &plan, &options).await?;
    }
    check_version(session.version(), header, &plan, &texts, &mut findings)?;
    check::warn_of_oids(header, &plan, &mut findings);
    let mut needs = Needs::of_plan(&plan, &texts, &options)?;
    needs.add_database(header, &options)?;
    check_target(
        &session,
        &needs,
        &extensions,
        header,
        !options.create,
        &mut findings,
    )
    .await?;
    plan.held.extras_seen = survey.describe_extras().into_iter().collect();
    if !options.cascade {
        for dependent in &survey.foreign {
            findings.problem(
                Check::Dependents,
                format!("{dependent} is not in the archive and depends on what would be dropped"),
            );
        }
    }
    let dropped = survey.relations();
    if options.create {
        database::check_absent(&session, settings.database(), &mut findings).await?;
    } else {
        check_in_place(&session, &plan, &survey, &dropped, &options, &mut findings).await?;
    }
    let (settings, order) =
        triggers::look(&session, &plan, &options, settings, &mut findings).await?;
    // One transaction gives nothing back before its end.
    let given_back = match options.single_transaction {
        true => [].as_slice(),
        false => &dropped,
    };
    room::check_room(&session, plan.summary().bytes, given_back, &mut findings).await?;
    if options.single_transaction {
        single_transaction::check(&session, reader.index(), &plan, &mut findings).await?;
    }
    Ok(Prepared {
        reader,
        settings,
        options,
        plan,
        texts,
        survey,
        findings,
        resumes: None,
        server_version: session.version(),
        session: Some(session),
        order,
        started,
    })
}

/// What only a database that is there already can have in the way. `dropped`: tables that will go.
async fn check_in_place(
    session: &Session,
    plan: &RestorePlan,
    survey: &Survey,
    dropped: &[Oid],
    options: &RestoreOptions,
    findings: &mut Findings,
) -> Result<()> {
    let loaded: Vec<_> = loaded_only(plan).into_iter().collect();
    rights::check_existing(session, plan, survey, options, findings).await?;
    sessions::check_sessions(session, dropped, &loaded, findings).await?;
    resume::check_unfinished(session, options, findings).await?;
    large_objects::check_new(session, plan, findings).await?;
    configuration::tell(session, &plan.held.configuration, findings).await?;
    large_objects::tell_postponed(plan, findings);
    locks::check_locks(session, plan, survey, options.single_transaction, findings).await
}

/// What of the target is in the way of the plan; nothing in a database that is yet to be made.
async fn survey_target(
    session: &Session,
    plan: &RestorePlan,
    options: &RestoreOptions,
) -> Result<Survey> {
    match options.create {
        true => Ok(Survey::default()),
        false => clean::survey(session, &plan.held, options.cascade).await,
    }
}

/// With `--with-dependencies`: what the target has of what is needed is neither read nor made. In words.
async fn leave_present(
    reader: &ArchiveReader,
    settings: &ConnectSettings,
    options: &mut RestoreOptions,
) -> Result<Option<String>> {
    if options.dependencies.is_none() || options.create {
        return Ok(None);
    }
    let session = open_session(settings, options, &reader.index().header).await?;
    let objects = plan::needed_objects(reader.index(), options)?;
    let present = dependencies::present(&session, &objects).await?;
    let stays = dependencies::describe(&objects, &present);
    options.dependencies = Some(present);
    Ok(stays)
}

async fn read_texts(
    reader: &Arc<ArchiveReader>,
    plan: &RestorePlan,
    storage: DefaultStorage,
) -> Result<Arc<StatementTexts>> {
    let (reader, members) = (Arc::clone(reader), plan.statement_members());
    let moved = plan.moved.clone();
    let texts = tokio::task::spawn_blocking(move || {
        StatementTexts::read(&reader, &members, moved, storage)
    })
    .await
    .map_err(|error| Error::internal("reading statements died").caused_by(error))??;
    if plan.moved.is_some() {
        // What cannot be moved is refused before anything changes.
        for step in plan.steps() {
            texts.sql(step)?;
        }
    }
    Ok(Arc::new(texts))
}

/// One more session beside the `held` ones; `None` if the server takes no more connections: those that are there do the work.
async fn open_another(
    settings: &ConnectSettings,
    options: &RestoreOptions,
    header: &Header,
    held: usize,
    events: &Events,
) -> Result<Option<Session>> {
    let is_full = |error: &Error| error.sqlstate() == Some(&SqlState::TOO_MANY_CONNECTIONS);
    match open_session(settings, options, header).await {
        Ok(session) => Ok(Some(session)),
        Err(error) if held > 0 && is_full(&error) => {
            let jobs = options.jobs;
            events.warn(format!(
                "the server takes no more connections: {held} of {jobs} do the work"
            ));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Opens a connection to the target with the settings that restoring needs on top of the usual ones.
async fn open_session(
    settings: &ConnectSettings,
    options: &RestoreOptions,
    header: &Header,
) -> Result<Session> {
    // The role comes before the settings: it may be the one that may set them.
    let session = match &options.role {
        Some(role) => connect(&settings.with_role(role)).await?,
        None => connect(settings).await?,
    };
    // Bodies are checked by nobody: they may name what comes later. Losing the last commits in a crash loses nothing
    // that the run had reported. Views are read when materialized views are filled: what guards a dump against them would stop
    // the restore.
    let mut sql = format!(
        "SET check_function_bodies = off; \
         SET standard_conforming_strings = on; \
         SET xmloption = content; \
         SET default_tablespace = ''; \
         SET synchronous_commit = off; \
         SET client_min_messages = warning; \
         SELECT pg_catalog.set_config('maintenance_work_mem', '{MEMORY_KIB}', false) \
         FROM pg_catalog.pg_settings WHERE name = 'maintenance_work_mem' AND setting::bigint < {MEMORY_KIB}; \
         SELECT pg_catalog.set_config(name, 'heap', false) \
         FROM pg_catalog.pg_settings WHERE name = 'default_table_access_method'; \
         SELECT pg_catalog.set_config(name, '', false) \
         FROM pg_catalog.pg_settings WHERE name = 'restrict_nonsystem_relation_kind';"
    );
    if (header.pg_dump.as_ref()).is_some_and(|pg_dump| pg_dump.escape_strings) {
        sql.push_str("SET standard_conforming_strings = off; SET escape_string_warning = off;");
    }
    if header.encoding == "SQL_ASCII" {
        // The archive holds bytes of no known encoding: they pass as they are.
        sql.push_str("SET client_encoding = SQL_ASCII;");
    }
    if let Some(milliseconds) = options.lock_wait_timeout_ms {
        sql.push_str(&format!("SET lock_timeout = {milliseconds};"));
    }
    if options.row_security {
        sql.push_str("SET row_security = on;");
    }
    session.batch_execute(&sql).await.map_err(|error| {
        Error::from_server(ErrorKind::Restore, "could not set up the session", error)
    })?;
    // So that the server stops within a second what it does for a pgstow that was killed. Since PostgreSQL 14, where the
    // operating system tells.
    let _ = session
        .batch_execute(
            "SELECT pg_catalog.set_config(name, '1s', false) \
             FROM pg_catalog.pg_settings WHERE name = 'client_connection_check_interval'",
        )
        .await;
    Ok(session)
}

/// Connects to a database of the server that is there anyway.
///
/// # Errors
/// `Connect`.
pub(crate) async fn connect_for_create(settings: &ConnectSettings) -> Result<Session> {
    match connect(&settings.with_database("postgres")).await {
        Ok(session) => Ok(session),
        Err(error) => connect(&settings.with_database("template1"))
            .await
            .map_err(|_| error),
    }
}
