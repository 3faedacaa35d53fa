//! A host with backups: a directory for them, and the settings that an operator would export.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::pgstow::{Outcome, command};
use super::{Database, pgstow};

/// Runs `pgstow` with `BACKUP_DIR`, `DATABASE_URL` and whatever else is set.
pub(crate) struct Host {
    dir: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Host {
    /// The database is what `DATABASE_URL` names.
    pub(crate) fn of(database: &Database) -> Host {
        let host = Host {
            dir: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        };
        let backups = host.backups().to_str().unwrap().to_owned();
        host.with("DATABASE_URL", &database.url())
            .with("BACKUP_DIR", &backups)
            .with("BACKUP_NAME", "jarvis")
    }

    /// One more variable, or another value of one.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Host {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A directory for whatever a test needs.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where its sets are.
    pub(crate) fn backups(&self) -> PathBuf {
        self.dir.path().join("backups")
    }

    /// The built `pgstow` in this environment, without a directory that has a pgstow.toml.
    pub(crate) fn command(&self) -> Command {
        let mut command = command();
        command.current_dir(self.dir());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Any other program in this environment, which finds `pgstow` by its name.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_pgstow"));
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(&name);
            }
        }
        command
            .current_dir(self.dir())
            .stdin(std::process::Stdio::null())
            .env(
                "PATH",
                format!("{}:{path}", binary.parent().unwrap().display()),
            )
            .env("PGSTOW_ENV", "/nonexistent")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `pgstow`.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Outcome {
        pgstow::finish(self.command().args(arguments))
    }

    /// Makes a set of a kind and gives its id.
    #[track_caller]
    pub(crate) fn create(&self, kind: &str) -> String {
        let outcome = self
            .run(["create", "--json", "--kind", kind])
            .expect_status(0);
        let report: Value = serde_json::from_str(&outcome.stdout()).unwrap();
        let file = Path::new(report["file"].as_str().unwrap());
        let name = file.file_name().unwrap().to_str().unwrap();
        name.split_once(".sql").unwrap().0.to_owned()
    }

    /// What `list --json` tells, the newest first.
    #[track_caller]
    pub(crate) fn list(&self) -> Vec<Value> {
        let listed = self.run(["list", "--json"]).expect_status(0).stdout();
        serde_json::from_str(&listed).unwrap()
    }

    /// The ids of all sets, the newest first.
    #[track_caller]
    pub(crate) fn ids(&self) -> Vec<String> {
        let id = |set: &Value| set["id"].as_str().unwrap().to_owned();
        self.list().iter().map(id).collect()
    }

    /// The names in the directory of the backups, sorted; those of ours that are hidden, too.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.backups()).into_iter().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The contents of a set's `.meta`.
    pub(crate) fn meta(&self, id: &str) -> Value {
        let name = format!("{id}.sql.gz.meta");
        serde_json::from_slice(&std::fs::read(self.backups().join(name)).unwrap()).unwrap()
    }

    /// Makes a set look older: a copy of its files under the name of another time, with a `.meta` that says so.
    pub(crate) fn age(&self, id: &str, days: i64) -> String {
        let created = id.rsplit_once("-backup-").unwrap().1;
        let created = jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", &created[..15]).unwrap();
        let then = created - jiff::Span::new().days(days);
        let old = format!("jarvis-backup-{}", then.strftime("%Y%m%d-%H%M%S"));
        let mut meta = self.meta(id);
        meta["file"] = format!("{old}.sql.gz").into();
        let path = |id: &str, suffix: &str| self.backups().join(format!("{id}.sql.gz{suffix}"));
        std::fs::rename(path(id, ""), path(&old, "")).unwrap();
        let sha256 = meta["sha256"].as_str().unwrap();
        std::fs::write(path(&old, ".sha256"), format!("{sha256}  {old}.sql.gz\n")).unwrap();
        std::fs::write(path(&old, ".meta"), meta.to_string()).unwrap();
        std::fs::remove_file(path(id, ".sha256")).unwrap();
        std::fs::remove_file(path(id, ".meta")).unwrap();
        old
    }
}
