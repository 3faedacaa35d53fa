//! What holds for each database and for the service: flags > environment > `pgstow.toml` > defaults.
//!
//! `setting` has the types of values, `layers` the list of all settings with their keys and variables, `file` and
//! `environment` are layers, `profile` turns the settings of one database into what the engine takes. Every value knows
//! where it came from, and none is shown with a secret in it.

mod environment;
mod file;
mod layers;
mod profile;
mod setting;
mod valued;

use std::path::{Path, PathBuf};

pub use environment::Environment;
pub use layers::{DatabaseSettings, LogSettings, ServiceSettings, ShownSetting};
pub use profile::{ConnectSource, Profile, Task};
pub(crate) use setting::read_option;
pub use setting::{
    ByteSize, CronExpression, DatabaseUrl, HttpUrl, List, Method, Percent, Rate, ShellCommand,
    TimeLimit, When, Within, Zone, read_secret_file,
};
pub use valued::{Origin, Valued};

use crate::objects::quote::one_line;
use crate::{Error, ErrorKind, Result};
use file::ConfigFile;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The configuration file, instead of the usual ones.
    pub config: Option<PathBuf>,
    /// The section of the database that is meant.
    pub profile: Option<String>,
    /// The database as the other commands take it.
    pub source: ConnectSource,
    /// What concerns databases.
    pub database: DatabaseSettings,
    /// What concerns the service.
    pub service: ServiceSettings,
    /// What concerns log lines.
    pub log: LogSettings,
}

/// All that holds.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read.
    pub path: Option<PathBuf>,
    /// The databases, in the order of their sections' names; never empty.
    pub profiles: Vec<Profile>,
    /// `[service]`.
    pub service: ServiceSettings,
    /// `[log]`.
    pub log: LogSettings,
}

impl Config {
    /// Lays flags over the environment over the file over the defaults.
    ///
    /// Without sections the environment and the flags describe the one database. With one section they are laid over it. With
    /// several, what tells databases apart (`DATABASE_URL`, `BACKUP_NAME`, `BACKUP_DIR`) cannot mean all of them and is left alone.
    /// A database that is named on the command line without `--profile` is none of the configured ones.
    ///
    /// # Errors
    /// `Usage` with the place of the wrong value; `Usage` if there is no such section.
    pub fn resolve(flags: &Flags, environment: &Environment) -> Result<Config> {
        let file = ConfigFile::find(flags.config.as_deref(), environment)?;
        Config::of_file(flags, environment, file)
    }

    fn of_file(flags: &Flags, environment: &Environment, file: ConfigFile) -> Result<Config> {
        let ConfigFile {
            path,
            defaults,
            databases,
            service,
            log,
        } = file;
        let of_environment = DatabaseSettings::read(environment)?;
        let sections: Vec<(Option<String>, DatabaseSettings)> = match &flags.profile {
            None if flags.source.names_database() || databases.is_empty() => {
                vec![(None, DatabaseSettings::default())]
            }
            None => databases
                .into_iter()
                .map(|(name, section)| (Some(name), section))
                .collect(),
            Some(wanted) => {
                let section = databases.get(wanted).cloned();
                let section = section.ok_or_else(|| {
                    let known: Vec<&str> = databases.keys().map(String::as_str).collect();
                    no_section(wanted, path.as_deref(), &known)
                })?;
                vec![(Some(wanted.clone()), section)]
            }
        };
        // What tells databases apart cannot mean several, nor the one that --profile names.
        let of_environment = match sections.len() == 1 && flags.profile.is_none() {
            true => of_environment,
            false => of_environment.without_identity(),
        };
        let profiles = sections
            .into_iter()
            .map(|(section, settings)| {
                let settings = of_environment.clone().over(settings).over(defaults.clone());
                Profile {
                    section,
                    database: None,
                    source: flags.source.clone(),
                    settings: flags.database.clone().flags_over(settings).over_defaults(),
                }
            })
            .collect();
        Ok(Config {
            path,
            profiles,
            service: flags.service.clone().over(
                ServiceSettings::read(environment)?
                    .over(service)
                    .over_defaults(),
            ),
            log: flags
                .log
                .clone()
                .over(LogSettings::read(environment)?.over(log).over_defaults()),
        })
    }

    /// What holds for log lines alone, whatever is wrong with the rest of the file.
    ///
    /// # Errors
    /// `Usage` if the file cannot be read, or a value makes no sense.
    pub fn log_settings(flags: &Flags, environment: &Environment) -> Result<LogSettings> {
        let said = flags.log.clone().over(LogSettings::read(environment)?);
        let file = ConfigFile::find(flags.config.as_deref(), environment)?;
        Ok(said.over(file.log).over_defaults())
    }

    /// The one database that is meant.
    ///
    /// # Errors
    /// `Usage`, naming the databases, if there are several.
    pub fn one(&self) -> Result<&Profile> {
        match self.profiles.as_slice() {
            [profile] => Ok(profile),
            profiles => {
                let names: Vec<&str> = profiles
                    .iter()
                    .filter_map(|profile| profile.section.as_deref())
                    .collect();
                Err(Error::new(
                    ErrorKind::Usage,
                    "several databases are configured and none is named",
                )
                .hint(format!("Give --profile with one of: {}.", names.join(", "))))
            }
        }
    }
}

fn no_section(wanted: &str, path: Option<&Path>, known: &[&str]) -> Error {
    let wanted = one_line(wanted);
    let error = match path {
        None => Error::new(
            ErrorKind::Usage,
            format!("there is no configuration file that could have a section [database.{wanted}]"),
        ),
        Some(path) => Error::new(
            ErrorKind::Usage,
            format!("{} has no section [database.{wanted}]", path.display()),
        ),
    };
    match known {
        [] => error,
        known => error.hint(format!("There are: {}.", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::backup::retention::Policy;
    use crate::storage::Location;

    fn config(
        flags: &Flags,
        variables: &[(&'static str, &'static str)],
        file: &str,
    ) -> Result<Config> {
        let environment = Environment::of(variables.iter().copied());
        let file = ConfigFile::parse(file, Path::new("p.toml"))?;
        Config::of_file(flags, &environment, file)
    }

    const TWO: &str = "[defaults]\njobs = 2\n[database.a]\nurl = \"postgresql://h/a\"\n\
                       [database.b]\nurl = \"postgresql://h/b\"\njobs = 3\nrepository = \"/x\"\n";

    fn jobs(profile: &Profile) -> (u32, String) {
        let jobs = profile.settings.jobs.as_ref().unwrap();
        (jobs.value.get(), jobs.origin.to_string())
    }

    #[test]
    fn the_nearer_layer_wins() {
        let nothing = config(&Flags::default(), &[], TWO).unwrap();
        assert_eq!(jobs(&nothing.profiles[0]), (2, "p.toml line 2".to_owned()));
        assert_eq!(jobs(&nothing.profiles[1]), (3, "p.toml line 7".to_owned()));
        let by_variable = config(&Flags::default(), &[("PGSTOW_JOBS", "5")], TWO).unwrap();
        assert_eq!(
            jobs(&by_variable.profiles[1]),
            (5, "environment variable PGSTOW_JOBS".to_owned())
        );
        let flags = Flags {
            database: DatabaseSettings {
                jobs: Some(Valued::flag("--jobs", std::num::NonZeroU32::MIN)),
                ..DatabaseSettings::default()
            },
            ..Flags::default()
        };
        let by_flag = config(&flags, &[("PGSTOW_JOBS", "5")], TWO).unwrap();
        assert_eq!(jobs(&by_flag.profiles[1]), (1, "--jobs".to_owned()));
    }

    #[test]
    fn a_directory_in_the_environment_means_one_database_only() {
        let place = |profile: &Profile| profile.location().unwrap();
        let variables = [("BACKUP_DIR", "/b")];
        let several = config(&Flags::default(), &variables, TWO).unwrap();
        let default = Location::Directory("/var/backups/a".into());
        assert_eq!(place(&several.profiles[0]), default);
        assert_eq!(
            place(&several.profiles[1]),
            Location::Directory("/x".into())
        );
        let one = config(&Flags::default(), &variables, "").unwrap();
        assert_eq!(place(one.one().unwrap()), Location::Directory("/b".into()));
    }

    #[test]
    fn several_databases_need_a_name() {
        let error = config(&Flags::default(), &[], TWO).unwrap().one().cloned();
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(error.hint_text(), Some("Give --profile with one of: a, b."));
        let named = Flags {
            profile: Some("b".to_owned()),
            ..Flags::default()
        };
        assert_eq!(
            config(&named, &[], TWO)
                .unwrap()
                .one()
                .unwrap()
                .name()
                .unwrap(),
            "b"
        );
        let wrong = Flags {
            profile: Some("c".to_owned()),
            ..Flags::default()
        };
        assert_eq!(
            config(&wrong, &[], TWO).unwrap_err().hint_text(),
            Some("There are: a, b.")
        );
    }

    fn policy(variables: &[(&'static str, &'static str)], file: &str) -> Policy {
        let config = config(&Flags::default(), variables, file).unwrap();
        config.one().unwrap().policy()
    }

    #[test]
    fn retention_is_the_guides_unless_days_are_given() {
        let usual = policy(&[], "");
        assert_eq!(usual.scheduled.daily, Some(30));
        assert_eq!(usual.scheduled.weekly, Some(12));
        assert_eq!(usual.keep_days, None);
        let days = policy(&[("BACKUP_RETENTION_DAYS", "60")], "");
        assert_eq!((days.keep_days, days.scheduled.daily), (Some(60), None));
        assert_eq!(days.scheduled.monthly, Some(12));
        let both = policy(
            &[("BACKUP_RETENTION_DAYS", "60")],
            "[defaults]\nschedule.daily_keep = 5",
        );
        assert_eq!((both.keep_days, both.scheduled.daily), (Some(60), Some(5)));
    }

    #[test]
    fn retention_by_flags_is_the_whole_policy() {
        let flags = Flags {
            database: DatabaseSettings {
                keep_last: Some(Valued::flag("--keep-last", 3)),
                ..DatabaseSettings::default()
            },
            ..Flags::default()
        };
        let config = config(&flags, &[("BACKUP_RETENTION_DAYS", "60")], "").unwrap();
        let policy = config.one().unwrap().policy();
        assert_eq!(policy.keep_last, Some(3));
        assert_eq!(policy.keep_days, None);
        assert_eq!(policy.scheduled.daily, None);
    }
}
