//! Backup sets in BACKUP_DIR: listed, and found by `latest` or their id.

use std::path::Path;
use std::process::Output;

use crate::harness::pgstow::command;
use crate::harness::{Database, on_newest, pgstow};

/// Runs pgstow with this BACKUP_DIR; gives its exit status, stdout and stderr.
fn pgstow_in(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command()
        .args(arguments)
        .env("BACKUP_DIR", directory)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn sets_are_listed_and_found_by_id() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1234);",
        );
        let dir = tempfile::tempdir().unwrap();
        let backups = dir.path().join("backups");
        for options in [
            &["create", &source.url()][..],
            &["create", &source.url(), "-s"],
        ] {
            let (status, _, stderr) = pgstow_in(&backups, options);
            assert_eq!(status, 0, "{stderr}");
        }
        let (status, stdout, stderr) = pgstow_in(&backups, &["list", "--json"]);
        assert_eq!((status, stderr.as_str()), (0, ""));
        let sets: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(sets.as_array().unwrap().len(), 2);
        // The newest first.
        assert_eq!(sets[0]["partial"][0], "--schema-only");
        assert_eq!(
            (&sets[1]["rows"], &sets[1]["tables"]),
            (&1234.into(), &1.into())
        );
        let (status, table, _) = pgstow_in(&backups, &["list"]);
        assert_eq!(status, 0);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].starts_with("ID ") && lines[1].contains("partial: --schema-only"));
        assert!(
            lines[2].contains("1,234") && lines[2].ends_with("whole"),
            "{table}"
        );

        let whole = sets[1]["id"].as_str().unwrap();
        for wanted in ["latest", whole, sets[1]["file"].as_str().unwrap()] {
            let (status, _, stderr) = pgstow_in(&backups, &["verify", wanted]);
            assert_eq!(status, 0, "{wanted}: {stderr}");
        }
        // The newest set holds definitions only.
        let (_, stdout, _) = pgstow_in(&backups, &["show", "latest", "--rows", "public.t"]);
        assert_eq!(stdout.lines().count(), 1234);
        let target = Database::empty(server);
        let (status, _, stderr) = pgstow_in(&backups, &["restore", whole, &target.url(), "--yes"]);
        assert_eq!(status, 0, "{stderr}");
        assert_eq!(target.sql("SELECT count(*) FROM t"), "1234\n");

        let (status, _, stderr) = pgstow_in(&backups, &["show", "nonesuch"]);
        assert_eq!(status, 5, "{stderr}");
        // Both ids begin so.
        let beginning = &whole[..whole.len() - 8];
        let (status, _, stderr) = pgstow_in(&backups, &["show", beginning]);
        assert_eq!(status, 2, "{stderr}");
        assert!(stderr.contains("2 backup sets"), "{stderr}");
    });
}

#[test]
fn half_sets_are_not_listed() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t (n int);");
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..4 {
            assert_eq!(pgstow_in(dir.path(), &["create", &source.url()]).0, 0);
        }
        let (_, stdout, _) = pgstow_in(dir.path(), &["list", "--json"]);
        let sets: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        let file = |n: usize| dir.path().join(sets[n]["file"].as_str().unwrap());
        let beside = |n: usize, suffix: &str| {
            let mut path = file(n).into_os_string();
            path.push(suffix);
            path
        };
        std::fs::remove_file(beside(0, ".meta")).unwrap();
        std::fs::remove_file(beside(1, ".sha256")).unwrap();
        std::fs::write(file(2), b"cut").unwrap();
        std::fs::write(dir.path().join("notes.txt"), b"mine").unwrap();
        let (status, stdout, stderr) = pgstow_in(dir.path(), &["list", "--json"]);
        assert_eq!(status, 0);
        let left: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(left.as_array().unwrap().len(), 1);
        assert_eq!(left[0]["id"], sets[3]["id"]);
        assert_eq!(stderr.lines().count(), 2, "{stderr}");
        assert!(
            stderr.contains(".sha256 is missing") && stderr.contains("3 bytes"),
            "{stderr}"
        );
        let (status, _, _) = pgstow_in(dir.path(), &["verify", sets[1]["id"].as_str().unwrap()]);
        assert_eq!(status, 5);
    });
}

#[test]
fn missing_directory_exits_with_5() {
    pgstow(["list", "/nonexistent/backups"]).expect_status(5);
}
