//! What pgstow cannot dump stops it, by name. Nothing is left out in silence.

use crate::harness::{Database, Snapshot, differences, on_every_major, pgstow};

/// The first major, what makes such an object, and what its report must name.
const CASES: &[(u32, &str, &str)] = &[
    // What was made among the system's own objects is not told from these by any restore: no dump tool has it.
    (
        10,
        "CREATE FUNCTION pg_catalog.pgstow_mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "pg_catalog.pgstow_mine()",
    ),
    // And what needs it goes with it.
    (
        10,
        "CREATE FUNCTION pg_catalog.pgstow_mine(integer, numeric) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
         CREATE OPERATOR public.<# (PROCEDURE = pgstow_mine, LEFTARG = integer, RIGHTARG = numeric);
         ALTER OPERATOR FAMILY integer_ops USING btree ADD OPERATOR 1 public.<# (integer, numeric)",
        "pg_catalog.pgstow_mine(",
    ),
    // The server makes up the names of clones for the partitions of the referenced table.
    (
        12,
        "CREATE TABLE event (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE early PARTITION OF event FOR VALUES FROM (1) TO (100);
         CREATE TABLE mention (event int CONSTRAINT about REFERENCES event);
         DO $$ BEGIN EXECUTE format('COMMENT ON CONSTRAINT %I ON mention IS %L',
             (SELECT conname FROM pg_constraint WHERE conrelid = 'mention'::regclass AND conparentid <> 0), 'x'); END $$",
        "comment on table constraint",
    ),
];

#[test]
fn what_cannot_be_dumped_stops_create_by_name() {
    on_every_major(|server| {
        let mut failures = Vec::new();
        for (_, make, name) in CASES.iter().filter(|(min, ..)| server.major >= *min) {
            let source = Database::filled(server, make);
            let check = || -> Result<(), String> {
                let stopped = pgstow(["create", &source.url(), "-o", "-"]).check_status(1)?;
                if !stopped.stderr().contains(name) {
                    return Err(format!("does not name it: {}", stopped.stderr()));
                }
                let skipped = pgstow(["create", &source.url(), "-o", "-", "--skip-unsupported"])
                    .check_status(0)?;
                if !skipped.stderr().contains(name) {
                    return Err(format!("skipped in silence: {}", skipped.stderr()));
                }
                Ok(())
            };
            if let Err(failure) = check() {
                failures.push(format!("{make}: {failure}"));
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    });
}

#[test]
fn an_information_schema_that_was_made_anew_is_the_servers_and_what_is_added_there_is_told() {
    on_every_major(|server| {
        let source = Database::filled(server, "DROP SCHEMA information_schema CASCADE");
        let share = source.sql("SELECT setting FROM pg_config WHERE name = 'SHAREDIR'");
        let script = std::path::Path::new(share.trim()).join("information_schema.sql");
        source.try_file(&script).unwrap();
        source.sql("CREATE TABLE t AS SELECT 1 AS n; CREATE VIEW v AS SELECT table_name FROM information_schema.tables");
        let before = Snapshot::of(&source).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        let file = archive.to_str().unwrap();
        pgstow(["create", &source.url(), "-o", file]).expect_status(0);
        let target = Database::empty(server);
        pgstow(["restore", file, &target.url(), "--yes"]).expect_status(0);
        assert_eq!(differences(&before, &Snapshot::of(&target).unwrap()), None);

        source.sql(
            "CREATE TABLE information_schema.mine (a int); \
             CREATE VIEW information_schema.view_of_mine AS SELECT a FROM information_schema.mine",
        );
        let stopped = pgstow(["create", &source.url(), "-o", "-"]).expect_status(1);
        let told = stopped.stderr();
        for name in ["mine", "view_of_mine"] {
            assert!(
                told.contains(&format!("information_schema.{name}")),
                "{told}"
            );
        }
        assert!(told.contains("2 objects cannot be dumped"), "{told}");
    });
}

#[test]
fn what_needs_a_temporary_table_of_a_session_goes_with_it_and_is_told() {
    on_every_major(|server| {
        let source = Database::filled(server, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
        let _session = source.hold(
            "CREATE TEMP TABLE scratch (a int); CREATE TEMP SEQUENCE numbers;
             CREATE FUNCTION public.f(scratch) RETURNS int LANGUAGE sql AS 'SELECT 1';
             CREATE DOMAIN public.d AS scratch[]; CREATE TABLE public.u (d public.d, a int);
             ALTER TABLE t ALTER a SET DEFAULT nextval('numbers')",
        );
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        let archive = archive.to_str().unwrap();
        let told = pgstow(["create", &source.url(), "-o", archive])
            .expect_status(0)
            .stderr();
        for name in [
            "FUNCTION public.f(",
            "DOMAIN public.d",
            "TABLE public.u",
            "DEFAULT public.t a",
        ] {
            assert!(
                told.lines()
                    .any(|line| line.contains(name) && line.contains("temporary")),
                "{name}: {told}"
            );
        }
        let copy = Database::empty(server);
        pgstow(["restore", archive, &copy.url(), "--yes"]).expect_status(0);
        assert_eq!(
            copy.sql("SELECT a FROM t; SELECT to_regclass('u') IS NULL"),
            "1\nt\n"
        );
    });
}

#[test]
fn what_has_no_safe_order_is_told_and_the_rest_is_dumped() {
    on_every_major(|server| {
        // Bodies of standard SQL came with 14. The key of a partitioned table comes after the rows, an operator before.
        if server.major < 14 {
            return;
        }
        let source = Database::filled(
            server,
            "CREATE TABLE parcel (id int PRIMARY KEY, v text) PARTITION BY LIST (id);
             CREATE TABLE one PARTITION OF parcel FOR VALUES IN (111);
             CREATE FUNCTION f(int) RETURNS text LANGUAGE sql
             BEGIN ATOMIC SELECT v FROM parcel WHERE id = $1 GROUP BY id; END;
             CREATE OPERATOR @@@@ (RIGHTARG = int, FUNCTION = f);
             INSERT INTO parcel (id) VALUES (111)",
        );
        let dump = pgstow(["create", &source.url(), "-Z", "none", "-o", "-"]).expect_status(0);
        let told = dump.stderr();
        let is_told = |line: &str| line.contains("OPERATOR public.@@@@") && line.contains("needs");
        assert!(told.lines().any(is_told), "{told}");
        let script = dump.stdout();
        for part in ["111\t\\N\n", "CREATE OPERATOR", "BEGIN ATOMIC"] {
            assert!(script.contains(part), "{part}: {script}");
        }
    });
}
