//! What `postgres --single` made before the server's first start has OIDs as what initdb made.

use crate::harness::{Database, Server, Snapshot, differences, on_every_major, pgstow};

const FIRST: &[&str] = &[
    "CREATE SCHEMA low",
    "CREATE TYPE low.mood AS ENUM ('sad', 'glad')",
    "CREATE DOMAIN public.positive AS int CHECK (VALUE > 0)",
    "CREATE TYPE public.pair AS (a int, b text)",
    "CREATE FUNCTION public.twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2'",
    "CREATE FUNCTION public.noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TABLE public.early (id int DEFAULT 7 CHECK (id > 0), mood low.mood NOT NULL, \
     amount public.positive, pair public.pair, PRIMARY KEY (id))",
    "INSERT INTO public.early VALUES (1, 'sad', 5, ROW(1, 'x')), (2, 'glad', NULL, NULL)",
    "CREATE TABLE public.child (early int REFERENCES public.early)",
    "INSERT INTO public.child VALUES (2)",
    "CREATE INDEX by_double ON public.early (public.twice(id))",
    "CREATE TRIGGER note BEFORE INSERT ON public.early FOR EACH ROW EXECUTE PROCEDURE public.noted()",
    "CREATE POLICY p ON public.early USING (id > 1)",
    "CREATE SEQUENCE public.counter",
    "SELECT pg_catalog.setval('public.counter', 77)",
    "CREATE VIEW public.doubled AS SELECT public.twice(id) AS d, pair FROM public.early",
    "CREATE MATERIALIZED VIEW public.kept AS SELECT d FROM public.doubled",
    "CREATE OPERATOR public.=== (PROCEDURE = pg_catalog.int4eq, LEFTARG = int, RIGHTARG = int)",
    "CREATE FOREIGN DATA WRAPPER early_wrapper",
    "CREATE SERVER early_server FOREIGN DATA WRAPPER early_wrapper",
    "CREATE PUBLICATION early_publication FOR TABLE public.early",
    "COMMENT ON TABLE public.early IS 'first'",
    "COMMENT ON TYPE low.mood IS 'of the day'",
    "GRANT SELECT ON public.doubled TO PUBLIC",
];

#[test]
fn what_was_made_before_the_first_start_comes_back() {
    on_every_major(|server| {
        let begun = Server::begun_by(server.major, FIRST);
        let source = Database {
            server: begun,
            name: "postgres".to_owned(),
        };
        let low = "SELECT count(*) FROM pg_class WHERE oid < 16384 AND relname IN ('early', 'by_double', 'kept')";
        assert_eq!(source.sql(low), "3\n");
        // With what came later.
        source.sql(
            "CREATE TABLE public.late (mood low.mood, early int REFERENCES public.early CHECK (public.twice(early) > 0)); \
             INSERT INTO public.late VALUES ('glad', 1)",
        );
        let before = Snapshot::of(&source).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        let file = archive.to_str().unwrap();
        pgstow(["create", &source.url(), "-o", file]).expect_status(0);
        let chosen = [
            "create",
            &source.url(),
            "-t",
            "early",
            "-t",
            "doubled",
            "-Z",
            "none",
            "-o",
            "-",
        ];
        let script = pgstow(chosen).expect_status(0).stdout();
        for definition in [
            "(id > 0)",
            "(public.twice(id))",
            "AS d,",
            "DEFAULT 7",
            "(id > 1)",
        ] {
            assert!(script.contains(definition), "{definition}: {script}");
        }
        std::mem::forget(source);
        let target = Database::empty(server);
        pgstow(["restore", file, &target.url(), "--yes"]).expect_status(0);
        assert_eq!(differences(&before, &Snapshot::of(&target).unwrap()), None);
        let replayed = Database::empty(server);
        replayed.replay(&archive).unwrap();
        assert_eq!(
            differences(&before, &Snapshot::of(&replayed).unwrap()),
            None
        );
    });
}
