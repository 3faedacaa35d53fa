//! What holds for one database, as the engine takes it.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::layers::{DatabaseSettings, location_of};
use super::setting::{CronExpression, When};
use super::valued::Valued;
use crate::backup::retention::{Kind, Policy, Scheduled};
use crate::backup::{BackupJob, Repository, Thresholds, backup_name};
use crate::conn::{ConnectArgs, ConnectSettings};
use crate::dump::{BusyLimits, CreateOptions};
use crate::hooks::Hooks;
use crate::storage::{Encryption, Identity, Location};
use crate::{Error, ErrorKind, Result};

/// More connections than this need to be asked for; up to here it is one for each core. Two tables of 456 MB on two cores, where server
/// and client share them, medians of five:
///
/// | connections | 1 | 2 | 3 | 4 | 8 |
/// |---|---|---|---|---|---|
/// | seconds | 4.33 | 3.82 | 3.68 | 3.87 | 3.74 |
const MAX_DEFAULT_JOBS: u32 = 8;

/// The database as a command line names it.
#[derive(Clone, Debug, Default)]
pub struct ConnectSource {
    /// `-h -p -U -d -w -W`.
    pub args: ConnectArgs,
    /// The argument `DB|URL`.
    pub positional: Option<String>,
}

impl ConnectSource {
    /// Whether it says which database is meant.
    pub fn names_database(&self) -> bool {
        self.positional.is_some() || self.args.dbname.is_some()
    }
}

/// One database with its backups.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its section in the configuration file; `None` if flags and environment are all there is.
    pub section: Option<String>,
    /// What the command line adds.
    pub source: ConnectSource,
    /// Another database of that server, if one of many is meant.
    pub database: Option<String>,
    /// What holds, and where it came from.
    pub settings: DatabaseSettings,
}

/// Something that happens by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A backup of this kind.
    Backup(Kind),
    /// Deleting what need not be kept.
    Cleanup,
    /// Checking the stored bytes of the newest set.
    Verify,
    /// Restoring the newest set for a proof.
    Drill,
}

impl Profile {
    /// How to connect. Reads the password and service files.
    ///
    /// # Errors
    /// `Usage` as [`ConnectSettings::resolve`].
    pub fn connect_settings(&self) -> Result<ConnectSettings> {
        let settings = self.settings_of_source()?;
        Ok(match &self.database {
            Some(database) => settings.with_database(database),
            None => settings,
        })
    }

    fn settings_of_source(&self) -> Result<ConnectSettings> {
        match &self.settings.url {
            Some(url) if !self.source.names_database() => {
                ConnectSettings::resolve_configured(&self.source.args, url.value.reveal())
            }
            _ => ConnectSettings::resolve(&self.source.args, self.source.positional.as_deref()),
        }
    }

    /// As this one, for another database of the same server, whose sets have its name.
    #[must_use]
    pub fn of_database(&self, database: &str) -> Profile {
        let mut profile = self.clone();
        profile.database = Some(database.to_owned());
        profile.settings.name = Some(Valued::flag("--all", backup_name(database)));
        profile
    }

    /// As this one, for what belongs to none of the server's databases. Without a database named, as pg_dumpall, it
    /// connects to `postgres`, which every cluster has.
    #[must_use]
    pub fn of_cluster(&self, name: &str) -> Profile {
        let mut profile = self.clone();
        if !self.source.names_database() && self.settings.url.is_none() {
            profile.database = Some("postgres".to_owned());
        }
        if profile.settings.name.is_none() {
            profile.settings.name = Some(Valued::flag("--globals", name.to_owned()));
        }
        profile
    }

    /// What the files of its sets begin with: as configured, else the section, else the database's name.
    ///
    /// # Errors
    /// `Usage` if it is no name for a file; as [`Profile::connect_settings`].
    pub fn name(&self) -> Result<String> {
        let Some(name) = &self.settings.name else {
            return match &self.section {
                Some(section) => Ok(section.clone()),
                None => Ok(backup_name(self.connect_settings()?.database())),
            };
        };
        match backup_name(&name.value) == name.value {
            true => Ok(name.value.clone()),
            false => Err(Error::new(
                ErrorKind::Usage,
                "the name of the backups holds characters that no file name should",
            )
            .detail(format!("It comes from {}.", name.origin))
            .hint("Use letters, digits, \".\", \"_\" and \"-\".")),
        }
    }

    /// Where its sets are.
    ///
    /// # Errors
    /// `Usage` if the location cannot be read; as [`Profile::name`].
    pub fn location(&self) -> Result<Location> {
        let Some(text) = &self.settings.repository else {
            return Err(Error::internal("a repository has a default"));
        };
        match text.value.contains("{name}") {
            true => location_of(text, &self.name()?),
            false => location_of(text, ""),
        }
    }

    /// Where its sets are, with the keys to them. If a name is configured, only sets of that name are seen; one that merely
    /// follows from the database leaves other sets of the place visible.
    ///
    /// # Errors
    /// As [`Profile::location`]; `Usage` for the object store's environment.
    pub fn repository(&self) -> Result<Repository> {
        let repository = Repository::open(&self.location()?, self.encryption()?, self.identity()?)?;
        match self.settings.name.is_some() || self.section.is_some() {
            true => Ok(repository.only(self.name()?)),
            false => Ok(repository),
        }
    }

    /// Where second copies go.
    ///
    /// # Errors
    /// As [`Profile::repository`].
    pub fn offsite(&self) -> Result<Option<Repository>> {
        let Some(text) = &self.settings.offsite else {
            return Ok(None);
        };
        let location = location_of(text, &self.name()?)?;
        Repository::open(&location, self.encryption()?, self.identity()?).map(Some)
    }

    /// To whom sets are encrypted.
    ///
    /// # Errors
    /// `Usage` if both ways are configured.
    pub fn encryption(&self) -> Result<Encryption> {
        match (&self.settings.recipients, &self.settings.passphrase_file) {
            (None, None) => Ok(Encryption::None),
            (Some(recipients), None) => Ok(Encryption::Recipients(recipients.value.0.clone())),
            (None, Some(file)) => Ok(Encryption::PassphraseFile(file.value.clone())),
            (Some(recipients), Some(file)) => Err(Error::new(
                ErrorKind::Usage,
                "encryption is to recipients or by a passphrase, not both",
            )
            .detail(format!("Recipients come from {}.", recipients.origin))
            .detail(format!("The passphrase file comes from {}.", file.origin))),
        }
    }

    /// What opens encrypted sets.
    ///
    /// # Errors
    /// `Usage` if both ways are configured.
    pub fn identity(&self) -> Result<Identity> {
        match (
            &self.settings.identity_files,
            &self.settings.passphrase_file,
        ) {
            (None, None) => Ok(Identity::None),
            (Some(files), None) => Ok(Identity::Files(
                files.value.0.iter().map(PathBuf::from).collect(),
            )),
            (None, Some(file)) => Ok(Identity::PassphraseFile(file.value.clone())),
            (Some(files), Some(file)) => Err(Error::new(
                ErrorKind::Usage,
                "sets are opened by identity files or by a passphrase, not both",
            )
            .detail(format!("Identity files come from {}.", files.origin))
            .detail(format!("The passphrase file comes from {}.", file.origin))),
        }
    }

    /// What to keep. Retention given by flags is the whole of it.
    pub fn policy(&self) -> Policy {
        let settings = &self.settings;
        let value = |setting: &Option<super::Valued<u32>>| setting.as_ref().map(|it| it.value);
        let scheduled = match settings.retention_is_by_flags() {
            true => Scheduled::default(),
            false => Scheduled {
                daily: value(&settings.daily_keep),
                weekly: value(&settings.weekly_keep),
                monthly: value(&settings.monthly_keep),
            },
        };
        Policy {
            keep_last: value(&settings.keep_last),
            keep_daily: value(&settings.keep_daily),
            keep_weekly: value(&settings.keep_weekly),
            keep_monthly: value(&settings.keep_monthly),
            keep_within: settings.keep_within.as_ref().map(|within| within.value.0),
            keep_days: value(&settings.keep_days),
            scheduled,
        }
    }

    /// The zone in which schedules and days are meant.
    pub fn zone(&self) -> TimeZone {
        let zone = self.settings.timezone.as_ref();
        zone.map_or(TimeZone::UTC, |zone| zone.value.0.clone())
    }

    /// What happens by itself, and when.
    pub fn schedule(&self) -> Vec<(Task, CronExpression)> {
        let settings = &self.settings;
        [
            (Task::Backup(Kind::Daily), &settings.schedule_daily),
            (Task::Backup(Kind::Weekly), &settings.schedule_weekly),
            (Task::Backup(Kind::Monthly), &settings.schedule_monthly),
            (Task::Cleanup, &settings.schedule_cleanup),
            (Task::Verify, &settings.schedule_verify),
            (Task::Drill, &settings.schedule_drill),
        ]
        .into_iter()
        .filter_map(|(task, when)| {
            let when: &When = &when.as_ref()?.value;
            Some((task, when.cron()?.clone()))
        })
        .collect()
    }

    /// Connections that copy rows: as configured, else one per core and at most eight.
    pub fn jobs(&self) -> NonZeroU32 {
        if let Some(jobs) = &self.settings.jobs {
            return jobs.value;
        }
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let jobs = u32::try_from(cores)
            .unwrap_or(MAX_DEFAULT_JOBS)
            .min(MAX_DEFAULT_JOBS);
        NonZeroU32::new(jobs).unwrap_or(NonZeroU32::MIN)
    }

    /// What falls more than this is told as an anomaly.
    pub fn thresholds(&self) -> Thresholds {
        let max_drop = self.settings.max_drop.as_ref();
        max_drop.map_or_else(Thresholds::default, |percent| {
            Thresholds::of_percent(percent.value.0)
        })
    }

    /// What runs before and after a backup.
    pub fn hooks(&self) -> Hooks {
        let settings = &self.settings;
        let command = |setting: &Option<super::Valued<super::ShellCommand>>| {
            setting.as_ref().map(|it| it.value.0.clone())
        };
        let url = |setting: &Option<super::Valued<super::HttpUrl>>| {
            setting.as_ref().map(|it| it.value.reveal().clone())
        };
        let usual = Hooks::default();
        Hooks {
            before: command(&settings.hook_before),
            after: command(&settings.hook_after),
            on_error: command(&settings.hook_on_error),
            time_limit: settings
                .hook_time_limit
                .as_ref()
                .map_or(usual.time_limit, |limit| limit.value.0),
            ping_start: url(&settings.ping_start),
            ping_success: url(&settings.ping_success),
            ping_fail: url(&settings.ping_fail),
            webhook: url(&settings.webhook),
        }
    }

    /// How many bytes of rows a dump may take in a second.
    pub fn max_rate(&self) -> Option<NonZeroU64> {
        self.settings.max_rate.as_ref().map(|rate| rate.value.0)
    }

    /// When a dump waits for others.
    pub fn busy_limits(&self) -> BusyLimits {
        BusyLimits {
            sessions: self.settings.max_load.as_ref().map(|load| load.value),
            lag_bytes: self.settings.max_lag.as_ref().map(|lag| lag.value.0),
        }
    }

    /// A backup of the whole database.
    ///
    /// # Errors
    /// As [`Profile::connect_settings`], [`Profile::repository`] and [`Profile::offsite`].
    pub fn backup_job(&self, kind: Kind) -> Result<BackupJob> {
        let compression = self.settings.compression.as_ref();
        Ok(BackupJob {
            settings: self.connect_settings()?,
            options: CreateOptions {
                compression: compression.map_or_else(Default::default, |method| method.value.0),
                max_rate: self.max_rate(),
                busy: self.busy_limits(),
                ..CreateOptions::whole(self.jobs())
            },
            repository: self.repository()?,
            name: self.name()?,
            kind,
            offsite: self.offsite()?,
            thresholds: self.thresholds(),
            hooks: self.hooks(),
        })
    }
}
