//! `pgstow.toml`: which file, and its sections as layers that know the line of every value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::Environment;
use super::layers::{DatabaseSettings, Layer, LogSettings, ServiceSettings};
use super::valued::{Given, Origin};
use crate::backup::backup_name;
use crate::{Error, ErrorKind, Result};

/// Where a configuration file is looked for if none is named, in this order.
const USUAL_PLACES: [&str; 2] = ["pgstow.toml", "/etc/pgstow/pgstow.toml"];

/// What a configuration file says.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    pub(super) path: Option<PathBuf>,
    pub(super) defaults: DatabaseSettings,
    /// In the order of the names.
    pub(super) databases: BTreeMap<String, DatabaseSettings>,
    pub(super) service: ServiceSettings,
    pub(super) log: LogSettings,
}

impl ConfigFile {
    /// Reads the file that is named, else the first of the usual ones, else none.
    pub(super) fn find(named: Option<&Path>, environment: &Environment) -> Result<ConfigFile> {
        let named = named
            .map(Path::to_owned)
            .or_else(|| environment.var("PGSTOW_CONFIG").map(PathBuf::from));
        let path = match named {
            Some(path) => path,
            None => match USUAL_PLACES
                .map(PathBuf::from)
                .into_iter()
                .find(|p| p.exists())
            {
                Some(path) => path,
                None => return Ok(ConfigFile::default()),
            },
        };
        let text = std::fs::read_to_string(&path)
            // A file that is asked for and not there is a mistake in the call, not a missing backup.
            .map_err(|e| {
                Error::io(format!("could not read {}", path.display()), e)
                    .with_kind(ErrorKind::Usage)
            })?;
        ConfigFile::parse(&text, &path)
    }

    /// Reads a file's text.
    pub(super) fn parse(text: &str, path: &Path) -> Result<ConfigFile> {
        let reader = Reader {
            text,
            path: Arc::new(path.to_owned()),
        };
        let document = DeTable::parse(text).map_err(|e| {
            // The error's own text quotes the line, which may hold a password.
            let at = e.span().map_or(0, |span| span.start);
            reader.error(at, e.message().trim())
        })?;
        let mut file = ConfigFile {
            path: Some(path.to_owned()),
            ..ConfigFile::default()
        };
        for (key, value) in document.get_ref() {
            let at = key.span().start;
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("defaults", DeValue::Table(table)) => {
                    file.defaults = reader.database(table, "defaults")?;
                    reader.refuse_identity(&file.defaults, at)?;
                }
                ("database", DeValue::Table(databases)) => {
                    file.databases = reader.databases(databases)?;
                }
                ("service", DeValue::Table(table)) => {
                    let mut section = reader.section(table)?;
                    file.service = ServiceSettings::read(&mut section)?;
                    reader.refuse_unknown(section, "service", ServiceSettings::KEYS)?;
                }
                ("log", DeValue::Table(table)) => {
                    let mut section = reader.section(table)?;
                    file.log = LogSettings::read(&mut section)?;
                    reader.refuse_unknown(section, "log", LogSettings::KEYS)?;
                }
                (name @ ("defaults" | "database" | "service" | "log"), _) => {
                    return Err(reader.error(at, format!("{name} must be a table")));
                }
                (name, _) => {
                    return Err(reader
                        .error(at, format!("unknown key \"{name}\""))
                        .hint("There are [defaults], [database.NAME], [service] and [log]."));
                }
            }
        }
        Ok(file)
    }
}

/// A text on its way to sections.
struct Reader<'a> {
    text: &'a str,
    path: Arc<PathBuf>,
}

impl Reader<'_> {
    fn databases(&self, table: &DeTable<'_>) -> Result<BTreeMap<String, DatabaseSettings>> {
        let mut databases = BTreeMap::new();
        for (key, value) in table {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            if backup_name(name) != name {
                return Err(self
                    .error(at, "a database's section has a name that no file could have")
                    .hint("Use letters, digits, \".\", \"_\" and \"-\". The url says what the database is really called."));
            }
            let DeValue::Table(section) = value.get_ref() else {
                return Err(self
                    .error(at, "settings of a database stand outside of its section")
                    .hint("Write [database.NAME]."));
            };
            let settings = self.database(section, &format!("database.{name}"))?;
            databases.insert(name.to_owned(), settings);
        }
        Ok(databases)
    }

    fn database(&self, table: &DeTable<'_>, name: &str) -> Result<DatabaseSettings> {
        let mut section = self.section(table)?;
        let settings = DatabaseSettings::read(&mut section)?;
        self.refuse_unknown(section, name, DatabaseSettings::KEYS)?;
        Ok(settings)
    }

    /// What is said for all databases cannot say which one is meant.
    fn refuse_identity(&self, defaults: &DatabaseSettings, at: usize) -> Result<()> {
        if defaults.url.is_none() && defaults.name.is_none() {
            return Ok(());
        }
        Err(self
            .error(
                at,
                "[defaults] holds for all databases and cannot have a url or a name",
            )
            .hint("Put them into a section [database.NAME]."))
    }

    fn section(&self, table: &DeTable<'_>) -> Result<Section> {
        let mut section = Section {
            path: Arc::clone(&self.path),
            values: BTreeMap::new(),
        };
        self.flatten(table, "", &mut section.values)?;
        Ok(section)
    }

    /// Tables within the section become keys with dots.
    fn flatten(
        &self,
        table: &DeTable<'_>,
        prefix: &str,
        values: &mut BTreeMap<String, (Given, usize)>,
    ) -> Result<()> {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            if let DeValue::Table(inner) = value.get_ref() {
                self.flatten(inner, &format!("{name}."), values)?;
                continue;
            }
            let given = self.given(&name, value)?;
            values.insert(name, (given, self.line(key.span().start)));
        }
        Ok(())
    }

    fn given(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<Given> {
        if let DeValue::Array(values) = value.get_ref() {
            let texts = values.iter().map(|value| match value.get_ref() {
                DeValue::String(text) => Ok(text.clone().into_owned()),
                _ => Err(self.error(value.span().start, format!("{name} is a list of texts"))),
            });
            return texts.collect::<Result<_>>().map(Given::Many);
        }
        match value.get_ref() {
            DeValue::String(text) => Ok(Given::One(text.clone().into_owned())),
            DeValue::Integer(number) => Ok(Given::One(number.to_string())),
            DeValue::Float(number) => Ok(Given::One(number.to_string())),
            DeValue::Boolean(value) => Ok(Given::One(value.to_string())),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                Err(self.error(value.span().start, format!("{name} cannot be of this type")))
            }
        }
    }

    fn refuse_unknown(
        &self,
        section: Section,
        name: &str,
        known: &[(&'static str, &'static str)],
    ) -> Result<()> {
        let Some((key, (_, line))) = section
            .values
            .into_iter()
            .min_by_key(|(_, (_, line))| *line)
        else {
            return Ok(());
        };
        let known: Vec<&str> = known.iter().map(|(key, _)| *key).collect();
        Err(self
            .error_in_line(line, format!("unknown key \"{key}\" in [{name}]"))
            .hint(format!("Known keys: {}.", known.join(", "))))
    }

    fn error(&self, at: usize, what: impl std::fmt::Display) -> Error {
        self.error_in_line(self.line(at), what)
    }

    fn error_in_line(&self, line: usize, what: impl std::fmt::Display) -> Error {
        let path = self.path.display();
        Error::new(ErrorKind::Usage, format!("{path} line {line}: {what}"))
    }

    /// Lines count from 1.
    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().iter().take(at);
        before.filter(|byte| **byte == b'\n').count() + 1
    }
}

/// A section's values by their dotted keys, with their lines. What is taken is gone; what is left is unknown.
struct Section {
    path: Arc<PathBuf>,
    values: BTreeMap<String, (Given, usize)>,
}

impl Layer for &mut Section {
    fn take(&mut self, key: &str, _variable: &'static str) -> Option<(Given, Origin)> {
        let (given, line) = self.values.remove(key)?;
        let path = Arc::clone(&self.path);
        Some((given, Origin::File { path, line }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn parse(text: &str) -> Result<ConfigFile> {
        ConfigFile::parse(text, Path::new("p.toml"))
    }

    #[test]
    fn every_value_knows_its_line() {
        let file = parse(
            "[database.shop]\nurl = \"postgresql://h/shop\"\n\n[database.shop.retention]\nkeep_daily = 7\n",
        )
        .unwrap();
        let shop = &file.databases["shop"];
        let daily = shop.keep_daily.as_ref().unwrap();
        assert_eq!(daily.value, 7);
        assert_eq!(daily.origin.to_string(), "p.toml line 5");
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_refused_with_their_line() {
        for (text, line) in [
            ("\nlisten = \"x\"", 2),
            ("[service]\n\nlisten_to = \"x\"", 3),
            ("[database.a]\nretention.keep_dayly = 3", 2),
            ("[database.a]\njobs = 0", 2),
            ("[database.a]\njobs = [1]", 2),
            ("[database.a]\n\nhooks.ping_start = \"hc.example/x\"", 3),
            ("[database]\nurl = \"postgresql://h/d\"", 2),
            ("[database.\"../a\"]\njobs = 1", 1),
            ("[defaults]\nurl = \"postgresql://h/d\"", 1),
            ("[database.a]\nurl = \"sesame", 2),
            ("defaults = 3", 1),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            let shown = error.to_string();
            assert!(shown.contains(&format!("p.toml line {line}")), "{shown}");
            assert!(!shown.contains("sesame"), "{shown}");
        }
    }

    #[test]
    fn a_named_file_that_is_missing_is_wrong_usage() {
        let missing = Path::new("/no/such/pgstow.toml");
        let error = ConfigFile::find(Some(missing), &Environment::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        let by_variable = Environment::of([("PGSTOW_CONFIG", "/no/such/pgstow.toml")]);
        assert!(ConfigFile::find(None, &by_variable).is_err());
    }
}
