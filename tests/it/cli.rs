//! The command line as scripts meet it: exit statuses, streams, files.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::pgstow::command;
use crate::harness::{Database, Fixture, on_newest, pgstow};

const SMALL: &str = "CREATE TABLE t (id int PRIMARY KEY, v text);
    INSERT INTO t SELECT n, 'v' || n FROM generate_series(1, 100) n;";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn help_lists_commands_and_exit_statuses() {
    let help = pgstow(["--help"]).expect_status(0).stdout();
    for word in [
        "create", "restore", "verify", "show", "damage", "connect", "130", "143",
    ] {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
    for subcommand in ["create", "restore", "verify", "show"] {
        pgstow([subcommand, "--help"]).expect_status(0);
    }
}

#[test]
fn usage_errors_exit_with_2() {
    for arguments in [
        &["create", "--no-such-option"][..],
        &["destroy"],
        &["restore"],
        &["create", "-j", "0", "db"],
        &["create", "-Z", "gzip:13", "db"],
        &["create", "-Z", "brotli", "db"],
        &["create", "-s", "-a", "db"],
        &["create", "postgresql://[", "-o", "-"],
        &["create", "-t", "a.b.c.d", "db"],
        &["verify"],
    ] {
        let outcome = pgstow(arguments).expect_status(2);
        assert!(!outcome.stderr().is_empty(), "{arguments:?}");
        assert!(outcome.stdout().is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_missing_file_exits_with_5_and_a_foreign_one_is_told_by_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.sql.gz");
    let foreign = dir.path().join("foreign.sql.gz");
    for subcommand in ["verify", "show"] {
        pgstow([subcommand, text(&missing)]).expect_status(5);
    }
    // Neither an archive nor a whole script.
    std::fs::write(&foreign, "It's text.\n").unwrap();
    pgstow(["verify", text(&foreign)]).expect_status(4);
    std::fs::write(&foreign, "SELECT 1;\n").unwrap();
    pgstow(["verify", text(&foreign)]).expect_status(0);
    let shown = pgstow(["show", text(&foreign)]).expect_status(1);
    assert!(shown.stderr().contains("is a plain SQL script"));
}

#[test]
fn no_connection_exits_with_20_and_never_tells_the_password() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a.sql.gz");
    let url = "postgresql://someone:s3cr3t-word@127.0.0.1:1/db?connect_timeout=3";
    let outcome = pgstow(["create", url, "-o", text(&archive)]).expect_status(20);
    assert!(!outcome.stderr().contains("s3cr3t"), "{}", outcome.stderr());
    assert!(outcome.stderr().contains("127.0.0.1"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    on_newest(|server| {
        let outcome = pgstow([
            "create",
            &server.url("no_such_database"),
            "-o",
            text(&archive),
        ])
        .expect_status(20);
        assert!(outcome.stderr().contains("no_such_database"));
        let outcome = pgstow([
            "create",
            &format!(
                "postgresql://pgstow_no_such_role:s3cr3t-word@127.0.0.1:{}/postgres",
                server.port
            ),
            "-o",
            text(&archive),
        ])
        .expect_status(20);
        assert!(!outcome.stderr().contains("s3cr3t"), "{}", outcome.stderr());
    });
}

#[test]
fn command_lines_of_pg_dump_and_pg_restore_may_say_clean_and_if_exists() {
    on_newest(|server| {
        let source = Database::filled(server, SMALL);
        let target = Database::filled(server, SMALL);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        let create = ["create", &source.url(), "-o", text(&archive)];
        pgstow([&create[..], &["--if-exists"]].concat()).expect_status(2);
        pgstow([&create[..], &["-c", "--if-exists"]].concat()).expect_status(0);
        let restore = ["restore", "-y", text(&archive), &target.url()];
        pgstow([&restore[..], &["-c", "--no-clean"]].concat()).expect_status(2);
        pgstow([&restore[..], &["--clean", "--if-exists"]].concat()).expect_status(0);
    });
}

#[test]
fn a_backup_is_a_file_with_checksum_and_meta_and_is_never_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    on_newest(|server| {
        let source = Database::filled(server, SMALL);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        pgstow(["create", &source.url(), "-o", text(&archive)]).expect_status(0);
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["a.sql.gz", "a.sql.gz.meta", "a.sql.gz.sha256"]);
        for name in &names {
            let mode = std::fs::metadata(dir.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let checked = Command::new("sha256sum")
            .args(["-c", "--quiet", "a.sql.gz.sha256"])
            .current_dir(dir.path())
            .status()
            .unwrap();
        assert!(checked.success());
        let before = std::fs::read(&archive).unwrap();
        pgstow(["create", &source.url(), "-o", text(&archive)]).expect_status(1);
        assert_eq!(std::fs::read(&archive).unwrap(), before);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    });
}

#[test]
fn without_output_the_backup_is_named_after_database_and_time() {
    on_newest(|server| {
        let source = Database::filled(server, SMALL);
        let dir = tempfile::tempdir().unwrap();
        let output = command()
            .args(["create", &source.url()])
            .env("BACKUP_DIR", dir.path())
            .output()
            .unwrap();
        assert!(output.status.success());
        let prefix = format!("{}-backup-", source.name);
        let archives = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with(&prefix) && name.ends_with(".sql.gz"))
            .count();
        assert_eq!(archives, 1);
    });
}

#[test]
fn the_archive_goes_to_a_pipe_and_is_the_same_script() {
    on_newest(|server| {
        let source = Database::filled(server, SMALL);
        let dir = tempfile::tempdir().unwrap();
        for (method, name) in [
            ("gzip", "p.sql.gz"),
            ("zstd", "p.sql.zst"),
            ("none", "p.sql"),
            ("auto", "auto.sql.gz"),
            ("zstd:auto", "auto.sql.zst"),
        ] {
            let archive = dir.path().join(name);
            let outcome =
                pgstow(["create", &source.url(), "-Z", method, "-o", "-"]).expect_status(0);
            std::fs::write(&archive, outcome.stdout_bytes()).unwrap();
            pgstow(["verify", text(&archive)]).expect_status(0);
            let target = Database::empty(server);
            pgstow(["restore", text(&archive), &target.url(), "--yes"]).expect_status(0);
            assert_eq!(target.sql("SELECT count(*), sum(id) FROM t"), "100\t5050\n");
        }
    });
}

#[test]
fn a_full_disk_exits_with_22_and_a_closed_pipe_is_no_panic() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE t AS SELECT md5(n::text) FROM generate_series(1, 200000) n",
        );
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let status = command()
            .args(["create", &source.url(), "-o", "-"])
            .stdout(full)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(22));

        let mut child = command()
            .args(["create", &source.url(), "-o", "-"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success());
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
    });
}

#[test]
fn restore_asks_before_it_changes_anything() {
    on_newest(|server| {
        let source = Database::filled(server, SMALL);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        pgstow(["create", &source.url(), "-o", text(&archive)]).expect_status(0);
        let target = Database::filled(server, "CREATE TABLE t (other int)");
        pgstow(["restore", text(&archive), &target.url()]).expect_status(2);
        assert_eq!(
            target.sql(
                "SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0"
            ),
            "other\n"
        );
    });
}

#[test]
fn a_failed_restore_leaves_the_target_as_it_was() {
    on_newest(|server| {
        let source = Database::filled(server, SMALL);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        pgstow(["create", &source.url(), "-o", text(&archive)]).expect_status(0);
        // A view that the archive does not hold stands on the table that would be dropped.
        let target = Database::filled(
            server,
            "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (7, 'mine');
             CREATE VIEW mine AS SELECT * FROM t;",
        );
        let outcome = pgstow(["restore", text(&archive), &target.url(), "--yes"]).expect_status(1);
        assert!(outcome.stderr().contains("mine"), "{}", outcome.stderr());
        assert_eq!(target.sql("SELECT * FROM mine"), "7\tmine\n");
        pgstow([
            "restore",
            text(&archive),
            &target.url(),
            "--yes",
            "--cascade",
        ])
        .expect_status(0);
        assert_eq!(target.sql("SELECT count(*) FROM t"), "100\n");
        assert_eq!(target.sql("SELECT to_regclass('mine') IS NULL"), "t\n");
    });
}

#[test]
fn create_makes_the_database() {
    on_newest(|server| {
        let source = Database::filled(server, SMALL);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        pgstow(["create", &source.url(), "-o", text(&archive)]).expect_status(0);
        let made = Database {
            server,
            name: server.fresh_name(),
        };
        pgstow(["restore", text(&archive), &made.url(), "--yes", "--create"]).expect_status(0);
        assert_eq!(made.sql("SELECT sum(id) FROM t"), "5050\n");
        // It exists now.
        pgstow(["restore", text(&archive), &made.url(), "--yes", "--create"]).expect_status(1);
    });
}

#[test]
fn show_prints_contents_script_and_rows() {
    on_newest(|server| {
        let source = Database::filled(server, SMALL);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        pgstow(["create", &source.url(), "-o", text(&archive)]).expect_status(0);
        let contents = pgstow(["show", text(&archive)]).expect_status(0).stdout();
        assert!(
            contents.contains("TABLE DATA") && contents.contains("100"),
            "{contents}"
        );
        let json = pgstow(["show", "--json", text(&archive)])
            .expect_status(0)
            .stdout();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(json.to_string().contains("\"rows\""));
        let rows = pgstow(["show", "--rows", "public.t", text(&archive)])
            .expect_status(0)
            .stdout();
        assert_eq!(rows.lines().count(), 100);
        assert_eq!(rows.lines().next(), Some("1\tv1"));
        let csv = pgstow(["show", "--rows", "t", "--format", "csv", text(&archive)])
            .expect_status(0)
            .stdout();
        assert!(csv.starts_with("id,v"), "{csv}");
        let script = pgstow(["show", "--sql", text(&archive)])
            .expect_status(0)
            .stdout();
        let target = Database::filled(server, &script);
        assert_eq!(target.sql("SELECT sum(id) FROM t"), "5050\n");
    });
}

#[test]
fn a_password_is_taken_from_the_environment_and_a_wrong_one_exits_with_20() {
    on_newest(|server| {
        // The server trusts everybody: what is tested is that no password reaches any output.
        let source = Database::filled(server, SMALL);
        let output = command()
            .args(["create", &source.url(), "-o", "-", "-v", "--json"])
            .env("PGPASSWORD", "s3cr3t-word")
            .output()
            .unwrap();
        assert!(output.status.success());
        let told = [output.stdout, output.stderr].concat();
        assert!(!told.windows(11).any(|bytes| bytes == b"s3cr3t-word"));
    });
}

#[test]
fn create_tells_how_much_memory_it_needed() {
    on_newest(|server| {
        let source = Database::filled(server, SMALL);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql");
        let create = [
            "create",
            &source.url(),
            "-s",
            "-o",
            text(&archive),
            "--json",
        ];
        let report = pgstow(create).expect_status(0).stdout();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let peak = report["peak_memory_bytes"].as_u64().unwrap();
        assert!((1 << 20..1 << 30).contains(&peak), "{peak} bytes");
    });
}

#[test]
fn a_lock_that_is_not_granted_in_time_exits_with_21() {
    on_newest(|server| {
        let source = Database::filled(server, SMALL);
        let mut holder = crate::harness::database::psql_command(server, &source.name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = holder.stdin.take().unwrap();
        stdin
            .write_all(b"BEGIN; LOCK t; SELECT 'locked';\n")
            .unwrap();
        let mut answer = String::new();
        let mut stdout = std::io::BufReader::new(holder.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut answer).unwrap();
        assert_eq!(answer, "locked\n");
        let outcome = pgstow([
            "create",
            &source.url(),
            "-o",
            "-",
            "--lock-wait-timeout",
            "200",
        ])
        .expect_status(21);
        assert!(outcome.stderr().contains('t'));
        drop(stdin);
        holder.wait().unwrap();
    });
}

#[test]
fn selection_takes_what_was_asked_for() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE SCHEMA s1; CREATE SCHEMA s2;
             CREATE TABLE s1.a (id int PRIMARY KEY); CREATE TABLE s1.b (id int REFERENCES s1.a);
             CREATE TABLE s2.a (id int); CREATE VIEW s2.v AS SELECT * FROM s1.a;
             INSERT INTO s1.a VALUES (1), (2); INSERT INTO s1.b VALUES (1); INSERT INTO s2.a VALUES (3);",
        );
        let tables_after = |options: &[&str], prepare: &str| {
            let dir = tempfile::tempdir().unwrap();
            let archive = dir.path().join("a.sql.gz");
            let url = source.url();
            let mut arguments = vec!["create", &url, "-o", text(&archive)];
            arguments.extend(options);
            pgstow(&arguments).expect_status(0);
            let target = Database::filled(server, prepare);
            pgstow(["restore", text(&archive), &target.url(), "--yes"]).expect_status(0);
            target.sql(
                "SELECT string_agg(relnamespace::regnamespace || '.' || relname, ' ' ORDER BY 1) FROM (
                    SELECT relnamespace, relname FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace::regnamespace::text ~ '^s[12]$' ORDER BY 1, 2) c",
            )
            .trim()
            .split(' ')
            .map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join(" ")
        };
        let schemas = "CREATE SCHEMA s1; CREATE SCHEMA s2";
        assert_eq!(tables_after(&[], ""), "s1.a s1.b s2.a s2.v");
        assert_eq!(tables_after(&["-n", "s1"], ""), "s1.a s1.b");
        assert_eq!(tables_after(&["-N", "s2"], ""), "s1.a s1.b");
        assert_eq!(tables_after(&["-t", "s1.a"], schemas), "s1.a");
        assert_eq!(tables_after(&["-t", "*.a"], schemas), "s1.a s2.a");
        assert_eq!(tables_after(&["-T", "s1.b", "-T", "*.v"], ""), "s1.a s2.a");
        pgstow(["create", &source.url(), "-o", "-", "-t", "no.such"]).expect_status(2);
    });
}

#[test]
fn schema_only_and_data_only_halve_the_archive() {
    on_newest(|server| {
        let source = Database::filled(server, SMALL);
        let dir = tempfile::tempdir().unwrap();
        let (schema, data) = (dir.path().join("s.sql.gz"), dir.path().join("d.sql.gz"));
        pgstow(["create", &source.url(), "-s", "-o", text(&schema)]).expect_status(0);
        pgstow(["create", &source.url(), "-a", "-o", text(&data)]).expect_status(0);
        let target = Database::empty(server);
        pgstow(["restore", text(&schema), &target.url(), "--yes"]).expect_status(0);
        assert_eq!(target.sql("SELECT count(*) FROM t"), "0\n");
        pgstow(["restore", text(&data), &target.url(), "--yes", "-a"]).expect_status(0);
        assert_eq!(target.sql("SELECT count(*) FROM t"), "100\n");
    });
}

#[test]
fn part_of_an_archive_can_be_restored() {
    on_newest(|server| {
        let fixtures = Fixture::all_in(&["apps"]);
        let shop = fixtures
            .iter()
            .find(|fixture| fixture.name.ends_with("shop.sql"))
            .unwrap();
        let source = shop.load(server).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        pgstow(["create", &source.url(), "-o", text(&archive)]).expect_status(0);
        let target = shop.load(server).unwrap();
        target.sql("DELETE FROM shop.audit; DELETE FROM shop.price_periods");
        pgstow([
            "restore",
            text(&archive),
            &target.url(),
            "--yes",
            "-t",
            "shop.audit",
            "-t",
            "shop.price_periods",
            "-a",
        ])
        .expect_status(0);
        let counts = "SELECT (SELECT count(*) FROM shop.audit), (SELECT count(*) FROM shop.price_periods), (SELECT count(*) FROM shop.orders)";
        assert_eq!(target.sql(counts), source.sql(counts));
    });
}
