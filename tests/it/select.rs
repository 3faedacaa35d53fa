//! Selection from an archive: single indexes, routines and triggers, and lists of entries, as pg_restore has them.

use std::path::Path;

use crate::harness::pgstow::{Outcome, archive_of};
use crate::harness::{
    Database, Host, Server, Snapshot, expect_equal, on_every_major, on_newest, pgstow,
};

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
    expect_equal(what, &Snapshot::of(wanted).unwrap(), found);
}

#[track_caller]
fn client(program: &str, server: &Server, arguments: &[&str]) -> String {
    let output = server.client(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The database in an archive of ours, by its id, and in one of pg_dump, by its path.
#[track_caller]
fn both_archives(host: &Host, source: &Database) -> (String, String) {
    let theirs = host.dir().join("dump");
    let theirs = theirs.to_str().unwrap().to_owned();
    let call = ["-Fc", "-d", &source.name, "-f", &theirs];
    client("pg_dump", source.server, &call);
    (host.create("manual"), theirs)
}

#[test]
fn single_parts_come_back_as_from_pg_restore() {
    on_newest(|server| {
        let source = Database::filled(server, SOURCE);
        let host = Host::of(&source);
        let (own, theirs) = both_archives(&host, &source);
        let theirs = theirs.as_str();
        let cases: [&[&str]; 6] = [
            &["-I", "t_a"],
            &["-I", "u_a", "-P", "f(integer)"],
            &["-P", "f(text, double precision)", "-P", "s(integer)"],
            &["--trigger", "u audit"],
            &["-n", "app", "-I", "t_a", "--trigger", "t audit"],
            &["-I", "\"T; x\""],
        ];
        for (at, options) in cases.into_iter().enumerate() {
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
                if at % 2 == 0 {
                    restore.push("--single-transaction");
                }
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
        let (id, theirs) = both_archives(&host, &source);
        let theirs = theirs.as_str();
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

const CHAIN: &str = r#"
    CREATE SCHEMA app; CREATE SCHEMA lib;
    CREATE EXTENSION citext SCHEMA lib;
    CREATE TYPE lib.mood AS ENUM ('sad', 'glad');
    CREATE DOMAIN lib.positive AS int CHECK (VALUE > 0);
    CREATE FUNCTION lib.next(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
    CREATE SEQUENCE lib.numbers;
    CREATE TABLE lib.country (code text PRIMARY KEY, name lib.citext);
    INSERT INTO lib.country SELECT 'c' || n, 'N' || n FROM generate_series(1, 50) n;
    CREATE TABLE app.customer (id serial PRIMARY KEY, country text REFERENCES lib.country, n int DEFAULT lib.next(3),
        m lib.mood DEFAULT 'sad', p lib.positive, s int DEFAULT nextval('lib.numbers'));
    INSERT INTO app.customer (country, p) SELECT 'c' || n, n FROM generate_series(1, 50) n;
    CREATE FUNCTION lib.guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER g BEFORE UPDATE ON app.customer FOR EACH ROW EXECUTE PROCEDURE lib.guard();
    COMMENT ON TYPE lib.mood IS 'moods';
    CREATE TABLE app.orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int REFERENCES app.customer);
    INSERT INTO app.orders (customer) SELECT n FROM generate_series(1, 50) n;
    CREATE VIEW app.names AS SELECT c.name, o.id FROM app.orders o, app.customer u, lib.country c
        WHERE o.customer = u.id AND u.country = c.code;"#;
/// Nobody needs it.
const ASIDE: &str = "CREATE TABLE app.aside (a int); CREATE TYPE lib.unused AS ENUM ('x'); CREATE SCHEMA other;
    CREATE FUNCTION app.aside() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE VIEW app.more AS SELECT * FROM app.names;";

#[test]
fn what_is_needed_comes_along_and_nothing_else() {
    on_every_major(|server| {
        let (wanted, source) = (
            Database::filled(server, CHAIN),
            Database::filled(server, CHAIN),
        );
        source.sql(ASIDE);
        let host = Host::of(&source);
        let (own, theirs) = both_archives(&host, &source);
        let theirs = theirs.as_str();
        for archive in [own.as_str(), theirs] {
            let copy = Database::empty(server);
            let url = copy.url();
            let restore = |more: &[&str]| {
                let call = ["restore", archive, &url, "--yes", "--with-dependencies"];
                host.run(call.iter().chain(more)).expect_status(0).stderr()
            };
            restore(&["-t", "app.names"]);
            same(&wanted, &copy, archive);
            // What is there stays, with other rows, too; what is chosen is made anew.
            copy.sql("DROP TABLE app.orders CASCADE; DROP FUNCTION lib.next(int) CASCADE; DELETE FROM lib.country WHERE code = 'c0';
                INSERT INTO lib.country VALUES ('new', 'New')");
            let said = restore(&["-t", "app.names", "-t", "app.orders"]);
            assert!(
                said.contains("they stay:") && said.contains("\"lib\".\"country\""),
                "{said}"
            );
            assert_eq!(copy.sql("SELECT count(*) FROM lib.country").trim(), "51");
            assert_eq!(copy.sql("SELECT count(*) FROM app.names").trim(), "50");
            // Of a trigger, its table; of that, everything else.
            copy.sql("DROP SCHEMA app, lib CASCADE");
            restore(&["--trigger", "g"]);
            copy.sql("CREATE TABLE app.orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int REFERENCES app.customer)");
            restore(&["-t", "app.names", "-t", "app.orders"]);
            same(&wanted, &copy, archive);
        }
        let shown = host.run(["show", &own, "-t", "app.orders", "--with-dependencies"]);
        let shown = shown.expect_status(0).stdout();
        assert!(
            shown.contains("lib.country") && !shown.contains("aside"),
            "{shown}"
        );
    });
}

#[test]
fn one_small_table_of_a_large_archive_is_read_alone() {
    on_newest(|server| {
        let script = "
            CREATE TABLE large (id int, t text); CREATE TABLE small (id int PRIMARY KEY, t text);
            INSERT INTO large SELECT n, encode(sha512(n::text::bytea), 'hex') FROM generate_series(1, 300000) n;
            INSERT INTO small SELECT n, encode(sha512(n::text::bytea), 'hex') FROM generate_series(1, 3000) n;";
        let source = Database::filled(server, script);
        let host = Host::of(&source);
        let id = host.create("manual");
        let copy = Database::empty(server);
        let call = [
            "restore",
            &id,
            &copy.url(),
            "--yes",
            "--json",
            "-t",
            "small",
            "--with-dependencies",
        ];
        let report = host.run(call).expect_status(0).stdout();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let bytes = |name: &str| report[name].as_u64().unwrap();
        assert_eq!(bytes("rows"), 3000);
        // It is read twice: to verify it, and to load it.
        assert!(
            bytes("bytes_read") * 50 < bytes("archive_bytes"),
            "{report}"
        );
    });
}

#[test]
fn tables_come_back_with_the_storage_of_the_target() {
    on_newest(|server| {
        // An in-place tablespace needs no directory, and 15.
        if server.major < 15 {
            return;
        }
        let source = Database::empty(server);
        let name = format!("fast_{}", source.name);
        source.sql(&format!(
            "SET allow_in_place_tablespaces = on; CREATE TABLESPACE {name} LOCATION ''"
        ));
        let script = |tablespace: &str, key: &str, method: &str| {
            format!(
                "CREATE TABLE t (id int CONSTRAINT k PRIMARY KEY {key}, a text) {method} WITH (fillfactor = 50) {tablespace};
                 CREATE MATERIALIZED VIEW v {method} {tablespace} AS SELECT id AS tablespace FROM t JOIN t u USING (id);
                 CREATE INDEX i ON t (a) {tablespace} WHERE id > 1;
                 CREATE TABLE p (id int, UNIQUE (id) {key}) PARTITION BY LIST (id) {tablespace}"
            )
        };
        let wanted = Database::filled(server, &script("", "", ""));
        source.sql("CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler");
        wanted.sql("CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler");
        let tablespace = format!("TABLESPACE {name}");
        source.sql(&script(
            &tablespace,
            &format!("USING INDEX {tablespace}"),
            "USING other",
        ));
        let host = Host::of(&source);
        let (own, theirs) = both_archives(&host, &source);
        for archive in [&own, &theirs] {
            let copy = Database::empty(server);
            let url = copy.url();
            let call = [
                "restore",
                archive,
                &url,
                "--yes",
                "--no-tablespaces",
                "--no-table-access-method",
            ];
            host.run(call).expect_status(0);
            same(&wanted, &copy, archive);
            host.run(["restore", archive, &url, "--yes"])
                .expect_status(0);
            same(&source, &copy, archive);
        }
    });
}

#[test]
fn hostile_names_stay_in_their_line_of_a_list() {
    on_newest(|server| {
        let script =
            "CREATE TABLE \"a\n1; x\r\n;\" AS SELECT 1 AS n; CREATE TABLE b AS SELECT 2 AS n";
        let source = Database::filled(server, script);
        let host = Host::of(&source);
        let list = host.dir().join("list");
        let (own, theirs) = both_archives(&host, &source);
        for archive in [own, theirs] {
            let listing = host.run(["restore", "-l", &archive]).expect_status(0);
            let listing = listing.stdout();
            let kept = keep(&listing, &["public a"]);
            // The table and its rows.
            assert_eq!(kept.lines().count(), 2, "{listing}");
            std::fs::write(&list, kept).unwrap();
            let copy = Database::filled(server, "CREATE TABLE b AS SELECT 2 AS n");
            restore_list(&host, &archive, &copy, &list, &["--single-transaction"]);
            same(&source, &copy, &listing);
        }
    });
}

#[test]
fn schemas_limit_the_tables_of_an_archive() {
    on_newest(|server| {
        let script = "
            CREATE SCHEMA a; CREATE TABLE a.t AS SELECT 1 AS n; CREATE TABLE a.u (n int);
            CREATE SCHEMA b; CREATE TABLE b.t AS SELECT 2 AS n; CREATE FUNCTION b.f() RETURNS int LANGUAGE sql AS 'SELECT 1'";
        let source = Database::filled(server, script);
        let host = Host::of(&source);
        let (own, theirs) = both_archives(&host, &source);
        for options in [&["-n", "b", "-t", "t"][..], &["-t", "t", "-N", "a"]] {
            let wanted = Database::filled(server, "CREATE SCHEMA a; CREATE SCHEMA b");
            let call = [&["-d", &wanted.name, &theirs], options].concat();
            client("pg_restore", server, &call);
            assert_eq!(wanted.sql("SELECT n FROM b.t").trim(), "2");
            for archive in [&own, &theirs] {
                let copy = Database::filled(server, "CREATE SCHEMA a; CREATE SCHEMA b");
                host.run([&["restore", archive, &copy.url(), "--yes"], options].concat())
                    .expect_status(0);
                same(&wanted, &copy, &format!("{archive} {options:?}"));
            }
        }
        let call = ["restore", &own, "--yes", "-t", "u", "-n", "b"];
        let refused = host.run(call).expect_status(2);
        assert!(refused.stderr().contains("no matching tables"));
    });
}

#[test]
fn an_identity_column_goes_on_counting_where_its_table_alone_comes_back() {
    on_every_major(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, a int); INSERT INTO t (a) VALUES (1), (2), (3);",
        );
        let host = Host::of(&source);
        let id = host.create("manual");
        let copy = Database::empty(server);
        host.run(["restore", &id, &copy.url(), "--yes", "-t", "t"])
            .expect_status(0);
        same(&source, &copy, "-t t");
    });
}

/// Tables of one schema with all their parts; `lib` stays.
const TABLES: &str = r#"
    CREATE SCHEMA lib; CREATE SCHEMA app;
    CREATE TYPE app.mood AS ENUM ('sad', 'glad');
    CREATE FUNCTION lib.guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TABLE app."T; x" (id serial PRIMARY KEY, "B.c" text DEFAULT 'app."T; x"', m app.mood DEFAULT 'sad',
        n int GENERATED BY DEFAULT AS IDENTITY UNIQUE, CHECK (n > 0));
    INSERT INTO app."T; x" ("B.c") SELECT E'a\\b\t' || n FROM generate_series(1, 1000) n;
    CREATE TABLE app.child (id int PRIMARY KEY, t int REFERENCES app."T; x");
    INSERT INTO app.child SELECT n, n FROM generate_series(1, 1000) n;
    CREATE INDEX "i; x" ON app."T; x" (lower("B.c")) WHERE n > 2;
    CREATE STATISTICS app.st ON id, n FROM app."T; x";
    CREATE TRIGGER g BEFORE UPDATE ON app.child FOR EACH ROW WHEN (old.id > 1) EXECUTE PROCEDURE lib.guard();
    CREATE POLICY p ON app.child USING (id > 1);
    ALTER TABLE app.child ENABLE ROW LEVEL SECURITY;
    ALTER TABLE app."T; x" CLUSTER ON "T; x_pkey";
    CREATE TABLE app.parted (k int, v text) PARTITION BY RANGE (k);
    CREATE TABLE app.part PARTITION OF app.parted FOR VALUES FROM (0) TO (10);
    CREATE INDEX ON app.parted (v);
    INSERT INTO app.parted SELECT n, 'v' FROM generate_series(0, 9) n;
    COMMENT ON TABLE app.child IS 'app.child';
    COMMENT ON COLUMN app."T; x"."B.c" IS 'column';
    COMMENT ON INDEX app."i; x" IS 'index';
    GRANT SELECT (id) ON app.child TO PUBLIC; GRANT INSERT ON app."T; x" TO PUBLIC;"#;

#[test]
fn tables_come_back_into_another_schema_beside_those_that_are_there() {
    on_every_major(|server| {
        // CREATE STATISTICS with indexes of partitioned tables came with 11.
        if server.major < 11 {
            return;
        }
        let source = Database::filled(server, TABLES);
        let host = Host::of(&source);
        let (own, theirs) = both_archives(&host, &source);
        let theirs = theirs.as_str();
        // What the server makes of it when it renames.
        let wanted = Database::filled(server, TABLES);
        wanted.sql(
            "ALTER SCHEMA app RENAME TO \"o.ld\"; CREATE SCHEMA app; ALTER TYPE \"o.ld\".mood SET SCHEMA app;",
        );
        for (archive, verify) in [(own.as_str(), true), (theirs, false)] {
            let target = Database::filled(server, TABLES);
            let url = target.url();
            let mut call = vec![
                "restore",
                archive,
                &url,
                "--yes",
                "-t",
                "app.*",
                "--into-schema",
                "\"o.ld\"",
            ];
            call.extend(verify.then_some("--verify-rows"));
            // Over what the first one made, too; with changes in what is there.
            for _ in 0..2 {
                host.run(&call).expect_status(0);
                target.sql(
                    "DELETE FROM app.child WHERE id = 7; INSERT INTO app.parted VALUES (3, 'new')",
                );
            }
            assert_eq!(target.sql("SELECT count(*) FROM app.parted").trim(), "12");
            assert_eq!(target.sql("SELECT count(*) FROM app.child").trim(), "999");
            let drop = "DROP TABLE app.child, app.\"T; x\", app.parted";
            target.sql(drop);
            same(&wanted, &target, archive);
        }
    });
}

#[test]
fn a_table_comes_back_under_another_name_with_its_indexes_and_sequences() {
    on_newest(|server| {
        let source = Database::filled(server, TABLES);
        let host = Host::of(&source);
        let (own, theirs) = both_archives(&host, &source);
        let theirs = theirs.as_str();
        let wanted = Database::filled(server, TABLES);
        wanted.sql(r#"DROP TABLE app.child;
            ALTER TABLE app."T; x" RENAME TO old; ALTER INDEX app."T; x_pkey" RENAME TO old_pkey;
            ALTER INDEX app."T; x_n_key" RENAME TO old_n_key; ALTER INDEX app."i; x" RENAME TO "old_i; x";
            ALTER SEQUENCE app."T; x_id_seq" RENAME TO old_id_seq; ALTER SEQUENCE app."T; x_n_seq" RENAME TO old_n_seq;
            ALTER STATISTICS app.st RENAME TO old_st;"#);
        if server.major >= 18 {
            // They have names since.
            wanted.sql(
                r#"ALTER TABLE app.old RENAME CONSTRAINT "T; x_id_not_null" TO old_id_not_null;
                ALTER TABLE app.old RENAME CONSTRAINT "T; x_n_not_null" TO old_n_not_null;"#,
            );
        }
        for archive in [own.as_str(), theirs] {
            let target = Database::filled(server, TABLES);
            let url = target.url();
            for _ in 0..2 {
                host.run([
                    "restore",
                    archive,
                    &url,
                    "--yes",
                    "--rename",
                    "app.\"T; x\"=Old",
                ])
                .expect_status(0);
            }
            same(
                &source,
                &{
                    let rest = Database::filled(server, TABLES);
                    host.run([
                        "restore",
                        archive,
                        &rest.url(),
                        "--yes",
                        "--rename",
                        "app.\"T; x\"=Old",
                    ])
                    .expect_status(0);
                    rest.sql("DROP TABLE app.old");
                    rest
                },
                "what is there",
            );
            target.sql("DROP TABLE app.child, app.\"T; x\"");
            same(&wanted, &target, archive);
        }
    });
}

#[test]
fn what_cannot_move_is_refused_before_anything_changes() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY); CREATE VIEW app.v AS SELECT 1 AS a;
             CREATE TABLE app.heir (b int) INHERITS (app.t); CREATE TABLE app.own (a int);
             CREATE TABLE app.r (a int REFERENCES app.t); INSERT INTO app.t VALUES (1);
             CREATE POLICY p ON app.own USING (a IN (SELECT x.a FROM app.own x));",
        );
        let host = Host::of(&source);
        let id = host.create("manual");
        let before = Snapshot::of(&source).unwrap();
        for (options, message) in [
            (
                &["-t", "app.v", "--into-schema", "old"][..],
                "VIEW \"app\".\"v\" cannot come back",
            ),
            (&["-t", "app.heir", "--into-schema", "old"], "it inherits"),
            (
                &["-t", "app.own", "--into-schema", "old"],
                "an expression names \"app\".\"own\"",
            ),
            (&["--into-schema", "old"], "--into-schema wants tables"),
            (
                &["-t", "app.t", "--rename", "app.r=x"],
                "--rename does not name it",
            ),
            (&["--rename", "none=x"], "no matching tables"),
            (&["--rename", "app.[tr]=x"], "--rename is of one table"),
            (&["--rename", "app.t"], "equals sign"),
            (&["--rename", "app.t=a.b"], "one name without a schema"),
            (
                &["-t", "app.t", "--into-schema", "old", "--with-dependencies"],
                "cannot be used with",
            ),
        ] {
            let call = ["restore", &id, "--yes"];
            let outcome = host.run(call.iter().chain(options)).expect_status(2);
            assert!(
                outcome.stderr().contains(message),
                "{options:?}: {}",
                outcome.stderr()
            );
        }
        expect_equal("nothing changed", &before, &source);
        // Our own statements are read as rows. Those of pg_dump name the table that is there.
        let statements = host.dir().join("statements");
        let statements = statements.to_str().unwrap();
        let url = source.url();
        client(
            "pg_dump",
            source.server,
            &["-d", &url, "-f", statements, "-Fc", "--inserts"],
        );
        host.run(["create", "-o", "own.sql.gz", "--inserts"])
            .expect_status(0);
        for (archive, status) in [(statements, 2), ("own.sql.gz", 0)] {
            let call = [
                "restore",
                archive,
                "--yes",
                "-t",
                "app.t",
                "--into-schema",
                "new",
            ];
            let said = host.run(call).expect_status(status).stderr();
            assert!(status == 0 || said.contains("INSERT statements"), "{said}");
        }
        // A foreign key to what does not move is left out, by name.
        let said = host.run([
            "restore",
            &id,
            "--yes",
            "-t",
            "app.r",
            "--into-schema",
            "old",
        ]);
        let said = said.expect_status(0).stderr();
        assert!(
            said.contains("FK CONSTRAINT") && said.contains("left out"),
            "{said}"
        );
    });
}

/// Tables that others are tied to.
const TIED: &str = "
    CREATE TABLE users (id int PRIMARY KEY);
    INSERT INTO users VALUES (1);
    CREATE TABLE orders (id int PRIMARY KEY, usr int REFERENCES users);
    INSERT INTO orders VALUES (1, 1);
    CREATE TABLE parted (a int, b int) PARTITION BY LIST (a);
    CREATE TABLE part PARTITION OF parted FOR VALUES IN (1);
    CREATE INDEX parted_b ON parted (b);
    INSERT INTO parted VALUES (1, 2);";

#[test]
fn ties_to_tables_that_are_nowhere_are_left_out_and_told() {
    on_newest(|server| {
        let source = Database::filled(server, TIED);
        let (_dir, file) = archive_of(&source);
        let ties = "SELECT (SELECT count(*) FROM pg_constraint WHERE contype = 'f'), \
                    (SELECT count(*) FROM pg_inherits)";
        for mode in [&[][..], &["-1"]] {
            let target = Database::empty(server);
            let url = target.url();
            let restore = [
                "restore", &file, &url, "--yes", "-t", "orders", "-t", "part",
            ];
            let told = pgstow(restore.iter().chain(mode)).expect_status(0).stderr();
            for tie in [
                r#"FK CONSTRAINT "public"."orders orders_usr_fkey" is left out: it needs TABLE "public"."users""#,
                r#"TABLE ATTACH "public"."part" is left out: it needs TABLE "public"."parted""#,
                r#"INDEX ATTACH "public"."part_b_idx" is left out"#,
            ] {
                assert!(told.contains(tie), "{told}");
            }
            assert_eq!(target.sql("SELECT * FROM orders, part"), "1\t1\t1\t2\n");
            assert_eq!(target.sql(ties), "0\t0\n");

            // Once they are there, nothing is left out.
            pgstow(["restore", &file, &url, "--yes", "-t", "users"]).expect_status(0);
            let told = pgstow(restore.iter().chain(mode).chain(&["-t", "parted"]));
            let told = told.expect_status(0).stderr();
            assert!(!told.contains("is left out"), "{told}");
            assert_eq!(target.sql(ties), "1\t2\n");
        }
    });
}

/// A dump as a plain script.
fn create(url: &str, options: &[&str]) -> Outcome {
    pgstow([&["create", url, "-Z", "none", "-o", "-"][..], options].concat())
}

#[test]
fn an_identity_sequence_goes_into_a_dump_with_its_table_and_with_nothing_else() {
    on_every_major(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, a int); INSERT INTO t (a) VALUES (1), (2), (3);
             GRANT USAGE ON SEQUENCE t_id_seq TO PUBLIC; COMMENT ON SEQUENCE t_id_seq IS 'x';",
        );
        let script = |options| create(&source.url(), options).expect_status(0).stdout();
        let with = script(&["-t", "t"]);
        for said in [
            "setval('\"public\".\"t_id_seq\"', 3, true)",
            "GRANT USAGE ON SEQUENCE",
            "COMMENT ON SEQUENCE",
        ] {
            assert!(with.contains(said), "{said}\n{with}");
        }
        let without = script(&["-T", "t"]);
        assert!(!without.contains("t_id_seq"), "{without}");
    });
}

#[test]
fn what_belongs_to_an_extension_goes_into_a_dump_with_the_extension() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE SCHEMA ext; CREATE SCHEMA app; CREATE EXTENSION hstore SCHEMA ext;
             REVOKE ALL ON FUNCTION ext.avals(ext.hstore) FROM PUBLIC;",
        );
        let dir = tempfile::tempdir().unwrap();
        for (number, (options, is_there)) in [
            (&["-n", "ext"][..], false),
            (&["--exclude-extension", "hstore"], false),
            (&["-e", "plpgsql"], false),
            (&["-n", "ext", "-e", "hstore"], true),
            (&["-N", "app"], true),
        ]
        .into_iter()
        .enumerate()
        {
            let file = dir.path().join(format!("{number}.sql.gz"));
            let file = file.to_str().unwrap();
            let url = source.url();
            pgstow([&["create", &url, "-o", file][..], options].concat()).expect_status(0);
            let copy = Database::empty(server);
            pgstow(["restore", "-y", file, &copy.url()]).expect_status(0);
            let revoked = "SELECT count(*) FROM pg_proc WHERE proname = 'avals'
                AND NOT has_function_privilege('pg_monitor', oid, 'EXECUTE')";
            let expected = format!("{}\n", u8::from(is_there));
            assert_eq!(copy.sql(revoked), expected, "{options:?}");
        }
    });
}

#[test]
fn extended_statistics_of_a_schema_that_is_not_wanted_stay_out() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.t (x int, y int);
             CREATE STATISTICS b.s ON x, y FROM a.t; CREATE STATISTICS a.own ON x, y FROM a.t;",
        );
        for (options, is_there) in [
            (["-n", "a"], false),
            (["-N", "b"], false),
            (["-t", "a.t"], true),
        ] {
            let script = create(&source.url(), &options).expect_status(0).stdout();
            assert!(script.contains("a.own"), "{options:?}\n{script}");
            assert_eq!(script.contains("b.s "), is_there, "{options:?}\n{script}");
        }
    });
}

#[test]
fn sequences_of_others_are_not_read_unless_they_are_wanted() {
    on_every_major(|server| {
        let source = Database::filled(
            server,
            "CREATE SCHEMA other; CREATE SEQUENCE other.hidden; CREATE SCHEMA shown;
             CREATE SEQUENCE shown.hidden; CREATE SCHEMA mine; CREATE SEQUENCE mine.own START 7;",
        );
        let role = format!("reader_{}", source.name);
        source.sql(&format!(
            "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA mine, shown TO {role}; GRANT SELECT ON SEQUENCE mine.own TO {role}"
        ));
        let url = source.url().replace("postgres@", &format!("{role}@"));
        let script = create(&url, &["-n", "mine"]).expect_status(0).stdout();
        assert!(
            script.contains("setval('\"mine\".\"own\"', 7, false)"),
            "{script}"
        );
        for wanted in ["shown", "other"] {
            let refused = create(&url, &["-n", wanted]).expect_status(1);
            let said = format!("could not read sequence \"{wanted}\".\"hidden\"");
            assert!(refused.stderr().contains(&said), "{}", refused.stderr());
        }
        source.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    });
}

#[test]
fn a_dump_of_one_table_waits_for_no_lock_on_another() {
    on_every_major(|server| {
        let (with_partitions, with_generated) = (server.major >= 11, server.major >= 12);
        let partitions = "CREATE TABLE many (id int, x text) PARTITION BY RANGE (id);
             CREATE TABLE few PARTITION OF many FOR VALUES FROM (1) TO (9);
             CREATE INDEX ON many (lower(x));";
        let generated = "CREATE TABLE twice (id int, x int GENERATED ALWAYS AS (id * 2) STORED);";
        let sql_body = "CREATE FUNCTION body() RETURNS bigint LANGUAGE sql RETURN (SELECT count(*) FROM other);";
        let source = Database::filled(
            server,
            &format!(
                "CREATE TABLE chosen (id serial PRIMARY KEY, t text CHECK (length(t) > 0)); INSERT INTO chosen (t) VALUES ('a');
                 CREATE INDEX ON chosen (lower(t)) WHERE id > 0;
                 CREATE TABLE other (id serial PRIMARY KEY, t text CHECK (length(t) > 0), EXCLUDE USING btree ((id + 1) WITH =));
                 CREATE INDEX ON other (lower(t)); CREATE INDEX ON other (id) WHERE t <> '';
                 CREATE VIEW seen AS SELECT * FROM other; CREATE MATERIALIZED VIEW kept AS SELECT id FROM other;
                 CREATE INDEX ON kept ((id + 1));
                 CREATE RULE also AS ON INSERT TO other DO ALSO SELECT id FROM chosen;
                 CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
                 CREATE TRIGGER noting AFTER UPDATE ON other FOR EACH ROW WHEN (NEW.id > 1) EXECUTE PROCEDURE noted();
                 CREATE POLICY own ON other USING (id > 1) WITH CHECK (t <> ''); CREATE STATISTICS s ON id, t FROM other;
                 {} {} {}",
                if with_partitions { partitions } else { "" },
                if with_generated { generated } else { "" },
                if server.major >= 14 { sql_body } else { "" },
            ),
        );
        let _held = source.hold(&format!(
            "BEGIN; LOCK TABLE other {} {}; REFRESH MATERIALIZED VIEW kept; ALTER SEQUENCE other_id_seq RENAME TO renamed",
            if server.major >= 11 { ", seen, many, few" } else { "" },
            if with_generated { ", twice" } else { "" },
        ));
        let url = source.url();
        // Whoever waits fails.
        let create = ["create", &url, "-t", "chosen", "--lock-wait-timeout=1s"];
        for jobs in ["-j1", "-j2"] {
            let script = pgstow(create.into_iter().chain([jobs, "-Znone", "-o-"]))
                .expect_status(0)
                .stdout();
            for part in [
                "CHECK ((length(t) > 0))",
                "USING btree (lower(t)) WHERE (id > 0)",
                "setval(",
            ] {
                assert!(script.contains(part), "{part}: {script}");
            }
            assert!(!script.contains("\"other\""), "{script}");
        }
    });
}
