//! Settings of a database (`ALTER DATABASE ... SET`) hold while it is restored, but for those that would be in the way.

use crate::harness::pgstow::{command, finish};
use crate::harness::server::client_dir;
use crate::harness::{Database, Server, Snapshot, differences, on_every_major, on_newest, pgstow};

/// What needs the settings to come back.
const SOURCE: &str = "
    CREATE SCHEMA hostile;
    CREATE FUNCTION hostile.factor() RETURNS int LANGUAGE sql AS 'SELECT 666';
    CREATE FUNCTION public.factor() RETURNS int STABLE LANGUAGE sql AS
        'SELECT pg_catalog.current_setting(''app.factor'')::int';
    CREATE TABLE public.counted (n int CHECK (n % current_setting('app.factor')::int = 0));
    INSERT INTO public.counted VALUES (3), (6);
    CREATE TABLE public.lists (names text[]);
    INSERT INTO public.lists VALUES (ARRAY[NULL, 'NULL']), (ARRAY['x']);
    CREATE MATERIALIZED VIEW public.scaled AS SELECT n * public.factor() AS n FROM public.counted;
    CREATE VIEW public.unknown AS SELECT n FROM public.counted WHERE n = NULL::int;";

fn source(server: &'static Server) -> Database {
    let source = Database::empty(server);
    let name = &source.name;
    source.sql(&format!(
        "ALTER DATABASE {name} SET app.factor = '3'; \
         ALTER DATABASE {name} SET search_path = hostile, public; \
         ALTER DATABASE {name} SET \"DateStyle\" = 'German, DMY'; \
         ALTER DATABASE {name} SET \"IntervalStyle\" = 'sql_standard'; \
         ALTER DATABASE {name} SET lock_timeout = '1ms'"
    ));
    source.sql(SOURCE);
    // From the next session on nothing could be made as it was.
    source.sql(&format!(
        "ALTER DATABASE {name} SET array_nulls = off; \
         ALTER DATABASE {name} SET transform_null_equals = on; \
         ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'; \
         ALTER DATABASE {name} SET session_replication_role = 'replica'; \
         ALTER DATABASE {name} SET default_transaction_read_only = on"
    ));
    source
}

fn settings(database: &Database) -> String {
    database.sql(
        "SELECT unnest(setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase \
         WHERE d.datname = current_database() AND s.setrole = 0 ORDER BY 1",
    )
}

/// Drops a database that is not dropped by itself.
fn forget(server: &'static Server, name: &str) {
    drop(Database {
        server,
        name: name.to_owned(),
    });
}

#[test]
fn all_is_restored_under_the_settings_of_the_database() {
    on_every_major(|server| {
        let source = source(server);
        let before = Snapshot::of(&source).unwrap();
        let wanted = settings(&source);
        assert_eq!(wanted.lines().count(), 10, "{wanted}");
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("db-backup-20260114-020000.sql.gz");
        let file = archive.to_str().unwrap();
        pgstow(["create", &source.url(), "-o", file, "-C"]).expect_status(0);

        let copy = Database {
            server,
            name: format!("{}_copy", source.name),
        };
        let restored = pgstow(["restore", file, &copy.url(), "--create", "--yes", "-j2"]);
        let restored = restored.expect_status(0);
        assert!(
            !restored.stderr().contains("does not hold"),
            "{}",
            restored.stderr()
        );
        assert_eq!(settings(&copy), wanted);
        assert_eq!(differences(&before, &Snapshot::of(&copy).unwrap()), None);
        drop(copy);
        pgstow(["drill", file, &server.url("postgres")]).expect_status(0);

        source.drop_now();
        let postgres = Database {
            server,
            name: "postgres".to_owned(),
        };
        postgres.replay(&archive).unwrap();
        std::mem::forget(postgres);
        assert_eq!(settings(&source), wanted);
        assert_eq!(differences(&before, &Snapshot::of(&source).unwrap()), None);
    });
}

#[test]
fn settings_hold_when_a_killed_restore_is_resumed_and_when_databases_are_swapped() {
    on_newest(|server| {
        let source = source(server);
        let before = Snapshot::of(&source).unwrap();
        let wanted = settings(&source);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        let file = archive.to_str().unwrap();
        pgstow(["create", &source.url(), "-o", file]).expect_status(0);
        let copy = Database {
            server,
            name: format!("{}_copy", source.name),
        };
        let url = copy.url();
        let restore = ["restore", file, url.as_str(), "--create", "--yes"];
        let mut killed = command();
        killed.env("PGSTOW_FAILPOINT", "restore.after_beginning");
        finish(killed.args(restore)).expect_status(134);
        pgstow(restore.iter().chain(&["--resume"])).expect_status(0);
        assert_eq!(settings(&copy), wanted);
        assert_eq!(differences(&before, &Snapshot::of(&copy).unwrap()), None);

        let swap = [
            "restore",
            file,
            url.as_str(),
            "--swap",
            "--drop-old",
            "--yes",
        ];
        pgstow(swap).expect_status(0);
        assert_eq!(settings(&copy), wanted);
        assert_eq!(differences(&before, &Snapshot::of(&copy).unwrap()), None);
    });
}

#[test]
fn settings_in_an_archive_of_pg_dump_hold_while_it_is_restored() {
    on_newest(|server| {
        let source = source(server);
        let wanted = settings(&source);
        let before = Snapshot::of(&source).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("archive");
        let dumped = std::process::Command::new(client_dir().join("pg_dump"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p"])
            .arg(server.port.to_string())
            .args(["-Fc", "-d", &source.name, "-f"])
            .arg(&archive)
            .status()
            .unwrap();
        assert!(dumped.success());
        let copy = format!("{}_copy", source.name);
        let url = server.url(&copy);
        let file = archive.to_str().unwrap();
        pgstow(["restore", file, &url, "--create", "--yes"]).expect_status(0);
        let made = Database { server, name: copy };
        assert_eq!(settings(&made), wanted);
        assert_eq!(differences(&before, &Snapshot::of(&made).unwrap()), None);
    });
}

#[test]
fn a_setting_that_cannot_be_set_is_told_and_stops_nothing() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t AS SELECT 1 AS n");
        let name = &source.name;
        let role = format!("plain_{name}");
        source.sql(&format!(
            "ALTER DATABASE {name} SET log_statement = 'all'; ALTER DATABASE {name} SET work_mem = '7MB'; \
             CREATE ROLE {role} LOGIN CREATEDB"
        ));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.sql.gz");
        let file = file.to_str().unwrap();
        pgstow(["create", &source.url(), "-o", file]).expect_status(0);
        let copy = format!("{name}_copy");
        let restored = pgstow([
            "restore",
            file,
            &server.url(&copy).replace("postgres@", &format!("{role}@")),
            "--create",
            "--yes",
            "--no-owner",
        ]);
        let told = restored.expect_status(3);
        assert!(
            told.stderr()
                .contains("a setting of the database does not hold while it is restored"),
            "{}",
            told.stderr()
        );
        let made = Database { server, name: copy };
        assert_eq!(made.sql("SELECT n FROM t; SHOW work_mem"), "1\n7MB\n");
        forget(server, &made.name);
        source.sql(&format!("DROP ROLE {role}"));
        std::mem::forget(made);
    });
}
