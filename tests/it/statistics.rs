//! The planner's statistics, where servers can take them (from 18 on) and where they cannot.

use std::process::Command;

use crate::harness::server::client_dir;
use crate::harness::{Database, line_difference, on_every_major, pgstow};

const SOURCE: &str = r#"
CREATE SCHEMA "s s";
CREATE TABLE "s s"."t ""1" (id integer PRIMARY KEY, word text, many integer[], span int4range, note text);
INSERT INTO "s s"."t ""1" SELECT n, 'w''' || n % 7, ARRAY[n % 3, n % 5], int4range(n, n + 3), NULL FROM generate_series(1, 500) n;
CREATE INDEX by_expression ON "s s"."t ""1" (lower(word), (id % 10));
CREATE TABLE parent (a integer);
CREATE TABLE child (b integer) INHERITS (parent);
INSERT INTO child SELECT n, n FROM generate_series(1, 100) n;
CREATE MATERIALIZED VIEW m AS SELECT word, count(*) FROM "s s"."t ""1" GROUP BY word;
CREATE TABLE never_analyzed (a integer);
ANALYZE "s s"."t ""1";
ANALYZE parent;
ANALYZE child;
ANALYZE m;
"#;

fn statistics(database: &Database) -> String {
    let run = Command::new(client_dir().join("pg_dump"))
        .args(["--statistics-only", "-d", &database.url()])
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let text = String::from_utf8(run.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.contains("restrict "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn statistics_come_back_where_the_server_takes_them() {
    on_every_major(|server| {
        let source = Database::filled(server, SOURCE);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("s-backup-20260114-020000.sql.gz");
        let file = archive.to_str().unwrap();
        pgstow(["create", &source.url(), "--statistics", "-o", file]).expect_status(0);
        pgstow(["drill", file, &source.url()]).expect_status(0);
        let restored = Database::empty(server);
        pgstow(["restore", file, &restored.url(), "--yes", "--no-analyze"]).expect_status(0);
        let replayed = Database::empty(server);
        replayed.replay(&archive).unwrap();
        // What was never counted is not empty to newer servers.
        let script = pgstow(["show", "--sql", file, "-t", "never_analyzed"]).expect_status(0);
        let script = script.stdout();
        assert!(script.contains("'reltuples', '-1'::real"), "{script}");
        if server.major >= 18 {
            let before = statistics(&source);
            assert!(before.contains("by_expression") && before.contains("most_common_vals"));
            for copy in [&restored, &replayed] {
                let difference = line_difference(&before, &statistics(copy));
                assert!(difference.is_empty(), "{difference}");
            }
            let without = Database::empty(server);
            let restore = [
                "restore",
                file,
                &without.url(),
                "--yes",
                "--no-analyze",
                "--no-statistics",
            ];
            pgstow(restore).expect_status(0);
            let query = "SELECT count(*) FROM pg_stats WHERE tablename LIKE 't%'";
            assert_eq!(without.sql(query), "0\n");
            let only = dir.path().join("only-backup-20260114-020000.sql.gz");
            let only = only.to_str().unwrap();
            pgstow(["create", &source.url(), "--statistics-only", "-o", only]).expect_status(0);
            pgstow([
                "restore",
                only,
                &without.url(),
                "--yes",
                "--no-analyze",
                "--no-clean",
            ])
            .expect_status(0);
            let difference = line_difference(&before, &statistics(&without));
            assert!(difference.is_empty(), "{difference}");
        } else {
            // Without the functions ANALYZE does what it can.
            pgstow(["restore", file, &restored.url(), "--yes"]).expect_status(0);
            let query = "SELECT count(*) > 0 FROM pg_stats WHERE tablename LIKE 't%'";
            assert_eq!(restored.sql(query), "t\n");
        }
        let plain = dir.path().join("plain-backup-20260114-020000.sql.gz");
        let plain = plain.to_str().unwrap();
        pgstow(["create", &source.url(), "-o", plain]).expect_status(0);
        assert!(
            !pgstow(["show", plain])
                .expect_status(0)
                .stdout()
                .contains("STATISTICS DATA")
        );
    });
}
