//! What a dump leaves out by itself, because nobody could restore it, and tells.

use crate::harness::pgstow::archive_of;
use crate::harness::server::newest_alone;
use crate::harness::{Database, Host, Snapshot, expect_equal, on_every_major, on_newest, pgstow};

#[test]
fn what_reads_a_materialized_view_that_is_not_populated_is_not_refreshed() {
    on_every_major(|server| {
        let source = Database::filled(
            server,
            "CREATE MATERIALIZED VIEW empty AS SELECT 1 AS x; CREATE VIEW between_them AS SELECT * FROM empty;
             CREATE MATERIALIZED VIEW reader AS SELECT * FROM between_them;
             CREATE MATERIALIZED VIEW reader_of_it AS SELECT * FROM reader;
             CREATE MATERIALIZED VIEW other AS SELECT 2 AS x;
             REFRESH MATERIALIZED VIEW empty WITH NO DATA;",
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.sql.gz");
        let file = file.to_str().unwrap();
        let said = pgstow(["create", &source.url(), "-o", file])
            .expect_status(0)
            .stderr();
        for view in ["reader", "reader_of_it"] {
            let told = format!(
                "public.{view}: left out, for it reads a materialized view that is not populated"
            );
            assert!(said.contains(&told), "{said}");
        }
        let copy = Database::empty(server);
        pgstow(["restore", "-y", file, &copy.url()]).expect_status(0);
        let populated = "SELECT relname FROM pg_class WHERE relkind = 'm' AND relispopulated";
        assert_eq!(copy.sql(populated), "other\n");
    });
}

#[test]
fn collations_that_came_with_the_operating_system_are_expected_on_the_target() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "DELETE FROM pg_collation WHERE collname = 'sw-x-icu'; SELECT pg_import_system_collations('pg_catalog');
             CREATE TABLE t (a text COLLATE \"sw-x-icu\"); INSERT INTO t VALUES ('a');",
        );
        let added = "SELECT oid >= 16384 FROM pg_collation WHERE collname = 'sw-x-icu'";
        assert_eq!(source.sql(added), "t\n");
        let (_dir, file) = archive_of(&source);
        let copy = Database::empty(server);
        pgstow(["restore", "-y", &file, &copy.url()]).expect_status(0);
        expect_equal("collation", &Snapshot::of(&source).unwrap(), &copy);
    });
}

#[test]
fn what_newer_servers_do_not_have_is_told_by_name() {
    on_every_major(|server| {
        let oids = if server.major < 12 { "WITH OIDS" } else { "" };
        let source = Database::filled(
            server,
            &format!(
                "CREATE TABLE t (a int) {oids};
                 CREATE TEXT SEARCH CONFIGURATION c (COPY = english);
                 UPDATE pg_ts_config_map SET maptokentype = 99 WHERE mapcfg = 'c'::regconfig AND maptokentype = 1;"
            ),
        );
        let said = pgstow(["create", &source.url(), "-o", "-"])
            .expect_status(0)
            .stderr();
        for (told, is_told) in [
            ("public.c: the mapping of token type 99 is left out", true),
            ("has given up: TABLE public.t", server.major < 12),
        ] {
            assert_eq!(said.contains(told), is_told, "{said}");
        }
        let said = pgstow(["create", &source.url(), "-T", "t", "-o", "-"])
            .expect_status(0)
            .stderr();
        assert!(!said.contains("given up"), "{said}");
    });
}

#[test]
fn plpgsql_without_its_extension_is_that_of_the_target() {
    on_every_major(|server| {
        // Since 13 the statement makes the extension.
        if server.major >= 13 {
            return;
        }
        let source = Database::filled(
            server,
            "DROP EXTENSION plpgsql; CREATE LANGUAGE plpgsql;
             CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 7; END';",
        );
        let host = Host::of(&source);
        let id = host.create("manual");
        host.run(["drill", &id, &source.url()]).expect_status(0);
        let copy = Database::empty(server);
        for _ in 0..2 {
            host.run(["restore", &id, &copy.url(), "--yes"])
                .expect_status(0);
            assert_eq!(copy.sql("SELECT f()"), "7\n");
        }
    });
}

#[test]
fn constraints_whose_triggers_are_disabled_are_named() {
    on_every_major(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE a (id int PRIMARY KEY, later int UNIQUE DEFERRABLE);
             CREATE TABLE b (a int REFERENCES a); CREATE TABLE c (a int REFERENCES a); CREATE TABLE d (a int REFERENCES a);
             CREATE TABLE e (x int UNIQUE DEFERRABLE);
             ALTER TABLE b DISABLE TRIGGER ALL; ALTER TABLE c DISABLE TRIGGER USER; ALTER TABLE e DISABLE TRIGGER ALL",
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.sql.gz");
        let file = file.to_str().unwrap();
        let said = pgstow(["create", &source.url(), "-o", file])
            .expect_status(0)
            .stderr();
        let told: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("some of its triggers are disabled"))
            .collect();
        let is_told = |key: &str| told.iter().any(|line| line.contains(key));
        assert!(is_told("public.b b_a_fkey:"), "{said}");
        assert!(is_told("public.e e_x_key:"), "{said}");
        assert_eq!(told.len(), 2, "{said}");
        let copy = Database::empty(server);
        pgstow(["restore", "-y", file, &copy.url()]).expect_status(0);
        expect_equal("keys", &Snapshot::of(&source).unwrap(), &copy);
    });
}

#[test]
fn the_identity_of_a_column_that_was_added_to_a_table_of_an_extension_goes_without_it() {
    on_every_major(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY, b text); INSERT INTO t (b) VALUES ('x');
             ALTER EXTENSION plpgsql ADD TABLE t;
             COMMENT ON SEQUENCE t_a_seq IS 'why'; GRANT SELECT ON SEQUENCE t_a_seq TO PUBLIC;
             CREATE TABLE u (a int GENERATED ALWAYS AS IDENTITY); INSERT INTO u DEFAULT VALUES;",
        );
        let (_dir, file) = archive_of(&source);
        let copy = Database::empty(server);
        pgstow(["restore", "-y", &file, &copy.url()]).expect_status(0);
        let sequences = "SELECT relname FROM pg_class WHERE relkind = 'S'";
        assert_eq!(copy.sql(sequences), "u_a_seq\n");
        assert_eq!(copy.sql("SELECT last_value FROM u_a_seq"), "1\n");
    });
}

#[test]
fn a_standby_gives_a_dump_without_what_is_unlogged() {
    let primary = newest_alone();
    // What makes a standby of a copy is another file before 12.
    if primary.major < 12 {
        return;
    }
    let source = Database::filled(
        primary,
        "CREATE UNLOGGED TABLE u (id int GENERATED ALWAYS AS IDENTITY); INSERT INTO u DEFAULT VALUES;
         CREATE TABLE t (id serial, a int); INSERT INTO t (a) VALUES (1), (2);",
    );
    let standby = primary.standby();
    let follower = Database {
        server: standby,
        name: source.name.clone(),
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.sql.gz");
    let file = file.to_str().unwrap();
    let said = pgstow(["create", &follower.url(), "-o", file])
        .expect_status(0)
        .stderr();
    assert!(
        said.contains("TABLE DATA public.u: left out, for a standby has no contents"),
        "{said}"
    );
    let copy = Database::empty(primary);
    pgstow(["restore", "-y", file, &copy.url()]).expect_status(0);
    source.sql("TRUNCATE u RESTART IDENTITY");
    expect_equal("of a standby", &Snapshot::of(&source).unwrap(), &copy);
}
