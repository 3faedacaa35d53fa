//! Triggers, foreign keys and event triggers while a restore is at work.

use crate::harness::{Database, Host, on_every_major, on_newest};

const SHOP: &str = "
    CREATE TABLE users (id int PRIMARY KEY, boss int REFERENCES users);
    CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users);
    CREATE TABLE lines (id int PRIMARY KEY, order_id int REFERENCES orders) PARTITION BY RANGE (id);
    CREATE TABLE lines_1 PARTITION OF lines FOR VALUES FROM (0) TO (500);
    CREATE TABLE lines_2 PARTITION OF lines DEFAULT;
    INSERT INTO users SELECT n, n % 10 + 1 FROM generate_series(1, 200) n;
    INSERT INTO orders SELECT n, n % 200 + 1 FROM generate_series(1, 500) n;
    INSERT INTO lines SELECT n, n % 500 + 1 FROM generate_series(1, 1000) n;";

/// What nobody wants to see fire.
const TRIGGER: &str = "
    CREATE TABLE fired (what text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.fired VALUES (TG_NAME); RETURN NEW; END $$;
    CREATE TRIGGER watch BEFORE INSERT ON orders FOR EACH ROW EXECUTE PROCEDURE note();";

const EMPTY: &str = "TRUNCATE users, orders, lines";

#[test]
fn triggers_do_not_fire_for_rows_that_come_back() {
    on_every_major(|server| {
        let source = Database::filled(server, &format!("{SHOP}{TRIGGER}"));
        let host = Host::of(&source);
        let id = host.create("manual");
        source.sql(EMPTY);
        let tables = ["-a", "-t", "users", "-t", "orders", "-t", "lines*"];
        let restore = ["restore", &id, "--yes"];
        host.run(restore.iter().chain(&tables)).expect_status(0);
        assert_eq!(source.sql("SELECT count(*) FROM lines"), "1000\n");
        assert_eq!(source.sql("SELECT count(*) FROM fired"), "0\n");
        // Orders without their users: nobody looks at the keys row by row, but in the end somebody does.
        source.sql(EMPTY);
        let told = host
            .run(restore.iter().chain(&["-a", "-t", "orders"]))
            .expect_status(3)
            .stderr();
        assert!(
            told.contains("\"orders_user_id_fkey\" on public.orders: 500 rows refer to nothing"),
            "{told}"
        );
        // What fires on replicas, too, is named.
        source.sql(&format!(
            "{EMPTY}; ALTER TABLE orders ENABLE ALWAYS TRIGGER watch"
        ));
        let told = host
            .run(restore.iter().chain(&tables))
            .expect_status(0)
            .stderr();
        assert!(
            told.contains("triggers that fire for the rows: \"watch\" on public.orders"),
            "{told}"
        );
        assert_eq!(source.sql("SELECT count(*) FROM fired"), "500\n");
    });
}

/// Before 15 the clones on partitions keep their names when a trigger is renamed; a new one's have its own.
#[test]
fn a_clone_is_disabled_under_the_name_that_it_will_have() {
    on_every_major(|server| {
        if !(11..15).contains(&server.major) {
            return;
        }
        let source = Database::filled(
            server,
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TABLE p (id int) PARTITION BY RANGE (id);
             CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
             CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
             CREATE TABLE p21 PARTITION OF p2 FOR VALUES FROM (10) TO (15);
             CREATE TRIGGER old AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION f();
             ALTER TRIGGER old ON p RENAME TO new;
             ALTER TABLE p1 DISABLE TRIGGER old; ALTER TABLE p21 ENABLE ALWAYS TRIGGER old;
             COMMENT ON TRIGGER old ON p21 IS 'of a clone';",
        );
        let host = Host::of(&source);
        let id = host.create("manual");
        for _ in 0..2 {
            host.run(["restore", &id, "--yes"]).expect_status(0);
            let triggers = "SELECT tgrelid::regclass, tgname, tgenabled, obj_description(oid, 'pg_trigger') \
                            FROM pg_trigger ORDER BY tgrelid::regclass::text";
            let expected = "p\tnew\tO\t\np1\tnew\tD\t\np2\tnew\tO\t\np21\tnew\tA\tof a clone\n";
            assert_eq!(source.sql(triggers), expected);
        }
    });
}

#[test]
fn who_may_not_play_the_replica_loads_in_the_order_of_the_keys() {
    on_every_major(|server| {
        let source = Database::filled(server, &format!("{SHOP}{TRIGGER}"));
        let host = Host::of(&source);
        let id = host.create("manual");
        let role = format!("plain_{}", source.name);
        source.sql(&format!(
            "CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; {EMPTY}"
        ));
        let url = source.url().replace("postgres@", &format!("{role}@"));
        let restore = |status| {
            let tables = ["-t", "users", "-t", "orders", "-t", "lines*"];
            let arguments = ["restore", &id, &url, "--yes", "--no-analyze", "-a"];
            host.run(arguments.iter().chain(&tables))
                .expect_status(status)
                .stderr()
        };
        let told = restore(0);
        assert!(told.contains("triggers that fire for the rows"), "{told}");
        assert_eq!(
            source.sql("SELECT (SELECT count(*) FROM lines), (SELECT count(*) FROM fired)"),
            "1000\t500\n"
        );
        source.sql(&format!(
            "{EMPTY}; ALTER TABLE users ADD o int; ALTER TABLE users ADD CONSTRAINT round FOREIGN KEY (o) REFERENCES orders"
        ));
        let told = restore(1);
        assert!(
            told.contains("keys of table \"public\".\"users\" go round"),
            "{told}"
        );
        assert_eq!(source.sql("SELECT count(*) FROM users"), "0\n");
        source.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    });
}

#[test]
fn event_triggers_of_the_target_do_not_fire() {
    on_every_major(|server| {
        let source = Database::filled(server, SHOP);
        let host = Host::of(&source);
        let id = host.create("manual");
        source.sql(
            "CREATE SCHEMA audit; CREATE TABLE audit.log (tag text);
             CREATE FUNCTION audit.note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit.log VALUES (TG_TAG); END $$;
             CREATE EVENT TRIGGER t1 ON ddl_command_end EXECUTE PROCEDURE audit.note();
             CREATE EVENT TRIGGER t2 ON sql_drop EXECUTE PROCEDURE audit.note(); TRUNCATE audit.log;",
        );
        host.run(["restore", &id, "--yes"]).expect_status(0);
        assert_eq!(source.sql("SELECT count(*) FROM audit.log"), "0\n");
        assert_eq!(source.sql("SELECT count(*) FROM lines"), "1000\n");
        source.sql("CREATE TABLE x (); SELECT FROM audit.log");
        assert_eq!(
            source.sql("SELECT tag FROM audit.log LIMIT 1"),
            "CREATE TABLE\n"
        );
    });
}

#[test]
fn who_cannot_switch_event_triggers_off_is_told() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t (id int)");
        let host = Host::of(&source);
        let id = host.create("manual");
        let role = format!("plain_{}", source.name);
        source.sql(&format!(
            "CREATE ROLE {role} LOGIN; CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
             CREATE EVENT TRIGGER fires ON ddl_command_end EXECUTE FUNCTION f()"
        ));
        let url = source.url().replace("postgres@", &format!("{role}@"));
        let told = host
            .run(["restore", &id, &url, "--dry-run", "-O"])
            .expect_status(1)
            .stderr();
        assert!(
            told.contains("fire on what the restore does: \"fires\""),
            "{told}"
        );
        source.sql(&format!("DROP ROLE {role}; DROP EVENT TRIGGER fires"));
    });
}
