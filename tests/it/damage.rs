//! A damaged archive is found out, by verify and by restore, before anything changes.

use std::path::Path;

use crate::harness::{Database, on_newest, pgstow};

/// Writes a damaged copy of a good archive and gives both statuses: of `verify`, and of `restore`.
fn statuses(database: &Database, copy: &Path, bytes: &[u8]) -> (i32, i32) {
    std::fs::write(copy, bytes).unwrap();
    let copy = copy.to_str().unwrap();
    (
        pgstow(["verify", copy]).status(),
        pgstow(["restore", copy, &database.url(), "--yes"]).status(),
    )
}

#[test]
fn damage_exits_with_4_and_leaves_the_target_alone() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 1000) n",
        );
        let dir = tempfile::tempdir().unwrap();
        let good = dir.path().join("good.sql.gz");
        pgstow(["create", &source.url(), "-o", good.to_str().unwrap()]).expect_status(0);
        let bytes = std::fs::read(&good).unwrap();
        let target = Database::filled(server, "CREATE TABLE t (mine int)");
        let copy = dir.path().join("damaged.sql.gz");

        let cuts = (1..20).map(|part| bytes[..bytes.len() * part / 20].to_vec());
        let flips = (0..20).map(|part| {
            let mut flipped = bytes.clone();
            flipped[bytes.len() * part / 20] ^= 0x10;
            flipped
        });
        let longer = [
            [&bytes[..], b"\n"].concat(),
            [&bytes[..], &bytes[..]].concat(),
        ];
        for (number, damaged) in cuts.chain(flips).chain(longer).enumerate() {
            assert_eq!(statuses(&target, &copy, &damaged), (4, 4), "case {number}");
        }
        assert_eq!(
            target.sql(
                "SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0"
            ),
            "mine\n"
        );
    });
}

#[test]
fn a_wrong_checksum_file_is_noticed() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t (a int)");
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        let archive = archive.to_str().unwrap();
        pgstow(["create", &source.url(), "-o", archive]).expect_status(0);
        let wrong = format!("{}  a.sql.gz\n", "0".repeat(64));
        std::fs::write(format!("{archive}.sha256"), wrong).unwrap();
        pgstow(["verify", archive]).expect_status(4);
    });
}
