//! Fixtures: SQL files that fill a database.

use std::path::{Path, PathBuf};

use super::{Database, Failure, Server};

/// A SQL file under `fixtures/`.
///
/// Its first lines may be `-- min: N` and `-- max: N`, the server majors it is for, and
/// `-- database: OPTIONS`, more options of CREATE DATABASE. Roles are shared by all databases of a server: a fixture
/// makes those it needs unless they exist, and their names start with `pgstow_`.
pub(crate) struct Fixture {
    /// Path below `fixtures/`.
    pub(crate) name: String,
    path: PathBuf,
    min: u32,
    max: u32,
    database_options: String,
}

impl Fixture {
    /// All fixtures of the folders below `fixtures/`, by name.
    pub(crate) fn all_in(folders: &[&str]) -> Vec<Fixture> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let mut files = Vec::new();
        for folder in folders {
            collect_sql_files(&root.join(folder), &mut files);
        }
        files.sort();
        files
            .iter()
            .map(|file| Fixture::read(&root, file))
            .collect()
    }

    fn read(root: &Path, path: &Path) -> Fixture {
        let text = std::fs::read_to_string(path).expect("a fixture is readable UTF-8");
        let directive = |name: &str| {
            text.lines()
                .take_while(|line| line.starts_with("--"))
                .find_map(|line| line.strip_prefix(&format!("-- {name}:")))
                .map(str::trim)
        };
        let major = |name: &str| {
            directive(name).map(|value| value.parse().expect("-- min and -- max are majors"))
        };
        Fixture {
            name: path
                .strip_prefix(root)
                .expect("it was found below the root")
                .display()
                .to_string(),
            path: path.to_owned(),
            min: major("min").unwrap_or(0),
            max: major("max").unwrap_or(u32::MAX),
            database_options: directive("database").unwrap_or_default().to_owned(),
        }
    }

    /// Whether it can be loaded on that major.
    pub(crate) fn is_for(&self, major: u32) -> bool {
        (self.min..=self.max).contains(&major)
    }

    /// What it says.
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(&self.path).expect("a fixture is readable UTF-8")
    }

    /// A database as the fixture wants it, empty.
    pub(crate) fn empty_database(&self, server: &'static Server) -> Database {
        Database::with_options(server, &self.database_options)
    }

    /// A database filled by the fixture.
    pub(crate) fn load(&self, server: &'static Server) -> Result<Database, Failure> {
        let database = self.empty_database(server);
        let _one_at_a_time = server
            .loading
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        database.try_file(&self.path)?;
        Ok(database)
    }
}

fn collect_sql_files(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("fixtures can be listed").path();
        if path.is_dir() {
            collect_sql_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            found.push(path);
        }
    }
}
