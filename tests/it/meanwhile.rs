//! While rows of one table come, indexes of others are built, and nothing else of post-data.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::pgstow::{archive_of, command, finish};
use crate::harness::{Database, Server, Snapshot, expect_equal, on_every_major};

/// The rows of `slow`, which is 1, and of `slow_part`, which is 5, are checked by a function, which sees what else is there when they come. They come
/// last, for they are few. `early`: indexes of other tables that see nothing but rows that are there.
const SOURCE: &str = "
    CREATE FUNCTION seen(int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
    CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
    CREATE TABLE slow (n int CHECK (seen(n)), m int);
    INSERT INTO slow VALUES (1, 1);
    CREATE INDEX slow_m ON slow (m);
    CREATE TABLE quick (id int, t text, during int4range);
    INSERT INTO quick SELECT n, md5(n::text), int4range(n, n + 1) FROM generate_series(1, 2000) n;
    ALTER TABLE quick ADD CONSTRAINT early_key PRIMARY KEY (id);
    ALTER TABLE quick ADD CONSTRAINT early_exclusion EXCLUDE USING gist (during WITH &&);
    CREATE INDEX early_t ON quick (t);
    CREATE INDEX by_function ON quick (twice(id));
    CREATE TABLE empty (n int);
    CREATE INDEX of_none ON empty (n);
    ALTER TABLE slow ADD CONSTRAINT refers FOREIGN KEY (m) REFERENCES quick;
    CREATE TABLE child (m int REFERENCES quick);
    CREATE TABLE parts (k int, t text) PARTITION BY RANGE (k);
    CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
    INSERT INTO parts SELECT n % 20, n FROM generate_series(1, 2000) n;
    CREATE INDEX early_part ON part1 (t);
    CREATE TABLE slow_parts (k int, m int) PARTITION BY RANGE (k);
    CREATE TABLE slow_part PARTITION OF slow_parts (CHECK (seen(k))) FOR VALUES FROM (0) TO (10);
    CREATE TABLE quick_part PARTITION OF slow_parts FOR VALUES FROM (10) TO (20);
    INSERT INTO slow_parts VALUES (5, 5); INSERT INTO slow_parts SELECT 10 + n % 10, n FROM generate_series(1, 2000) n;
    CREATE INDEX early_quick_part ON quick_part (m);
    CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER note AFTER INSERT ON quick FOR EACH ROW EXECUTE PROCEDURE noted();
    CREATE RULE twice AS ON DELETE TO quick DO ALSO NOTHING;
    ALTER TABLE quick ENABLE ROW LEVEL SECURITY;
    CREATE POLICY all_rows ON quick USING (true);
    CREATE SEQUENCE counter; SELECT setval('counter', 77);";

/// Indexes on partitioned tables, from 11 on.
const PARTITIONED: &str = "
    CREATE INDEX early_of_parts ON parts (k);
    CREATE INDEX late_of_slow ON slow_parts (k);
    ALTER INDEX part1_k_idx RENAME TO early_part1; ALTER INDEX part2_k_idx RENAME TO early_part2;
    ALTER INDEX slow_part_k_idx RENAME TO late_slow_part; ALTER INDEX quick_part_k_idx RENAME TO early_quick_part_k;";

/// Lets rows of `slow` wait until all is there that may be, and refuses them if anything else is. Half a minute is for ever.
const WITNESS: &str = "
    CREATE OR REPLACE FUNCTION seen(int) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE found text[]; late text;
    BEGIN
        FOR attempt IN 1..3000 LOOP
            SELECT coalesce(array_agg(relname::text ORDER BY relname::text COLLATE \"C\"), '{}') INTO found
                FROM pg_catalog.pg_class WHERE relname LIKE 'early%';
            EXIT WHEN found = '{EXPECTED}';
            PERFORM pg_catalog.pg_sleep(0.01);
        END LOOP;
        IF found IS DISTINCT FROM '{EXPECTED}' THEN RAISE 'there are only %', found; END IF;
        SELECT string_agg(name, ', ') INTO late FROM (
            SELECT relname::text AS name FROM pg_catalog.pg_class
                WHERE relname = 'by_function' OR relname = 'slow_m' AND $1 = 1
                OR relname IN ('late_of_slow', 'late_slow_part') AND $1 = 5
            UNION ALL SELECT tgname FROM pg_catalog.pg_trigger
            UNION ALL SELECT conname FROM pg_catalog.pg_constraint WHERE contype = 'f'
            UNION ALL SELECT rulename FROM pg_catalog.pg_rewrite WHERE rulename = 'twice'
            UNION ALL SELECT polname FROM pg_catalog.pg_policy) others;
        IF late IS NOT NULL THEN RAISE 'there is %', late; END IF;
        RETURN true;
    END $$;";

/// Lets rows of `slow` wait while somebody holds a lock.
const WAITER: &str = "
    CREATE OR REPLACE FUNCTION seen(int) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
        FOR attempt IN 1..3000 LOOP
            IF pg_catalog.pg_try_advisory_xact_lock_shared(42) THEN RETURN true; END IF;
            PERFORM pg_catalog.pg_sleep(0.01);
        END LOOP;
        RAISE 'nobody let the rows in';
    END $$;";

fn source(server: &'static Server) -> (Database, String) {
    let source = Database::filled(server, SOURCE);
    if server.major >= 11 {
        source.sql(PARTITIONED);
    }
    let early = "SELECT string_agg(relname, ',' ORDER BY relname::text COLLATE \"C\") FROM pg_class WHERE relname LIKE 'early%'";
    let early = source.sql(early).trim().to_owned();
    (source, early)
}

/// One of pgstow, one of pg_dump.
fn archives(source: &Database) -> (tempfile::TempDir, [PathBuf; 2]) {
    let (dir, ours) = archive_of(source);
    let theirs = dir.path().join("a.dump");
    let dumped = Command::new(crate::harness::server::client_dir().join("pg_dump"))
        .args(["-Fc", "-d", &source.url(), "-f"])
        .arg(&theirs)
        .status();
    assert!(dumped.unwrap().success());
    (dir, [ours.into(), theirs])
}

fn restore(
    archive: &Path,
    target: &Database,
    failpoint: Option<&str>,
    options: &[&str],
) -> Command {
    let mut call = command();
    if let Some(place) = failpoint {
        call.env("PGSTOW_FAILPOINT", place);
    }
    call.args(["restore", "--yes", "--retry-for=0", "-v"]);
    call.args(options).arg(archive).arg(target.url());
    call
}

#[test]
fn indexes_of_other_tables_are_there_before_the_last_rows_and_nothing_else_is() {
    on_every_major(|server| {
        let (source, early) = source(server);
        source.sql(&WITNESS.replace("EXPECTED", &early));
        let before = Snapshot::of(&source).unwrap();
        let (_dir, archives) = archives(&source);
        for archive in &archives {
            let target = Database::empty(server);
            let options = ["-j4", "--lock-wait-timeout=10"];
            let said = finish(&mut restore(archive, &target, None, &options))
                .expect_status(0)
                .stderr();
            assert!(!said.contains("warning"), "{said}");
            expect_equal("the target", &before, &target);
        }
    });
}

#[test]
fn restores_that_were_killed_while_rows_came_keep_the_indexes_that_are_there() {
    on_every_major(|server| {
        let (source, _) = source(server);
        source.sql(WAITER);
        let before = Snapshot::of(&source).unwrap();
        let (_dir, archives) = archives(&source);
        for archive in &archives {
            let target = Database::empty(server);
            let mut held = target.hold("SELECT pg_advisory_lock(42)");
            let place = Some("restore.step");
            finish(&mut restore(archive, &target, place, &["-j4"])).expect_status(134);
            let indexes = "SELECT relname, relfilenode FROM pg_class WHERE relkind = 'i' AND relnamespace = 'public'::regnamespace \
                           ORDER BY 1";
            let built = target.sql(indexes);
            assert_eq!(target.sql("SELECT count(*) FROM slow"), "0\n");
            assert_ne!(built, "");
            held.release();
            finish(&mut restore(archive, &target, None, &["-j4", "--resume"])).expect_status(0);
            let rebuilt = target.sql(indexes);
            for line in built.lines() {
                assert!(rebuilt.contains(line), "{line} was built again:\n{rebuilt}");
            }
            expect_equal("the target", &before, &target);
        }
    });
}

/// Rows that are to be read again first, and one connection, change nothing about the order of things.
#[test]
fn indexes_wait_for_rows_that_are_verified_first_and_on_one_connection() {
    on_every_major(|server| {
        let (source, _) = source(server);
        source.sql(&WITNESS.replace("EXPECTED", ""));
        let (_dir, archives) = archives(&source);
        for options in [["-j2", "--verify-rows"], ["-j1", "--no-analyze"]] {
            let target = Database::empty(server);
            finish(&mut restore(&archives[1], &target, None, &options)).expect_status(0);
        }
    });
}
