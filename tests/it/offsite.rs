//! Backups in object stores, by the built binary.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

use crate::harness::pgstow::finish;
use crate::harness::s3::{SECRET, serve_s3, variables};
use crate::harness::{Database, Host, Snapshot, differences, on_newest};

/// A host that knows how to reach a bucket, which lies in `root`.
fn with_s3(source: &Database, root: &Path) -> Host {
    let port = serve_s3(root);
    variables(port, SECRET)
        .into_iter()
        .fold(Host::of(source), |host, (name, value)| {
            host.with(&name, &value)
        })
}

fn listed(host: &Host, place: &str) -> Vec<Value> {
    let listed = host
        .run(["list", place, "--json"])
        .expect_status(0)
        .stdout();
    serde_json::from_str(&listed).unwrap()
}

const TABLE: &str =
    "CREATE TABLE t AS SELECT n, md5(n::text) AS m FROM generate_series(1, 300000) n;
    ALTER TABLE t ADD PRIMARY KEY (n);";

#[test]
fn a_backup_goes_to_s3_without_touching_the_local_disk() {
    on_newest(|server| {
        let source = Database::filled(server, TABLE);
        let root = tempfile::tempdir().unwrap();
        let host = with_s3(&source, root.path()).with("BACKUP_DIR", "s3://bucket/deep/down");
        // A process that may not write a single byte to a file.
        let mut shell = host.program("/bin/sh");
        shell.args(["-c", "ulimit -f 0; exec pgstow create -j 2"]);
        finish(&mut shell).expect_status(0);
        assert!(!host.backups().exists());
        let id = host.ids()[0].clone();
        host.run(["verify", "latest"]).expect_status(0);
        assert_eq!(host.list()[0]["verified"]["how"], "read-data");
        let rows = host
            .run(["show", "latest", "--rows", "public.t", "--where", "n = 77"])
            .expect_status(0);
        assert_eq!(rows.stdout(), "77\t28dd2c7955ce926456240b2ff0100bde\n");
        host.run(["drill"]).expect_status(0);
        let target = Database::empty(server);
        let url = format!("s3://bucket/deep/down/{id}.sql.gz");
        host.run(["restore", &url, &target.url(), "--yes"])
            .expect_status(0);
        let (before, after) = (
            Snapshot::of(&source).unwrap(),
            Snapshot::of(&target).unwrap(),
        );
        assert_eq!(differences(&before, &after), None);
        host.run(["pin", &id]).expect_status(0);
        host.create("daily");
        host.run(["cleanup", "--keep-last", "1"]).expect_status(0);
        assert_eq!(host.ids().len(), 2);
        host.run(["unpin", &id]).expect_status(0);
        host.run(["cleanup", "--keep-last", "1"]).expect_status(0);
        assert_eq!(host.ids().len(), 1);
        host.run(["doctor"]).expect_status(0);
        host.run(["verify", "s3://bucket/deep/down/nonesuch.sql.gz"])
            .expect_status(5);
    });
}

#[test]
fn a_local_and_an_off_site_copy_are_made_in_one_run() {
    on_newest(|server| {
        let source = Database::filled(server, TABLE);
        let root = tempfile::tempdir().unwrap();
        let host = with_s3(&source, root.path());
        let place = "s3://bucket/far";
        host.run(["create", "--offsite", place]).expect_status(0);
        let there = listed(&host, place);
        assert_eq!(there[0]["sha256"], host.list()[0]["sha256"]);
        host.run(["verify", "latest", "--repository", place])
            .expect_status(0);

        // Only the second fails: the first is there.
        let failed = finish(host.command().env("AWS_SECRET_ACCESS_KEY", "wrong").args([
            "create",
            "--offsite",
            place,
        ]))
        .expect_status(3);
        assert!(
            failed.stderr().contains("no copy in s3://bucket/far"),
            "{}",
            failed.stderr()
        );
        assert!(!failed.stderr().contains("wrong"), "{}", failed.stderr());
        assert_eq!((host.ids().len(), listed(&host, place).len()), (2, 1));
        // Later by hand.
        host.run(["copy", "--all", "--to", place]).expect_status(0);
        assert_eq!(listed(&host, place).len(), 2);
        let again = host.run(["copy", "latest", "--to", place]).expect_status(0);
        assert!(again.stderr().contains("already"), "{}", again.stderr());
        // And back, after the host was lost.
        let back = host.dir().join("back");
        let back = back.to_str().unwrap();
        host.run(["copy", "--all", "--to", back, "--repository", place])
            .expect_status(0);
        host.run(["verify", "--all", "--repository", back])
            .expect_status(0);
    });
}

#[test]
fn a_damaged_set_is_not_copied() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t (n int)");
        let host = Host::of(&source);
        let id = host.create("manual");
        let file = host.backups().join(format!("{id}.sql.gz"));
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let to = host.dir().join("to");
        host.run(["copy", &id, "--to", to.to_str().unwrap()])
            .expect_status(4);
        assert_eq!(std::fs::read_dir(&to).unwrap().count(), 0);
        host.run(["copy", &id, "--to", host.backups().to_str().unwrap()])
            .expect_status(2);
    });
}

#[test]
fn a_killed_upload_is_cleared_by_the_next_run() {
    on_newest(|server| {
        let source = Database::filled(server, TABLE);
        let root = tempfile::tempdir().unwrap();
        let host = with_s3(&source, root.path()).with("BACKUP_DIR", "s3://bucket/x");
        for place in [
            "create.before_publish",
            "publish.after_data",
            "publish.after_sha256",
        ] {
            let killed = host
                .command()
                .env("PGSTOW_FAILPOINT", place)
                .arg("create")
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert!(!killed.success());
            assert!(host.ids().is_empty(), "{place}");
        }
        let begun = Instant::now();
        host.create("manual");
        let full = begun.elapsed();
        let mut older = host.ids();
        assert_eq!(older.len(), 1);
        // And with parts of the upload under way.
        for share in [0.3, 0.5, 0.7, 0.9] {
            let mut child = host
                .command()
                .arg("create")
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(full.mul_f64(share));
            child.kill().unwrap();
            child.wait().unwrap();
            let ids = host.ids();
            assert!(older.iter().all(|id| ids.contains(id)));
            older = ids;
        }
        let hidden = || {
            let left = std::fs::read_dir(root.path().join("bucket/x")).unwrap();
            left.map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.starts_with(".jarvis"))
                .collect::<Vec<_>>()
        };
        // A dead run's last request may arrive behind the next run's look, and a busy store may keep a lease that its
        // owner let go: the run after that clears it.
        for _ in 0..3 {
            host.create("manual");
            if hidden().is_empty() {
                break;
            }
        }
        host.run(["verify", "--all"]).expect_status(0);
        assert_eq!(
            hidden(),
            [""; 0],
            "locks and reservations of dead runs are gone"
        );
    });
}
