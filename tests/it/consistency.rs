//! All workers see one moment, whatever is written meanwhile.

use std::process::{Child, Stdio};

use crate::harness::database::psql_command;
use crate::harness::pgstow::{Running, command, ended_with};
use crate::harness::share::wants_every;
use crate::harness::{Database, Server, on_every_major, on_newest, pgstow, wait_until};

/// How often, and how often where every case is wanted.
const RUNS: usize = 6;
const ALL_RUNS: usize = 20;

/// Rows are wide so that the table is larger than what one worker would copy alone.
const SETUP: &str = "
    CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL, filler text) WITH (fillfactor = 90);
    ALTER TABLE accounts ALTER filler SET STORAGE PLAIN;
    INSERT INTO accounts SELECT n, 1000, repeat('x', 1500) FROM generate_series(1, 30000) n;
    CREATE TABLE transfers (account int NOT NULL, amount bigint NOT NULL);";

/// Rows move within the table (updates) and grow another one (inserts).
const TRANSFER: &str = "
    \\set one random(1, 29999)
    \\set two random(:one + 1, 30000)
    \\set amount random(-500, 500)
    BEGIN;
    UPDATE accounts SET balance = balance - :amount WHERE id = :one;
    UPDATE accounts SET balance = balance + :amount WHERE id = :two;
    INSERT INTO transfers VALUES (:one, 0 - :amount), (:two, :amount);
    COMMIT;";

/// Number of accounts, sum of balances, and accounts whose balance is not what the transfers say.
const CHECK: &str = "
    SELECT count(*), sum(balance), count(*) FILTER (WHERE balance <> 1000 + coalesce(moved, 0))
    FROM accounts LEFT JOIN (SELECT account, sum(amount) AS moved FROM transfers GROUP BY 1) t ON account = id";

#[test]
fn transfers_during_a_parallel_dump_never_lose_a_cent() {
    on_every_major(|server| {
        let source = Database::filled(server, SETUP);
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("transfer.sql");
        std::fs::write(&script, TRANSFER).unwrap();
        let transfers = Transfers::start(server, &source.name, &script);
        let runs = if wants_every() { ALL_RUNS } else { RUNS };
        for run in 0..runs {
            let archive = dir.path().join(format!("{run}.sql.zst"));
            let archive = archive.to_str().unwrap();
            let before: u64 = count_transfers(&source);
            pgstow(["create", &source.url(), "-j", "4", "-o", archive]).expect_status(0);
            assert!(
                count_transfers(&source) > before,
                "nothing was written meanwhile"
            );
            let target = Database::empty(server);
            pgstow([
                "restore",
                archive,
                &target.url(),
                "-j",
                "4",
                "--yes",
                "--no-analyze",
            ])
            .expect_status(0);
            assert_eq!(target.sql(CHECK), "30000\t30000000\t0\n", "run {run}");
            std::fs::remove_file(archive).unwrap();
        }
        drop(transfers);
    });
}

fn count_transfers(source: &Database) -> u64 {
    source
        .sql("SELECT count(*) FROM transfers")
        .trim()
        .parse()
        .unwrap()
}

/// `pgbench` at work until dropped.
struct Transfers(Child);

impl Transfers {
    fn start(server: &Server, database: &str, script: &std::path::Path) -> Transfers {
        let pgbench = server
            .client("pgbench")
            .args(["-n", "-c", "3", "-j", "1", "-T", "3600", "-R", "600"])
            .arg("-f")
            .arg(script)
            .arg(database)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Transfers(pgbench)
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Somebody waits to change a table that our leader has locked: another session of ours would queue behind him, and he
/// waits for our leader. Both the session that helps to read the catalogs and the workers must find another way.
#[test]
fn a_session_that_waits_to_change_a_table_does_not_hang_the_dump() {
    on_every_major(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE first (n int);
             INSERT INTO first SELECT generate_series(1, 1000);
             CREATE INDEX ON first (n) WHERE n > 10;
             CREATE TABLE last (n int);
             DO $$ BEGIN FOR n IN 1..250 LOOP EXECUTE 'CREATE SEQUENCE s' || n || ' START 7'; END LOOP; END $$;",
        );
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql");
        // Holds the leader up at the last table, when the first one is locked.
        let mut holder = statement(&source, "BEGIN; LOCK TABLE last; SELECT pg_sleep(1000);");
        wait_for(&source, "relation = 'last'::regclass AND granted");
        let mut dump = command()
            .args(["create", &source.url(), "-j", "4", "-o"])
            .arg(&archive)
            .spawn()
            .unwrap();
        wait_for(&source, "relation = 'last'::regclass AND NOT granted");
        let mut alter = statement(&source, "ALTER TABLE first ADD COLUMN m int;");
        wait_for(&source, "relation = 'first'::regclass AND NOT granted");
        release(&source, "last");
        assert!(dump.wait().unwrap().success());
        holder.wait().unwrap();
        assert!(alter.wait().unwrap().success());
        let dumped = std::fs::read_to_string(&archive).unwrap();
        assert!(dumped.contains("WHERE (n > 10)") && dumped.contains("\n1000\n"));
        assert_eq!(dumped.matches("setval('\"public\".\"s").count(), 250);
    });
}

/// Before 18 two sessions share the sequences, some hundred at a time. One that waits for a sequence leaves it to the leader.
#[test]
fn values_of_many_sequences_are_read_by_both_sessions() {
    on_every_major(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE t (n int);
             DO $$ BEGIN FOR n IN 1000..1249 LOOP
                 EXECUTE format('CREATE SEQUENCE \"s;%s\"', n);
                 PERFORM setval(format('\"s;%s\"', n), n * 7, n % 2 = 0);
             END LOOP; END $$;",
        );
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql");
        let held = source.hold("BEGIN; ALTER SEQUENCE \"s;1000\" RENAME TO other");
        let url = source.url();
        let dump = Running::start(command().args(["create", &url, "-j2", "-o"]).arg(&archive));
        // The leader takes the last hundreds first, the other session those before.
        if server.major < 18 {
            wait_for(
                &source,
                "relation = '\"s;1000\"'::regclass AND NOT granted
                 AND pid IN (SELECT pid FROM pg_locks WHERE relation = 't'::regclass AND granted)",
            );
        }
        drop(held);
        dump.ended_with(0);
        let dumped = std::fs::read_to_string(&archive).unwrap();
        for n in 1000..1250 {
            let set = format!("setval('\"public\".\"s;{n}\"', {}, {});", n * 7, n % 2 == 0);
            assert!(dumped.contains(&set), "{set}");
        }
    });
}

/// The server deparses by the catalogs of now, not by those of our snapshot.
#[test]
fn a_function_that_is_dropped_while_the_catalogs_are_read_is_one_clear_error() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE t (n int); CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1';",
        );
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql");
        let mut holder = statement(&source, "BEGIN; LOCK TABLE t; SELECT pg_sleep(1000);");
        wait_for(&source, "relation = 't'::regclass AND granted");
        let dump = command()
            .args(["create", &source.url(), "-o"])
            .arg(&archive)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for(&source, "relation = 't'::regclass AND NOT granted");
        source.sql("DROP FUNCTION f(int)");
        release(&source, "t");
        let said = ended_with(1, dump);
        assert!(said.contains("could not read functions"), "{said}");
        assert!(
            said.contains("One was dropped while they were read."),
            "{said}"
        );
        holder.wait().unwrap();
        assert!(!archive.exists());
    });
}

/// Ends the session that holds the table up.
fn release(source: &Database, table: &str) {
    source.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_locks
         WHERE relation = '{table}'::regclass AND granted AND mode = 'AccessExclusiveLock'"
    ));
}

/// A session of its own that runs a script.
fn statement(database: &Database, script: &str) -> Child {
    psql_command(database.server, &database.name)
        .args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Returns when `pg_locks` has a row for which the condition holds.
fn wait_for(database: &Database, condition: &str) {
    let query = format!("SELECT count(*) FROM pg_locks WHERE {condition}");
    wait_until(condition, || database.sql(&query) != "0\n");
}
