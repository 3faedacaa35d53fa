//! Names and values that try to break out, and sizes at the limit.

use crate::harness::{Database, Fixture, on_every_major, on_newest, pgstow};

#[test]
fn no_name_becomes_a_command_of_psql() {
    on_every_major(|server| {
        let fixtures = Fixture::all_in(&["data"]);
        let names = fixtures
            .iter()
            .find(|fixture| fixture.name.ends_with("names.sql"))
            .unwrap();
        let source = names.load(server).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        pgstow(["create", &source.url(), "-o", archive.to_str().unwrap()]).expect_status(0);
        Database::empty(server).replay(&archive).unwrap();
        let hostile: Vec<_> = std::fs::read_dir("/tmp")
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap_or_default())
            .filter(|name| name.starts_with("pgstow_hostile"))
            .collect();
        assert_eq!(hostile, [""; 0]);
        // What people read holds no control characters but newlines.
        let shown = pgstow(["show", archive.to_str().unwrap()])
            .expect_status(0)
            .stdout();
        assert!(
            !shown.lines().any(|line| line.starts_with("\\!")),
            "{shown}"
        );
    });
}

#[test]
fn a_field_of_100_megabytes_comes_back() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE large (id int, value bytea);
             INSERT INTO large SELECT n, decode(repeat(md5(n::text), 3276800), 'hex') FROM generate_series(1, 2) n;
             CREATE TABLE long (value text); INSERT INTO long SELECT repeat(E'\\\\\\n\\tx', 25000000);",
        );
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        pgstow(["create", &source.url(), "-o", archive.to_str().unwrap()]).expect_status(0);
        pgstow(["verify", archive.to_str().unwrap()]).expect_status(0);
        let restored = Database::empty(server);
        pgstow([
            "restore",
            archive.to_str().unwrap(),
            &restored.url(),
            "--yes",
        ])
        .expect_status(0);
        let replayed = Database::empty(server);
        replayed.replay(&archive).unwrap();
        let check = "SELECT id, octet_length(value), md5(value) FROM large ORDER BY id;
             SELECT octet_length(value), md5(value) FROM long";
        let expected = source.sql(check);
        assert!(expected.contains("100000000"), "{expected}");
        assert_eq!(restored.sql(check), expected);
        assert_eq!(replayed.sql(check), expected);
    });
}
