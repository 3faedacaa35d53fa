//! docs/recovery.md: the commands of its cases, taken from the document and run.

use std::process::Command;

use crate::harness::pgstow::finish;
use crate::harness::{Database, Host, Server, Snapshot, differences, on_newest};

const JARVIS: &str = "
    CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL);
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 500) n;
    CREATE TABLE orders (id serial PRIMARY KEY, user_id int NOT NULL REFERENCES users ON DELETE CASCADE, note text);
    INSERT INTO orders (user_id, note) SELECT n % 500 + 1, E'tab\\t' || n FROM generate_series(1, 2000) n;";

/// The code blocks below a heading, with what stands behind `sh`.
fn blocks(heading: &str) -> Vec<(String, String)> {
    let path = format!("{}/docs/recovery.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let section = text
        .split("\n## ")
        .find(|section| section.starts_with(heading))
        .unwrap_or_else(|| panic!("there is no case \"{heading}\""));
    let mut blocks = Vec::new();
    let mut rest = section;
    while let Some((_, after)) = rest.split_once("```sh") {
        let (mark, after) = after.split_once('\n').unwrap();
        let (code, after) = after.split_once("```").unwrap();
        blocks.push((mark.trim().to_owned(), code.to_owned()));
        rest = after;
    }
    assert!(!blocks.is_empty(), "the case \"{heading}\" has no commands");
    blocks
}

/// Runs all blocks as one script, as an operator would who pastes them.
fn paste(host: &Host, mark: Option<&str>, heading: &str, variables: &[(&str, &str)]) -> String {
    let wanted = |(of, _): &(String, String)| mark.is_none_or(|mark| mark == of);
    let code: Vec<String> = blocks(heading)
        .into_iter()
        .filter(wanted)
        .map(|(_, code)| code)
        .collect();
    assert!(!code.is_empty());
    let mut shell: Command = host.program("/bin/sh");
    shell
        .args(["-euxc", &code.join("\n")])
        .envs(variables.iter().copied());
    finish(&mut shell).expect_status(0).stdout()
}

fn jarvis(server: &'static Server) -> (Database, Host, Snapshot) {
    let source = Database::filled(server, JARVIS);
    let host = Host::of(&source);
    let before = Snapshot::of(&source).unwrap();
    (source, host, before)
}

#[track_caller]
fn expect_as_before(before: &Snapshot, database: &Database) {
    if let Some(difference) = differences(before, &Snapshot::of(database).unwrap()) {
        panic!("{difference}");
    }
}

#[test]
fn the_server_is_lost() {
    on_newest(|server| {
        let (source, host, before) = jarvis(server);
        host.create("daily");
        // Another server of another major would do as well; a database that is not there yet stands for it.
        let new = Database::empty(server);
        new.drop_now();
        paste(
            &host,
            None,
            "The server is lost",
            &[("NEW_URL", &new.url())],
        );
        expect_as_before(&before, &new);
        assert_eq!(host.ids().len(), 2);
        drop(source);
    });
}

#[test]
fn the_data_is_corrupt() {
    on_newest(|server| {
        let (source, host, before) = jarvis(server);
        let good = host.create("daily");
        source.sql("UPDATE users SET name = 'garbage' WHERE id % 2 = 0; DELETE FROM orders WHERE id % 3 = 0");
        paste(&host, None, "The data is corrupt", &[("BACKUP", &good)]);
        expect_as_before(&before, &source);
        // What was there before the restore is kept as well.
        assert_eq!(host.ids().len(), 2);
    });
}

#[test]
fn somebody_deleted_rows() {
    on_newest(|server| {
        let (source, host, _) = jarvis(server);
        let good = host.create("daily");
        source.sql("DELETE FROM users WHERE id = 42");
        // Life goes on: this must not be lost.
        source.sql("INSERT INTO orders (user_id, note) VALUES (7, 'new')");
        let shown = paste(&host, None, "Somebody deleted rows", &[("BACKUP", &good)]);
        assert!(shown.contains("42,user 42"), "{shown}");
        assert_eq!(
            source.sql("SELECT name FROM users WHERE id = 42"),
            "user 42\n"
        );
        assert_eq!(
            source.sql("SELECT count(*), min(note) FROM orders WHERE user_id = 42"),
            "4\ttab\t1041\n"
        );
        assert_eq!(source.sql("SELECT count(*) FROM users"), "500\n");
        assert_eq!(source.sql("SELECT count(*) FROM orders"), "2001\n");
        // The sequence goes on where it was.
        assert_eq!(
            source.sql("INSERT INTO orders (user_id) VALUES (7) RETURNING id"),
            "2002\n"
        );
        // Twice is once: the keys are there.
        host.run([
            "restore",
            &good,
            "--yes",
            "-a",
            "-t",
            "public.users",
            "--where",
            "id = 42",
        ])
        .expect_status(1);
        host.run([
            "restore",
            &good,
            "--yes",
            "-a",
            "-t",
            "public.users",
            "--where",
            "nonesuch = 42",
        ])
        .expect_status(2);
        host.run(["restore", &good, "--yes", "--where", "id = 42"])
            .expect_status(2);
        assert_eq!(source.sql("SELECT count(*) FROM users"), "500\n");
    });
}

#[test]
fn a_migration_failed() {
    on_newest(|server| {
        let (source, host, before) = jarvis(server);
        paste(&host, Some("before"), "A migration failed", &[]);
        source.sql(
            "ALTER TABLE users RENAME COLUMN name TO full_name;
             ALTER TABLE orders DROP COLUMN note;
             CREATE TABLE half_done (user_id int REFERENCES users);",
        );
        paste(&host, Some("after"), "A migration failed", &[]);
        expect_as_before(&before, &source);
        assert_eq!(host.list()[0]["pinned"], false);
        paste(&host, None, "Afterwards", &[]);
    });
}
