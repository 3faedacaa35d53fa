//! All workers see one moment, whatever is written meanwhile.

use std::process::{Child, Command, Stdio};

use crate::harness::{Database, Server, on_every_major, pgstow, server};

const RUNS: usize = 20;

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
        for run in 0..RUNS {
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
        let pgbench = Command::new(server::client_dir().join("pgbench"))
            .args(["-n", "-c", "3", "-j", "1", "-T", "3600", "-R", "600"])
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p"])
            .arg(server.port.to_string())
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
