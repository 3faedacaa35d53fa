//! Archives whose rows are INSERT statements: the same rows, by our restore and by psql.

use std::path::Path;

use crate::harness::share::{share_of, wants_every};
use crate::harness::{Database, Fixture, Server, Snapshot, expect_equal, on_newest, pgstow};

const STYLES: &[&[&str]] = &[
    &["--inserts"],
    &["--column-inserts", "--rows-per-insert=7"],
    &["--rows-per-insert=3", "--on-conflict-do-nothing"],
];

fn create(source: &Database, archive: &Path, more: &[&str]) {
    let archive = archive.to_str().unwrap();
    let command = ["create", &source.url(), "-j2", "-o", archive];
    pgstow(command.iter().chain(more)).expect_status(0);
}

fn restore(archive: &Path, target: &Database, more: &[&str]) -> String {
    let archive = archive.to_str().unwrap();
    let command = ["restore", archive, &target.url(), "--yes"];
    pgstow(command.iter().chain(more)).expect_status(0).stderr()
}

fn come_back(fixture: &Fixture, server: &'static Server) {
    let source = fixture.load(server).unwrap();
    let before = Snapshot::of(&source).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let copied = dir.path().join("copy.sql.gz");
    create(&source, &copied, &[]);
    let turn = share_of(&fixture.name, STYLES.len());
    let styles = match wants_every() {
        true => STYLES,
        false => &STYLES[turn..=turn],
    };
    for style in styles {
        let what = format!("{} {style:?}", fixture.name);
        let archive = dir.path().join(format!("{}.sql.gz", style.concat()));
        create(&source, &archive, style);
        pgstow([Path::new("verify"), &archive]).expect_status(0);
        // Rows and digests are those of COPY.
        pgstow([Path::new("diff"), &copied, &archive]).expect_status(0);

        let restored = fixture.empty_database(server);
        restore(&archive, &restored, &["-j2", "--verify-rows"]);
        expect_equal(&what, &before, &restored);
        restore(&archive, &restored, &["--single-transaction"]);
        expect_equal(&what, &before, &restored);

        let replayed = fixture.empty_database(server);
        replayed.replay(&archive).unwrap();
        expect_equal(&what, &before, &replayed);
        std::fs::remove_file(&archive).unwrap();
    }
}

#[test]
fn rows_come_back_from_statements() {
    on_newest(|server| {
        for fixture in Fixture::all_in(&["data"]) {
            if fixture.is_for(server.major) {
                come_back(&fixture, server);
            }
        }
    });
}

#[test]
fn the_script_is_shown_as_it_is_and_rows_are_taken_out() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE t (a integer, b text); INSERT INTO t VALUES (1, E'it''s\\\\\\t'), (2, NULL)",
        );
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql");
        create(&source, &archive, &["--rows-per-insert=9"]);
        let file = archive.to_str().unwrap();
        let shown = pgstow(["show", file, "--sql", "-a"]).expect_status(0);
        let statement =
            "INSERT INTO \"public\".\"t\" VALUES\n    ('1', E'it''s\\\\\t'),\n    ('2', NULL);\n\n";
        assert!(shown.stdout().ends_with(statement), "{}", shown.stdout());
        let rows = pgstow(["extract", file, "t", "--format", "copy"]).expect_status(0);
        assert_eq!(rows.stdout(), "1\tit's\\\\\\t\n2\t\\N\n");
        let shown = pgstow(["show", file, "--sql", "-a", "--inserts"]).expect_status(0);
        assert!(
            shown.stdout().ends_with("VALUES ('2', NULL);\n\n"),
            "{}",
            shown.stdout()
        );
        pgstow(["show", file, "--inserts"]).expect_status(2);
    });
}

#[test]
fn generated_and_identity_columns_are_as_pg_dump_has_them() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE g (a integer, b integer GENERATED ALWAYS AS (a * 2) STORED, c integer);
             CREATE TABLE i (a integer GENERATED ALWAYS AS IDENTITY, b text);
             INSERT INTO g VALUES (1, DEFAULT, 3); INSERT INTO i (b) VALUES ('x');",
        );
        let dir = tempfile::tempdir().unwrap();
        for (style, statements) in [
            (
                "--inserts",
                [
                    "\"g\" VALUES ('1', DEFAULT, '3');",
                    "\"i\" OVERRIDING SYSTEM VALUE VALUES ('1', 'x');",
                ],
            ),
            (
                "--column-inserts",
                [
                    "\"g\" (\"a\", \"c\") VALUES ('1', '3');",
                    "\"i\" (\"a\", \"b\") OVERRIDING SYSTEM VALUE VALUES ('1', 'x');",
                ],
            ),
        ] {
            let archive = dir.path().join(format!("{style}.sql.gz"));
            create(&source, &archive, &[style]);
            let file = archive.to_str().unwrap();
            let shown = pgstow(["show", file, "--sql"]).expect_status(0).stdout();
            for statement in statements {
                let statement = format!("INSERT INTO \"public\".{statement}\n\n");
                assert!(shown.contains(&statement), "{statement}{shown}");
            }
            let replayed = Database::empty(server);
            replayed.replay(&archive).unwrap();
            assert_eq!(replayed.sql("TABLE g"), "1\t2\t3\n");
            assert_eq!(replayed.sql("TABLE i"), "1\tx\n");
        }
    });
}

#[test]
fn rows_that_meet_an_equal_key_are_left_out() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE t (a integer PRIMARY KEY, b text); INSERT INTO t SELECT n, 'new' FROM generate_series(1, 5) n",
        );
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        create(
            &source,
            &archive,
            &["--inserts", "--on-conflict-do-nothing", "-a"],
        );
        let held = "CREATE TABLE t (a integer PRIMARY KEY, b text); INSERT INTO t VALUES (2, 'old'), (9, 'old')";
        let expected = "1\tnew\n2\told\n3\tnew\n4\tnew\n5\tnew\n9\told\n";

        let restored = Database::filled(server, held);
        let told = restore(&archive, &restored, &["-a"]);
        assert_eq!(restored.sql("SELECT * FROM t ORDER BY a"), expected);
        assert!(told.contains("4 rows"), "{told}");

        let replayed = Database::filled(server, held);
        replayed.replay(&archive).unwrap();
        assert_eq!(replayed.sql("SELECT * FROM t ORDER BY a"), expected);

        // The archive has no table of that name, but its rows.
        let few = Database::filled(server, held);
        restore(&archive, &few, &["-a", "-t", "t", "--where", "a <> 1"]);
        let expected = "2\told\n3\tnew\n4\tnew\n5\tnew\n9\told\n";
        assert_eq!(few.sql("SELECT * FROM t ORDER BY a"), expected);
    });
}

#[test]
fn rows_that_meet_an_equal_key_come_to_other_places() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE t (a integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, b text); INSERT INTO t (b) VALUES ('x'), (NULL)",
        );
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        create(
            &source,
            &archive,
            &["--inserts", "--on-conflict-do-nothing"],
        );
        let target = Database::filled(server, "CREATE TABLE t (a integer)");
        restore(
            &archive,
            &target,
            &["-t", "t", "--into-schema", "old", "--verify-rows"],
        );
        restore(
            &archive,
            &target,
            &["--rename", "t=u", "--single-transaction"],
        );
        assert_eq!(target.sql("TABLE old.t"), source.sql("TABLE t"));
        assert_eq!(target.sql("TABLE u"), source.sql("TABLE t"));
        assert_eq!(target.sql("TABLE t"), "");
    });
}
