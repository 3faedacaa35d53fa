//! What a run that died left in the target: found, continued or forgotten.

use std::sync::Arc;
use std::time::Instant;

use crate::archive::ArchiveReader;
use crate::conn::{ConnectSettings, Session, connect};
use crate::event::{Events, Phase};
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

use super::check::check_members;
use super::clean::Survey;
use super::extensions::Extensions;
use super::findings::{Check, Findings};
use super::journal::{Journal, read_done, read_facts, render_removal, schemas};
use super::plan::{plan_restore, plan_restore_without};
use super::run::{TURN_PATIENCE, turn_patience};
use super::{Prepared, RestoreOptions, open_session, read_texts, rights, ties, triggers, turn};

/// Prepares to go on with an unfinished restore of the archive. Only what is left of it is read and checked.
///
/// # Errors
/// `Restore` if there is none; `Usage` if other options began it; `Damaged`; `Connect`.
pub(super) async fn look(
    reader: Arc<ArchiveReader>,
    settings: ConnectSettings,
    mut options: RestoreOptions,
    events: &Events,
) -> Result<Prepared> {
    let started = Instant::now();
    events.phase(Phase::Connect);
    let header = &reader.index().header;
    let session = open_session(&settings, &options, header).await?;
    turn::take(&session, turn_patience(&options)).await?;
    let journal = Journal::new(&header.archive_id);
    let Some(facts) = journal.facts(&session).await? else {
        return Err(nothing_to_resume(&session).await?);
    };
    if options.dependencies.is_some() {
        options.dependencies = facts.dependencies().or(options.dependencies);
    }
    journal.expect_options(&facts, &options)?;
    let mut plan = plan_restore(reader.index(), &options)?;
    if options.skip_privileged {
        // The same is left out as when it began.
        let texts = read_texts(&reader, &plan, options.storage).await?;
        let extensions = Extensions::read(&session, false).await?;
        let rights = rights::read(&session, &extensions, false).await?;
        let denied = rights::judge(&plan, &texts, &rights, &[])?;
        plan = plan_restore_without(reader.index(), &options, &denied.exclusions())?;
    }
    ties::leave_out(Some(&session), reader.index(), &mut plan).await?;
    let done = read_done(&session, journal.schema()).await?;
    let left = plan.without(&done);
    // Rows of pg_dump have no digest until they are read.
    let members = match options.verify_rows && reader.is_of_pg_dump() {
        true => plan.members(),
        false => left.members(),
    };
    let counts = check_members(&reader, members, options.jobs.get(), events).await?;
    plan.take_counts(&counts);
    plan.totals = facts.totals();
    let texts = read_texts(&reader, &left, options.storage).await?;
    let mut findings = Findings::default();
    let (settings, order) =
        triggers::look(&session, &plan, &options, settings, &mut findings).await?;
    let resumes = format!("{}: {}", facts.describe(), facts.describe_progress(&done));
    Ok(Prepared {
        reader,
        settings,
        options,
        plan,
        texts,
        survey: Survey::default(),
        findings,
        resumes: Some(resumes),
        order,
        server_version: session.version(),
        session: Some(session),
        started,
    })
}

async fn nothing_to_resume(session: &Session) -> Result<Error> {
    let error = none_unfinished(session, " of this archive").await?;
    Ok(
        error
            .hint("Either it was finished, or it changed nothing: then start it without --resume."),
    )
}

/// Names the unfinished restores that there are instead.
async fn none_unfinished(session: &Session, of_what: &str) -> Result<Error> {
    let database = quote::ident(session.database());
    let mut error = Error::new(
        ErrorKind::Restore,
        format!(
            "database {} has no unfinished restore{of_what}",
            quote::one_line(&database)
        ),
    );
    for schema in schemas(session).await? {
        let facts = read_facts(session, &schema).await?;
        error = error.detail(format!("It has {}.", facts.describe()));
    }
    Ok(error.detail("The target is unchanged."))
}

/// A restore that begins anew forgets what others left, if it drops what it makes; else it would fill what is half full.
///
/// # Errors
/// `Restore`.
pub(super) async fn check_unfinished(
    session: &Session,
    options: &RestoreOptions,
    findings: &mut Findings,
) -> Result<()> {
    for schema in schemas(session).await? {
        let what = read_facts(session, &schema).await?.describe();
        if options.clean && !options.parts.data_only {
            findings.warning(
                Check::Unfinished,
                format!("{what} will be forgotten and cannot be resumed after this"),
            );
        } else {
            findings.problem(Check::Unfinished, format!("the target has {what}"));
        }
    }
    Ok(())
}

/// What was forgotten, for the user to read.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Abandoned {
    /// The database.
    pub database: String,
    /// Each unfinished restore, with how far it got.
    pub restores: Vec<String>,
}

/// Looks for unfinished restores: of an archive, or any. Changes nothing.
///
/// # Errors
/// `Restore` if there is none; `Connect`.
pub async fn unfinished(settings: &ConnectSettings, archive_id: Option<&str>) -> Result<Abandoned> {
    let session = connect(settings).await?;
    let (abandoned, _) = find(&session, archive_id).await?;
    Ok(abandoned)
}

/// Removes the records of unfinished restores and enables the triggers that they disabled; nothing else.
///
/// # Errors
/// As [`unfinished`]; `Locked` if one is at work.
pub async fn abandon(settings: &ConnectSettings, archive_id: Option<&str>) -> Result<Abandoned> {
    let session = connect(settings).await?;
    turn::take(&session, TURN_PATIENCE).await?;
    let (abandoned, schemas) = find(&session, archive_id).await?;
    for schema in schemas {
        let sql = render_removal(&session, &schema).await?;
        session.batch_execute(&sql).await.map_err(|error| {
            let what = "could not remove the record of an unfinished restore";
            Error::from_server(ErrorKind::Restore, what, error)
        })?;
    }
    Ok(abandoned)
}

async fn find(session: &Session, archive_id: Option<&str>) -> Result<(Abandoned, Vec<String>)> {
    let wanted = archive_id.map(Journal::new);
    let mut found = Vec::new();
    let mut restores = Vec::new();
    for schema in schemas(session).await? {
        if wanted
            .as_ref()
            .is_some_and(|journal| journal.schema() != schema)
        {
            continue;
        }
        let facts = read_facts(session, &schema).await?;
        let done = read_done(session, &schema).await?;
        let (what, progress) = (facts.describe(), facts.describe_progress(&done));
        restores.push(format!("{what}: {progress}"));
        found.push(schema);
    }
    if found.is_empty() {
        let of_what = match archive_id {
            Some(_) => " of this archive",
            None => "",
        };
        return Err(none_unfinished(session, of_what).await?);
    }
    let database = session.database().to_owned();
    Ok((Abandoned { database, restores }, found))
}
