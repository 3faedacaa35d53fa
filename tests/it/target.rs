//! What a restore finds before it changes anything, and `restore --dry-run`.

use serde_json::Value;

use crate::harness::pgstow::finish;
use crate::harness::server::{newest_alone, wanted_majors};
use crate::harness::{Database, Host, Server, on_every_major, on_newest};

const SHOP: &str = "
    CREATE TABLE users (id int PRIMARY KEY, name text);
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 100) n;
    CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users);
    INSERT INTO orders SELECT n, n FROM generate_series(1, 50) n;";

/// A set of the script, and a host whose database is another one, filled by the second script.
fn set_and_target(server: &'static Server, source: &str, target: &str) -> (Host, Database, String) {
    let source = Database::filled(server, source);
    let made = Host::of(&source);
    let id = made.create("manual");
    let file = made.backups().join(format!("{id}.sql.gz"));
    let target = Database::filled(server, target);
    let host = Host::of(&target);
    let copied = host.dir().join("shop.sql.gz");
    std::fs::copy(file, &copied).unwrap();
    (host, target, copied.to_str().unwrap().to_owned())
}

fn plan(host: &Host, file: &str, options: &[&str], status: i32) -> Value {
    let arguments = ["restore", file, "--dry-run", "--json"];
    let arguments = arguments.iter().chain(options);
    let outcome = host.run(arguments).expect_status(status);
    serde_json::from_str(&outcome.stdout()).unwrap()
}

/// The messages of one severity.
fn findings(plan: &Value, severity: &str) -> Vec<String> {
    let all = plan["findings"].as_array().unwrap().iter();
    all.filter(|finding| finding["severity"] == severity)
        .map(|finding| finding["message"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn dry_run_prints_the_whole_plan_and_changes_nothing() {
    on_newest(|server| {
        let (host, target, file) = set_and_target(server, SHOP, "CREATE TABLE users (id int)");
        let shown = host
            .run(["restore", &file, "--dry-run"])
            .expect_status(0)
            .stdout();
        for line in [
            "table public.users",
            "TABLE \"public\".\"orders\"",
            "100 rows",
            "maintenance_work_mem = 64 MB on each of 4 connections",
        ] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
        let plan = plan(&host, &file, &[], 0);
        assert_eq!(plan["permitted"], true);
        assert_eq!(plan["dropped"], serde_json::json!(["table public.users"]));
        assert_eq!(plan["loaded"].as_array().unwrap().len(), 2);
        assert_eq!(plan["summary"]["rows"], 150);
        // The server of the tests is on this host, and we are allowed to look.
        let notes = findings(&plan, "note");
        assert!(
            notes
                .iter()
                .any(|note| note.starts_with("free on the server's disk: ")),
            "{notes:?}"
        );
        assert_eq!(target.sql("SELECT count(*) FROM users"), "0\n");
        assert_eq!(target.sql("SELECT to_regclass('orders') IS NULL"), "t\n");
    });
}

#[test]
fn everything_that_stands_in_the_way_is_told_at_once() {
    on_newest(|server| {
        let role = format!("gone_{}", server.fresh_name());
        let source = format!(
            "{SHOP} CREATE ROLE {role}; ALTER TABLE users OWNER TO {role}; CREATE SCHEMA s; CREATE TABLE s.t (a int);"
        );
        let (host, target, file) = set_and_target(server, &source, SHOP);
        target.sql("CREATE VIEW mine AS SELECT * FROM users");
        Database::empty(server).sql(&format!("DROP ROLE IF EXISTS {role}"));
        let outcome = host.run(["restore", &file, "--yes"]).expect_status(1);
        let told = outcome.stderr();
        assert!(
            told.contains(&format!("role \"{role}\" does not exist")),
            "{told}"
        );
        assert!(
            told.contains("view public.mine is not in the archive"),
            "{told}"
        );
        assert!(told.contains("2 problems"), "{told}");
        let plan = plan(&host, &file, &[], 1);
        assert_eq!(plan["permitted"], false);
        assert_eq!(findings(&plan, "problem").len(), 2);
        // What is left out needs nothing: the rows alone need the tables.
        let plan = self::plan(&host, &file, &["-a", "-t", "s.t"], 1);
        assert_eq!(
            findings(&plan, "problem"),
            ["table \"s\".\"t\" does not exist"]
        );
    });
}

#[test]
fn sessions_whose_locks_are_in_the_way_are_named() {
    on_newest(|server| {
        let (host, target, file) = set_and_target(server, SHOP, SHOP);
        let mut reader = target.hold("SET application_name = 'report'; BEGIN; SELECT FROM users");
        let warnings = findings(&plan(&host, &file, &[], 0), "warning");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        for part in [
            "postgres",
            "(report), idle in transaction",
            "AccessShareLock on table public.users",
        ] {
            assert!(warnings[0].contains(part), "{part}: {warnings:?}");
        }
        // Who only reads is not in the way of rows that are added.
        let warnings = findings(&plan(&host, &file, &["-a", "-t", "users"], 0), "warning");
        assert_eq!(warnings, [""; 0]);
        reader.release();
        let mut writer = target.hold("BEGIN; LOCK users IN SHARE MODE");
        let warnings = findings(&plan(&host, &file, &["-a", "-t", "users"], 0), "warning");
        assert!(
            warnings[0].contains("ShareLock on table public.users"),
            "{warnings:?}"
        );
        writer.release();
        // A look waits for nobody.
        let mut changer = target.hold("BEGIN; LOCK users IN ACCESS EXCLUSIVE MODE");
        let warnings = findings(&plan(&host, &file, &[], 0), "warning");
        assert!(
            warnings[0].contains("AccessExclusiveLock on table public.users"),
            "{warnings:?}"
        );
        changer.release();
    });
}

#[test]
fn another_encoding_and_another_order_are_told() {
    on_newest(|server| {
        let (host, _, file) = set_and_target(server, SHOP, "");
        let latin = Database::with_options(server, "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
        let url = latin.url();
        let warnings = findings(&plan(&host, &file, &[&url], 0), "warning").join("\n");
        assert!(
            warnings.contains("encoding UTF8, the target LATIN1"),
            "{warnings}"
        );
        assert!(warnings.contains("sorts by"), "{warnings}");
    });
}

#[test]
fn an_older_server_is_told_by_what_it_does_not_know() {
    let majors = wanted_majors();
    let (old, new) = (majors.iter().min().unwrap(), majors.iter().max().unwrap());
    let source = Database::filled(
        Server::of_major(*new),
        "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a) STORED)",
    );
    let made = Host::of(&source);
    let id = made.create("manual");
    let target = Database::empty(Server::of_major(*old));
    let plan = plan(&made, &id, &[&target.url()], 0);
    let warnings = findings(&plan, "warning").join("\n");
    assert_eq!(
        warnings.contains("is older than the source"),
        old < new,
        "{warnings}"
    );
    assert_eq!(
        warnings.contains("generated columns"),
        *old < 12,
        "{warnings}"
    );
}

#[test]
fn locks_are_waited_for_as_long_as_was_said() {
    on_every_major(|server| {
        let target = Database::filled(
            server,
            "CREATE TABLE users (id int); INSERT INTO users SELECT generate_series(1, 10)",
        );
        let host = Host::of(&target);
        let id = host.create("manual");
        let restore = ["restore", &id, "--yes", "--lock-wait-timeout", "200"];
        let refused = |options: &[&str]| {
            let outcome = host.run(restore.iter().chain(options));
            let told = outcome.expect_status(21).stderr();
            assert!(told.contains("SQLSTATE 55P03"), "{told}");
            assert!(told.contains("The target is unchanged."), "{told}");
            assert!(
                told.contains("allow more with --lock-wait-timeout"),
                "{told}"
            );
            let journals = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pgstow%'";
            assert_eq!(target.sql(journals), "0\n");
        };
        let mut reader = target.hold("BEGIN; LOCK users IN ACCESS SHARE MODE");
        refused(&[]);
        refused(&["-1"]);
        reader.release();
        let mut changer = target.hold("BEGIN; LOCK users IN EXCLUSIVE MODE");
        refused(&["-a"]);
        refused(&["-a", "-1"]);
        changer.release();
        host.run(restore).expect_status(0);
        host.run(restore.iter().chain(&["-a"])).expect_status(0);
        assert_eq!(target.sql("SELECT count(*) FROM users"), "20\n");
    });
}

#[test]
fn what_follows_the_rows_has_the_memory_of_the_server_and_no_less_than_64_mb() {
    on_every_major(|server| {
        // A refresh runs where indexes are built.
        let view = "CREATE MATERIALIZED VIEW seen AS SELECT current_setting('maintenance_work_mem') AS memory";
        let (host, target, file) = set_and_target(server, view, "");
        for (set, seen) in [("16MB", "64MB\n"), ("200MB", "200MB\n")] {
            let name = &target.name;
            target.sql(&format!(
                "ALTER DATABASE {name} SET maintenance_work_mem = '{set}'"
            ));
            host.run(["restore", &file, "--yes"]).expect_status(0);
            assert_eq!(target.sql("SELECT memory FROM seen"), seen);
        }
    });
}

#[test]
fn a_target_that_takes_no_changes_is_told_before() {
    on_newest(|server| {
        let (host, target, file) = set_and_target(server, SHOP, "CREATE TABLE users (id int)");
        let alter = format!("ALTER DATABASE \"{}\" SET", target.name);
        target.sql(&format!(
            "{alter} default_transaction_read_only = on; {alter} maintenance_work_mem = '100MB'"
        ));
        for options in [&["--dry-run"][..], &["--yes"], &["--yes", "-1"]] {
            let call = ["restore", &file]
                .into_iter()
                .chain(options.iter().copied());
            let told = host.run(call).expect_status(1).stderr();
            assert!(
                told.contains("read-only") && told.contains("1 problem"),
                "{told}"
            );
        }
        // It is the session that counts.
        let mut command = host.command();
        command.args(["restore", &file, "--dry-run", "-j1"]);
        command.env("PGOPTIONS", "-c default_transaction_read_only=off");
        let shown = finish(&mut command).expect_status(0).stdout();
        assert!(shown.contains("maintenance_work_mem = 100 MB;"), "{shown}");
    });
}

#[test]
fn a_database_that_is_there_already_cannot_be_made() {
    on_newest(|server| {
        let (host, target, file) = set_and_target(server, SHOP, "");
        for how in ["--dry-run", "--yes"] {
            let told = host.run(["restore", &file, "-C", how, "-d", &target.url()]);
            let told = told.expect_status(1).stderr();
            assert!(told.contains("exists already"), "{told}");
        }
        let told = host.run(["restore", "--abandon", "--yes", &target.url()]);
        let told = told.expect_status(1).stderr();
        assert!(told.contains("has no unfinished restore\n"), "{told}");
        assert!(!told.contains("--resume"), "{told}");
    });
}

#[test]
fn prepared_transactions_that_hold_locks_are_named() {
    let server = newest_alone();
    let (host, target, file) = set_and_target(server, SHOP, SHOP);
    target.sql("ALTER SYSTEM SET max_prepared_transactions = 2");
    server.crash();
    target.sql("BEGIN; LOCK users IN SHARE MODE; PREPARE TRANSACTION 'p''1'");
    let told = findings(&plan(&host, &file, &[], 0), "warning").concat();
    assert!(
        told.contains("prepared transaction 'p''1', holds ShareLock on table public.users"),
        "{told}"
    );
    target.sql("ROLLBACK PREPARED 'p''1'");
}
