//! Every catalog that can hold objects is swept, or known to hold none that a dump of one database is about.

use crate::harness::pgstow::archive_of;
use crate::harness::{Database, Server, on_every_major, on_newest, pgstow};

/// Catalogs whose rows have OIDs and are no objects of a dump of their own, with the reason.
const NOT_SWEPT: &[(&str, &str)] = &[
    ("pg_authid", "roles are the cluster's"),
    ("pg_auth_members", "roles are the cluster's"),
    (
        "pg_database",
        "one of the cluster's; restore --create makes it",
    ),
    ("pg_tablespace", "the cluster's"),
    ("pg_parameter_acl", "the cluster's"),
    ("pg_enum", "labels come with their type"),
    (
        "pg_largeobject_metadata",
        "swept under the class of pg_largeobject",
    ),
    ("pg_user_mapping", "swept by the view pg_user_mappings"),
    (
        "pg_subscription",
        "swept by the columns that everybody may read",
    ),
];

#[test]
fn every_catalog_with_objects_is_swept() {
    on_every_major(|server| {
        let database = Database::filled(server, "SELECT 1");
        // Before 12 the column was a hidden one.
        let having_oids = match server.major < 12 {
            true => "c.relhasoids",
            false => {
                "EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'oid' AND a.attnum > 0)"
            }
        };
        let catalogs = database.sql(&format!(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'pg_catalog'::regnamespace \
             AND c.relkind = 'r' AND {having_oids} ORDER BY 1"
        ));
        let swept = ::pgstow::dump::swept_catalogs();
        let unknown: Vec<&str> = catalogs
            .lines()
            .filter(|name| !swept.contains(name))
            .filter(|name| NOT_SWEPT.iter().all(|(known, _)| known != name))
            .collect();
        assert!(
            unknown.is_empty(),
            "nobody looks for objects in {unknown:?}"
        );
        assert!(swept.len() > 30 && catalogs.lines().count() > 30);
    });
}

#[test]
fn security_labels_are_dumped_whoever_provides_them() {
    on_newest(|server| {
        // No provider comes with PostgreSQL: the catalog is told directly.
        let source = Database::filled(
            server,
            "CREATE EXTENSION citext; CREATE TABLE \"t t\" (\"a a\" int); CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
             SET allow_system_table_mods = on;
             INSERT INTO pg_seclabel (objoid, classoid, objsubid, provider, label) VALUES
                 ('\"t t\"'::regclass, 'pg_class'::regclass, 0, 'it''s', 'la''bel'),
                 ('\"t t\"'::regclass, 'pg_class'::regclass, 1, 'p', 'of the column'),
                 ('f(int)'::regprocedure, 'pg_proc'::regclass, 0, 'p', 'of the function'),
                 ('citext'::regtype, 'pg_type'::regclass, 0, 'p', 'of a member')",
        );
        let script = |more: &[&str]| {
            let url = source.url();
            let arguments = ["create", url.as_str(), "-s", "-Z", "none", "-o", "-"];
            pgstow(arguments.iter().chain(more))
                .expect_status(0)
                .stdout()
        };
        let whole = script(&[]);
        for line in [
            "SECURITY LABEL FOR \"it's\" ON TABLE public.\"t t\" IS 'la''bel';",
            "SECURITY LABEL FOR \"p\" ON COLUMN public.\"t t\".\"a a\" IS 'of the column';",
            "SECURITY LABEL FOR \"p\" ON FUNCTION public.f(integer) IS 'of the function';",
            "SECURITY LABEL FOR \"p\" ON TYPE public.citext IS 'of a member';",
        ] {
            assert!(
                whole.lines().any(|it| it == line),
                "{line} is not in:\n{whole}"
            );
        }
        assert!(!script(&["--no-security-labels"]).contains("SECURITY LABEL"));
    });
}

#[test]
fn labels_of_databases_roles_and_subscriptions_stand_in_the_shared_catalog() {
    on_newest(|server| {
        // Nobody else dumps its roles.
        let server: &'static Server = Box::leak(Box::new(Server::alone(server.major)));
        let role = "labelled";
        let source = Database::filled(
            server,
            &format!(
                "CREATE ROLE {role}; CREATE SUBSCRIPTION sub CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE);
                 SET allow_system_table_mods = on;
                 INSERT INTO pg_shseclabel (objoid, classoid, provider, label) VALUES
                     ((SELECT oid FROM pg_database WHERE datname = current_database()), 'pg_database'::regclass, 'it''s', 'of the database'),
                     ('{role}'::regrole, 'pg_authid'::regclass, 'p', 'of the role'),
                     ('pg_monitor'::regrole, 'pg_authid'::regclass, 'p', 'of the system'),
                     ((SELECT oid FROM pg_subscription WHERE subname = 'sub'), 'pg_subscription'::regclass, 'p', 'of the subscription')"
            ),
        );
        let url = source.url();
        let create = |options: &[&str]| {
            let arguments = ["create", url.as_str(), "-Z", "none", "-o", "-"];
            pgstow(arguments.iter().chain(options)).expect_status(0)
        };
        let of_database = format!(
            "SECURITY LABEL FOR \"it's\" ON DATABASE \"{}\" IS 'of the database';",
            source.name
        );
        let of_subscription =
            "SECURITY LABEL FOR \"p\" ON SUBSCRIPTION sub IS 'of the subscription';";
        let whole = create(&["-C"]).stdout();
        assert!(whole.contains(&of_database), "{whole}");
        assert!(whole.contains(of_subscription), "{whole}");
        assert!(!create(&[]).stdout().contains(&of_database));
        assert!(
            !create(&["-C", "--no-security-labels"])
                .stdout()
                .contains("SECURITY LABEL")
        );

        let globals = create(&["--globals"]);
        let of_role = format!("SECURITY LABEL FOR \"p\" ON ROLE {role} IS 'of the role';");
        assert!(globals.stdout().contains(&of_role), "{}", globals.stdout());
        let told = "SECURITY LABEL FOR \"p\" ON ROLE pg_monitor IS 'of the system';";
        assert!(globals.stderr().contains(told), "{}", globals.stderr());
    });
}

/// They stand in the same catalog, and what asks for the address of one fails in every database but its own.
#[test]
fn subscriptions_of_other_databases_are_not_asked_for() {
    on_newest(|server| {
        let server: &'static Server = Box::leak(Box::new(Server::alone(server.major)));
        let subscribe = |count: u32| {
            format!(
                "DO $$ BEGIN FOR i IN 1..{count} LOOP EXECUTE format('CREATE SUBSCRIPTION %I CONNECTION ''host=nowhere'' PUBLICATION p \
                 WITH (connect = false, slot_name = NONE)', 's' || i); END LOOP; END $$; ANALYZE pg_subscription; ANALYZE pg_database"
            )
        };
        let source = Database::filled(server, &subscribe(2));
        let (_dir, file) = archive_of(&source);
        let _other = Database::filled(server, &subscribe(300));
        let target = Database::empty(server);
        for _ in 0..2 {
            pgstow(["restore", &file, &target.url(), "--yes"]).expect_status(0);
        }
        let names = "SELECT string_agg(subname, ' ' ORDER BY subname) FROM pg_subscription s \
                     JOIN pg_database d ON d.oid = s.subdbid WHERE datname = current_database()";
        assert_eq!(target.sql(names), "s1 s2\n");
        archive_of(&target);
    });
}

#[test]
fn versions_of_columns_are_no_options_of_the_users() {
    on_every_major(|server| {
        // What releases since 15.20 do by themselves.
        let source = Database::filled(
            server,
            "CREATE TABLE t (a int, b int, c int); ALTER TABLE t ALTER a SET (n_distinct = 5), ALTER c SET (n_distinct = 6);
             UPDATE pg_attribute SET attoptions = '{pg_attver=7,n_distinct=5}' WHERE attrelid = 't'::regclass AND attname = 'a';
             UPDATE pg_attribute SET attoptions = '{pg_attver=7}' WHERE attrelid = 't'::regclass AND attname = 'b'",
        );
        let script = pgstow(["create", &source.url(), "-Z", "none", "-o", "-"])
            .expect_status(0)
            .stdout();
        assert!(!script.contains("pg_attver"), "{script}");
        for set in [
            "\"a\" SET (\"n_distinct\"='5');",
            "\"c\" SET (\"n_distinct\"='6');",
        ] {
            assert!(script.contains(set), "{set} is not in:\n{script}");
        }
    });
}

#[test]
fn a_member_of_a_family_whose_type_is_gone_stops_no_dump() {
    on_every_major(|server| {
        // Servers up to 12 keep the row, and later ones what they were upgraded with.
        let source = Database::filled(
            server,
            "CREATE TYPE gone AS ENUM ('a'); CREATE TYPE here AS ENUM ('a');
             ALTER OPERATOR FAMILY range_ops USING hash ADD FUNCTION 1 (gone) hashenum(anyenum), FUNCTION 1 (here) hashenum(anyenum);
             DROP TYPE gone",
        );
        let script = pgstow(["create", &source.url(), "-Z", "none", "-o", "-"])
            .expect_status(0)
            .stdout();
        let members = script.matches("ADD\n    FUNCTION 1 (").count();
        assert_eq!(members, 1, "{script}");
        assert!(script.contains("FUNCTION 1 (public.here, public.here) hashenum(anyenum);"));
    });
}
