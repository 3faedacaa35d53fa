//! The harness must notice differences, or all other tests mean nothing.

use crate::harness::{Database, Snapshot, differences, on_every_major};

const FILL: &str =
    "CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL);
    CREATE SEQUENCE s; SELECT lo_from_bytea(4711, 'abc');";

#[test]
fn equal_databases_are_found_equal_whatever_the_order_of_rows() {
    on_every_major(|server| {
        let one = Database::filled(server, FILL);
        let two = Database::filled(
            server,
            "CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (2, NULL), (1, 'x');
             CREATE SEQUENCE s; SELECT lo_from_bytea(4711, 'abc');",
        );
        let (one, two) = (Snapshot::of(&one).unwrap(), Snapshot::of(&two).unwrap());
        assert_eq!(differences(&one, &two), None);
        assert_eq!(one.relations(), 3);
    });
}

#[test]
fn any_change_is_noticed() {
    on_every_major(|server| {
        let source = Database::filled(server, FILL);
        let before = Snapshot::of(&source).unwrap();
        for change in [
            "UPDATE t SET b = '' WHERE a = 2",
            "INSERT INTO t VALUES (3, 'y')",
            "ALTER TABLE t ALTER b SET STORAGE PLAIN",
            "SELECT nextval('s')",
            "SELECT lo_put(4711, 0, 'b')",
            "GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC",
        ] {
            let changed = Database::filled(server, &format!("{FILL}{change}"));
            let after = Snapshot::of(&changed).unwrap();
            assert!(differences(&before, &after).is_some(), "{change}");
        }
    });
}
