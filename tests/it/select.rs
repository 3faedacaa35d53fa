//! Selection from an archive: single indexes, routines and triggers, and lists of entries, as pg_restore has them.

use std::path::Path;
use std::process::Command;

use crate::harness::server::client_dir;
use crate::harness::{Database, Host, Server, Snapshot, differences, on_every_major, on_newest};

const SOURCE: &str = r#"
    CREATE SCHEMA app;
    CREATE TABLE app.t (id serial PRIMARY KEY, a int, "B" text);
    CREATE TABLE app.u (id int REFERENCES app.t, a int CHECK (a > 0));
    INSERT INTO app.t (a, "B") SELECT n, 'b' || n FROM generate_series(1, 500) n;
    CREATE FUNCTION app.f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION app.f(a text, "b c" double precision) RETURNS int LANGUAGE sql AS 'SELECT 2';
    CREATE FUNCTION app.g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE AGGREGATE app.s(int) (sfunc = int4pl, stype = int);
    CREATE INDEX t_a ON app.t (a);
    CREATE INDEX "T; x" ON app.t ("B");
    CREATE INDEX u_a ON app.u (a);
    CREATE TRIGGER audit BEFORE UPDATE ON app.t FOR EACH ROW EXECUTE PROCEDURE app.g();
    CREATE TRIGGER audit BEFORE UPDATE ON app.u FOR EACH ROW EXECUTE PROCEDURE app.g();
    CREATE POLICY p ON app.u USING (a > 1);
    CREATE RULE r AS ON DELETE TO app.u DO INSTEAD NOTHING;
    COMMENT ON INDEX app.t_a IS 'the index';"#;

/// What `SOURCE` has of indexes, routines and triggers, gone.
const LOSE: &str = r#"
    DROP INDEX app.t_a, app."T; x", app.u_a;
    DROP TRIGGER audit ON app.t; DROP TRIGGER audit ON app.u;
    DROP FUNCTION app.f(int), app.f(text, double precision);
    DROP AGGREGATE app.s(int);"#;

#[track_caller]
fn same(wanted: &Database, found: &Database, what: &str) {
    let (wanted, found) = (Snapshot::of(wanted).unwrap(), Snapshot::of(found).unwrap());
    if let Some(difference) = differences(&wanted, &found) {
        panic!("{what}: {difference}");
    }
}

#[track_caller]
fn client(program: &str, server: &Server, arguments: &[&str]) -> String {
    let output = Command::new(client_dir().join(program))
        .args([
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-p",
            &server.port.to_string(),
        ])
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn single_parts_come_back_as_from_pg_restore() {
    on_newest(|server| {
        let source = Database::filled(server, SOURCE);
        let host = Host::of(&source);
        let own = host.create("manual");
        let theirs = host.dir().join("dump");
        let theirs = theirs.to_str().unwrap();
        client(
            "pg_dump",
            server,
            &["-Fc", "-d", &source.name, "-f", theirs],
        );
        let cases: [&[&str]; 6] = [
            &["-I", "t_a"],
            &["-I", "u_a", "-P", "f(integer)"],
            &["-P", "f(text, double precision)", "-P", "s(integer)"],
            &["--trigger", "u audit"],
            &["-n", "app", "-I", "t_a", "--trigger", "t audit"],
            &["-I", "\"T; x\""],
        ];
        for options in cases {
            let (wanted, found) = (
                Database::filled(server, SOURCE),
                Database::filled(server, SOURCE),
            );
            wanted.sql(LOSE);
            // pg_restore takes names as they are.
            let plain: Vec<String> = options.iter().map(|it| it.replace('"', "")).collect();
            let mut call = vec!["-d", &wanted.name, theirs];
            call.extend(plain.iter().map(String::as_str));
            // Types alone, where pg_dump's tags have no argument names.
            client("pg_restore", server, &call);
            for archive in [own.as_str(), theirs] {
                let mut restore = vec!["restore", archive, found.url().leak(), "--yes"];
                restore.extend(options);
                // What is there is made anew.
                host.run(&restore).expect_status(0);
                same(
                    &source,
                    &found,
                    &format!("{archive} {options:?} over what is there"),
                );
                found.sql(LOSE);
                host.run(&restore).expect_status(0);
                same(&wanted, &found, &format!("{archive} {options:?}"));
                found.sql("DROP SCHEMA app CASCADE");
                found.sql(SOURCE);
            }
        }
    });
}

#[test]
fn a_name_in_vain_stops_it_and_nothing_else_is_read() {
    on_newest(|server| {
        let source = Database::filled(server, SOURCE);
        let host = Host::of(&source);
        let id = host.create("manual");
        for (options, message) in [
            (&["-I", "none"][..], "no matching indexes were found"),
            (&["-I", "t_pkey"], "no matching indexes were found"),
            (&["-P", "f(bigint)"], "no matching functions were found"),
            (&["--trigger", "x.audit"], "no matching triggers were found"),
            (&["-N", "app", "-I", "t_a", "--list"], "; 0 of"),
            (
                &["-I", "t_a", "-I", "x", "--strict-names"],
                "no matching indexes were found for pattern \"x\"",
            ),
        ] {
            let mut call = vec!["restore", &id, "--dry-run"];
            if options.contains(&"--list") {
                call.pop();
            }
            call.extend(options);
            let outcome = host.run(&call);
            let said = outcome.stdout() + &outcome.stderr();
            assert!(said.contains(message), "{options:?}: {said}");
            assert_eq!(outcome.status() == 2, !message.starts_with(';'), "{said}");
        }
    });
}

#[test]
fn a_list_chooses_entries_of_either_archive() {
    on_every_major(|server| {
        let source = Database::filled(server, SOURCE);
        let host = Host::of(&source);
        let id = host.create("manual");
        let theirs = host.dir().join("dump");
        let theirs = theirs.to_str().unwrap();
        client(
            "pg_dump",
            server,
            &["-Fc", "-d", &source.name, "-f", theirs],
        );
        let list = host.dir().join("list");
        for (archive, listing) in [
            (
                id.as_str(),
                host.run(["restore", "-l", &id]).expect_status(0).stdout(),
            ),
            (
                theirs,
                host.run(["restore", "-l", theirs])
                    .expect_status(0)
                    .stdout(),
            ),
            (theirs, client("pg_restore", server, &["-l", theirs])),
        ] {
            // Everything.
            std::fs::write(&list, &listing).unwrap();
            let copy = Database::empty(server);
            restore_list(&host, archive, &copy, &list, &[]);
            same(&source, &copy, &listing);
            // Parts whose table stays, over what is there.
            let parts = [
                "INDEX app t_a",
                "TRIGGER app t audit",
                "FK CONSTRAINT app u",
                "POLICY app u p",
                "RULE app u r",
            ];
            let kept = keep(&listing, &parts);
            assert_eq!(kept.lines().count(), 5, "{listing}");
            std::fs::write(&list, &kept).unwrap();
            restore_list(&host, archive, &copy, &list, &[]);
            copy.sql("COMMENT ON INDEX app.t_a IS 'the index'");
            same(&source, &copy, &kept);
            // What both choose.
            let chosen = [
                "restore",
                "-l",
                archive,
                "-I",
                "t_a",
                "-L",
                list.to_str().unwrap(),
            ];
            let chosen = host.run(chosen).expect_status(0).stdout();
            let chosen: Vec<&str> = chosen.lines().filter(|it| !it.starts_with(';')).collect();
            assert!(chosen.len() == 1 && chosen[0].contains("t_a"), "{chosen:?}");
        }
        std::fs::write(&list, "1;\n\n99999; TABLE\n").unwrap();
        let outcome = host.run(["restore", &id, "--dry-run", "-L", list.to_str().unwrap()]);
        let said = outcome.expect_status(2).stderr();
        assert!(
            said.contains("line 3 of") && said.contains("no entry 99999"),
            "{said}"
        );
    });
}

fn keep(listing: &str, wanted: &[&str]) -> String {
    let lines = listing
        .lines()
        .filter(|line| wanted.iter().any(|it| line.contains(&format!(" {it}"))));
    lines.map(|line| format!("{line}\n")).collect()
}

#[track_caller]
fn restore_list(host: &Host, archive: &str, target: &Database, list: &Path, more: &[&str]) {
    let (url, list) = (target.url(), list.to_str().unwrap());
    let call = ["restore", archive, &url, "--yes", "-L", list];
    host.run(call.iter().chain(more)).expect_status(0);
}
