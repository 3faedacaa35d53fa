//! Dumps that leave the server room for others.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::pgstow::{Running, command};
use crate::harness::server::newest_alone;
use crate::harness::{Database, on_newest, pgstow, wait_until};

/// Rows of tables and large objects, with digests.
fn rows(archive: &str) -> Vec<Value> {
    let shown = pgstow(["show", "--json", archive])
        .expect_status(0)
        .stdout();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let entries = shown["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["rows"].clone())
        .filter(|rows| !rows.is_null())
        .collect()
}

#[test]
fn rows_come_no_faster_than_the_rate_and_all_of_them() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE a AS SELECT n, repeat(md5(n::text), 8) AS t FROM generate_series(1, 3000) n;
             CREATE TABLE b AS SELECT n, repeat(md5(n::text), 8) AS t FROM generate_series(1, 3000) n;
             SELECT lo_from_bytea(0, decode(repeat('00ff', 200000), 'hex'))",
        );
        let dir = tempfile::tempdir().unwrap();
        let create = |name: &str, options: &[&str]| {
            let archive = dir.path().join(name).to_str().unwrap().to_owned();
            let url = source.url();
            let arguments = ["create", url.as_str(), "-j2", "-o", archive.as_str()];
            let began = Instant::now();
            pgstow(arguments.iter().chain(options)).expect_status(0);
            (rows(&archive), began.elapsed())
        };
        let (whole, _) = create("whole.sql.gz", &[]);
        let (paced, took) = create("paced.sql.gz", &["--max-rate", "1MB"]);
        assert_eq!(whole, paced);
        let bytes: u64 = whole.iter().map(|it| it["bytes"].as_u64().unwrap()).sum();
        assert!(bytes > 1_500_000, "{whole:?}");
        let least = Duration::from_micros(bytes + 400_000);
        assert!(
            took >= least,
            "{took:?} for {bytes} bytes and a large object"
        );
        let no_limit = NonZeroU64::MAX.to_string();
        assert_eq!(create("fast.sql.gz", &["-r", &no_limit]).0, whole);
    });
}

#[test]
fn a_rate_of_nothing_is_refused() {
    let arguments = [
        "create",
        "-o",
        "x.sql.gz",
        "--max-rate",
        "0",
        "postgresql://h/d",
    ];
    let refused = pgstow(arguments).expect_status(2).stderr();
    assert!(refused.contains("such as 10MiB"), "{refused}");
}

/// A dump to nowhere.
fn create_on(url: &str, options: &[&str]) -> Running {
    Running::start(command().args(["create", url, "-o", "-"]).args(options))
}

/// Runs the work while so many sessions are active, which end with it.
fn beside_active<T>(source: &Database, sessions: usize, work: impl FnOnce() -> T) -> T {
    let asleep = "FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'";
    let count = format!("SELECT count(*) {asleep}");
    std::thread::scope(|scope| {
        for _ in 0..sessions {
            scope.spawn(|| source.try_sql("SELECT pg_sleep(600)"));
        }
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until("all sessions are active", || {
                source.sql(&count) == format!("{sessions}\n")
            });
            work()
        }));
        source.sql(&format!("SELECT pg_terminate_backend(pid) {asleep}"));
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn no_rows_are_read_while_too_many_others_are_active() {
    let source = Database::filled(
        newest_alone(),
        "CREATE TABLE a AS SELECT generate_series(1, 1000)",
    );
    let url = source.url();
    beside_active(&source, 2, || {
        let said = create_on(&url, &["-j2", "--max-load", "2"]).ended_with(0);
        assert!(!said.contains("waiting"), "{said}");
    });
    let dump = beside_active(&source, 2, || {
        let mut dump = create_on(&url, &["-j2", "--max-load", "1"]);
        dump.until("waiting: 2 other sessions are active, more than 1 (--max-load)");
        std::thread::sleep(Duration::from_secs(2));
        assert!(dump.is_running());
        dump
    });
    dump.ended_with(0);
}

#[test]
fn who_waits_for_the_dump_does_not_make_it_wait() {
    let source = Database::filled(
        newest_alone(),
        "CREATE TABLE a AS SELECT generate_series(1, 1000)",
    );
    let url = source.url();
    beside_active(&source, 1, || {
        let mut dump = create_on(&url, &["--max-load", "0"]);
        dump.until("waiting: ");
        std::thread::scope(|scope| {
            scope.spawn(|| source.sql("ALTER TABLE a ADD COLUMN b int"));
            dump.ended_with(0);
        });
    });
    assert_eq!(source.sql("SELECT count(b) FROM a"), "0\n");
}

#[test]
fn no_rows_are_read_while_a_standby_is_behind() {
    // What makes a standby of a copy is another file before 12.
    let primary = newest_alone();
    if primary.major < 12 {
        return;
    }
    let source = Database::filled(primary, "CREATE TABLE a AS SELECT generate_series(1, 1000)");
    let standby = primary.standby();
    let follower = Database {
        server: standby,
        name: source.name.clone(),
    };
    follower.sql("SELECT pg_wal_replay_pause()");
    source.sql("CREATE TABLE b AS SELECT n, md5(n::text) FROM generate_series(1, 50000) n");
    let received =
        "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) > 2000000";
    for (of, name) in [(&source, "primary"), (&follower, "standby")] {
        let url = of.url();
        wait_until("the standby is behind", || follower.sql(received) == "t\n");
        let mut dump = create_on(&url, &["--max-lag", "1MiB"]);
        dump.until("waiting: a standby is");
        std::thread::sleep(Duration::from_secs(2));
        assert!(dump.is_running(), "{name}");
        follower.sql("SELECT pg_wal_replay_resume()");
        dump.ended_with(0);
        let said = create_on(&url, &["--max-lag", "1GiB"]).ended_with(0);
        assert!(!said.contains("waiting"), "{name}: {said}");
        follower.sql("SELECT pg_wal_replay_pause()");
        source.sql("INSERT INTO b SELECT n, md5(n::text) FROM generate_series(1, 50000) n");
    }
}

#[test]
fn who_may_not_see_the_load_is_told() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE a ()");
        let role = format!("blind_{}", source.name);
        source.sql(&format!(
            "CREATE ROLE {role} LOGIN; GRANT SELECT ON a TO {role}"
        ));
        let url = source.url().replace("postgres@", &format!("{role}@"));
        let said = pgstow(["create", &url, "-o", "-", "--max-load", "9"])
            .expect_status(1)
            .stderr();
        assert!(
            said.contains("may not see what other sessions do"),
            "{said}"
        );
        source.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    });
}
