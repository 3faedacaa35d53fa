//! What `create` leaves out on demand is what pg_dump leaves out with the same option; and the options that pg_dump lacks.

use std::path::Path;
use std::process::Command;

use crate::harness::server::client_dir;
use crate::harness::{Database, Failure, Fixture, Snapshot, differences, on_newest, pgstow};

const SOURCE: &str = r#"
DO $$ BEGIN CREATE ROLE "pgstow alice"; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE SCHEMA app;
CREATE SCHEMA other;
CREATE TYPE app.mood AS ENUM ('sad', 'glad');
CREATE TABLE app.users (id integer PRIMARY KEY, name text DEFAULT 'x', mood app.mood);
COMMENT ON TABLE app.users IS 'people';
GRANT SELECT ON app.users TO "pgstow alice";
GRANT USAGE ON SCHEMA app TO "pgstow alice";
ALTER TABLE app.users OWNER TO "pgstow alice";
INSERT INTO app.users SELECT n, 'user ' || n, 'glad' FROM generate_series(1, 50) n;
CREATE TABLE app.orders (id serial PRIMARY KEY, usr integer REFERENCES app.users, note text COMPRESSION pglz);
INSERT INTO app.orders (usr, note) SELECT n, repeat('n', n) FROM generate_series(1, 50) n;
CREATE INDEX by_note ON app.orders (note);
ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON app.orders USING (usr < 25);
CREATE UNLOGGED TABLE app.cache (k text, v text);
INSERT INTO app.cache VALUES ('a', 'b');
CREATE TABLE app.events (at integer, what text) PARTITION BY RANGE (at);
CREATE TABLE app.events_1 PARTITION OF app.events FOR VALUES FROM (0) TO (10) PARTITION BY LIST (what);
CREATE TABLE app.events_1a PARTITION OF app.events_1 FOR VALUES IN ('a');
CREATE TABLE app.events_2 PARTITION OF app.events FOR VALUES FROM (10) TO (20);
INSERT INTO app.events VALUES (1, 'a'), (12, 'b');
CREATE TABLE other.base (a integer);
CREATE TABLE other.derived (b integer) INHERITS (other.base);
INSERT INTO other.derived VALUES (1, 2);
CREATE VIEW other.v AS SELECT id, name FROM app.users;
CREATE FUNCTION other.f() RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE TABLE other.numbers (a double precision, b real);
INSERT INTO other.numbers VALUES (1.0 / 3, 1.0 / 3);
CREATE PUBLICATION pub FOR TABLE app.users;
CREATE SUBSCRIPTION sub CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE);
SELECT lo_from_bytea(4711, 'large');
"#;

/// Options for both, and what their target must hold before.
const CASES: &[(&[&str], &str)] = &[
    (&["-s"], ""),
    (&["--no-data"], ""),
    (&["--section=pre-data"], ""),
    (&["--section=pre-data", "--section=data"], ""),
    (&["--no-comments"], ""),
    (&["--no-policies"], ""),
    (&["--no-publications"], ""),
    (&["--no-subscriptions"], ""),
    (&["--no-security-labels"], ""),
    (&["--no-unlogged-table-data"], ""),
    (&["--no-toast-compression"], ""),
    (&["--no-tablespaces", "--no-table-access-method"], ""),
    (&["--no-large-objects"], ""),
    (&["-x"], ""),
    (&["-O"], ""),
    (
        &["-n", "other"],
        "CREATE SCHEMA app; CREATE TABLE app.users (id integer, name text)",
    ),
    (&["-N", "other"], ""),
    (
        &["-t", "app.users"],
        "CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('sad', 'glad')",
    ),
    (
        &[
            "-t",
            "app.o*",
            "-T",
            "app.orders_id_seq",
            "--no-policies",
            "--section=pre-data",
        ],
        "CREATE SCHEMA app",
    ),
    (&["-T", "app.orders"], ""),
    (
        &[
            "--table-and-children",
            "app.events",
            "--table-and-children",
            "other.base",
        ],
        "CREATE SCHEMA app; CREATE SCHEMA other",
    ),
    (
        &[
            "--exclude-table-and-children",
            "app.events",
            "--exclude-table-and-children",
            "other.b*",
        ],
        "",
    ),
    (&["--exclude-table-data", "app.o*"], ""),
    (&["--exclude-table-data-and-children", "app.events"], ""),
    (&["-e", "citext"], ""),
    (&["--exclude-extension", "h*"], ""),
    (&["-n", "app", "-b"], ""),
    (&["-s", "--sequence-data"], ""),
    (&["--load-via-partition-root"], ""),
    (&["--quote-all-identifiers"], ""),
    (&["--serializable-deferrable"], ""),
    (&["--lock-wait-timeout", "10000"], ""),
    (&["-c", "--if-exists"], ""),
    (&["--no-sync"], ""),
    (&["--extra-float-digits", "0"], ""),
    (&["--disable-dollar-quoting", "-c", "--if-exists"], ""),
];

#[test]
fn options_leave_out_what_pg_dump_leaves_out() {
    on_newest(|server| {
        let source = Database::filled(server, SOURCE);
        let mut failures = Vec::new();
        for (options, before) in CASES {
            let dir = tempfile::tempdir().unwrap();
            let compare = || -> Result<(), Failure> {
                let by_pg_dump = Database::filled(server, &format!("SELECT 1; {before}"));
                pg_dump(&source, options, &dir.path().join("theirs.sql"))?;
                by_pg_dump.try_file(&dir.path().join("theirs.sql"))?;
                let by_pgstow = Database::filled(server, &format!("SELECT 1; {before}"));
                let ours = dir.path().join("ours.sql.gz");
                let url = source.url();
                let arguments = ["create", &url, "-j2", "-o", ours.to_str().unwrap()];
                let ours_only = options
                    .iter()
                    .copied()
                    .filter(|option| *option != "--if-exists");
                pgstow(arguments.into_iter().chain(ours_only)).check_status(0)?;
                by_pgstow.replay(&ours)?;
                let compared = differences(&Snapshot::of(&by_pg_dump)?, &Snapshot::of(&by_pgstow)?);
                for database in [&by_pg_dump, &by_pgstow] {
                    drop_subscription(database);
                }
                compared.map_or(Ok(()), Err)
            };
            if let Err(failure) = compare() {
                failures.push(format!("{options:?}: {failure}"));
            }
        }
        drop_subscription(&source);
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    });
}

/// Tables whose rows cannot come in one after the other, and triggers that let none in.
const GUARDED: &str = "CREATE TABLE a (id integer PRIMARY KEY, b integer); \
     CREATE TABLE b (id integer PRIMARY KEY, a integer REFERENCES a); \
     ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b; \
     CREATE TABLE c (id integer) PARTITION BY LIST (id); \
     CREATE TABLE c1 PARTITION OF c FOR VALUES IN (1, 2); \
     CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'it''s not to be'; END $$; \
     CREATE TRIGGER refuse BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION refuse(); \
     CREATE TRIGGER refuse BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION refuse();";

#[test]
fn data_alone_comes_in_with_triggers_off_as_from_pg_dump() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            &format!(
                "{GUARDED} SET session_replication_role = replica; \
                 INSERT INTO a VALUES (1, 2); INSERT INTO b VALUES (2, 1); INSERT INTO c VALUES (1), (2)"
            ),
        );
        let expected = Snapshot::of(&source).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("theirs.sql");
        let options = ["-a", "--disable-triggers", "-S", "postgres"];
        pg_dump(&source, &options, &theirs).unwrap();
        let by_pg_dump = Database::filled(server, GUARDED);
        by_pg_dump.try_file(&theirs).unwrap();
        for (name, more) in [
            ("plain", &[][..]),
            ("super", &["-S", "postgres"]),
            ("root", &["--load-via-partition-root"]),
        ] {
            let ours = dir.path().join(format!("{name}.sql.gz"));
            let (url, file) = (source.url(), ours.to_str().unwrap());
            let arguments = ["create", &url, "-a", "--disable-triggers", "-o", file];
            pgstow(arguments.iter().chain(more)).expect_status(0);
            pgstow(["verify", file]).expect_status(0);
            let by_pgstow = Database::filled(server, GUARDED);
            by_pgstow.replay(&ours).unwrap();
            for copy in [&by_pg_dump, &by_pgstow] {
                let compared = differences(&expected, &Snapshot::of(copy).unwrap());
                assert!(compared.is_none(), "{name}: {}", compared.unwrap());
            }
        }
        let guarded = dir.path().join("guarded.sql.gz");
        pgstow([
            "create",
            &source.url(),
            "-a",
            "-o",
            guarded.to_str().unwrap(),
        ])
        .expect_status(0);
        assert!(Database::filled(server, GUARDED).replay(&guarded).is_err());
        pgstow(["create", &source.url(), "--disable-triggers", "-o", "-"]).expect_status(2);
    });
}

/// Of a role that may make nothing in the database, and one name that must be quoted.
const OWNED: &str = r#"
DO $$ BEGIN CREATE ROLE "pgstow ""bob"" =/"; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
CREATE SCHEMA app AUTHORIZATION "pgstow ""bob"" =/";
SET ROLE "pgstow ""bob"" =/";
CREATE TYPE app.mood AS ENUM ('sad', 'glad');
CREATE TABLE app.t (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mood app.mood DEFAULT 'sad');
INSERT INTO app.t DEFAULT VALUES;
CREATE INDEX by_mood ON app.t (mood);
CREATE FUNCTION app.f() RETURNS integer LANGUAGE sql AS 'SELECT 1';
REVOKE ALL ON FUNCTION app.f() FROM PUBLIC;
CREATE MATERIALIZED VIEW app.m AS SELECT id, app.f() FROM app.t;
COMMENT ON MATERIALIZED VIEW app.m IS 'bob''s';
CREATE TABLE app.p (a integer) PARTITION BY LIST (a);
CREATE TABLE app.p1 PARTITION OF app.p FOR VALUES IN (1);
SELECT lo_from_bytea(4711, 'large');
RESET ROLE;
CREATE VIEW app.of_another AS SELECT id FROM app.t;
CREATE PUBLICATION pub FOR TABLE app.t;
ALTER PUBLICATION pub OWNER TO "pgstow ""bob"" =/";
"#;

#[test]
fn objects_made_as_their_owners_are_the_same_database() {
    on_newest(|server| {
        let source = Database::filled(server, OWNED);
        let before = Snapshot::of(&source).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        let path = archive.to_str().unwrap();
        let option = "--use-set-session-authorization";
        pgstow(["create", &source.url(), "-o", path, option]).expect_status(0);
        pgstow(["verify", path]).expect_status(0);
        let shown = pgstow(["show", "--sql", path]).expect_status(0);
        let script = shown.stdout();
        let given = script
            .lines()
            .filter_map(|line| line.split_once(" OWNER TO "));
        let given: Vec<&str> = given.map(|(object, _)| object).collect();
        assert_eq!(
            given,
            [
                "ALTER SCHEMA \"app\"",
                "ALTER LARGE OBJECT 4711",
                "ALTER PUBLICATION \"pub\""
            ]
        );

        let replayed = Database::empty(server);
        replayed.replay(&archive).unwrap();
        let restored = Database::empty(server);
        let url = restored.url();
        let restore = ["restore", path, &url, "--yes"];
        pgstow(restore).expect_status(0);
        pgstow(restore).expect_status(0);
        for copy in [&replayed, &restored] {
            let compared = differences(&before, &Snapshot::of(copy).unwrap());
            assert!(compared.is_none(), "{}", compared.unwrap());
        }
        pgstow(["diff", path, &source.url()]).expect_status(0);

        pgstow(restore.iter().chain(&["-O"])).expect_status(0);
        let owners = "SELECT DISTINCT relowner::regrole FROM pg_class WHERE relnamespace = 'app'::regnamespace";
        assert_eq!(restored.sql(owners).trim(), "postgres");
    });
}

#[test]
fn an_archive_without_dollar_quotes_is_the_same_database() {
    on_newest(|server| {
        let source = Database::filled(server, GUARDED);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("q-backup-20260114-020000.sql.gz");
        let file = archive.to_str().unwrap();
        let url = source.url();
        pgstow(["create", &url, "-c", "--disable-dollar-quoting", "-o", file]).expect_status(0);
        let script = pgstow(["show", file, "--sql"]).expect_status(0).stdout();
        assert!(script.contains("BEGIN RAISE ''it"), "{script}");
        assert!(!script.contains("$function$"), "{script}");
        pgstow(["drill", file, &server.url("postgres")]).expect_status(0);
    });
}

fn drop_subscription(database: &Database) {
    let _ = database.try_sql("DROP SUBSCRIPTION IF EXISTS sub");
}

fn pg_dump(source: &Database, options: &[&str], file: &Path) -> Result<(), Failure> {
    let run = Command::new(client_dir().join("pg_dump"))
        .arg("-d")
        .arg(source.url())
        .arg("-f")
        .arg(file)
        .args(options)
        .output()
        .map_err(|error| error.to_string())?;
    match run.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&run.stderr).into_owned()),
    }
}

#[test]
fn a_filter_file_and_an_archive_are_selected_alike() {
    on_newest(|server| {
        let source = Database::filled(server, SOURCE);
        let dir = tempfile::tempdir().unwrap();
        let filter = dir.path().join("filter");
        std::fs::write(&filter, "# only this\ninclude schema app\nexclude table app.events*\nexclude table_data app.orders\n").unwrap();
        let whole = dir.path().join("whole.sql.gz");
        let part = dir.path().join("part.sql.gz");
        let filter = filter.to_str().unwrap();
        pgstow(["create", &source.url(), "-o", whole.to_str().unwrap()]).expect_status(0);
        pgstow([
            "create",
            &source.url(),
            "-o",
            part.to_str().unwrap(),
            "--filter",
            filter,
        ])
        .expect_status(0);
        let names = |archive: &Path, more: &[&str]| {
            let arguments = ["show", archive.to_str().unwrap(), "--json"];
            let shown = pgstow(arguments.iter().chain(more)).expect_status(0);
            let shown: serde_json::Value = serde_json::from_str(&shown.stdout()).unwrap();
            let entries = shown["entries"].as_array().unwrap().iter();
            // Rows that were never wanted are no entry of the part.
            let entries = entries.map(|e| format!("{} {} {}", e["kind"], e["schema"], e["name"]));
            entries.collect::<Vec<_>>()
        };
        let of_part = names(&part, &[]);
        assert!(
            of_part.iter().any(|line| line.contains("users")),
            "{of_part:?}"
        );
        assert!(of_part.iter().all(|line| !line.contains("events")));
        assert_eq!(names(&whole, &["--filter", filter]), of_part);
        for bad in [
            &["--strict-names", "-t", "app.users", "-t", "nowhere.*"][..],
            &["--where", "app.nothing=true"],
            &["--sample", "app.users=many"],
            &["-n", "nowhere"],
            &["--filter", whole.to_str().unwrap()],
        ] {
            let arguments = ["create", &source.url(), "-o", "-"];
            let arguments: Vec<&str> = arguments.iter().chain(bad).copied().collect();
            let status = pgstow(&arguments).status();
            assert!(matches!(status, 1 | 2), "{bad:?}: {status}");
        }
        drop_subscription(&source);
    });
}

#[test]
fn rows_are_chosen_by_condition_and_sample() {
    on_newest(|server| {
        let source = Database::filled(server, SOURCE);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("some-backup-20260114-020000.sql.gz");
        let file = archive.to_str().unwrap();
        pgstow([
            "create",
            &source.url(),
            "-o",
            file,
            "--where",
            "app.users=id <= 20 -- all others are gone",
            "--where",
            "app.users=mood = 'glad'",
            "--where",
            "app.events=at > 10",
            "--sample",
            "app.orders=0",
        ])
        .expect_status(0);
        let meta =
            std::fs::read_to_string(dir.path().join("some-backup-20260114-020000.sql.gz.meta"))
                .unwrap();
        assert!(meta.contains("--where=app.users=id <= 20"), "{meta}");
        let target = Database::empty(server);
        pgstow(["restore", file, &target.url(), "--yes"]).expect_status(0);
        assert_eq!(
            target.sql("SELECT count(*), max(id) FROM app.users; SELECT count(*) FROM app.orders; SELECT at FROM app.events"),
            "20\t20\n0\n12\n"
        );
        drop_subscription(&source);
        drop_subscription(&target);
    });
}

#[test]
fn a_database_comes_back_with_its_properties() {
    on_newest(|server| {
        let source = Database::with_options(
            server,
            "LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' LC_COLLATE 'C' LC_CTYPE 'C'",
        );
        source.sql(&format!(
            r#"DO $$ BEGIN CREATE ROLE "pgstow alice"; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
            CREATE TABLE t (a text); INSERT INTO t VALUES ('ä'), ('z');
            COMMENT ON DATABASE {0} IS 'it''s mine';
            ALTER DATABASE {0} SET search_path TO "a b", public;
            ALTER DATABASE {0} SET default_transaction_read_only TO on;
            ALTER ROLE "pgstow alice" IN DATABASE {0} SET work_mem TO '7MB';
            ALTER DATABASE {0} CONNECTION LIMIT 17;
            REVOKE ALL ON DATABASE {0} FROM PUBLIC;
            GRANT CONNECT ON DATABASE {0} TO "pgstow alice" WITH GRANT OPTION;
            ALTER DATABASE {0} OWNER TO "pgstow alice";"#,
            source.name
        ));
        let properties = |name: &str| {
            let of = |query: &str| source.sql(&query.replace("NAME", &format!("'{name}'")));
            of(
                "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datlocprovider, datlocale, datcollate, \
                datconnlimit, replace(datacl::text, 'postgres', 'me'), shobj_description(oid, 'pg_database') \
                FROM pg_database WHERE datname = NAME; \
                SELECT setrole::regrole, setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase \
                WHERE datname = NAME ORDER BY 1",
            )
        };
        let before = properties(&source.name);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("db-backup-20260114-020000.sql.gz");
        let file = archive.to_str().unwrap();
        pgstow(["create", &source.url(), "-o", file, "-C", "-c"]).expect_status(0);

        let copy = format!("{}_copy", source.name);
        let url = server.url(&copy);
        pgstow(["restore", file, &url, "--create", "--yes"]).expect_status(0);
        assert_eq!(properties(&copy), before);
        source.sql(&format!(
            "SET default_transaction_read_only = off; DROP DATABASE {copy}"
        ));
        // The drill makes a database of the same locale, and leaves nothing.
        pgstow(["drill", file, &server.url("postgres")]).expect_status(0);

        // psql makes the database itself, over the one that is there.
        let name = source.name.clone();
        let postgres = Database {
            server,
            name: "postgres".to_owned(),
        };
        postgres.replay(&archive).unwrap();
        let again = Database { server, name };
        assert_eq!(again.sql("SELECT a FROM public.t ORDER BY a"), "ä\nz\n");
        assert_eq!(properties(&again.name), before);
        std::mem::forget(postgres);
        std::mem::forget(again);
    });
}

#[test]
fn a_script_makes_a_template_anew() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t AS SELECT 1 AS a");
        let name = source.name.clone();
        let postgres = Database {
            server,
            name: "postgres".to_owned(),
        };
        postgres.sql(&format!("ALTER DATABASE {name} IS_TEMPLATE true"));
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        let file = archive.to_str().unwrap();
        pgstow(["create", &source.url(), "-o", file, "-C", "-c"]).expect_status(0);
        source.sql("DROP TABLE t");
        postgres.replay(&archive).unwrap();
        assert_eq!(source.sql("SELECT a FROM t"), "1\n");
        postgres.sql(&format!("ALTER DATABASE {name} IS_TEMPLATE false"));
        std::mem::forget(postgres);
    });
}

#[test]
fn rows_as_inserts_are_the_same_rows() {
    on_newest(|server| {
        for fixture in Fixture::all_in(&["data"]) {
            if !fixture.is_for(server.major) || fixture.name.contains("sql_ascii") {
                continue;
            }
            let source = fixture.load(server).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let archive = dir.path().join("a.sql.gz");
            let script = dir.path().join("inserts.sql");
            let file = archive.to_str().unwrap();
            pgstow(["create", &source.url(), "-o", file]).expect_status(0);
            for more in [
                &["--inserts"][..],
                &[
                    "--column-inserts",
                    "--rows-per-insert",
                    "7",
                    "--on-conflict-do-nothing",
                ],
            ] {
                let shown = pgstow(["show", file, "--sql"].iter().chain(more)).expect_status(0);
                assert!(shown.stdout().contains("INSERT INTO"), "{}", fixture.name);
                std::fs::write(&script, shown.stdout_bytes()).unwrap();
                let target = fixture.empty_database(server);
                target.try_file(&script).unwrap();
                let compared = differences(
                    &Snapshot::of(&source).unwrap(),
                    &Snapshot::of(&target).unwrap(),
                );
                assert!(
                    compared.is_none(),
                    "{}: {}",
                    fixture.name,
                    compared.unwrap()
                );
            }
        }
    });
}
