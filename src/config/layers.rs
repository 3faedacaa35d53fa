//! What can be set, in one list for each scope: the key of the file, the environment variable, the type.
//!
//! Flags, environment, a file's section and the defaults are each a value of the same struct in which
//! everything is optional; laying one over the other is all there is to precedence.

use std::num::NonZeroU32;
use std::path::PathBuf;

use super::setting::{
    ByteSize, DatabaseUrl, HttpUrl, List, Method, Percent, Rate, Setting, ShellCommand, TimeLimit,
    When, Within, Zone,
};
use super::valued::{Given, Origin, Valued};
use crate::logging::LogFormat;
use crate::storage::Location;
use crate::{Error, ErrorKind, Result};

/// Something that settings can be taken from, one by one.
pub(super) trait Layer {
    /// What it says about a setting.
    fn take(&mut self, key: &str, variable: &'static str) -> Option<(Given, Origin)>;
}

/// A setting as `pgstow config` shows it. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ShownSetting {
    /// Its key in the file, within its section.
    pub key: &'static str,
    /// What holds, secrets masked; `None` if it is not set.
    pub value: Option<String>,
    /// Where the value came from; `None` if it is not set.
    pub origin: Option<String>,
    /// The environment variable that sets it.
    pub variable: &'static str,
}

macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$doc:meta])* $field:ident: $type:ty = $key:literal, $variable:literal; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        pub struct $name {
            $( $(#[$doc])* pub $field: Option<Valued<$type>>, )*
        }

        impl $name {
            /// The keys of the file and the environment variables.
            pub const KEYS: &'static [(&'static str, &'static str)] = &[$( ($key, $variable) ),*];

            /// Takes what a layer says.
            pub(super) fn read(mut layer: impl Layer) -> Result<Self> {
                Ok($name { $( $field: read_setting(&mut layer, $key, $variable)?, )* })
            }

            /// Itself, with what it leaves open taken from a lower layer.
            #[must_use]
            pub fn over(self, lower: Self) -> Self {
                $name { $( $field: self.$field.or(lower.$field), )* }
            }

            /// All settings for people, secrets masked.
            pub fn shown(&self) -> Vec<ShownSetting> {
                vec![ $( show_setting($key, $variable, self.$field.as_ref()), )* ]
            }
        }
    };
}

settings! {
    /// What concerns one database: a `[database.NAME]` section, or `[defaults]` for all of them.
    pub struct DatabaseSettings {
        /// How to connect: a URI or keyword string.
        url: DatabaseUrl = "url", "DATABASE_URL";
        /// What the files of its sets begin with.
        name: String = "name", "BACKUP_NAME";
        /// Where sets are kept. `{name}` stands for the name.
        repository: String = "repository", "BACKUP_DIR";
        /// Where a second copy of each set goes.
        offsite: String = "offsite", "PGSTOW_OFFSITE";
        /// The zone in which schedules and days are meant.
        timezone: Zone = "timezone", "PGSTOW_TIMEZONE";
        /// Connections that copy rows.
        jobs: NonZeroU32 = "jobs", "PGSTOW_JOBS";
        /// How many bytes of rows may come in a second, over all connections together.
        max_rate: Rate = "max_rate", "PGSTOW_MAX_RATE";
        /// With how many active sessions of others no rows are read.
        max_load: u32 = "max_load", "PGSTOW_MAX_LOAD";
        /// How many bytes of WAL a standby may be behind while rows are read.
        max_lag: ByteSize = "max_lag", "PGSTOW_MAX_LAG";
        /// `gzip:1` to `gzip:12`, `zstd:-7` to `zstd:19`, `auto`, `zstd:auto`, `none`.
        compression: Method = "compression", "PGSTOW_COMPRESSION";
        /// When daily sets are made.
        schedule_daily: When = "schedule.daily", "PGSTOW_SCHEDULE_DAILY";
        /// When weekly sets are made.
        schedule_weekly: When = "schedule.weekly", "PGSTOW_SCHEDULE_WEEKLY";
        /// When monthly sets are made.
        schedule_monthly: When = "schedule.monthly", "PGSTOW_SCHEDULE_MONTHLY";
        /// When sets that need not be kept are deleted.
        schedule_cleanup: When = "schedule.cleanup", "PGSTOW_SCHEDULE_CLEANUP";
        /// Days of daily sets that are kept.
        daily_keep: u32 = "schedule.daily_keep", "PGSTOW_SCHEDULE_DAILY_KEEP";
        /// Weeks of weekly sets that are kept.
        weekly_keep: u32 = "schedule.weekly_keep", "PGSTOW_SCHEDULE_WEEKLY_KEEP";
        /// Months of monthly sets that are kept.
        monthly_keep: u32 = "schedule.monthly_keep", "PGSTOW_SCHEDULE_MONTHLY_KEEP";
        /// When the stored bytes of the newest set are checked.
        schedule_verify: When = "schedule.verify", "PGSTOW_SCHEDULE_VERIFY";
        /// When the newest set is restored for a proof.
        schedule_drill: When = "schedule.drill", "PGSTOW_SCHEDULE_DRILL";
        /// The newest sets, whatever made them.
        keep_last: u32 = "retention.keep_last", "PGSTOW_KEEP_LAST";
        /// Days of which the newest set is kept, whatever made it.
        keep_daily: u32 = "retention.keep_daily", "PGSTOW_KEEP_DAILY";
        /// Weeks of which the newest set is kept, whatever made it.
        keep_weekly: u32 = "retention.keep_weekly", "PGSTOW_KEEP_WEEKLY";
        /// Months of which the newest set is kept, whatever made it.
        keep_monthly: u32 = "retention.keep_monthly", "PGSTOW_KEEP_MONTHLY";
        /// All sets made within this before the newest good one are kept.
        keep_within: Within = "retention.keep_within", "PGSTOW_KEEP_WITHIN";
        /// All sets of the last days are kept.
        keep_days: u32 = "retention.keep_days", "BACKUP_RETENTION_DAYS";
        /// Public keys to encrypt to.
        recipients: List = "encryption.recipients", "PGSTOW_RECIPIENTS";
        /// A file whose first line encrypts and decrypts.
        passphrase_file: PathBuf = "encryption.passphrase_file", "PGSTOW_PASSPHRASE_FILE";
        /// Files with the secret keys that decrypt.
        identity_files: List = "encryption.identity_files", "PGSTOW_IDENTITY_FILES";
        /// By how much tables, rows or size may fall from one backup to the next without being told.
        max_drop: Percent = "anomalies.max_drop", "PGSTOW_ANOMALIES_MAX_DROP";
        /// Run before a backup.
        hook_before: ShellCommand = "hooks.before", "PGSTOW_HOOKS_BEFORE";
        /// Run after a good backup.
        hook_after: ShellCommand = "hooks.after", "PGSTOW_HOOKS_AFTER";
        /// Run after a failed backup.
        hook_on_error: ShellCommand = "hooks.on_error", "PGSTOW_HOOKS_ON_ERROR";
        /// How long each of these commands may take.
        hook_time_limit: TimeLimit = "hooks.time_limit", "PGSTOW_HOOKS_TIME_LIMIT";
        /// Asked when a backup starts.
        ping_start: HttpUrl = "hooks.ping_start", "PGSTOW_PING_START";
        /// Asked when a backup is done.
        ping_success: HttpUrl = "hooks.ping_success", "PGSTOW_PING_SUCCESS";
        /// Asked when a backup failed.
        ping_fail: HttpUrl = "hooks.ping_fail", "PGSTOW_PING_FAIL";
        /// Gets a JSON document when a backup is done or failed.
        webhook: HttpUrl = "hooks.webhook", "PGSTOW_WEBHOOK";
    }
}

settings! {
    /// `[service]`: what concerns `pgstow serve`.
    pub struct ServiceSettings {
        /// Address and port of the HTTP API.
        listen: std::net::SocketAddr = "listen", "PGSTOW_LISTEN";
        /// A file with the token that clients must show.
        token_file: PathBuf = "token_file", "PGSTOW_TOKEN_FILE";
        /// Whether a restore may be asked for over HTTP.
        allow_restore: bool = "allow_restore", "PGSTOW_ALLOW_RESTORE";
    }
}

settings! {
    /// `[log]`: what concerns log lines.
    pub struct LogSettings {
        /// Where log lines go instead of standard error.
        file: PathBuf = "file", "PGSTOW_LOG_FILE";
        /// `text`, `json` or `journald`.
        format: LogFormat = "format", "PGSTOW_LOG_FORMAT";
        /// `error`, `warn`, `info`, `debug`, `trace`, or a filter by module.
        level: String = "level", "PGSTOW_LOG_LEVEL";
        /// Size at which a log file is rotated.
        max_size: ByteSize = "max_size", "PGSTOW_LOG_MAX_SIZE";
        /// Rotated log files that are kept.
        keep: u32 = "keep", "PGSTOW_LOG_KEEP";
    }
}

impl ServiceSettings {
    /// Lays the built-in values under what was said.
    pub(super) fn over_defaults(self) -> Self {
        let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 3000));
        self.over(ServiceSettings {
            listen: Some(Valued::default(loopback)),
            allow_restore: Some(Valued::default(false)),
            ..ServiceSettings::default()
        })
    }
}

impl LogSettings {
    /// Lays the built-in values under what was said.
    pub(super) fn over_defaults(self) -> Self {
        self.over(LogSettings {
            format: Some(Valued::default(LogFormat::Text)),
            level: Some(Valued::default("info".to_owned())),
            max_size: Some(Valued::default(ByteSize(10 << 20))),
            keep: Some(Valued::default(5)),
            ..LogSettings::default()
        })
    }
}

impl DatabaseSettings {
    /// Lays flags over everything else. Retention given by flags is the whole policy, as with restic:
    /// `cleanup --keep-last 3` keeps three sets and not also thirty days.
    pub(super) fn flags_over(self, mut lower: Self) -> Self {
        if self.says_retention() {
            lower = DatabaseSettings {
                keep_last: None,
                keep_daily: None,
                keep_weekly: None,
                keep_monthly: None,
                keep_within: None,
                keep_days: None,
                daily_keep: None,
                weekly_keep: None,
                monthly_keep: None,
                ..lower
            };
        }
        self.over(lower)
    }

    /// Lays the built-in values under what was said. A number of days for all sets replaces the built-in
    /// number of daily ones, so that fewer days than that can be asked for.
    pub(super) fn over_defaults(self) -> Self {
        let mut defaults = DatabaseSettings {
            repository: Some(Valued::default("/var/backups/{name}".to_owned())),
            timezone: Some(Valued::default(Zone::of_system())),
            schedule_daily: Some(Valued::default(When::built_in("0 2 * * *"))),
            schedule_weekly: Some(Valued::default(When::built_in("0 3 * * 0"))),
            schedule_monthly: Some(Valued::default(When::built_in("0 4 1 * *"))),
            schedule_cleanup: Some(Valued::default(When::built_in("0 5 * * *"))),
            daily_keep: Some(Valued::default(30)),
            weekly_keep: Some(Valued::default(12)),
            monthly_keep: Some(Valued::default(12)),
            max_drop: Some(Valued::default(Percent::HALF)),
            hook_time_limit: Some(Valued::default(TimeLimit::DEFAULT)),
            ..DatabaseSettings::default()
        };
        if self.keep_days.is_some() {
            defaults.daily_keep = None;
        }
        self.over(defaults)
    }

    /// Without what tells one database from another.
    pub(super) fn without_identity(self) -> Self {
        DatabaseSettings {
            url: None,
            name: None,
            repository: None,
            ..self
        }
    }

    /// Whether retention was given by flags, which makes it the whole policy.
    pub(super) fn retention_is_by_flags(&self) -> bool {
        self.retention_origins()
            .any(|origin| matches!(origin, Origin::Flag(_)))
    }

    fn says_retention(&self) -> bool {
        self.retention_origins().next().is_some()
    }

    /// Who says what to keep of sets, whatever made them.
    fn retention_origins(&self) -> impl Iterator<Item = &Origin> {
        let counts = [
            &self.keep_last,
            &self.keep_daily,
            &self.keep_weekly,
            &self.keep_monthly,
            &self.keep_days,
        ];
        let counts = counts.into_iter().flatten().map(|count| &count.origin);
        counts.chain(self.keep_within.iter().map(|within| &within.origin))
    }
}

fn read_setting<T: Setting>(
    layer: &mut impl Layer,
    key: &'static str,
    variable: &'static str,
) -> Result<Option<Valued<T>>> {
    let Some((given, origin)) = layer.take(key, variable) else {
        return Ok(None);
    };
    match T::read(&given) {
        Ok(value) => Ok(Some(Valued { value, origin })),
        Err(why) => Err(Error::new(
            ErrorKind::Usage,
            format!("the value of {key} makes no sense: {why}"),
        )
        .detail(format!("It comes from {origin}."))),
    }
}

fn show_setting<T: Setting>(
    key: &'static str,
    variable: &'static str,
    setting: Option<&Valued<T>>,
) -> ShownSetting {
    ShownSetting {
        key,
        value: setting.map(|setting| setting.value.show()),
        origin: setting.map(|setting| setting.origin.to_string()),
        variable,
    }
}

/// A location, with its `{name}` filled in.
pub(super) fn location_of(text: &Valued<String>, name: &str) -> Result<Location> {
    text.value
        .replace("{name}", name)
        .parse()
        .map_err(|e: Error| e.detail(format!("It comes from {}.", text.origin)))
}
