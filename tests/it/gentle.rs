//! Dumps that leave the server room for others.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Database, on_newest, pgstow};

/// Rows of tables and large objects, with digests.
fn rows(archive: &str) -> Vec<Value> {
    let shown = pgstow(["show", "--json", archive])
        .expect_status(0)
        .stdout();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let entries = shown["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["rows"].clone())
        .filter(|rows| !rows.is_null())
        .collect()
}

#[test]
fn rows_come_no_faster_than_the_rate_and_all_of_them() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE a AS SELECT n, repeat(md5(n::text), 8) AS t FROM generate_series(1, 3000) n;
             CREATE TABLE b AS SELECT n, repeat(md5(n::text), 8) AS t FROM generate_series(1, 3000) n;
             SELECT lo_from_bytea(0, decode(repeat('00ff', 200000), 'hex'))",
        );
        let dir = tempfile::tempdir().unwrap();
        let create = |name: &str, options: &[&str]| {
            let archive = dir.path().join(name).to_str().unwrap().to_owned();
            let url = source.url();
            let arguments = ["create", url.as_str(), "-j2", "-o", archive.as_str()];
            let began = Instant::now();
            pgstow(arguments.iter().chain(options)).expect_status(0);
            (rows(&archive), began.elapsed())
        };
        let (whole, _) = create("whole.sql.gz", &[]);
        let (paced, took) = create("paced.sql.gz", &["--max-rate", "1MB"]);
        assert_eq!(whole, paced);
        let bytes: u64 = whole.iter().map(|it| it["bytes"].as_u64().unwrap()).sum();
        assert!(bytes > 1_500_000, "{whole:?}");
        let least = Duration::from_micros(bytes + 400_000);
        assert!(
            took >= least,
            "{took:?} for {bytes} bytes and a large object"
        );
        let no_limit = NonZeroU64::MAX.to_string();
        assert_eq!(create("fast.sql.gz", &["-r", &no_limit]).0, whole);
    });
}

#[test]
fn a_rate_of_nothing_is_refused() {
    let arguments = [
        "create",
        "-o",
        "x.sql.gz",
        "--max-rate",
        "0",
        "postgresql://h/d",
    ];
    let refused = pgstow(arguments).expect_status(2).stderr();
    assert!(refused.contains("such as 10MiB"), "{refused}");
}
