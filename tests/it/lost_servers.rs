//! A server whose disk fills, and one that is gone for good while a standby takes its place: a restore goes on where it stopped.

use std::path::PathBuf;

use crate::harness::pgstow::{Running, archive_of, command};
use crate::harness::server::newest_alone;
use crate::harness::{Database, Server, Snapshot, expect_equal};
use crate::resume::SOURCE;

/// A source and its archive.
struct Trial {
    source: Snapshot,
    archive: PathBuf,
    _dir: tempfile::TempDir,
}

impl Trial {
    fn new(server: &'static Server) -> Trial {
        let source = Database::filled(server, SOURCE);
        let (dir, archive) = archive_of(&source);
        Trial {
            source: Snapshot::of(&source).unwrap(),
            archive: archive.into(),
            _dir: dir,
        }
    }

    fn start(&self, url: &str, options: &[&str]) -> Running {
        Running::start(
            command()
                .args(["restore", "--yes", "--progress", "json"])
                .args(options)
                .arg(&self.archive)
                .arg(url),
        )
    }
}

#[test]
fn a_disk_that_fills_is_waited_for_or_told_of() {
    let (server, disk) = Server::with_a_disk_that_fills();
    let full = disk.path().join("full");
    let server: &'static Server = Box::leak(Box::new(server));
    let trial = Trial::new(server);

    let target = Database::empty(server);
    let mut running = trial.start(&target.url(), &["-j2"]);
    running.until("worker_started");
    std::fs::write(&full, "").unwrap();
    running.until("Trying again");
    assert!(running.said().contains("53100"), "{}", running.said());
    std::fs::remove_file(&full).unwrap();
    running.ended_with(0);
    expect_equal("the target that waited", &trial.source, &target);

    // Nobody makes room.
    let target = Database::empty(server);
    let mut running = trial.start(&target.url(), &["-j2", "--retry-for=0"]);
    running.until("worker_started");
    std::fs::write(&full, "").unwrap();
    let said = running.ended_with(6);
    assert!(said.contains("No space left on device"), "{said}");
    std::fs::remove_file(&full).unwrap();
    trial
        .start(&target.url(), &["-j2", "--resume"])
        .ended_with(0);
    expect_equal("the target that was resumed", &trial.source, &target);
}

#[test]
fn a_standby_takes_the_place_of_its_primary() {
    // What makes a standby of a copy is another file before.
    let primary = newest_alone();
    if primary.major < 12 {
        return;
    }
    let trial = Trial::new(primary);
    let target = Database::empty(primary);
    let standby = primary.standby();
    let url = format!(
        "postgresql://postgres@127.0.0.1:{},127.0.0.1:{}/{}?target_session_attrs=read-write",
        primary.port, standby.port, target.name
    );
    let mut running = trial.start(&url, &["-j2"]);
    running.until("\"phase\":\"data\"");
    running.until("worker_advanced");
    primary.die();
    running.until("Trying again");
    let promoted = Database {
        server: standby,
        name: target.name.clone(),
    };
    promoted.sql("SELECT pg_promote()");
    running.ended_with(0);
    expect_equal("the promoted standby", &trial.source, &promoted);
}
