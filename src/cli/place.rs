//! Which sets a command is about: its repository, from options, environment and configuration.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;

use super::spool::{STDIN, spool_archive};
use crate::archive::{ArchiveReader, Source, local_source};
use crate::backup::{BackupSet, Repository, parse_set_name};
use crate::config::{
    Config, ConnectSource, DatabaseSettings, Environment, Flags, List, Profile, ServiceSettings,
    Valued,
};
use crate::objects::quote::one_line;
use crate::restore::{DumpSource, recognize};
use crate::storage::{Encryption, Identity, Location, Lock, Storage, decrypt, spawn_blocking};
use crate::{Error, ErrorKind, Result};

/// The heading of these options in `--help`.
const PLACE: &str = "Where the backups are";

/// Options of every command that works on sets.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PlaceArgs {
    /// A directory, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX [default: BACKUP_DIR, or /var/backups/NAME]
    #[arg(long, value_name = "DIR|URL", help_heading = PLACE)]
    pub(crate) repository: Option<String>,
    /// What the files begin with [default: BACKUP_NAME, or the database's name]
    #[arg(long, value_name = "NAME", help_heading = PLACE)]
    pub(crate) name: Option<String>,
    /// A database of the configuration file
    #[arg(long, value_name = "NAME", help_heading = PLACE)]
    pub(crate) profile: Option<String>,
    /// Configuration file [default: PGSTOW_CONFIG, pgstow.toml, /etc/pgstow/pgstow.toml]
    #[arg(long, value_name = "FILE", help_heading = PLACE)]
    pub(crate) config: Option<PathBuf>,
    /// Secret keys (age) that open encrypted backups
    #[arg(long = "identity", value_name = "FILE", help_heading = PLACE)]
    pub(crate) identity_files: Vec<String>,
    /// Encrypts and opens backups by the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "identity_files", help_heading = PLACE)]
    pub(crate) passphrase_file: Option<PathBuf>,
}

impl PlaceArgs {
    /// What holds, with `database` as further flags.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub(crate) fn resolve(
        &self,
        source: ConnectSource,
        database: DatabaseSettings,
    ) -> Result<Config> {
        self.resolve_all(source, database, ServiceSettings::default())
    }

    /// As [`PlaceArgs::resolve`], with the flags of the service.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub(crate) fn resolve_all(
        &self,
        source: ConnectSource,
        database: DatabaseSettings,
        service: ServiceSettings,
    ) -> Result<Config> {
        let identity_files = (!self.identity_files.is_empty())
            .then(|| Valued::flag("--identity", List(self.identity_files.clone())));
        let text =
            |option, value: &Option<String>| value.clone().map(|value| Valued::flag(option, value));
        let flags = Flags {
            config: self.config.clone(),
            profile: self.profile.clone(),
            source,
            database: DatabaseSettings {
                repository: text("--repository", &self.repository),
                name: text("--name", &self.name),
                identity_files,
                passphrase_file: self
                    .passphrase_file
                    .clone()
                    .map(|path| Valued::flag("--passphrase-file", path)),
                ..database
            },
            service,
            ..Flags::default()
        };
        Config::resolve(&flags, &Environment::of_process())
    }

    /// The one database that is meant.
    ///
    /// # Errors
    /// As [`Config::one`].
    pub(crate) fn profile(&self) -> Result<Profile> {
        let config = self.resolve(ConnectSource::default(), DatabaseSettings::default())?;
        config.one().cloned()
    }

    /// The archive that a user means: a file, a URL of one, or a set by `latest`, `latest:KIND`, its id or the beginning of it.
    ///
    /// # Errors
    /// `NotFound`, `Usage` if it is none; `Io`.
    pub(crate) async fn find(&self, argument: &Path) -> Result<Found> {
        let text = argument.to_str().unwrap_or_default();
        if text == "-" {
            return match spawn_blocking(spool_archive).await? {
                Some(file) => Ok(Found::Stdin { file }),
                None => self.file(argument),
            };
        }
        if let Some((parent, file)) = text.rsplit_once('/').filter(|_| text.contains("://")) {
            return self.find_in(parent.parse()?, file).await;
        }
        let is_path = argument.components().count() > 1 || argument.symlink_metadata().is_ok();
        if !is_path && !text.is_empty() {
            let repository = self.profile()?.repository()?;
            let set = repository.find(text).await?;
            return Ok(Found::Set {
                repository,
                set: Box::new(set),
            });
        }
        let name = argument.file_name().and_then(|name| name.to_str());
        match name.filter(|name| parse_set_name(name).is_some()) {
            Some(name) if argument.with_file_name(format!("{name}.meta")).exists() => {
                let parent = argument
                    .parent()
                    .filter(|path| !path.as_os_str().is_empty());
                let parent = parent.unwrap_or(Path::new(".")).to_owned();
                match self.find_in(Location::Directory(parent), name).await {
                    Ok(found) => Ok(found),
                    // Side files that cannot be trusted make it no set, but the archive may be whole.
                    Err(e) if e.kind() == ErrorKind::NotFound => self.file(argument),
                    Err(e) => Err(e),
                }
            }
            _ => self.file(argument),
        }
    }

    fn file(&self, path: &Path) -> Result<Found> {
        Ok(Found::File {
            path: path.to_owned(),
            identity: self.identity()?,
        })
    }

    async fn find_in(&self, location: Location, file: &str) -> Result<Found> {
        let repository = Repository::open(&location, Encryption::None, self.identity()?)?;
        let listing = repository.list().await?;
        if let Some(set) = listing.sets.into_iter().find(|set| set.file == file) {
            return Ok(Found::Set {
                repository,
                set: Box::new(set),
            });
        }
        let why = listing
            .unreadable
            .into_iter()
            .find(|(name, _)| name == file);
        let shown = one_line(file);
        let error = Error::new(
            ErrorKind::NotFound,
            format!("there is no backup set \"{shown}\" in {location}"),
        );
        Err(match why {
            Some((_, why)) => error.detail(format!("{shown}: {why}.")),
            None => error,
        })
    }

    /// What opens encrypted backups. Several configured databases may have several keys: then --profile says which.
    fn identity(&self) -> Result<Identity> {
        match (self.identity_files.as_slice(), &self.passphrase_file) {
            ([], Some(file)) => Ok(Identity::PassphraseFile(file.clone())),
            ([], None) => {
                let config = self.resolve(ConnectSource::default(), DatabaseSettings::default())?;
                match config.profiles.as_slice() {
                    [profile] => profile.identity(),
                    _ => Ok(Identity::None),
                }
            }
            (files, _) => Ok(Identity::Files(files.iter().map(PathBuf::from).collect())),
        }
    }
}

/// An archive that a user means.
pub(crate) enum Found {
    /// A file of this host that is no set.
    File {
        /// Where it is.
        path: PathBuf,
        /// What may open it.
        identity: Identity,
    },
    /// An archive of pg_dump that came through standard input.
    Stdin {
        /// All of it.
        file: File,
    },
    /// A set.
    Set {
        /// Where it is.
        repository: Repository,
        /// Which.
        set: Box<BackupSet>,
    },
}

impl Found {
    /// Opens it; a set is not deleted while the lock is held.
    ///
    /// # Errors
    /// As [`Repository::open_set`].
    pub(crate) async fn open(&self) -> Result<(ArchiveReader, Option<Lock>)> {
        match self {
            Found::Set { repository, set } => {
                let open = repository.open_set(set).await?;
                Ok((open.reader, Some(open.lock)))
            }
            Found::Stdin { file } => {
                let source = of_file(file)?;
                let open = move || ArchiveReader::from_source(STDIN, source);
                Ok((spawn_blocking(open).await?, None))
            }
            Found::File { path, identity } => {
                let (path, identity) = (path.clone(), identity.clone());
                let reader = spawn_blocking(move || {
                    recognize(&path, false)?.expect_archive(&path)?;
                    if crate::pg_archive::is_directory_archive(&path) {
                        return ArchiveReader::open_directory(&path);
                    }
                    let name = path.display().to_string();
                    let source = crate::archive::open_local(&path).map_err(|e| {
                        let name = one_line(&name);
                        Error::io(format!("could not open archive \"{name}\""), e)
                    })?;
                    ArchiveReader::from_source(&name, decrypt(source, &identity)?)
                })
                .await?;
                Ok((reader, None))
            }
        }
    }

    /// Who reads it: a set is an archive, a file may be anything. `plain`: the user says that it is a plain script.
    ///
    /// # Errors
    /// As [`recognize`].
    pub(crate) async fn recognize(&self, plain: bool) -> Result<DumpSource> {
        match self {
            Found::Set { .. } => Ok(DumpSource::Archive),
            Found::Stdin { .. } => Ok(DumpSource::PgDump),
            Found::File { path, .. } => {
                let path = path.clone();
                spawn_blocking(move || recognize(&path, plain)).await
            }
        }
    }

    /// Its place, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Found::File { path, .. } => path.display().to_string(),
            Found::Stdin { .. } => STDIN.to_owned(),
            Found::Set { repository, set } => repository.path_of(&set.file),
        }
    }
}

/// The bytes of an open file.
///
/// # Errors
/// `Io`.
pub(super) fn of_file(file: &File) -> Result<Box<dyn Source>> {
    file.try_clone()
        .and_then(local_source)
        .map_err(|e| Error::io(format!("could not read {STDIN}"), e))
}

/// Tells of files that look like sets and are none.
pub(crate) fn warn_of_unreadable(unreadable: &[(String, String)]) {
    for (file, why) in unreadable {
        eprintln!(
            "warning: {} is no backup set: {}",
            one_line(file),
            one_line(why)
        );
    }
}

/// Refuses a directory that is not there: an empty list would be taken for "no backups".
///
/// # Errors
/// `NotFound`.
pub(crate) fn check_exists(storage: &Storage) -> Result<()> {
    match storage.location() {
        Location::Directory(path) if !path.is_dir() => {
            let shown = path.display().to_string();
            Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no directory \"{}\"", one_line(&shown)),
            )
            .hint("BACKUP_DIR or --repository says where the backups are; pgstow create makes the directory."))
        }
        _ => Ok(()),
    }
}
