//! `pgstow verify`: is an archive whole and unaltered?

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::place::{Found, PlaceArgs, check_exists, of_file, warn_of_unreadable};
use super::replay::describe_survey;
use super::stdout::write_stdout;
use super::{signal_error, text_table, until_signal};
use crate::archive::{Comparison, Stored, VerifyLevel, VerifyReport, verify_archive, verify_file};
use crate::backup::{BackupSet, DrillOptions, Drilled, Repository, drill_set, verify_set};
use crate::config::Profile;
use crate::event::Events;
use crate::objects::quote::one_line;
use crate::restore::{DumpSource, ReplayOptions, ScriptSurvey, survey_script};
use crate::storage::{Identity, spawn_blocking};
use crate::{Error, ErrorKind, Result};

/// Verify an archive, or all of them: every checksum, every row, every statement
///
/// The outcome is noted in a set's .meta: a damaged one no longer counts as a backup. Exit status 4 if there is damage.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The archive: a file, or a set by its id, `latest` or `latest:KIND`
    #[arg(value_name = "FILE|ID|latest", required_unless_present = "all")]
    file: Option<PathBuf>,
    /// All sets of the repository
    #[arg(long, conflicts_with = "file")]
    all: bool,
    /// Only footer, index and sizes
    #[arg(long, conflicts_with = "restore")]
    quick: bool,
    /// Every byte, row and statement; so it is if nothing else is said
    #[arg(long, conflicts_with_all = ["quick", "restore"])]
    read_data: bool,
    /// Restore it into a scratch database on the server of DATABASE_URL and compare, as `pgstow drill`
    #[arg(long)]
    restore: bool,
    /// Number of threads or connections [default: number of CPUs]
    #[arg(short, long, value_name = "N", conflicts_with = "quick")]
    jobs: Option<NonZeroUsize>,
    /// Print the report as JSON, also of a damaged archive
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    #[command(flatten)]
    progress: super::progress::ProgressArgs,
}

/// What was found out about one archive.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Outcome {
    Read(VerifyReport),
    Script {
        script: String,
        #[serde(flatten)]
        survey: ScriptSurvey,
    },
    Restored {
        archive: String,
        drilled: Drilled,
    },
}

/// Runs the command.
///
/// # Errors
/// `Damaged`, listing what is wrong; others of [`verify_set`] and [`drill_set`].
pub(super) async fn run(args: Args) -> Result<()> {
    let Some(file) = &args.file else {
        return verify_all(&args).await;
    };
    let found = args.place.find(file).await?;
    let outcome = verify(&args, &found).await?;
    if args.json {
        print_json(&outcome)?;
        return into_result(outcome).map(drop);
    }
    print_lines(&into_result(outcome)?)
}

/// Goes through all sets, the damaged ones included, and tells of all damage at the end.
async fn verify_all(args: &Args) -> Result<()> {
    let config = args.place.resolve(Default::default(), Default::default())?;
    let mut outcomes = Vec::new();
    let mut faults: Vec<Error> = Vec::new();
    for profile in &config.profiles {
        let repository = profile.repository()?;
        check_exists(repository.storage())?;
        let listing = repository.list().await?;
        warn_of_unreadable(&listing.unreadable);
        for (file, why) in listing.unreadable {
            faults.push(
                Error::new(ErrorKind::Damaged, file).detail(format!("It is no backup set: {why}.")),
            );
        }
        for set in listing.sets {
            let found = Found::Set {
                repository: repository.clone(),
                set: Box::new(set),
            };
            let outcome = match verify(args, &found).await {
                Ok(outcome) => outcome,
                Err(e) if matches!(e.kind(), ErrorKind::Damaged | ErrorKind::Usage) => {
                    faults.push(e);
                    continue;
                }
                // Deleted since it was listed.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            if args.json {
                outcomes.push(outcome);
            } else {
                match into_result(outcome) {
                    Ok(outcome) => print_lines(&outcome)?,
                    Err(e) => faults.push(e),
                }
            }
        }
    }
    if args.json {
        print_json(&outcomes)?;
        for outcome in outcomes {
            faults.extend(into_result(outcome).err());
        }
    }
    match faults.len() {
        0 => Ok(()),
        1 => faults.pop().map_or(Ok(()), Err),
        count => {
            let error = Error::new(
                ErrorKind::Damaged,
                format!("{count} backup sets are damaged or cannot be read"),
            );
            Err(faults.iter().fold(error, |error, fault| {
                let details = fault.details().join(" ");
                error.detail(format!("{}: {details}", fault.message()))
            }))
        }
    }
}

async fn verify(args: &Args, found: &Found) -> Result<Outcome> {
    let events = args.progress.events();
    match found {
        Found::Set { repository, set } if args.restore => {
            let profile = args.place.profile()?;
            restore(&profile, repository, set, args, &events).await
        }
        Found::Set { repository, set } => {
            let work = verify_set(repository, set, args.level(), args.threads(), &events);
            let (report, unrecorded) = until_signal(work).await?;
            if let Some(error) = unrecorded {
                let why = error.details().join(" ");
                events.warn(format!(
                    "the outcome is not noted in the .meta of {}: {}: {why}",
                    set.name.id,
                    error.message()
                ));
            }
            Ok(Outcome::Read(report))
        }
        Found::Stdin { file } => {
            let (level, jobs) = (args.level(), args.threads());
            let (reader, _) = found.open().await?;
            let stored = Stored {
                source: of_file(file)?,
                sha256_file: None,
                meta_file: None,
            };
            let work =
                spawn_blocking(move || verify_archive(&reader, &stored, level, jobs, &events));
            Ok(Outcome::Read(until_signal(work).await?))
        }
        Found::File { .. } if args.restore => Err(Error::new(
            ErrorKind::Usage,
            "only a backup set can be restored for a proof: this is a file without a .meta",
        )),
        Found::File { path, .. } if found.recognize(false).await? == DumpSource::Script => {
            verify_script(args, path, &events).await
        }
        Found::File { path, identity } => {
            let (level, jobs) = (args.level(), args.threads());
            let (path, identity) = (path.clone(), identity.clone());
            let work = spawn_blocking(move || verify_plain(&path, identity, level, jobs, &events));
            Ok(Outcome::Read(until_signal(work).await?))
        }
    }
}

/// A script has no checksums: that it is whole and can be read is all that can be said.
async fn verify_script(args: &Args, path: &std::path::Path, events: &Events) -> Result<Outcome> {
    let script = one_line(&path.display().to_string()).into_owned();
    if args.quick {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("{script} is a plain SQL script, of which --quick has nothing to look at"),
        ));
    }
    let options = ReplayOptions {
        follow_connect: true,
        ..ReplayOptions::default()
    };
    let survey = until_signal(survey_script(path, &options, true, events)).await?;
    let survey = survey.ok_or_else(|| Error::internal("a script was not read"))?;
    Ok(Outcome::Script { script, survey })
}

/// A file without side files that say what it should be; an encrypted one is opened to see what is in it.
fn verify_plain(
    path: &std::path::Path,
    identity: Identity,
    level: VerifyLevel,
    jobs: NonZeroUsize,
    events: &Events,
) -> Result<VerifyReport> {
    verify_file(
        path,
        &|source| crate::storage::decrypt(source, &identity),
        level,
        jobs,
        events,
    )
}

async fn restore(
    profile: &Profile,
    repository: &Repository,
    set: &BackupSet,
    args: &Args,
    events: &Events,
) -> Result<Outcome> {
    let options = DrillOptions {
        jobs: args.threads(),
        no_owner: false,
    };
    let settings = profile.connect_settings()?;
    let drilled = drill_set(repository, set, &settings, &options, signal_error(), events).await?;
    Ok(Outcome::Restored {
        archive: repository.path_of(&set.file),
        drilled,
    })
}

impl Args {
    fn level(&self) -> VerifyLevel {
        // --read-data says what holds anyway.
        match (self.quick, self.read_data) {
            (true, _) => VerifyLevel::Quick,
            (false, true | false) => VerifyLevel::Full,
        }
    }

    fn threads(&self) -> NonZeroUsize {
        self.jobs
            .unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }
}

fn into_result(outcome: Outcome) -> Result<Outcome> {
    match outcome {
        Outcome::Read(report) => report.into_result().map(Outcome::Read),
        restored => Ok(restored),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<()> {
    write_stdout(|out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)
    })
}

fn print_lines(outcome: &Outcome) -> Result<()> {
    let lines = match outcome {
        Outcome::Read(report) => lines(report),
        Outcome::Script { script, survey } => {
            let mut lines = vec![format!("script \"{script}\" can be read to its end")];
            let details = describe_survey(Some(survey));
            lines.extend(details.iter().map(|line| format!("  {line}")));
            lines
        }
        Outcome::Restored { archive, drilled } => vec![
            format!("archive \"{}\" can be restored", one_line(archive)),
            format!(
                "  restored into PostgreSQL {} and compared: {}, {}, {}",
                drilled.server_version,
                text_table::count(drilled.objects, "object", "objects"),
                text_table::count(drilled.tables, "table", "tables"),
                text_table::count(drilled.rows, "row", "rows"),
            ),
        ],
    };
    write_stdout(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))
}

/// What people read of an intact archive.
fn lines(report: &VerifyReport) -> Vec<String> {
    let size = text_table::bytes(report.size_bytes);
    let members = text_table::count(report.members, "member", "members");
    let tables = text_table::count(report.tables, "table", "tables");
    let rows = text_table::count(report.rows, "row", "rows");
    let mut lines = match (report.level, &report.pg_dump) {
        (VerifyLevel::Full, Some(format)) => vec![
            format!("archive \"{}\" can be read to its end", report.archive),
            format!("  {format} of pg_dump, {size}, {members}"),
            format!("  {tables}, {rows}: every row counted, every statement looked at"),
            "  pg_dump writes no checksums: altered bytes that its compression does not notice go unseen"
                .to_owned(),
        ],
        (VerifyLevel::Quick, Some(format)) => vec![
            format!(
                "archive \"{}\" has an intact table of contents; its data were not read",
                report.archive
            ),
            format!("  {format} of pg_dump, {size}, {members}, {tables}"),
        ],
        (VerifyLevel::Full, None) => vec![
            format!("archive \"{}\" is intact", report.archive),
            format!("  {members}, {size}: every checksum and every statement verified"),
            format!("  {tables}, {rows}: every row counted and every digest verified"),
        ],
        (VerifyLevel::Quick, None) => vec![
            format!(
                "archive \"{}\" is complete; its members were not read",
                report.archive
            ),
            format!("  {members}, {size}: footer, index and sizes verified"),
            format!("  {tables}, {rows}, says the index"),
        ],
    };
    if report.sha256 == Comparison::Equal {
        lines.push("  SHA-256 is that of its .sha256".to_owned());
    }
    if report.meta == Comparison::Equal {
        lines.push("  agrees with its .meta".to_owned());
    }
    lines
}
