//! Rows that are refused before those they refer to: of extensions' configuration tables, and of all tables where only rows are dumped.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Database, Snapshot, expect_equal, on_every_major, on_newest, pgstow};

const EXTENSION: &str =
    "CREATE TABLE z_topology (id int PRIMARY KEY, up int);
     CREATE TABLE a_layer (id int PRIMARY KEY, topology int REFERENCES z_topology);
     CREATE TABLE b_part (layer int REFERENCES a_layer);
     SELECT pg_catalog.pg_extension_config_dump('z_topology', ''); SELECT pg_catalog.pg_extension_config_dump('a_layer', '');
     SELECT pg_catalog.pg_extension_config_dump('b_part', '');";

/// A directory that a server takes extensions from.
fn extension_files() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("extension");
    fs::create_dir(&files).unwrap();
    fs::write(
        files.join("layered.control"),
        "default_version = '1'\nrelocatable = false\n",
    )
    .unwrap();
    fs::write(files.join("layered--1.sql"), EXTENSION).unwrap();
    for path in [dir.path(), &files] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    dir
}

#[test]
fn configuration_tables_come_back_in_the_order_of_their_foreign_keys() {
    on_newest(|server| {
        // Older servers have one place for extensions, which is not ours to write to.
        if server.major < 18 {
            return;
        }
        let files = extension_files();
        let path = files.path().to_str().unwrap();
        let knows_the_extension = |database: Database| {
            database.sql(&format!(
                "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET extension_control_path = %L', current_database(), '{path}:$system'); END $$"
            ));
            database
        };
        let source = knows_the_extension(Database::empty(server));
        source.sql(
            "CREATE EXTENSION layered; INSERT INTO z_topology SELECT i, i FROM generate_series(1, 1000) i;
             INSERT INTO a_layer SELECT i, i FROM generate_series(1, 1000) i; INSERT INTO b_part SELECT i FROM generate_series(1, 1000) i;
             CREATE TABLE own AS SELECT i FROM generate_series(1, 100) i; CREATE INDEX ON own (i);",
        );
        let before = Snapshot::of(&source).unwrap();
        for jobs in ["-j1", "-j4"] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("a.sql.gz");
            let archive = file.to_str().unwrap();
            pgstow(["create", jobs, &source.url(), "-o", archive]).expect_status(0);
            let copy = knows_the_extension(Database::empty(server));
            for _ in 0..2 {
                pgstow(["restore", jobs, "-y", archive, &copy.url()]).expect_status(0);
                expect_equal("configuration", &before, &copy);
            }
            let replayed = knows_the_extension(Database::empty(server));
            replayed.replay(&file).unwrap();
            expect_equal("configuration by psql", &before, &replayed);
        }
    });
}

const CHAIN: &str = "CREATE TABLE c (id int PRIMARY KEY);
     CREATE TABLE b (id int PRIMARY KEY REFERENCES c); CREATE TABLE a (id int REFERENCES b);";

#[test]
fn rows_alone_come_in_an_order_that_psql_can_load() {
    on_every_major(|server| {
        // A foreign key on a partitioned table: from 12 on.
        let partitions = match server.major >= 12 {
            true => {
                "CREATE TABLE z (id int PRIMARY KEY) PARTITION BY RANGE (id);
                 CREATE TABLE z1 PARTITION OF z FOR VALUES FROM (0) TO (10);
                 CREATE TABLE d (id int REFERENCES z) PARTITION BY RANGE (id);
                 CREATE TABLE d1 PARTITION OF d FOR VALUES FROM (0) TO (10);"
            }
            false => "CREATE TABLE z (id int PRIMARY KEY); CREATE TABLE d (id int REFERENCES z);",
        };
        let schema = format!("{CHAIN} {partitions}");
        let rows = "INSERT INTO c VALUES (1); INSERT INTO b VALUES (1); INSERT INTO a VALUES (1);
             INSERT INTO z VALUES (1); INSERT INTO d VALUES (1);";
        let source = Database::filled(server, &format!("{schema} {rows}"));
        let before = Snapshot::of(&source).unwrap();
        for jobs in ["-j1", "-j3"] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("a.sql.gz");
            let archive = file.to_str().unwrap();
            let said = pgstow(["create", "-a", jobs, &source.url(), "-o", archive])
                .expect_status(0)
                .stderr();
            assert!(!said.contains("circle"), "{said}");
            let copy = Database::filled(server, &schema);
            copy.replay(&file).unwrap();
            expect_equal("rows alone", &before, &copy);
        }
    });
}

#[test]
fn rows_that_fit_in_no_order_are_told() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY REFERENCES a);
             ALTER TABLE a ADD FOREIGN KEY (id) REFERENCES b DEFERRABLE INITIALLY DEFERRED;
             CREATE TABLE c (id int PRIMARY KEY, up int REFERENCES c); CREATE TABLE d (id int REFERENCES b);
             BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); COMMIT; INSERT INTO d VALUES (1); INSERT INTO c VALUES (1, 1);",
        );
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let create = |name: &str, arguments: &[&str]| {
            let (url, archive) = (source.url(), file(name));
            let all = [&["create", &url, "-o", &archive], arguments].concat();
            pgstow(all).expect_status(0).stderr()
        };
        let said = create("rows.sql.gz", &["-a"]);
        for circle in [
            "TABLE DATA public.a, TABLE DATA public.b: their foreign keys go round in a circle",
            "TABLE DATA public.c: their foreign keys go round in a circle",
        ] {
            assert!(said.contains(circle), "{said}");
        }
        assert!(!said.contains("public.d"), "{said}");
        // What is left out closes no circle, and with definitions the keys come later.
        let said = create("some.sql.gz", &["-a", "-T", "a", "-T", "c"]);
        assert!(!said.contains("circle"), "{said}");
        let said = create("all.sql.gz", &[]);
        assert!(!said.contains("circle"), "{said}");
        let copy = Database::empty(server);
        pgstow(["restore", "-y", &file("all.sql.gz"), &copy.url()]).expect_status(0);
        expect_equal("circles", &Snapshot::of(&source).unwrap(), &copy);
    });
}
