//! What pgstow cannot dump yet stops it, by name. Nothing is left out in silence.

use crate::harness::{Database, on_every_major, pgstow};

/// What makes such an object, what its report must name, and the first major that has it.
const CASES: &[(&str, &str, u32)] = &[
    ("CREATE PUBLICATION left_out", "left_out", 10),
    ("CREATE FOREIGN DATA WRAPPER left_out", "left_out", 10),
    (
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER left_out FOREIGN DATA WRAPPER w",
        "left_out",
        10,
    ),
    (
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE left_out (a int) SERVER s",
        "left_out",
        10,
    ),
    (
        "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
         CREATE EVENT TRIGGER left_out ON ddl_command_end EXECUTE PROCEDURE f()",
        "left_out",
        10,
    ),
    (
        "CREATE FUNCTION f(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
         CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, PROCEDURE = f)",
        "===",
        10,
    ),
    (
        "CREATE OPERATOR FAMILY left_out USING btree",
        "left_out",
        10,
    ),
    (
        "CREATE TYPE t AS ENUM ('a'); CREATE CAST (t AS int) WITH INOUT",
        "integer",
        10,
    ),
    ("CREATE COLLATION left_out FROM \"C\"", "left_out", 10),
    (
        "CREATE TEXT SEARCH CONFIGURATION left_out (COPY = simple)",
        "left_out",
        10,
    ),
    (
        "CREATE TEXT SEARCH DICTIONARY left_out (TEMPLATE = simple)",
        "left_out",
        10,
    ),
    (
        "CREATE TABLE t (a int, b int); CREATE STATISTICS left_out (dependencies) ON a, b FROM t",
        "left_out",
        10,
    ),
    (
        "CREATE CONVERSION left_out FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
        "left_out",
        10,
    ),
    (
        "CREATE SUBSCRIPTION left_out CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)",
        "left_out",
        10,
    ),
    (
        "CREATE ACCESS METHOD left_out TYPE INDEX HANDLER bthandler",
        "left_out",
        10,
    ),
    (
        "CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal))",
        "integer",
        10,
    ),
];

#[test]
fn each_kind_that_is_not_dumped_yet_stops_create_by_name() {
    on_every_major(|server| {
        let mut failures = Vec::new();
        for (make, name, min) in CASES {
            if server.major < *min {
                continue;
            }
            let source = Database::filled(server, make);
            let check = || -> Result<(), String> {
                let stopped = pgstow(["create", &source.url(), "-o", "-"]).check_status(1)?;
                if !stopped.stderr().contains(name) {
                    return Err(format!("does not name it: {}", stopped.stderr()));
                }
                let skipped = pgstow(["create", &source.url(), "-o", "-", "--skip-unsupported"])
                    .check_status(0)?;
                if !skipped.stderr().contains(name) {
                    return Err(format!("skipped in silence: {}", skipped.stderr()));
                }
                Ok(())
            };
            if let Err(failure) = check() {
                failures.push(format!("{make}: {failure}"));
            }
            if make.contains("SUBSCRIPTION") {
                source.sql("DROP SUBSCRIPTION left_out");
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    });
}
