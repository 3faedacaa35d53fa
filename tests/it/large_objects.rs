//! Large objects by the ten thousand, and such as are there already.

use std::process::{Command, Stdio};

use crate::harness::pgstow::{archive_of, command, finish};
use crate::harness::server::client_dir;
use crate::harness::{Database, Server, on_newest, pgstow};

const COUNT: &str = "SELECT count(*), sum(length(lo_get(oid))), min(pg_get_userbyid(lomowner)) FROM pg_largeobject_metadata";

/// More than a server with the usual settings has locks for.
fn many(server: &'static Server) -> Database {
    let source = Database::empty(server);
    for first in (1..=24_000).step_by(4_000) {
        source.sql(&format!(
            "SELECT count(lo_from_bytea(n::oid, 'abc')) FROM generate_series({first}, {first} + 3999) n"
        ));
    }
    source
}

#[test]
fn more_than_there_are_locks_come_back() {
    on_newest(|server| {
        let source = many(server);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        let file = archive.to_str().unwrap();
        pgstow(["create", &source.url(), "-o", file]).expect_status(0);
        let expected = "24000\t72000\tpostgres\n";

        let restored = Database::empty(server);
        pgstow(["restore", file, &restored.url(), "--yes"]).expect_status(0);
        assert_eq!(restored.sql(COUNT), expected);
        let replayed = Database::empty(server);
        replayed.replay(&archive).unwrap();
        assert_eq!(replayed.sql(COUNT), expected);
    });
}

#[test]
fn more_than_there_are_locks_are_replaced_and_change_hands() {
    on_newest(|server| {
        let source = many(server);
        let owner = format!("owner_{}", source.name);
        source.sql(&format!("CREATE ROLE {owner}"));
        for first in (1..=12_000).step_by(2_000) {
            source.sql(&format!(
                "DO 'BEGIN FOR n IN {first}..{first} + 1999 LOOP EXECUTE format(''ALTER LARGE OBJECT %s OWNER TO {owner}'', n); END LOOP; END'"
            ));
        }
        source.sql("COMMENT ON LARGE OBJECT 12001 IS 'the first'");
        let (_dir, own) = archive_of(&source);
        let theirs = format!("{own}.dump");
        let mut pg_dump = Command::new(client_dir().join("pg_dump"));
        finish(pg_dump.args(["-Fc", "-f", &theirs, &source.url()])).expect_status(0);
        let contents = "SELECT pg_get_userbyid(lomowner), count(*), sum(length(lo_get(oid))), min(obj_description(oid, 'pg_largeobject')) \
                        FROM pg_largeobject_metadata GROUP BY 1 ORDER BY 2, 1";
        for archive in [&own, &theirs] {
            let target = many(server);
            target.sql("SELECT lo_from_bytea(30000, 'mine'), lo_put(1, 0, 'other contents')");
            let url = target.url();
            let restore = |more: &[&str]| {
                let mut command = command();
                command.args(["restore", archive, &url, "--yes"]).args(more);
                command
            };
            let killed = restore(&[])
                .stderr(Stdio::null())
                .env("PGSTOW_FAILPOINT", "restore.step")
                .status();
            assert_eq!(killed.unwrap().code(), None);
            let told = finish(&mut restore(&["--resume"]))
                .expect_status(0)
                .stderr();
            assert!(told.contains("1 of "), "{told}");
            target.sql("SELECT lo_unlink(30000)");
            assert_eq!(target.sql(contents), source.sql(contents), "{archive}");
            let told = finish(&mut restore(&["-1", "--dry-run"])).stderr();
            assert!(told.contains("locks"), "{told}");
            drop(target);
        }
        drop(source);
        Database::empty(server).sql(&format!("DROP ROLE {owner}"));
    });
}

#[test]
fn those_that_exist_already_are_told_before_anything_changes() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "SELECT lo_from_bytea(7, 'new'), lo_from_bytea(9, 'new'); CREATE TABLE t (n int); INSERT INTO t VALUES (1)",
        );
        let (_dir, file) = archive_of(&source);
        let file = file.as_str();
        let target = Database::filled(
            server,
            "SELECT lo_from_bytea(9, 'mine'); CREATE TABLE t (n int)",
        );
        let url = target.url();
        for options in [&["-a"][..], &["-a", "--single-transaction"]] {
            let command = ["restore", file, &url, "--yes"];
            let refused = pgstow(command.iter().chain(options)).expect_status(1);
            let told = refused.stderr();
            assert!(told.contains("large object 9 exists already"), "{told}");
            let held = "SELECT (SELECT count(*) FROM t), string_agg(convert_from(lo_get(oid), 'UTF8'), ',') FROM pg_largeobject_metadata";
            assert_eq!(target.sql(held), "0\tmine\n");
        }
        pgstow(["restore", file, &url, "--yes", "-a", "--no-large-objects"]).expect_status(0);
        assert_eq!(target.sql("TABLE t"), "1\n");
        pgstow(["restore", file, &url, "--yes"]).expect_status(0);
        assert_eq!(target.sql(COUNT), "2\t6\tpostgres\n");
    });
}
