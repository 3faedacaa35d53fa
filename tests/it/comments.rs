//! Comments on what the server makes along with an object. `pg_dump` writes few of them.

use crate::harness::{Database, on_every_major, pgstow};

const SOURCE: &str = r#"
CREATE TABLE town (id int PRIMARY KEY); COMMENT ON TYPE town IS 'row type';
COMMENT ON TYPE _town IS 'array type';
CREATE VIEW towns AS SELECT id FROM town; COMMENT ON TYPE towns IS 'row type of a view';
COMMENT ON RULE "_RETURN" ON towns IS 'its rule';
CREATE TYPE span AS RANGE (subtype = int4); COMMENT ON FUNCTION span(int, int) IS 'constructor';
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON town FOR EACH ROW EXECUTE PROCEDURE f();
COMMENT ON CONSTRAINT late ON town IS 'constraint of a trigger';
CREATE TABLE parent (a int CONSTRAINT small CHECK (a < 9)); CREATE TABLE child () INHERITS (parent);
COMMENT ON CONSTRAINT small ON child IS 'inherited';
"#;

const PARTITIONS: &str = r#"
CREATE TABLE event (id int CONSTRAINT home REFERENCES town, CONSTRAINT low CHECK (id > 0), PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE early PARTITION OF event FOR VALUES FROM (1) TO (100) PARTITION BY LIST (id);
CREATE TABLE one PARTITION OF early FOR VALUES IN (1);
CREATE INDEX by_id ON event ((id + 1));
CREATE TRIGGER noted AFTER INSERT ON event FOR EACH ROW EXECUTE PROCEDURE f();
COMMENT ON CONSTRAINT home ON early IS 'clone of a key';
COMMENT ON CONSTRAINT home ON one IS 'clone of a clone';
COMMENT ON CONSTRAINT low ON one IS 'check of a partition';
COMMENT ON CONSTRAINT one_pkey ON one IS 'key of a partition';
COMMENT ON INDEX one_pkey IS 'index of a partition';
COMMENT ON INDEX one_expr_idx IS 'another';
"#;

/// Clones of triggers are known by name since 13.
const TRIGGERS: &str = "COMMENT ON TRIGGER noted ON one IS 'clone of a trigger'; COMMENT ON TYPE span_multirange IS 'multirange';";

const COMMENTS: &str = "SELECT i.type, i.identity, d.description FROM pg_description d, pg_identify_object(classoid, objoid, objsubid) i
    WHERE objoid >= 16384 ORDER BY 1, 2";

#[test]
fn every_comment_comes_back() {
    on_every_major(|server| {
        let source = Database::filled(server, SOURCE);
        let (partitions, triggers) = (server.major >= 12, server.major >= 14);
        source.sql(if partitions { PARTITIONS } else { "" });
        source.sql(if triggers { TRIGGERS } else { "" });
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        let file = archive.to_str().unwrap();
        pgstow(["create", &source.url(), "-o", file]).expect_status(0);
        let expected = source.sql(COMMENTS);
        assert!(expected.lines().count() >= 7, "{expected}");
        let restored = Database::empty(server);
        pgstow(["restore", file, &restored.url(), "--yes"]).expect_status(0);
        assert_eq!(restored.sql(COMMENTS), expected);
        let replayed = Database::empty(server);
        replayed.replay(&archive).unwrap();
        assert_eq!(replayed.sql(COMMENTS), expected);
        let without = pgstow([
            "create",
            &source.url(),
            "--no-comments",
            "-Z",
            "none",
            "-o",
            "-",
        ]);
        assert!(!without.expect_status(0).stdout().contains("COMMENT ON"));
    });
}
