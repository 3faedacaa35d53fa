//! `restore --exact`: the archive's schemas hold what the archive holds and nothing else.

use crate::harness::{Database, Host, Snapshot, expect_equal, on_every_major, on_newest};

const SOURCE: &str = "
    CREATE SCHEMA app;
    CREATE TABLE app.users (id serial PRIMARY KEY, name text);
    INSERT INTO app.users (name) SELECT 'user ' || n FROM generate_series(1, 100) n;
    CREATE VIEW names AS SELECT name FROM app.users;";

/// What somebody made after the backup, of every kind that lies in a schema.
const NEWER: &str = "
    CREATE TABLE app.parted (id int PRIMARY KEY, u int REFERENCES app.users) PARTITION BY RANGE (id);
    CREATE TABLE app.part PARTITION OF app.parted FOR VALUES FROM (0) TO (10);
    CREATE TABLE app.own (id int GENERATED ALWAYS AS IDENTITY, s serial, a int, b int);
    CREATE STATISTICS app.st ON a, b FROM app.own;
    CREATE INDEX ON app.users (name);
    CREATE VIEW app.v AS SELECT * FROM names;
    CREATE MATERIALIZED VIEW public.mv AS SELECT * FROM app.v;
    CREATE SEQUENCE public.seq;
    CREATE TYPE app.mood AS ENUM ('sad', 'glad');
    CREATE TYPE app.pair AS (a int, b app.mood);
    CREATE TYPE app.span AS RANGE (subtype = int);
    CREATE DOMAIN public.positive AS int CHECK (VALUE > 0);
    CREATE FUNCTION app.plus(app.pair, app.pair) RETURNS app.pair LANGUAGE sql AS 'SELECT $1';
    CREATE AGGREGATE app.total(app.pair) (sfunc = app.plus, stype = app.pair);
    CREATE OPERATOR app.+ (leftarg = app.pair, rightarg = app.pair, function = app.plus);
    CREATE COLLATION public.c FROM \"C\";
    CREATE TEXT SEARCH DICTIONARY app.d (template = simple);
    CREATE TEXT SEARCH CONFIGURATION app.t (parser = default);
    CREATE OPERATOR FAMILY app.f USING btree;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC;
    CREATE EXTENSION citext;
    CREATE SCHEMA mine; CREATE TABLE mine.t (a public.citext);";

#[test]
fn what_is_newer_than_the_archive_goes_too() {
    on_every_major(|server| {
        let source = Database::filled(server, SOURCE);
        let host = Host::of(&source);
        let id = host.create("manual");
        let before = Snapshot::of(&source).unwrap();
        let newer = match server.major {
            // FUNCTION of CREATE OPERATOR, and foreign keys of partitioned tables, came with 11.
            10 => NEWER
                .replace("function = app.plus)", "procedure = app.plus)")
                .replace("PRIMARY KEY, u int REFERENCES app.users)", ", u int)"),
            _ => NEWER.to_owned(),
        };
        source.sql(&newer);
        let plan = host.run(["restore", &id, "--exact", "--dry-run"]);
        let plan = plan.expect_status(0).stdout();
        for gone in [
            "table app.part",
            "materialized view public.mv",
            "operator app.+(app.pair,app.pair)",
            "text search dictionary app.d",
        ] {
            assert!(plan.contains(gone), "{gone}: {plan}");
        }
        assert!(
            !plan.contains("citext") || !plan.contains("table mine.t"),
            "{plan}"
        );
        host.run(["restore", &id, "--exact", "--yes"])
            .expect_status(0);
        // Extensions and schemas of others stay.
        source.sql(
            "INSERT INTO mine.t VALUES ('x'); DROP SCHEMA mine CASCADE; DROP EXTENSION citext",
        );
        expect_equal("the target", &before, &source);
    });
}

#[test]
fn dependents_outside_still_stop_it() {
    on_newest(|server| {
        let source = Database::filled(server, SOURCE);
        let host = Host::of(&source);
        let id = host.create("manual");
        source.sql(
            "CREATE TABLE app.newer (a int); CREATE SCHEMA mine; CREATE VIEW mine.v AS SELECT * FROM app.newer",
        );
        let outcome = host
            .run(["restore", &id, "--exact", "--yes"])
            .expect_status(1);
        assert!(
            outcome.stderr().contains("view mine.v"),
            "{}",
            outcome.stderr()
        );
        source.sql("SELECT * FROM mine.v");
        host.run(["restore", &id, "--exact", "--cascade", "--yes"])
            .expect_status(0);
        assert_eq!(source.sql("SELECT to_regclass('mine.v') IS NULL"), "t\n");
    });
}

#[test]
fn what_the_archive_may_lack_for_other_reasons_is_not_dropped() {
    on_newest(|server| {
        let source = Database::filled(server, SOURCE);
        let host = Host::of(&source);
        let whole = host.create("manual");
        let part = host.dir().join("part.sql.gz");
        let part = part.to_str().unwrap();
        host.run(["create", "-t", "app.users", "-o", part])
            .expect_status(0);
        let told = host
            .run(["restore", part, "--exact", "--yes"])
            .expect_status(2)
            .stderr();
        assert!(told.contains("--table=app.users"), "{told}");
        for options in [
            ["-T", "app.users"],
            ["-t", "app.users"],
            ["--section", "pre-data"],
        ] {
            let arguments = ["restore", &whole, "--exact", "--yes"];
            host.run(arguments.iter().chain(&options)).expect_status(2);
        }
        // With -n the other schemas are left alone.
        source.sql("CREATE TABLE app.newer (); CREATE TABLE public.newer ()");
        host.run([
            "restore",
            &whole,
            "--exact",
            "-n",
            "app",
            "--cascade",
            "--yes",
        ])
        .expect_status(0);
        assert_eq!(
            source.sql("SELECT to_regclass('app.newer'), to_regclass('public.newer')"),
            "\tnewer\n"
        );
    });
}
