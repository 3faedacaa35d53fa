//! `create --include-foreign-data`: rows that lie in another server.

use std::process::Command;

use crate::harness::server::client_dir;
use crate::harness::{Database, Server, on_newest, pgstow};

/// A database with foreign tables of two servers, the second of which cannot be reached.
fn source_on(server: &'static Server, remote: &Database) -> Database {
    Database::filled(
        server,
        &format!(
            "CREATE EXTENSION postgres_fdw; \
             CREATE SERVER near FOREIGN DATA WRAPPER postgres_fdw \
               OPTIONS (host '127.0.0.1', port '{}', dbname '{}'); \
             CREATE USER MAPPING FOR postgres SERVER near OPTIONS (user 'postgres'); \
             CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '/nowhere'); \
             CREATE FOREIGN TABLE there (id integer, \"a b\" text OPTIONS (column_name 'name')) SERVER near OPTIONS (table_name 'people'); \
             CREATE FOREIGN TABLE nowhere (id integer) SERVER far; \
             CREATE TABLE parts (id integer) PARTITION BY RANGE (id); \
             CREATE TABLE here PARTITION OF parts FOR VALUES FROM (0) TO (10); \
             CREATE FOREIGN TABLE elsewhere PARTITION OF parts FOR VALUES FROM (10) TO (20) SERVER near OPTIONS (table_name 'numbers'); \
             INSERT INTO here VALUES (1), (2);",
            server.port, remote.name
        ),
    )
}

const REMOTE: &str = "CREATE TABLE people (id integer, name text); INSERT INTO people SELECT n, 'name ' || n FROM generate_series(1, 50) n; \
                      CREATE TABLE numbers (id integer); INSERT INTO numbers VALUES (11), (12)";

const COUNTS: &str =
    "SELECT count(*), count(DISTINCT p) FROM people p; SELECT count(*) FROM numbers";

#[test]
fn rows_of_foreign_tables_come_with_their_servers_alone() {
    on_newest(|server| {
        let remote = Database::filled(server, REMOTE);
        let source = source_on(server, &remote);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("f-backup-20260114-020000.sql.gz");
        let file = archive.to_str().unwrap();
        let filter = dir.path().join("filter");
        std::fs::write(&filter, "include foreign_data n*\n").unwrap();
        let filter = ["--filter", filter.to_str().unwrap()];
        let arguments = ["create", &source.url(), "-j3", "-o", file];
        pgstow(arguments.iter().chain(&filter)).expect_status(0);
        pgstow(["verify", file]).expect_status(0);
        let rows = pgstow(["show", file, "--rows", "there", "--where", "id = 7"]).expect_status(0);
        assert_eq!(rows.stdout(), "7\tname 7\n");
        // The drill restores all but these rows: nothing is written to the other server.
        pgstow(["drill", file, &server.url("postgres")]).expect_status(0);
        assert_eq!(remote.sql(COUNTS), "50\t50\n2\n");

        // A restore writes through the foreign tables, each row once more.
        let restored = Database::empty(server);
        pgstow(["restore", file, &restored.url(), "--yes"]).expect_status(0);
        assert_eq!(remote.sql(COUNTS), "100\t50\n4\n");
        assert_eq!(restored.sql("SELECT count(*) FROM here"), "2\n");
        let by_psql = Database::empty(server);
        by_psql.replay(&archive).unwrap();
        assert_eq!(remote.sql(COUNTS), "150\t50\n6\n");

        // pg_dump writes the same statements.
        let theirs = dir.path().join("theirs.sql");
        let dumped = Command::new(client_dir().join("pg_dump"))
            .args(["-d", &source.url(), "--include-foreign-data", "near", "-f"])
            .arg(&theirs)
            .status()
            .unwrap();
        assert!(dumped.success());
        let replayed = Database::empty(server);
        replayed.try_file(&theirs).unwrap();
        assert_eq!(remote.sql(COUNTS), "300\t50\n12\n");
    });
}

#[test]
fn foreign_rows_that_cannot_be_read_stop_the_dump() {
    on_newest(|server| {
        let remote = Database::filled(server, REMOTE);
        let source = source_on(server, &remote);
        let create = |pattern: &str| {
            pgstow([
                "create",
                &source.url(),
                "-o",
                "-",
                "--include-foreign-data",
                pattern,
            ])
        };
        let unreadable = create("*").expect_status(1);
        assert!(
            unreadable
                .stderr()
                .contains("could not copy table \"public\".\"nowhere\"")
        );
        let unknown = create("other").expect_status(2);
        assert!(
            unknown.stderr().contains("no matching foreign servers"),
            "{}",
            unknown.stderr()
        );
        // Unless one asks, nobody reads from other servers.
        pgstow(["create", &source.url(), "-o", "-"]).expect_status(0);
    });
}
