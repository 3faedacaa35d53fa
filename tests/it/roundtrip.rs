//! Every fixture goes out and comes back: restored into an empty database, over it again, and replayed by psql, it
//! equals its source by schema and by row, and what is dumped from the copy equals what was dumped from the source. On older
//! majors a third of them in turns, unless `PGSTOW_TEST_EVERY` is set.
//!
//! `PGSTOW_TEST_FIXTURE=policy cargo test --test it roundtrip` runs those whose path holds that word. With
//! `PGSTOW_TEST_MATRIX=FILE` a table of kinds and majors is written there (`scripts/matrix.sh`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::pgstow::objects::Kind;

use crate::harness::server::wanted_majors;
use crate::harness::share::is_taken;
use crate::harness::{
    Database, Failure, Fixture, Server, Snapshot, differences, line_difference, pgstow,
};

/// Servers and clients work beside us: more threads than this gain nothing on small machines.
const THREADS: usize = 3;

#[test]
fn every_fixture_comes_back_as_it_was() {
    for_every_fixture(come_back);
    // Of part of the fixtures, or without the newest major, nothing follows.
    if std::env::var_os("PGSTOW_TEST_FIXTURE").is_some() || !wanted_majors().contains(&18) {
        return;
    }
    let seen = SEEN.lock().unwrap();
    let without_fixture: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| !seen.contains(kind.as_str()))
        // Of a cluster, and what needs a label provider or an option: these have tests of their own.
        .filter(|kind| {
            !matches!(
                kind,
                Kind::Role
                    | Kind::RoleMembership
                    | Kind::RoleSetting
                    | Kind::Tablespace
                    | Kind::ParameterAcl
                    | Kind::SecurityLabel
                    | Kind::RelationStatistics
            )
        })
        .collect();
    assert!(
        without_fixture.is_empty(),
        "no fixture has {without_fixture:?}"
    );
}

/// The kinds of entries that some fixture's archive had.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn note_kinds(archive: &Path) -> Result<(), Failure> {
    let shown = pgstow([Path::new("show"), Path::new("--json"), archive]).check_status(0)?;
    let shown: serde_json::Value =
        serde_json::from_str(&shown.stdout()).map_err(|error| error.to_string())?;
    let entries = shown["entries"].as_array().into_iter().flatten();
    let kinds = entries.filter_map(|entry| Some(entry["kind"].as_str()?.to_owned()));
    SEEN.lock().unwrap().extend(kinds);
    Ok(())
}

fn come_back(fixture: &Fixture, server: &'static Server) -> Result<(), Failure> {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("fixture-backup-20260114-020000.sql.gz");
    let source = fixture.load(server).map_err(at("loading it"))?;
    let before = Snapshot::of(&source).map_err(at("reading the source"))?;

    create(&source, "2", &archive)?;
    note_kinds(&archive).map_err(at("show --json"))?;
    is_deparsed_as_by_the_server(&source, &archive).map_err(at("comparing definitions"))?;
    pgstow([Path::new("verify"), &archive])
        .check_status(0)
        .map_err(at("verify"))?;

    // The drill's own comparison must agree that what comes back is what went in.
    pgstow([
        Path::new("drill"),
        &archive,
        Path::new(&source.url()),
        Path::new("-j"),
        Path::new("2"),
    ])
    .check_status(0)
    .map_err(at("drill"))?;

    let restored = fixture.empty_database(server);
    // Of rows that fill several members, two connections load one table, and its heap has their order: the second dump
    // can only be the first one's equal after one connection alone.
    let jobs = if fixture.name.ends_with("wide.sql") {
        "1"
    } else {
        "2"
    };
    for (what, jobs) in [
        ("restore into an empty database", "2"),
        ("restore over it", jobs),
    ] {
        restore(&archive, &restored, jobs).map_err(at(what))?;
        expect_equal(&before, &restored).map_err(at(what))?;
    }

    let replayed = fixture.empty_database(server);
    let what = "gunzip | psql";
    replayed.replay(&archive).map_err(at(what))?;
    expect_equal(&before, &replayed).map_err(at(what))?;

    // A source without the schema public leaves the target's alone, as pg_dump does: there the copy has more. And rows
    // that found their partition anew are elsewhere.
    let may_differ = ["public_dropped.sql", "hash_of_enum.sql"];
    if may_differ.iter().any(|name| fixture.name.ends_with(name)) {
        return Ok(());
    }
    let first = script(&source)?;
    let second = script(&restored)?;
    match line_difference(&first, &second) {
        difference if difference.is_empty() => Ok(()),
        difference => Err(format!("the second dump at -j1 differs:\n{difference}")),
    }
}

/// What `create -j1` writes, without the line that tells when.
fn script(database: &Database) -> Result<String, Failure> {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("one.sql.gz");
    create(database, "1", &archive)?;
    let shown = pgstow([Path::new("show"), Path::new("--sql"), &archive])
        .check_status(0)
        .map_err(at("show --sql"))?;
    Ok(without_time_of_run(&shown.stdout()))
}

/// The script without the one line that tells when it was made.
fn without_time_of_run(script: &str) -> String {
    let is_heading =
        |line: &&str| line.starts_with("-- Database: ") && line.contains("; started: ");
    let lines: Vec<&str> = script.lines().filter(|line| !is_heading(line)).collect();
    lines.join("\n")
}

fn create(source: &Database, jobs: &str, archive: &Path) -> Result<(), Failure> {
    let archive = archive.to_str().expect("our paths are UTF-8");
    pgstow(["create", &source.url(), "-j", jobs, "-o", archive])
        .check_status(0)
        .map(drop)
        .map_err(at("create"))
}

fn restore(archive: &Path, target: &Database, jobs: &str) -> Result<(), Failure> {
    let archive = archive.to_str().expect("our paths are UTF-8");
    pgstow(["restore", archive, &target.url(), "-j", jobs, "--yes"])
        .check_status(0)
        .map(drop)
}

fn expect_equal(before: &Snapshot, database: &Database) -> Result<(), Failure> {
    match differences(before, &Snapshot::of(database)?) {
        None => Ok(()),
        Some(differences) => Err(differences),
    }
}

/// Plain definitions are made from columns, and expressions deparsed once for many tables: the text must be what the
/// server's functions print of each object.
fn is_deparsed_as_by_the_server(source: &Database, archive: &Path) -> Result<(), Failure> {
    let script = pgstow([Path::new("show"), Path::new("--sql"), archive]).check_status(0)?;
    let script = script.stdout();
    let printed = source.try_sql(&definitions_query(source.server.major))?;
    let printed: Vec<String> = serde_json::from_str(&printed).map_err(|e| e.to_string())?;
    match printed.iter().find(|text| !script.contains(*text)) {
        Some(text) => Err(format!("not in the script: {text}")),
        None => Ok(()),
    }
}

/// As JSON: what the script holds of indexes, constraints and defaults word for word.
fn definitions_query(major: u32) -> String {
    let is_root = if major >= 11 {
        "k.conparentid = 0"
    } else {
        "true"
    };
    let quoted = |name: &str| format!("'\"' || replace({name}, '\"', '\"\"') || '\"'");
    let table = format!("{} || '.' || {}", quoted("n.nspname"), quoted("c.relname"));
    let constraint = quoted("k.conname");
    let users = "c.oid >= 16384 AND n.nspname !~ '^pg_' AND NOT EXISTS (SELECT FROM pg_depend m \
         WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid AND m.deptype = 'e')";
    format!(
        "SET search_path = ''; SET extra_float_digits = 3; SET datestyle = 'ISO'; SET intervalstyle = 'postgres';
         SELECT coalesce(json_agg(t.text), '[]') FROM (
         SELECT pg_get_indexdef(i.indexrelid) || ';' AS text
         FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
         JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {users} AND i.indisvalid AND x.reltablespace = 0
         AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.oid AND k.contype IN ('p', 'u', 'x'))
         UNION ALL SELECT 'ALTER TABLE ONLY ' || {table} || ' ADD CONSTRAINT ' || {constraint} || ' '
         || pg_get_constraintdef(k.oid) || ';'
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_class x ON x.oid = k.conindid
         WHERE {users} AND CASE WHEN k.contype IN ('p', 'u') THEN x.reltablespace = 0 AND x.reloptions IS NULL
         AND NOT ((c.relkind = 'p' OR c.relispartition) AND (SELECT i.indisexclusion FROM pg_index i WHERE i.indexrelid = x.oid))
         WHEN k.contype = 'f' THEN c.relkind = 'r' AND {is_root} END
         UNION ALL SELECT 'CONSTRAINT ' || {constraint} || ' ' || pg_get_constraintdef(k.oid)
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {users} AND k.contype = 'c' AND k.conislocal
         UNION ALL SELECT ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid)
         FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
         WHERE {users} AND a.attislocal AND to_jsonb(a) ->> 'attgenerated' IS DISTINCT FROM 's'
         AND to_jsonb(a) ->> 'attgenerated' IS DISTINCT FROM 'v') t"
    )
}

fn at(step: &str) -> impl Fn(Failure) -> Failure {
    move |failure| format!("{step}: {failure}")
}

type Check = fn(&Fixture, &'static Server) -> Result<(), Failure>;

/// Runs a check on every fixture and every major that it is for, and reports all that failed.
fn for_every_fixture(check: Check) {
    let wanted = std::env::var("PGSTOW_TEST_FIXTURE").unwrap_or_default();
    let fixtures = Fixture::all_in(&["objects", "data", "apps"]);
    let runs: Vec<_> = fixtures
        .iter()
        .filter(|fixture| fixture.name.contains(&wanted))
        .flat_map(|fixture| {
            wanted_majors()
                .into_iter()
                .filter(|&major| fixture.is_for(major))
                .filter(|&major| is_taken(&fixture.name, major))
                .map(move |major| (fixture, major))
        })
        .collect();
    assert!(!runs.is_empty(), "no fixture for these majors");
    let failures = Mutex::new(Vec::new());
    let cells = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((fixture, major)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = check(fixture, Server::of_major(*major));
                    let cell = (kind_of(&fixture.name).to_owned(), *major);
                    let mut cells = cells.lock().unwrap();
                    let (passed, run) = cells.entry(cell).or_insert((0, 0));
                    *passed += u32::from(outcome.is_ok());
                    *run += 1;
                    drop(cells);
                    if let Err(failure) = outcome {
                        let report = format!("{} on {major}: {failure}", fixture.name);
                        failures.lock().unwrap().push(report);
                    }
                }
            });
        }
    });
    if let Some(path) = std::env::var_os("PGSTOW_TEST_MATRIX") {
        std::fs::write(path, matrix(&cells.into_inner().unwrap())).unwrap();
    }
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(
        failures.is_empty(),
        "{} of {} runs failed:\n\n{}",
        failures.len(),
        runs.len(),
        failures.join("\n\n")
    );
}

/// `objects/view/all.sql` is of the kind view, what is not below `objects` is of its folder.
fn kind_of(fixture: &str) -> &str {
    let rest = fixture.strip_prefix("objects/").unwrap_or(fixture);
    rest.split_once('/').map_or(rest, |(kind, _)| kind)
}

/// By kind and major: how many fixtures came back, of how many.
fn matrix(cells: &BTreeMap<(String, u32), (u32, u32)>) -> String {
    let mut majors: Vec<u32> = cells.keys().map(|(_, major)| *major).collect();
    majors.sort_unstable();
    majors.dedup();
    let mut kinds: Vec<&String> = cells.keys().map(|(kind, _)| kind).collect();
    kinds.dedup();
    let columns: Vec<String> = majors.iter().map(|major| format!("{major:>7}")).collect();
    let mut out = format!("{:<22}{}\n", "kind", columns.concat());
    for kind in kinds {
        let cell = |major: &u32| match cells.get(&(kind.clone(), *major)) {
            Some((passed, run)) => format!("{:>7}", format!("{passed}/{run}")),
            None => format!("{:>7}", "-"),
        };
        let row: Vec<String> = majors.iter().map(cell).collect();
        out.push_str(&format!("{kind:<22}{}\n", row.concat()));
    }
    let (passed, run) = cells
        .values()
        .fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
    out.push_str(&format!("\n{passed} of {run} passed\n"));
    out
}
