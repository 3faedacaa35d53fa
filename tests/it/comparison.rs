//! `diff`, and `restore --verify-rows`.

use std::process::Command;

use serde_json::Value;

use crate::harness::pgstow::{archive_of, finish};
use crate::harness::server::client_dir;
use crate::harness::{Database, Host, Server, on_newest, pgstow};

const SHOP: &str = "
    CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
    CREATE TABLE users (id int PRIMARY KEY, name text);
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 500) n;
    CREATE TABLE orders (id serial PRIMARY KEY, user_id int REFERENCES users, note text);
    INSERT INTO orders (user_id, note) SELECT n, E'tab\\t' || n FROM generate_series(1, 300) n;
    CREATE TABLE by_colour (c colour, n int) PARTITION BY HASH (c);
    CREATE TABLE by_colour_0 PARTITION OF by_colour FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE by_colour_1 PARTITION OF by_colour FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO by_colour SELECT ('{red,green,blue}'::colour[])[n % 3 + 1], n FROM generate_series(1, 200) n;
    CREATE VIEW names AS SELECT name FROM users;
    CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';";

fn restore(server: &'static Server, file: &str, options: &[&str]) -> Database {
    let target = Database::empty(server);
    let url = target.url();
    let arguments = ["restore", file, &url, "--yes"];
    pgstow(arguments.iter().chain(options)).expect_status(0);
    target
}

#[test]
fn equal_sides_exit_with_0_whatever_they_are() {
    on_newest(|server| {
        let source = Database::filled(server, SHOP);
        let (_dir, file) = archive_of(&source);
        let copy = restore(server, &file, &[]);
        let source = source.url();
        for (a, b) in [
            (file.as_str(), source.as_str()),
            (&source, &copy.url()),
            (&file, &file),
        ] {
            let told = pgstow(["diff", a, b]).expect_status(0).stdout();
            assert!(told.starts_with("equal: "), "{told}");
            assert!(told.ends_with("the rows of 3 tables\n"), "{told}");
        }
    });
}

#[test]
fn rows_loaded_through_their_root_are_those_of_the_partitions() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE r (n int) PARTITION BY RANGE (n);
             CREATE TABLE r_low PARTITION OF r FOR VALUES FROM (0) TO (100);
             CREATE TABLE r_high PARTITION OF r FOR VALUES FROM (100) TO (300) PARTITION BY RANGE (n);
             CREATE TABLE r_highest PARTITION OF r_high FOR VALUES FROM (100) TO (300);
             INSERT INTO r SELECT generate_series(1, 200);",
        );
        let dir = tempfile::tempdir().unwrap();
        let archive = |name: &str, options: &[&str]| {
            let file = dir.path().join(name).to_str().unwrap().to_owned();
            let command = ["create", &source.url(), "-o", &file];
            pgstow(command.iter().chain(options)).expect_status(0);
            file
        };
        let plain = archive("plain.sql.gz", &[]);
        let rooted = archive("rooted.sql.gz", &["--load-via-partition-root"]);
        let host = Host::of(&source);
        host.run(["create", "--load-via-partition-root"])
            .expect_status(0);
        host.run(["drill"]).expect_status(0);
        let swapped = restore(server, &rooted, &["--swap"]);
        for (a, b) in [
            (&rooted, &source.url()),
            (&source.url(), &rooted),
            (&rooted, &plain),
            (&rooted, &swapped.url()),
        ] {
            pgstow(["diff", a, b]).expect_status(0);
        }
        source.sql("DELETE FROM r WHERE n = 150");
        let told = pgstow(["diff", &rooted, &source.url()]).expect_status(1);
        let line = "rows of public.r: 200 rows in A, 199 rows in B (-1)\n";
        assert!(told.stdout().contains(line), "{}", told.stdout());
    });
}

#[test]
fn what_was_added_dropped_or_changed_is_told_with_its_sql_and_exits_with_1() {
    on_newest(|server| {
        let source = Database::filled(server, SHOP);
        let (_dir, file) = archive_of(&source);
        source.sql(
            "DROP VIEW names;
             CREATE TABLE fresh (a int);
             CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n + n';
             DELETE FROM orders WHERE id = 7;
             UPDATE users SET name = 'other' WHERE id = 7;",
        );
        let url = source.url();
        let told = pgstow(["diff", &file, &url]).expect_status(1).stdout();
        for line in [
            "dropped VIEW public.names\n",
            "added TABLE public.fresh\n",
            "changed FUNCTION public.twice(n integer)\n",
            "  + CREATE TABLE \"public\".\"fresh\" (\n",
            "rows of public.orders: 300 rows in A, 299 rows in B (-1)\n",
            "rows of public.users: 500 rows on both sides, other contents\n",
            "rows of public.fresh: none kept in A, 0 rows in B\n",
        ] {
            assert!(told.contains(line), "{line}{told}");
        }
        let changed = |options: &[&str], status: i32| {
            let arguments = ["diff", &file, &url];
            let outcome = pgstow(arguments.iter().chain(options)).expect_status(status);
            outcome.stdout()
        };
        let json: Value = serde_json::from_str(&changed(&["--json", "-t", "users"], 1)).unwrap();
        assert_eq!(json["objects"], serde_json::json!([]));
        assert_eq!(json["tables"][0]["a"]["rows"], 500);
        assert_ne!(
            json["tables"][0]["a"]["digest"],
            json["tables"][0]["b"]["digest"]
        );
        // A table that one side lacks is no mistake; one that both lack is.
        assert!(changed(&["-t", "fresh"], 1).contains("added TABLE public.fresh"));
        assert!(changed(&["-t", "nothing"], 2).is_empty());
        assert!(changed(&["-s", "-t", "users"], 0).contains("rows were not compared"));
        assert!(!changed(&["-a", "-T", "fresh"], 1).contains("twice"));
    });
}

#[test]
fn verified_rows_are_told_and_other_rows_exit_with_6() {
    on_newest(|server| {
        let source = Database::filled(server, SHOP);
        let (_dir, file) = archive_of(&source);
        let target = Database::empty(server);
        let url = target.url();
        let arguments = ["restore", &file, &url, "--yes", "--verify-rows"];
        let told = pgstow(arguments).expect_status(0).stderr();
        assert!(
            told.contains("3 tables: every row is the archive's"),
            "{told}"
        );

        // One table has rows already, a trigger changes those of another.
        target.sql(
            "DELETE FROM orders WHERE id > 1; UPDATE orders SET id = 1000, user_id = NULL; DELETE FROM users;
             TRUNCATE by_colour;
             CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN IF NEW.id = 3 THEN NEW.name := 'changed'; END IF; RETURN NEW; END $$;
             CREATE TRIGGER change BEFORE INSERT ON users FOR EACH ROW EXECUTE PROCEDURE change();
             ALTER TABLE users ENABLE ALWAYS TRIGGER change;
             ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey;",
        );
        let told = pgstow(arguments.iter().chain(&["-a"]))
            .expect_status(6)
            .stderr();
        for line in [
            "2 tables do not hold the archive's rows",
            "public.orders: 301 rows instead of 300.",
            "public.users: 500 rows, as in the archive, with other contents.",
        ] {
            assert!(told.contains(line), "{line}\n{told}");
        }
    });
}

/// An archive of pg_dump of the newest version.
fn pg_dump(source: &Database, file: &str, options: &[&str]) {
    let mut command = Command::new(client_dir().join("pg_dump"));
    command.args(options).args(["-f", file, &source.url()]);
    finish(&mut command).expect_status(0);
}

#[test]
fn archives_of_pg_dump_are_compared_with_whatever() {
    on_newest(|server| {
        let source = Database::filled(server, SHOP);
        let (dir, ours) = archive_of(&source);
        let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let theirs = file("custom");
        pg_dump(&source, &theirs, &["-Fc"]);
        for form in ["-Fd", "-Ft"] {
            let other = file(form);
            pg_dump(&source, &other, &[form]);
            let told = pgstow(["diff", &theirs, &other]).expect_status(0).stdout();
            assert!(told.ends_with("the rows of 3 tables\n"), "{told}");
            assert!(!told.contains("by name"), "{told}");
        }
        let url = source.url();
        for (a, b) in [(&theirs, &url), (&ours, &theirs)] {
            let told = pgstow(["diff", a, b]).expect_status(0).stdout();
            assert!(
                told.contains("compared by name, not by definition"),
                "{told}"
            );
            assert!(told.ends_with("the rows of 3 tables\n"), "{told}");
        }

        source.sql(
            "ALTER TABLE users ALTER name SET DEFAULT 'nobody';
             CREATE FUNCTION twice(n text) RETURNS text LANGUAGE sql AS 'SELECT n || n';
             DROP VIEW names;
             DELETE FROM orders WHERE id = 7;
             UPDATE users SET name = 'other' WHERE id = 7;",
        );
        let told = pgstow(["diff", &theirs, &url]).expect_status(1).stdout();
        for line in [
            "dropped VIEW public.names\n",
            "added FUNCTION public.twice (2 overloads)\n",
            "rows of public.orders: 300 rows in A, 299 rows in B (-1)\n",
            "rows of public.users: 500 rows on both sides, other contents\n",
        ] {
            assert!(told.contains(line), "{line}\n{told}");
        }
        let later = file("later");
        pg_dump(&source, &later, &["-Fc"]);
        let told = pgstow(["diff", &theirs, &later]).expect_status(1).stdout();
        for line in [
            "changed TABLE public.users\n",
            "added FUNCTION public.twice(text)\n",
            "other rows in 2 of 3 tables\n",
        ] {
            assert!(told.contains(line), "{line}\n{told}");
        }
        let told = pgstow(["diff", "-s", &theirs, &later])
            .expect_status(1)
            .stdout();
        assert!(told.ends_with("rows were not compared\n"), "{told}");
    });
}

/// pg_dump before 16 takes each partition by itself, pgstow those by the hash of an enum together.
#[test]
fn partitions_are_taken_together_where_one_side_does() {
    on_newest(|server| {
        let source = Database::filled(server, SHOP);
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (by_root, apart) = (file("by_root"), file("apart"));
        source.sql("CREATE TABLE r (a int) PARTITION BY RANGE (a); CREATE TABLE r1 PARTITION OF r DEFAULT; INSERT INTO r VALUES (1), (2)");
        pg_dump(&source, &by_root, &["-Fc", "--load-via-partition-root"]);
        pg_dump(&source, &apart, &["-Fc"]);
        let url = source.url();
        for (a, b) in [(&by_root, &apart), (&url, &by_root), (&apart, &url)] {
            pgstow(["diff", a, b]).expect_status(0);
        }
        let target = restore(server, &by_root, &["--verify-rows"]);
        pgstow(["diff", &by_root, &target.url()]).expect_status(0);
    });
}

#[test]
fn rows_of_pg_dump_are_verified_unless_they_are_statements() {
    on_newest(|server| {
        let source = Database::filled(server, SHOP);
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        for form in ["-Fc", "-Fd", "-Ft"] {
            let archive = file(form);
            pg_dump(&source, &archive, &[form, "-E", "LATIN1"]);
            let target = Database::empty(server);
            let url = target.url();
            let arguments = ["restore", &archive, &url, "--yes", "--verify-rows"];
            let told = pgstow(arguments).expect_status(0).stderr();
            assert!(
                told.contains("3 tables: every row is the archive's"),
                "{told}"
            );
        }
        let target = restore(server, &file("-Fc"), &[]);
        target.sql("TRUNCATE orders, by_colour, users; INSERT INTO by_colour VALUES ('red', -1)");
        let told = pgstow([
            "restore",
            &file("-Ft"),
            &target.url(),
            "--yes",
            "-a",
            "--verify-rows",
        ])
        .expect_status(6)
        .stderr();
        assert!(
            told.contains("public.by_colour: 201 rows instead of 200."),
            "{told}"
        );

        let statements = file("inserts");
        pg_dump(&source, &statements, &["-Fc", "--inserts"]);
        let target = Database::empty(server);
        for arguments in [
            &["diff", &statements, &source.url()][..],
            &[
                "restore",
                &statements,
                &target.url(),
                "--yes",
                "--verify-rows",
            ],
            &["restore", &statements, &target.url(), "--yes", "--swap"],
        ] {
            let told = pgstow(arguments).expect_status(2).stderr();
            assert!(told.contains("INSERT statements of pg_dump"), "{told}");
        }
        pgstow(["diff", "-s", &statements, &source.url()]).expect_status(0);
        let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
        assert_eq!(target.sql(tables).trim(), "0");
    });
}

/// A column came to the parent later: it stands before a child's own in what comes back.
pub(crate) const LATER_COLUMN: &str = "
    CREATE TABLE t (id int); CREATE TABLE child (b text) INHERITS (t); ALTER TABLE t ADD c int;
    INSERT INTO child VALUES (1, 'b', 3);";

#[test]
fn columns_that_come_back_in_another_order_are_the_same() {
    on_newest(|server| {
        let source = Database::filled(server, LATER_COLUMN);
        let (_dir, file) = archive_of(&source);
        let copy = restore(server, &file, &["--verify-rows"]);
        for (a, b) in [(&file, &copy.url()), (&source.url(), &copy.url())] {
            pgstow(["diff", a, b]).expect_status(0);
        }
        let host = Host::of(&source);
        host.create("manual");
        host.run(["drill", "latest"]).expect_status(0);
        let (_own, of_copy) = archive_of(&copy);
        let theirs = format!("{of_copy}.dump");
        pg_dump(&copy, &theirs, &["-Fc"]);
        for (a, b) in [
            (&file, &of_copy),
            (&of_copy, &file),
            (&file, &theirs),
            (&theirs, &file),
        ] {
            pgstow(["diff", a, b]).expect_status(0);
        }
        copy.sql("UPDATE child SET b = '3', c = 2");
        pgstow(["diff", &file, &copy.url()]).expect_status(1);
        let (_changed, changed) = archive_of(&copy);
        let told = pgstow(["diff", &file, &changed]).expect_status(1).stdout();
        assert!(told.contains("public.child"), "{told}");

        // Here the definitions differ, too, which is another matter.
        let [one, other] = ["a int, b text, c text", "c text, a int, b text"].map(|columns| {
            let rows = r"INSERT INTO o (a, b, c) VALUES (1, E'x\ty', NULL), (2, '', 'z')";
            archive_of(&Database::filled(
                server,
                &format!("CREATE TABLE o ({columns}); {rows}"),
            ))
        });
        let told = pgstow(["diff", "--json", &one.1, &other.1])
            .expect_status(1)
            .stdout();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["objects"][0]["name"], "o");
        assert_eq!(told["tables"].as_array().unwrap().len(), 0, "{told}");
    });
}
