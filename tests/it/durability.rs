//! What a restore says is done outlives a crash of the server right behind it, though its commits wait for no disk.

use crate::harness::server::newest_alone;
use crate::harness::{Database, Server, pgstow};

const TABLE: &str = "CREATE TABLE t (n int)";
const ROWS: &str = "INSERT INTO t SELECT generate_series(1, 10)";

/// A server whose log reaches the disk when a commit waits for it, and else not soon. Its crash must not be another test's.
fn slow_server() -> &'static Server {
    let server = newest_alone();
    for setting in ["wal_writer_delay = '10s'", "wal_writer_flush_after = '1GB'"] {
        let set = format!("ALTER SYSTEM SET {setting}");
        crate::harness::database::run_psql(server, "postgres", &set).unwrap();
    }
    let reload = "SELECT pg_reload_conf()";
    crate::harness::database::run_psql(server, "postgres", reload).unwrap();
    server
}

#[test]
fn replayed_rows_outlive_a_crash_right_behind_the_end() {
    let server = slow_server();
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("rows.sql");
    std::fs::write(&script, format!("{ROWS};\n")).unwrap();
    for options in [&[][..], &["-1"]] {
        let target = Database::filled(server, TABLE);
        target.sql("CHECKPOINT");
        let url = target.url();
        let mut arguments = vec!["restore", "--yes", script.to_str().unwrap(), &url];
        arguments.extend(options);
        pgstow(&arguments).expect_status(0);
        server.crash();
        assert_eq!(target.sql("SELECT count(*) FROM t"), "10\n", "{options:?}");
    }
}

#[test]
fn rows_restored_without_a_record_outlive_a_crash_right_behind_the_end() {
    let server = slow_server();
    let target = Database::filled(server, &format!("{TABLE}; {ROWS}"));
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a.sql.gz");
    let archive = archive.to_str().unwrap();
    pgstow(["create", &target.url(), "-o", archive]).expect_status(0);
    // Who may not create a schema leaves no record, and ends with nothing to remove.
    target.sql("TRUNCATE t; CREATE ROLE loader LOGIN; ALTER TABLE t OWNER TO loader; CHECKPOINT");
    let url = target.url().replace("postgres@", "loader@");
    let told = pgstow(["restore", "--yes", "-a", "--no-analyze", archive, &url]).expect_status(0);
    assert!(
        told.stderr().contains("may not create a schema"),
        "{}",
        told.stderr()
    );
    server.crash();
    assert_eq!(target.sql("SELECT count(*) FROM t"), "10\n");
}
