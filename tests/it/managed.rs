//! Restores by a role that owns its database and is no superuser, as managed services give it.

use crate::harness::pgstow::archive_of;
use crate::harness::{Database, Host, Server, on_every_major, on_newest, pgstow, wait_until};

/// A role that owns a database.
struct Tenant {
    role: String,
    target: Database,
}

impl Tenant {
    fn new(server: &'static Server, source: &Database) -> Tenant {
        let role = format!("tenant_{}", source.name);
        source.sql(&format!("CREATE ROLE {role} LOGIN CREATEDB"));
        let target = Database::with_options(server, &format!("OWNER {role}"));
        Tenant { role, target }
    }

    fn url(&self) -> String {
        self.target
            .url()
            .replace("postgres@", &format!("{}@", self.role))
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        let role = &self.role;
        let _ = self.target.try_sql(&format!(
            "REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}"
        ));
    }
}

/// What needs a superuser, and what does not.
fn source(server: &'static Server) -> (Database, String) {
    let source = Database::empty(server);
    let other = format!("other_{}", source.name);
    // Before 13 only superusers make extensions, and nothing that needs one would be left.
    let (type_of_extension, extension) = match server.major >= 13 {
        true => (
            "citext",
            "CREATE EXTENSION citext; COMMENT ON EXTENSION citext IS 'ours'",
        ),
        false => ("text", ""),
    };
    source.sql(&format!(
        "CREATE ROLE {other};
         {extension};
         CREATE SCHEMA app;
         CREATE TABLE app.t (id int PRIMARY KEY, v {type_of_extension});
         INSERT INTO app.t SELECT n, 'Row ' || n FROM generate_series(1, 100) n;
         CREATE TABLE app.theirs (id int); ALTER TABLE app.theirs OWNER TO {other};
         CREATE FUNCTION app.shout(text) RETURNS text LANGUAGE internal IMMUTABLE STRICT AS 'upper';
         CREATE INDEX shouted ON app.t (app.shout(v::text));
         CREATE FUNCTION app.plain(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
         CREATE FUNCTION app.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
         CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE PROCEDURE app.on_ddl(); ALTER EVENT TRIGGER watcher DISABLE;
         CREATE PUBLICATION everything FOR ALL TABLES;
         CREATE PUBLICATION one_table FOR TABLE app.t;
         CREATE SUBSCRIPTION s CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE);
         CREATE OPERATOR FAMILY app.f USING btree;
         CREATE FUNCTION app.near(int, app.t) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
         CREATE OPERATOR app.=# (PROCEDURE = app.near, LEFTARG = int, RIGHTARG = app.t);
         ALTER OPERATOR FAMILY integer_ops USING hash ADD OPERATOR 1 app.=# (int, app.t);
         ALTER DEFAULT PRIVILEGES FOR ROLE {other} GRANT SELECT ON TABLES TO PUBLIC;"
    ));
    (source, other)
}

#[test]
fn what_the_role_may_not_is_named_before_anything_changes_and_left_out_on_demand() {
    on_every_major(|server| {
        let (source, other) = source(server);
        let host = Host::of(&source);
        let id = host.create("manual");
        let tenant = Tenant::new(server, &source);
        let told = host
            .run(["restore", &id, &tenant.url(), "--yes"])
            .expect_status(1)
            .stderr();
        let denied = [
            "FUNCTION \"app\".shout(text): its language",
            "INDEX \"app\".\"shouted\": it needs FUNCTION \"app\".shout(text)",
            "EVENT TRIGGER \"watcher\"",
            "PUBLICATION \"everything\"",
            "SUBSCRIPTION \"s\"",
            "OPERATOR FAMILY \"app\".\"f USING btree\"",
            "OPERATOR FAMILY MEMBER \"pg_catalog.integer_ops USING hash OPERATOR 1 (integer, app.t)\"",
            &format!("may not give objects to \"{other}\": TABLE \"app\".\"theirs\""),
            "DEFAULT ACL",
        ];
        for part in denied {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(told.contains("The target is unchanged."), "{told}");
        for part in [
            "DETAIL: FUNCTION \"app\".plain",
            "DETAIL: PUBLICATION \"one_table\"",
            "EXTENSION",
            "DETAIL: TABLE",
        ] {
            assert!(!told.contains(part), "{part}: {told}");
        }
        assert_eq!(
            tenant.target.sql("SELECT to_regnamespace('app') IS NULL"),
            "t\n"
        );
        let told = host
            .run(["restore", &id, &tenant.url(), "--yes", "--skip-privileged"])
            .expect_status(0)
            .stderr();
        for part in denied {
            assert!(
                told.contains(&format!("warning: left out: {part}")) || told.contains(part),
                "{part}: {told}"
            );
        }
        let restored = "SELECT count(*) FROM app.t; SELECT app.plain(7); SELECT pubname FROM pg_publication; \
            SELECT tableowner FROM pg_tables WHERE tablename = 'theirs'; \
            SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'citext'";
        let comment = if server.major >= 13 { "ours\n" } else { "" };
        let expected = format!("100\n7\none_table\n{}\n{comment}", tenant.role);
        assert_eq!(tenant.target.sql(restored), expected);
        // And again, over what is there.
        host.run(["restore", &id, &tenant.url(), "--yes", "--skip-privileged"])
            .expect_status(0);
        assert_eq!(tenant.target.sql(restored), expected);
        drop(tenant);
        source.sql(&format!("DROP OWNED BY {other}; DROP ROLE {other}"));
    });
}

#[test]
fn tables_are_never_left_out_and_others_objects_never_dropped() {
    on_every_major(|server| {
        let source = Database::filled(
            server,
            "CREATE FUNCTION seven() RETURNS int LANGUAGE internal IMMUTABLE AS 'pg_backend_pid'; \
             CREATE TABLE t (id int DEFAULT seven()); CREATE TABLE u (id int)",
        );
        let host = Host::of(&source);
        let id = host.create("manual");
        let tenant = Tenant::new(server, &source);
        let restore = |options: &[&str]| {
            let url = tenant.url();
            let arguments = ["restore", &id, &url, "--yes", "--skip-privileged"];
            let outcome = host.run(arguments.iter().chain(options));
            outcome.expect_status(1).stderr()
        };
        let told = restore(&[]);
        assert!(
            told.contains("TABLE \"public\".\"t\": it needs FUNCTION"),
            "{told}"
        );
        tenant.target.sql(
            "CREATE SCHEMA theirs; CREATE TABLE public.u (id int); ALTER SCHEMA public OWNER TO postgres; \
             GRANT ALL ON SCHEMA public TO PUBLIC",
        );
        let told = restore(&["-t", "u"]);
        assert!(
            told.contains("table public.u is owned by \"postgres\""),
            "{told}"
        );
        let told = restore(&["-a", "-t", "u"]);
        assert!(told.contains("no INSERT on table public.u"), "{told}");
        tenant.target.sql(&format!(
            "GRANT INSERT, SELECT ON u TO {}; ALTER TABLE u ENABLE ROW LEVEL SECURITY",
            tenant.role
        ));
        let told = restore(&["-a", "-t", "u"]);
        assert!(told.contains("row security of table public.u"), "{told}");
    });
}

/// Before 14 not everybody may read the OIDs of subscriptions.
#[test]
fn a_plain_role_dumps_and_restores_what_it_owns_and_is_told_of_subscriptions() {
    on_every_major(|server| {
        let source = Database::empty(server);
        let role = format!("plain_{}", source.name);
        let target = Database::empty(server);
        for database in [&source, &target] {
            database.sql(&format!(
                "DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
                 ALTER DATABASE {} OWNER TO {role}",
                database.name
            ));
        }
        let url = |database: &Database| database.url().replace("postgres@", &format!("{role}@"));
        source.sql(&format!(
            "CREATE SCHEMA s AUTHORIZATION {role}; SET ROLE {role}; CREATE TABLE s.t AS SELECT 7 AS n"
        ));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.sql.gz");
        let file = file.to_str().unwrap();
        pgstow(["create", &url(&source), "-n", "s", "-o", file]).expect_status(0);
        for _ in 0..2 {
            pgstow(["restore", file, &url(&target), "--yes"]).expect_status(0);
        }
        assert_eq!(target.sql("SELECT n FROM s.t"), "7\n");

        let subscription = format!("mine_{}", source.name);
        source.sql(&format!(
            "CREATE SUBSCRIPTION {subscription} CONNECTION 'dbname=nowhere' PUBLICATION p \
             WITH (connect = false, slot_name = NONE)"
        ));
        let again = dir.path().join("b.sql.gz");
        let again = again.to_str().unwrap();
        let told = pgstow(["create", &url(&source), "-o", again])
            .expect_status(1)
            .stderr();
        assert!(
            told.contains(&format!("subscription {subscription}")),
            "{told}"
        );
        pgstow(["create", &url(&source), "-o", again, "--skip-unsupported"]).expect_status(0);
        let third = dir.path().join("c.sql.gz");
        let third = third.to_str().unwrap();
        pgstow(["create", &url(&source), "-o", third, "--no-subscriptions"]).expect_status(0);
        source.sql(&format!("DROP SUBSCRIPTION {subscription}"));
        source.drop_now();
        target.drop_now();
        // The databases were its own.
        crate::harness::database::run_psql(server, "postgres", &format!("DROP ROLE {role}"))
            .unwrap();
    });
}

#[test]
fn fewer_connections_than_jobs_do_the_work() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE TABLE t AS SELECT generate_series(1, 1000) AS id; CREATE TABLE u AS TABLE t; CREATE INDEX ON t (id)",
        );
        let (_dir, file) = archive_of(&source);
        let tenant = Tenant::new(server, &source);
        let role = &tenant.role;
        source.sql(&format!("ALTER ROLE {role} CONNECTION LIMIT 3"));
        for (mode, held) in [("--verify-rows", "3 of 8"), ("--swap", "2 of 8")] {
            let url = tenant.url();
            let told = pgstow([
                "restore",
                &file,
                &url,
                "--yes",
                "-O",
                "-j8",
                mode,
                "--retry-for=5",
            ]);
            let told = told.expect_status(0).stderr();
            assert!(told.contains(&format!("{held} do the work")), "{told}");
            assert_eq!(tenant.target.sql("SELECT sum(id) FROM u"), "500500\n");
            // Which would count among those of the next mode.
            let left = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'");
            wait_until("no session of the role is left", || {
                source.sql(&left) == "0\n"
            });
        }
    });
}

#[test]
fn a_swap_compares_rows_that_policies_hide_from_their_owner() {
    on_newest(|server| {
        let source = Database::filled(
            server,
            "CREATE SCHEMA s; CREATE TABLE s.t (id int); INSERT INTO s.t VALUES (1), (2); CREATE POLICY p ON s.t USING (id > 1);
             ALTER TABLE s.t ENABLE ROW LEVEL SECURITY; ALTER TABLE s.t FORCE ROW LEVEL SECURITY",
        );
        let (_dir, file) = archive_of(&source);
        let tenant = Tenant::new(server, &source);
        let call = ["restore", &file, &tenant.url(), "--yes", "-O", "--swap"];
        pgstow(call).expect_status(0);
        let forced = "SELECT count(*), bool_and(relforcerowsecurity) FROM s.t, pg_class WHERE pg_class.oid = 's.t'::regclass";
        assert_eq!(tenant.target.sql(forced), "2\tt\n");
    });
}
