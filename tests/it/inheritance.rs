//! Children whose exact state no statement brings back: they come as near to it as can be.

use crate::harness::{Database, Host, on_every_major};

#[test]
fn a_child_of_parents_that_generate_a_column_in_different_ways_says_how_it_does() {
    on_every_major(|server| {
        // Before 17 no expression can be changed.
        if server.major < 17 {
            return;
        }
        let source = Database::filled(
            server,
            "CREATE TABLE one (a int, b int GENERATED ALWAYS AS (a * 2) STORED);
             CREATE TABLE two (a int, b int GENERATED ALWAYS AS (a * 2) STORED);
             CREATE TABLE child (c int) INHERITS (one, two);
             ALTER TABLE one ALTER b SET EXPRESSION AS (a * 3);
             INSERT INTO child VALUES (1, DEFAULT, 2); INSERT INTO two VALUES (1)",
        );
        let host = Host::of(&source);
        let id = host.create("manual");
        let restored = || host.run(["restore", &id, "--yes"]).expect_status(0);
        restored();
        assert_eq!(source.sql("SELECT a, b, c FROM child"), "1\t3\t2\n");
        assert_eq!(source.sql("SELECT b FROM ONLY two"), "2\n");
        let inherited = "SELECT attname, attislocal, attinhcount FROM pg_attribute \
                         WHERE attrelid = 'child'::regclass AND attnum > 0 ORDER BY attnum";
        assert_eq!(source.sql(inherited), "a\tf\t2\nb\tt\t2\nc\tt\t0\n");
        restored();
    });
}

#[test]
fn a_child_that_may_be_null_where_its_parent_may_not_comes_back_so() {
    on_every_major(|server| {
        if server.major >= 18 {
            return;
        }
        let source = Database::filled(
            server,
            include_str!("../../fixtures/objects/table/nullable_child.sql"),
        );
        let not_null = "SELECT attrelid::regclass, attname, attnotnull, attislocal FROM pg_attribute \
                        JOIN pg_class c ON c.oid = attrelid \
                        WHERE c.relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 ORDER BY c.relname, attname";
        let before = source.sql(not_null);
        assert!(before.contains("inherits\ta\tf\tf"), "{before}");
        let host = Host::of(&source);
        let id = host.create("manual");
        host.run(["restore", &id, "--yes"]).expect_status(0);
        assert_eq!(source.sql(not_null), before);
    });
}
