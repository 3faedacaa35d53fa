//! Databases of their own for tests, spoken to by `psql`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use super::{Failure, Server, server, wait_until};

/// A line of pg_dump without the version that new servers keep among a column's options, and old clients take for the user's.
fn without_attribute_version(line: &str) -> Option<String> {
    let Some((head, rest)) = line.rsplit_once(" SET (") else {
        return Some(line.to_owned());
    };
    let options = rest.strip_suffix(");").unwrap_or(rest).split(", ");
    let others: Vec<&str> = options.filter(|it| !it.starts_with("pg_attver=")).collect();
    match others.is_empty() {
        true => None,
        false if rest.contains("pg_attver=") => {
            Some(format!("{head} SET ({});", others.join(", ")))
        }
        false => Some(line.to_owned()),
    }
}

/// A database, dropped when it goes out of scope.
pub(crate) struct Database {
    pub(crate) server: &'static Server,
    pub(crate) name: String,
}

impl Database {
    /// An empty database in UTF-8.
    pub(crate) fn empty(server: &'static Server) -> Database {
        Database::with_options(server, "")
    }

    /// An empty database with more options of CREATE DATABASE.
    pub(crate) fn with_options(server: &'static Server, options: &str) -> Database {
        let name = server.fresh_name();
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 {options}");
        run_psql(server, "postgres", &create).expect("a database can be made");
        Database { server, name }
    }

    /// An empty database, filled by a script.
    pub(crate) fn filled(server: &'static Server, script: &str) -> Database {
        let database = Database::empty(server);
        database.sql(script);
        database
    }

    /// Runs SQL, gives what it prints: values separated by tabs, no headings.
    pub(crate) fn try_sql(&self, script: &str) -> Result<String, Failure> {
        run_psql(self.server, &self.name, script)
    }

    /// Runs SQL that must succeed.
    #[track_caller]
    pub(crate) fn sql(&self, script: &str) -> String {
        match self.try_sql(script) {
            Ok(printed) => printed,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Runs a file as a user of psql would.
    pub(crate) fn try_file(&self, file: &Path) -> Result<(), Failure> {
        let mut command = psql_command(self.server, &self.name);
        command.arg("-f").arg(file);
        succeeded(&mut command, &file.display().to_string()).map(drop)
    }

    /// `gunzip -c FILE | psql -X -v ON_ERROR_STOP=1 DB`
    pub(crate) fn replay(&self, archive: &Path) -> Result<(), Failure> {
        let mut gunzip = Command::new("gunzip")
            .arg("-c")
            .arg(archive)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("gunzip: {error}"))?;
        let stdout = gunzip.stdout.take().expect("its output is piped");
        let replayed = succeeded(
            psql_command(self.server, &self.name).stdin(stdout),
            "psql replays the archive",
        );
        let unpacked = gunzip
            .wait()
            .map_err(|error| format!("gunzip: {error}"))?
            .success();
        replayed?;
        unpacked
            .then_some(())
            .ok_or_else(|| "gunzip failed".to_owned())
    }

    /// `pg_dump -s`, without what differs between equal databases: comments and the lines that guard psql. Where pg_dump finds
    /// no order, its own goes by how the catalogs lie: then the paragraphs are sorted.
    pub(crate) fn schema(&self) -> Result<String, Failure> {
        let mut command = Command::new(server::client_dir().join("pg_dump"));
        command
            .args(["-s", "-h", "127.0.0.1", "-U", "postgres", "-p"])
            .arg(self.server.port.to_string())
            .arg(&self.name);
        let output = command
            .output()
            .map_err(|error| format!("pg_dump -s: {error}"))?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let has_order = !told.contains("could not resolve dependency loop");
        let dumped = printed(output, "pg_dump -s")?;
        let schema: String = dumped
            .lines()
            .filter(|line| {
                !line.starts_with("\\restrict ")
                    && !line.starts_with("\\unrestrict ")
                    && !line.starts_with("-- Dumped ")
            })
            .filter_map(without_attribute_version)
            .map(|line| format!("{line}\n"))
            .collect();
        if has_order {
            return Ok(schema);
        }
        let mut paragraphs: Vec<&str> = schema.split("\n\n").map(str::trim).collect();
        paragraphs.sort_unstable();
        Ok(paragraphs.join("\n\n"))
    }

    /// Runs SQL in a session that stays open until it is released.
    pub(crate) fn hold(&self, script: &str) -> Held {
        let mut child = psql_command(self.server, &self.name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql runs");
        let mut stdin = child.stdin.take().expect("its input is piped");
        writeln!(stdin, "{script};\n\\echo held").expect("psql listens");
        stdin.flush().expect("psql listens");
        let mut stdout = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        while line != "held\n" {
            line.clear();
            let read = stdout.read_line(&mut line).expect("psql talks");
            assert_ne!(read, 0, "psql ended too early");
        }
        Held {
            child,
            stdin: Some(stdin),
        }
    }

    /// Until nobody else works in it: what the server still did for somebody who is gone is done or undone, and its locks leave room
    /// for a connection again.
    #[track_caller]
    pub(crate) fn wait_for_quiet(&self) {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                      AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        wait_until("nobody else works in the database", || {
            self.try_sql(others).is_ok_and(|count| count == "0\n")
        });
    }

    /// Drops it at once; its name is free again.
    pub(crate) fn drop_now(&self) {
        run_psql(
            self.server,
            "postgres",
            &format!("DROP DATABASE {}", self.name),
        )
        .expect("nobody uses it");
    }

    /// Its connection URI.
    pub(crate) fn url(&self) -> String {
        self.server.url(&self.name)
    }
}

/// A session that is held open.
pub(crate) struct Held {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Held {
    /// Ends the session.
    pub(crate) fn release(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{0}'; DROP DATABASE IF EXISTS {0};",
            self.name
        );
        // Whatever is left goes with the server.
        let _ = run_psql(self.server, "postgres", &drop);
    }
}

/// Runs SQL from standard input in a database of the server.
pub(crate) fn run_psql(server: &Server, database: &str, script: &str) -> Result<String, Failure> {
    let mut child = psql_command(server, database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("psql: {error}"))?;
    let mut stdin = child.stdin.take().expect("its input is piped");
    let script = script.to_owned();
    // psql may stop reading at an error: a broken pipe is told by its exit status.
    let feeder = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
    let output = child
        .wait_with_output()
        .map_err(|error| format!("psql: {error}"))?;
    let _ = feeder.join();
    printed(output, "psql")
}

/// `psql` as scripts should call it: no startup file, stop at errors, bare output.
pub(crate) fn psql_command(server: &Server, database: &str) -> Command {
    let mut command = server.client("psql");
    command
        .args(["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"])
        .args(["-d", database])
        .env("PGOPTIONS", "-c client_min_messages=warning")
        .env("PGCLIENTENCODING", "UTF8")
        .stdin(Stdio::null());
    command
}

fn succeeded(command: &mut Command, what: &str) -> Result<String, Failure> {
    let output = command
        .output()
        .map_err(|error| format!("{what}: {error}"))?;
    printed(output, what)
}

fn printed(output: Output, what: &str) -> Result<String, Failure> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!(
        "{what}: {}\n{}",
        output.status,
        super::compare::shortened(&String::from_utf8_lossy(&output.stderr))
    ))
}
