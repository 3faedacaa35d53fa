//! Clean-and-recreate over databases in which `pg_dump --clean --if-exists` often stumbles.
//!
//! A fixture of `fixtures/clean` has two parts: the source, and what then happens to the target. Where that leaves objects which the
//! archive does not hold, only a restore with `--exact` makes them equal.

use std::process::Command;

use crate::harness::server::{client_dir, newest};
use crate::harness::share::is_taken;
use crate::harness::{
    Database, Failure, Fixture, Server, Snapshot, differences, on_every_major, pgstow,
};

const ALTERED: &str = "-- altered:\n";
const ALTERED_EXACT: &str = "-- altered, and restored with --exact:\n";

#[test]
fn every_target_becomes_the_source_again() {
    on_every_major(|server| {
        let mut failures = Vec::new();
        let mut refused_by_pg_dump = Vec::new();
        let wanted = std::env::var("PGSTOW_TEST_FIXTURE").unwrap_or_default();
        let fixtures = Fixture::all_in(&["clean"]);
        let fixtures = fixtures
            .iter()
            .filter(|it| it.is_for(server.major) && is_taken(&it.name, server.major));
        let mut targets = 0;
        for fixture in fixtures.filter(|it| it.name.contains(&wanted)) {
            let case = Case::read(fixture);
            for altered in [false, true] {
                targets += 1;
                let what = format!("{}{}", fixture.name, if altered { ", altered" } else { "" });
                match case.check(server, altered) {
                    Ok(true) => {}
                    Ok(false) => refused_by_pg_dump.push(what),
                    Err(failure) => failures.push(format!("{what}: {failure}")),
                }
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
        println!(
            "PostgreSQL {}: pg_dump --clean --if-exists fails on {} of {targets}: {refused_by_pg_dump:#?}",
            server.major,
            refused_by_pg_dump.len(),
        );
        // What README says would otherwise be hearsay.
        assert!(refused_by_pg_dump.len() >= 5 || server.major != newest() || !wanted.is_empty());
    });
}

/// The parts of a fixture.
struct Case {
    source: String,
    altered: String,
    /// Of the altered target: options of the restore.
    options: &'static [&'static str],
}

impl Case {
    fn read(fixture: &Fixture) -> Case {
        let text = fixture.text();
        let plain = text.split_once(ALTERED).map(|parts| (parts, &[][..]));
        let exact = || {
            text.split_once(ALTERED_EXACT)
                .map(|parts| (parts, &["--exact"][..]))
        };
        let ((source, altered), options) = plain.or_else(exact).unwrap();
        Case {
            source: source.to_owned(),
            altered: altered.to_owned(),
            options,
        }
    }

    fn load(&self, server: &'static Server, altered: bool) -> Result<Database, Failure> {
        let database = Database::empty(server);
        database.try_sql(&self.source)?;
        if altered {
            database.try_sql(&self.altered)?;
        }
        Ok(database)
    }

    /// Restores over the database as it is or as it was altered. Tells whether psql would have got through what pg_dump writes.
    fn check(&self, server: &'static Server, altered: bool) -> Result<bool, Failure> {
        let source = self.load(server, false)?;
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        let file = archive.to_str().unwrap();
        pgstow(["create", &source.url(), "-o", file]).check_status(0)?;
        let target = self.load(server, altered)?;
        let options = if altered { self.options } else { &[] };
        pgstow(
            ["restore", file, &target.url(), "--yes"]
                .iter()
                .chain(options),
        )
        .check_status(0)?;
        match differences(&Snapshot::of(&source)?, &Snapshot::of(&target)?) {
            None => Ok(pg_dump_replays(&source, &self.load(server, altered)?)),
            Some(difference) => Err(difference),
        }
    }
}

/// `pg_dump --clean --if-exists SOURCE | psql -v ON_ERROR_STOP=1 TARGET`: whether it gets through. The setting that servers before 17
/// do not know is left out of it.
fn pg_dump_replays(source: &Database, target: &Database) -> bool {
    let dumped = Command::new(client_dir().join("pg_dump"))
        .args(["--clean", "--if-exists", "-d", &source.url()])
        .output()
        .unwrap();
    assert!(dumped.status.success());
    let script = String::from_utf8(dumped.stdout).unwrap();
    let script = script.replace("SET transaction_timeout = 0;\n", "");
    target.try_sql(&script).is_ok()
}
