//! One run that makes a backup set: lock, dump, publish, second copy, and whoever wants to know.

use std::collections::HashSet;
use std::io::Write;
use std::pin::pin;
use std::time::Instant;

use super::anomaly::{Thresholds, anomalies};
use super::meta::SetFile;
use super::retention::Kind;
use super::{
    BackupSet, Meta, Repository, Settings, copy_set, parse_set_name, publish, set_file_name,
};
use crate::conn::ConnectSettings;
use crate::dump::{CreateOptions, Created, create};
use crate::event::{Events, Phase};
use crate::failpoint::failpoint;
use crate::hooks::{HookFacts, Hooks};
use crate::objects::quote::one_line;
use crate::storage::{Encryption, HashingWriter, encrypt, spawn_blocking};
use crate::{Error, ErrorKind, Result};

/// So many sets of one second can be told apart.
const MOST_ATTEMPTS: u32 = 100;

/// A backup to be made.
#[derive(Clone, Debug)]
pub struct BackupJob {
    /// The database.
    pub settings: ConnectSettings,
    /// How it is dumped.
    pub options: CreateOptions,
    /// Where the set goes.
    pub repository: Repository,
    /// What its files begin with.
    pub name: String,
    /// What makes it.
    pub kind: Kind,
    /// Where a second copy goes.
    pub offsite: Option<Repository>,
    /// What falls more than this is an anomaly.
    pub thresholds: Thresholds,
    /// Who wants to know.
    pub hooks: Hooks,
}

/// A backup that is made.
#[derive(Clone, Debug)]
pub struct BackupOutcome {
    /// The set.
    pub set: BackupSet,
    /// What failed beside it, a line each: the second copy, hooks, pings. An anomaly counts too.
    pub side_failures: Vec<String>,
}

/// Makes one backup set. `stop` ends it: whoever it resolves to is told as the reason.
///
/// # Errors
/// `Locked` if another run makes a backup of this name: nobody is told then. Those of the dump and of the storage, after the
/// error hooks ran: nothing of the set is left then.
///
/// # Cancel safety
/// Dropping it leaves nothing of the set behind, but no hook learns of it: use `stop`.
pub async fn run_backup(
    job: BackupJob,
    stop: impl Future<Output = Error>,
    events: &Events,
) -> Result<BackupOutcome> {
    let started = Instant::now();
    let storage = job.repository.storage();
    let _alone = storage.lock(&format!("{}-backup", job.name), true).await?;
    let mut facts = HookFacts {
        name: job.name.clone(),
        kind: job.kind,
        database: job.settings.database().to_owned(),
        repository: storage.location().to_string(),
        ..HookFacts::default()
    };
    let mut stop = pin!(stop);
    let mut side_failures = tokio::select! {
        failures = job.hooks.started(&facts) => failures,
        error = &mut stop => return Err(error),
    };
    let made = tokio::select! {
        made = make(&job, events) => made,
        error = &mut stop => Err(error),
    };
    facts.elapsed_ms = u64::try_from(started.elapsed().as_millis()).ok();
    let set = match made {
        Ok(set) => set,
        Err(error) => {
            facts.error = Some(error.to_string());
            facts.exit_status = Some(error.kind().exit_status());
            side_failures.extend(job.hooks.failed(&facts).await);
            return Err(side_failures.into_iter().fold(error, Error::detail));
        }
    };
    for anomaly in &set.meta.anomalies {
        side_failures.push(format!("anomaly: {anomaly}"));
    }
    let mut is_stopped = false;
    if let Some(offsite) = &job.offsite {
        let copied = tokio::select! {
            copied = copy_set(&job.repository, &set, offsite, events) => copied.map(drop),
            error = &mut stop => {
                is_stopped = true;
                Err(error)
            }
        };
        if let Err(error) = copied {
            let place = offsite.storage().location();
            side_failures.push(format!("no copy in {place}: {}", flat(&error)));
        }
    }
    facts.set_id = Some(set.name.id.clone());
    facts.file = Some(job.repository.path_of(&set.file));
    facts.size = Some(set.meta.size);
    facts.rows = Some(set.meta.rows);
    facts.anomalies.clone_from(&set.meta.anomalies);
    // The set is made, whoever stops what comes after it.
    tokio::select! {
        failures = job.hooks.succeeded(&facts) => side_failures.extend(failures),
        error = stop, if !is_stopped => side_failures.push(format!("hook after: {}", flat(&error))),
    }
    Ok(BackupOutcome { set, side_failures })
}

impl BackupOutcome {
    /// The set, if nothing failed beside it.
    ///
    /// # Errors
    /// `SideJob` with all that failed.
    pub fn into_result(self) -> Result<BackupSet> {
        if self.side_failures.is_empty() {
            return Ok(self.set);
        }
        let error = Error::new(
            ErrorKind::SideJob,
            format!(
                "the backup {} is made, but not all is well",
                self.set.name.id
            ),
        );
        Err(self
            .side_failures
            .iter()
            .fold(error, |error, line| error.detail(one_line(line))))
    }
}

/// Message and details on one line.
fn flat(error: &Error) -> String {
    let details = error.details().iter().map(String::as_str);
    let parts: Vec<&str> = std::iter::once(error.message()).chain(details).collect();
    parts.join("; ")
}

async fn make(job: &BackupJob, events: &Events) -> Result<BackupSet> {
    let storage = job.repository.storage();
    for cleared in job.repository.clear_abandoned().await? {
        events.note(format!("removed what a dead run left: {cleared}"));
    }
    let codec = job.options.compression.codec();
    let encryption = job.repository.encryption();
    let encrypted = *encryption != Encryption::None;
    let now = jiff::Timestamp::now();
    // Two sets of one second get two ids, whatever their extensions.
    let taken: HashSet<String> = storage
        .list()
        .await?
        .iter()
        .filter_map(|file| Some(parse_set_name(&file.name)?.id))
        .collect();
    let file = (1..MOST_ATTEMPTS)
        .map(|attempt| set_file_name(&job.name, now, codec, encrypted, attempt))
        .find(|file| parse_set_name(file).is_some_and(|name| !taken.contains(&name.id)))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::AlreadyExists,
                format!("{MOST_ATTEMPTS} backups were made in this second"),
            )
        })?;
    let _publishing = job.repository.lock_files(&file).await?;
    let dumped = dump_into(
        storage.upload(vec![file.clone()]).await?,
        encryption,
        &job.settings,
        job.options.clone(),
        events,
    )
    .await?;
    failpoint("create.before_publish");
    events.phase(Phase::Finish);
    let previous = previous_set(job).await?;
    let mut meta = dumped.describe(&job.name, job.kind, &file);
    if let Some(previous) = &previous {
        meta.anomalies = anomalies(&previous.meta, &meta, &job.thresholds);
    }
    publish(storage, dumped.sink, &dumped.sha256, |_| meta.to_text()).await?;
    let name = parse_set_name(&file)
        .ok_or_else(|| Error::internal(format!("\"{file}\" is no name of a set")))?;
    Ok(BackupSet { name, file, meta })
}

/// The newest whole set of the same name and kind.
async fn previous_set(job: &BackupJob) -> Result<Option<BackupSet>> {
    let listing = job.repository.clone().only(job.name.clone()).list().await?;
    Ok(listing
        .sets
        .into_iter()
        .find(|set| set.meta.kind == job.kind && set.meta.partial.is_empty()))
}

/// A dump that is written and not yet published.
pub struct Dumped<W> {
    /// Everything is written to it.
    pub sink: W,
    /// SHA-256 of the stored bytes.
    pub sha256: String,
    /// Number of the stored bytes.
    pub size: u64,
    /// What was dumped.
    pub created: Created<()>,
    encrypted: bool,
    settings: Settings,
    finished: jiff::Timestamp,
}

/// Dumps a database into a sink, encrypted if asked for.
///
/// # Errors
/// Those of [`create`] and [`encrypt`]; the sink is gone then.
pub async fn dump_into<W: Write + Send + 'static>(
    sink: W,
    encryption: &Encryption,
    settings: &ConnectSettings,
    options: CreateOptions,
    events: &Events,
) -> Result<Dumped<W>> {
    let how = Settings {
        compression: options.compression.to_string(),
        jobs: options.jobs.get(),
    };
    let encrypted = *encryption != Encryption::None;
    let encryption = encryption.clone();
    // A passphrase takes a second on purpose, and a header may be written to a network.
    let sink = spawn_blocking(move || {
        let sink = match encrypted {
            true => HashingWriter::new(sink),
            // The archive's own SHA-256 is that of the stored bytes then.
            false => HashingWriter::counting(sink),
        };
        encrypt(&encryption, sink)
    })
    .await?;
    let created = create(settings, options, sink, events.clone()).await?;
    let (archive, sink) = created.archive.without_sink();
    let (sink, sha256, size) = spawn_blocking(move || Ok(sink.finish()?.finish())).await?;
    Ok(Dumped {
        sink,
        sha256: sha256.unwrap_or_else(|| archive.sha256.clone()),
        size,
        created: Created {
            archive,
            unsupported: created.unsupported,
        },
        encrypted,
        settings: how,
        finished: jiff::Timestamp::now(),
    })
}

impl<W> Dumped<W> {
    /// Its `.meta`, as the set `file`.
    pub fn describe(&self, name: &str, kind: Kind, file: &str) -> Meta {
        Meta::of_archive(
            &self.created.archive,
            SetFile {
                file: file.to_owned(),
                name: name.to_owned(),
                kind,
                size: self.size,
                sha256: self.sha256.clone(),
                encrypted: self.encrypted,
                settings: self.settings.clone(),
                unsupported: self.created.unsupported.clone(),
                finished: self.finished,
            },
        )
    }
}
