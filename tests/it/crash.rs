//! Whatever kills a dump half-way, no file is left that looks like a backup.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::pgstow::command;
use crate::harness::{Database, on_newest};

/// Large enough that its dump takes a second or more, and is made in several ranges.
fn large_table(server: &'static crate::harness::Server) -> Database {
    Database::filled(
        server,
        "CREATE TABLE large AS SELECT n, repeat(md5(n::text), 20) AS filler FROM generate_series(1, 400000) n;",
    )
}

/// Starts a dump and returns when rows begin to flow.
fn dump_in_the_middle(source: &Database, dir: &Path) -> Child {
    let archive = dir.join("a.sql.gz");
    let mut child = command()
        .args([
            "create",
            &source.url(),
            "-j",
            "2",
            "--progress",
            "json",
            "-o",
        ])
        .arg(archive)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("worker_advanced") {
        line.clear();
        assert_ne!(
            stderr.read_line(&mut line).unwrap(),
            0,
            "it ended too early"
        );
    }
    // Whatever it says later must not block it.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    child
}

fn names_in(dir: &Path) -> Vec<String> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_killed_backend_fails_the_dump_and_leaves_nothing() {
    on_newest(|server| {
        let source = large_table(server);
        let dir = tempfile::tempdir().unwrap();
        let mut child = dump_in_the_middle(&source, dir.path());
        let killed = source.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~* '^copy' LIMIT 1) one",
        );
        assert_eq!(killed, "1\n");
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert_eq!(names_in(dir.path()), [""; 0]);
    });
}

#[test]
fn signals_stop_the_dump_and_leave_nothing() {
    on_newest(|server| {
        let source = large_table(server);
        for (signal, status) in [("-TERM", 143), ("-INT", 130)] {
            let dir = tempfile::tempdir().unwrap();
            let mut child = dump_in_the_middle(&source, dir.path());
            kill(&child, signal);
            assert_eq!(child.wait().unwrap().code(), Some(status), "{signal}");
            assert_eq!(names_in(dir.path()), [""; 0], "{signal}");
        }
    });
}

#[test]
fn a_killed_pgstow_leaves_no_backup() {
    on_newest(|server| {
        let source = large_table(server);
        let dir = tempfile::tempdir().unwrap();
        let mut child = dump_in_the_middle(&source, dir.path());
        kill(&child, "-KILL");
        child.wait().unwrap();
        for name in names_in(dir.path()) {
            assert!(!name.starts_with("a.sql.gz"), "{name} looks like a backup");
        }
        // The server notices and ends what it was doing for it.
        source.wait_for_quiet();
    });
}

fn kill(child: &Child, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}
