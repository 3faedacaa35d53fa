//! `kill -9` at every step of making, copying and deleting sets: never half a set in `list`, never an older one touched, and the
//! next run needs no help.
//!
//! `PGSTOW_TEST_KILLS=300` kills that often at random moments, instead of a few times.

use std::process::{Child, Stdio};
use std::time::Duration;

use crate::harness::{Database, Host, on_newest};

fn started(host: &Host, failpoint: Option<&str>, arguments: &[&str]) -> Child {
    let mut command = host.command();
    if let Some(place) = failpoint {
        command.env("PGSTOW_FAILPOINT", place);
    }
    command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// All that `list` shows can be relied on, and the next run leaves only whole sets.
#[track_caller]
fn expect_sound(host: &Host, older: &[String]) {
    let ids = host.ids();
    for id in older {
        assert!(ids.contains(id), "{id} is gone");
    }
    if !ids.is_empty() {
        host.run(["verify", "--all", "--quick"]).expect_status(0);
    }
}

#[test]
fn killed_at_every_step_of_create() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE t AS SELECT generate_series(1, 1000) n",
        );
        let host = Host::of(&source);
        let older = vec![host.create("manual")];
        for place in [
            "create.before_publish",
            "publish.after_data",
            "publish.after_sha256",
        ] {
            let status = started(&host, Some(place), &["create"]).wait().unwrap();
            assert_eq!(status.code(), None, "{place} was never reached");
            expect_sound(&host, &older);
            assert_eq!(host.ids(), older, "{place}");
        }
        host.create("manual");
        let whole = host.ids();
        assert_eq!(whole.len(), 2);
        // Nothing hidden is left, and what has no .meta is not in anybody's way.
        let hidden: Vec<String> = host
            .files()
            .into_iter()
            .filter(|name| name.starts_with('.'))
            .collect();
        assert_eq!(hidden, [""; 0]);
        host.run(["verify", "--all"]).expect_status(0);
    });
}

#[test]
fn killed_at_every_step_of_cleanup() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t (n int)");
        let host = Host::of(&source);
        for days in [9, 8, 7, 6] {
            host.age(&host.create("manual"), days);
        }
        let newest = vec![host.create("manual")];
        let mut left = 5;
        for place in [
            "cleanup.between",
            "delete.after_meta",
            "delete.after_sha256",
        ] {
            let status = started(&host, Some(place), &["cleanup", "--keep-last", "1"])
                .wait()
                .unwrap();
            assert_eq!(status.code(), None, "{place} was never reached");
            expect_sound(&host, &newest);
            left -= usize::from(place != "cleanup.between");
            assert_eq!(host.ids().len(), left, "{place}");
        }
        host.run(["cleanup", "--keep-last", "1"]).expect_status(0);
        assert_eq!(host.ids(), newest);
        let data: Vec<String> = host
            .files()
            .into_iter()
            .filter(|name| name.ends_with(".sql.gz"))
            .collect();
        assert_eq!(
            data.len(),
            1,
            "halves of deleted sets are gone, too: {:?}",
            host.files()
        );
    });
}

#[test]
fn killed_between_the_files_of_a_copy() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t (n int)");
        let host = Host::of(&source);
        let id = host.create("manual");
        let to = host.dir().join("to");
        let to = to.to_str().unwrap();
        for place in ["copy.after_data", "publish.after_sha256"] {
            started(&host, Some(place), &["copy", &id, "--to", to])
                .wait()
                .unwrap();
            let listed = host.run(["list", to, "--json"]).expect_status(0).stdout();
            assert_eq!(listed.trim(), "[]", "{place}");
        }
        host.run(["copy", &id, "--to", to]).expect_status(0);
        host.run(["verify", "--all", "--repository", to])
            .expect_status(0);
    });
}

#[test]
fn killed_at_random_moments() {
    let kills: u64 =
        std::env::var("PGSTOW_TEST_KILLS").map_or(12, |text| text.parse().expect("a number"));
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE t AS SELECT n, md5(n::text) AS m FROM generate_series(1, 60000) n",
        );
        let host = Host::of(&source);
        let mut older = vec![host.create("manual")];
        let full = {
            let started = std::time::Instant::now();
            older.push(host.create("manual"));
            started.elapsed()
        };
        for kill in 0..kills {
            let mut child = started(&host, None, &["create"]);
            // Spread over the whole run and a little beyond, in an order that does not repeat.
            let share = u32::try_from(kill * 7919 % 1000).unwrap();
            std::thread::sleep(full.mul_f64(f64::from(share) / 900.0));
            child.kill().unwrap();
            child.wait().unwrap();
            let ids = host.ids();
            assert!(
                older.iter().all(|id| ids.contains(id)),
                "an older set is gone"
            );
            older = ids;
        }
        std::thread::sleep(Duration::from_millis(10));
        host.create("manual");
        host.run(["verify", "--all"]).expect_status(0);
        let hidden: Vec<String> = host
            .files()
            .into_iter()
            .filter(|name| name.starts_with('.'))
            .collect();
        assert_eq!(hidden, [""; 0]);
    });
}
