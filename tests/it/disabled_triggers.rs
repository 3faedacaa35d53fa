//! `restore -a --disable-triggers`, and constraints that may be deferred.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::harness::pgstow::finish;
use crate::harness::{Database, Host, Server, on_every_major};

/// What a process that a failpoint killed ends with.
const KILLED: i32 = 134;

/// Tables with triggers in all states, owned by a role that is no superuser.
const TABLES: &str = "
    CREATE TABLE users (id int PRIMARY KEY);
    CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users);
    INSERT INTO users SELECT generate_series(1, 20);
    INSERT INTO orders SELECT n, n % 20 + 1 FROM generate_series(1, 50) n;
    CREATE TABLE fired (what text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.fired VALUES (TG_NAME); RETURN NEW; END $$;
    CREATE TRIGGER origin BEFORE INSERT ON orders FOR EACH ROW EXECUTE PROCEDURE note();
    CREATE TRIGGER \"al ways\" AFTER INSERT ON orders FOR EACH ROW EXECUTE PROCEDURE note();
    CREATE TRIGGER replica BEFORE INSERT ON orders FOR EACH STATEMENT EXECUTE PROCEDURE note();
    CREATE TRIGGER off BEFORE INSERT ON orders FOR EACH ROW EXECUTE PROCEDURE note();
    ALTER TABLE orders ENABLE ALWAYS TRIGGER \"al ways\", ENABLE REPLICA TRIGGER replica, DISABLE TRIGGER off;";

const EMPTY: &str = "TRUNCATE users, orders, fired";

const STATES: &str = "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1";

const AS_THEY_WERE: &str = "al ways\tA\noff\tD\norigin\tO\nreplica\tR\n";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// An owner of what a script makes, and a backup of it.
struct Owned {
    source: Database,
    host: Host,
    id: String,
    role: String,
}

impl Owned {
    fn new(server: &'static Server, script: &str) -> Owned {
        let source = Database::empty(server);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let role = format!("owner_{}_{number}", source.name);
        let name = &source.name;
        source.sql(&format!(
            "CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE \"{name}\" TO {role}; GRANT ALL ON SCHEMA public TO {role};
             SET ROLE {role}; {script}"
        ));
        let host = Host::of(&source);
        let id = host.create("manual");
        Owned {
            source,
            host,
            id,
            role,
        }
    }

    fn url(&self) -> String {
        let login = format!("{}@", self.role);
        self.source.url().replace("postgres@", &login)
    }

    fn restore(&self, url: &str, options: &[&str], failpoint: &str, status: i32) -> String {
        let mut command = self.host.command();
        if !failpoint.is_empty() {
            command.env("PGSTOW_FAILPOINT", failpoint);
        }
        let id: &[&str] = if options.contains(&"--abandon") {
            &[]
        } else {
            &[&self.id]
        };
        command.arg("restore").args(id).args([url, "--yes"]);
        finish(command.args(options)).expect_status(status).stderr()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let role = &self.role;
        let _ = self
            .source
            .try_sql(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"));
    }
}

const TRIGGERS_OFF: &[&str] = &[
    "-a",
    "-t",
    "users",
    "-t",
    "orders",
    "--no-analyze",
    "--disable-triggers",
];

#[test]
fn triggers_are_disabled_for_the_load_and_are_then_what_they_were() {
    on_every_major(|server| {
        let owned = Owned::new(server, TABLES);
        let source = &owned.source;
        for url in [owned.url(), source.url()] {
            for more in [&[][..], &["-1"]] {
                source.sql(EMPTY);
                let told = owned.restore(&url, &[TRIGGERS_OFF, more].concat(), "", 0);
                assert!(!told.contains("triggers that fire"), "{told}");
                let counts = "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM fired)";
                assert_eq!(source.sql(counts), "50\t0\n");
                assert_eq!(source.sql(STATES), AS_THEY_WERE);
            }
        }
    });
}

#[test]
fn who_dies_leaves_triggers_that_resume_and_abandon_enable() {
    on_every_major(|server| {
        let owned = Owned::new(server, TABLES);
        let (source, url) = (&owned.source, owned.url());
        for end in [&["--resume"][..], &["--abandon"], &["--where", "id <> 0"]] {
            source.sql(EMPTY);
            owned.restore(&url, TRIGGERS_OFF, "restore.member", KILLED);
            assert_eq!(
                source.sql(STATES),
                "al ways\tD\noff\tD\norigin\tD\nreplica\tR\n"
            );
            match end {
                ["--abandon"] => {
                    owned.restore(&url, end, "", 0);
                }
                ["--resume"] => {
                    owned.restore(&url, &[TRIGGERS_OFF, end].concat(), "", 0);
                    let count =
                        "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM fired)";
                    assert_eq!(source.sql(count), "50\t0\n");
                }
                // Another restore of rows does not begin; one that drops what it makes forgets this one.
                _ => {
                    owned.restore(&url, &[TRIGGERS_OFF, end].concat(), "", 1);
                    owned.restore(&url, &["-t", "fired"], "", 0);
                }
            }
            assert_eq!(source.sql(STATES), AS_THEY_WERE, "{end:?}");
        }
    });
}

#[test]
fn who_may_not_disable_a_trigger_is_told_before_anything_changes() {
    on_every_major(|server| {
        let owned = Owned::new(server, TABLES);
        let source = &owned.source;
        source.sql(&format!(
            "{EMPTY}; ALTER TABLE orders OWNER TO postgres; GRANT ALL ON orders TO {}",
            owned.role
        ));
        let told = owned.restore(&owned.url(), TRIGGERS_OFF, "", 1);
        assert!(
            told.contains("the role may not disable \"origin\" on public.orders"),
            "{told}"
        );
        assert_eq!(source.sql("SELECT count(*) FROM users"), "0\n");
        assert_eq!(source.sql(STATES), AS_THEY_WERE);
        source.sql(&format!(
            "ALTER TABLE orders OWNER TO {role}; REVOKE CREATE ON DATABASE \"{name}\" FROM {role}",
            role = owned.role,
            name = source.name
        ));
        let told = owned.restore(&owned.url(), TRIGGERS_OFF, "", 1);
        assert!(told.contains("only --single-transaction"), "{told}");
        owned.restore(&owned.url(), &[TRIGGERS_OFF, &["-1"]].concat(), "", 0);
        assert_eq!(source.sql(STATES), AS_THEY_WERE);
        // A key still holds.
        source.sql(EMPTY);
        let alone = ["-a", "-t", "orders", "--disable-triggers", "-1"];
        let told = owned.restore(&owned.url(), &alone, "", 1);
        assert!(told.contains("could not load"), "{told}");
        assert_eq!(source.sql(STATES), AS_THEY_WERE);
    });
}

#[test]
fn keys_in_a_circle_that_may_be_deferred_are_loaded_in_one_transaction() {
    on_every_major(|server| {
        let circle = |how: &str| {
            format!(
                "CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a {how});
                 ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b {how};
                 INSERT INTO a SELECT n FROM generate_series(1, 9) n; INSERT INTO b SELECT n, n FROM generate_series(1, 9) n;
                 UPDATE a SET b = 10 - id;"
            )
        };
        let owned = Owned::new(server, &circle("DEFERRABLE"));
        let source = &owned.source;
        source.sql("TRUNCATE a, b");
        let told = owned.restore(&owned.url(), &["-a"], "", 1);
        assert!(told.contains("--single-transaction loads them"), "{told}");
        owned.restore(&owned.url(), &["-a", "-1"], "", 0);
        assert_eq!(source.sql("SELECT sum(b), count(*) FROM a"), "45\t9\n");
        source.sql("TRUNCATE a, b");
        let told = owned.restore(&owned.url(), &["-a", "-1", "-t", "a"], "", 1);
        assert!(told.contains("rows do not fit together"), "{told}");
        assert_eq!(source.sql("SELECT count(*) FROM a"), "0\n");
        let strict = Owned::new(server, &circle(""));
        strict.source.sql("TRUNCATE a, b");
        let told = strict.restore(&strict.url(), &["-a", "-1"], "", 1);
        assert!(told.contains("go round in a circle"), "{told}");
    });
}

#[test]
fn who_becomes_a_superuser_fires_no_triggers() {
    on_every_major(|server| {
        let owned = Owned::new(server, TABLES);
        let (source, role) = (&owned.source, &owned.role);
        source.sql(&format!("GRANT postgres TO {role}"));
        let chosen = [
            "-a",
            "-t",
            "users",
            "-t",
            "orders",
            "--no-analyze",
            "--role",
            "postgres",
        ];
        for more in [&[][..], &["-1"]] {
            source.sql(EMPTY);
            owned.restore(&owned.url(), &[&chosen, more].concat(), "", 0);
            // What is enabled for replicas and always fires.
            let fired = "SELECT count(*) FROM orders; SELECT DISTINCT what FROM fired ORDER BY 1";
            assert_eq!(source.sql(fired), "50\nal ways\nreplica\n");
        }
        source.sql(&format!("REVOKE postgres FROM {role}"));
        let refused = owned.restore(&owned.url(), &chosen, "", 20);
        assert!(refused.contains("--role names"), "{refused}");
    });
}
