//! `create --globals` and `create --all`, on servers of their own: roles and tablespaces are shared by all databases.

use crate::harness::pgstow::finish;
use crate::harness::server::{newest, wanted_majors};
use crate::harness::{Database, Host, Server, pgstow};

const GLOBALS: &str = r#"
CREATE ROLE "al ""ice" LOGIN PASSWORD 'sesame' VALID UNTIL '2031-02-03 04:05:06+00' CONNECTION LIMIT 5 CREATEDB;
CREATE ROLE boss NOINHERIT CREATEROLE;
CREATE ROLE crew;
COMMENT ON ROLE crew IS 'it''s them';
GRANT crew TO boss WITH ADMIN OPTION;
GRANT crew TO "al ""ice";
GRANT pg_read_all_settings TO boss;
ALTER ROLE crew SET search_path TO "a b", public;
ALTER ROLE ALL SET work_mem TO '5MB';
"#;

/// What only newer servers have: a grantor of its own, options, privileges on settings.
const GLOBALS_16: &str = r#"
SET ROLE boss;
GRANT crew TO pg_monitor WITH INHERIT FALSE, SET FALSE;
RESET ROLE;
GRANT SET ON PARAMETER log_min_messages TO boss WITH GRANT OPTION;
"#;

const STATE: &str = "
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit,
    rolpassword, rolvaliduntil, shobj_description(oid, 'pg_authid') FROM pg_authid WHERE rolname !~ '^pg_' ORDER BY 1;
SELECT r.rolname, m.rolname, admin_option, g.rolname FROM pg_auth_members a JOIN pg_roles r ON r.oid = roleid
    JOIN pg_roles m ON m.oid = member JOIN pg_roles g ON g.oid = grantor WHERE r.rolname = 'crew' OR m.rolname = 'boss' ORDER BY 1, 2, 4;
SELECT setrole::regrole, setconfig FROM pg_db_role_setting WHERE setdatabase = 0 ORDER BY 1;
SELECT spcname, pg_get_userbyid(spcowner), spcoptions, spcacl, shobj_description(oid, 'pg_tablespace') FROM pg_tablespace
    WHERE spcname !~ '^pg_';
";

const STATE_16: &str = "
SELECT r.rolname, m.rolname, inherit_option, set_option FROM pg_auth_members a JOIN pg_roles r ON r.oid = roleid
    JOIN pg_roles m ON m.oid = member WHERE r.rolname = 'crew' ORDER BY 1, 2;
SELECT parname, paracl FROM pg_parameter_acl ORDER BY 1;
";

/// A server that nobody else uses, to the end of the tests.
fn server_of_our_own(major: u32) -> &'static Server {
    Box::leak(Box::new(Server::alone(major)))
}

fn database(server: &'static Server, name: &str) -> Database {
    Database {
        server,
        name: name.to_owned(),
    }
}

#[test]
fn globals_come_back_by_restore_and_by_psql() {
    for major in wanted_majors() {
        let source = server_of_our_own(major);
        let state = match major >= 16 {
            true => format!("{STATE}{STATE_16}"),
            false => STATE.to_owned(),
        };
        let postgres = database(source, "postgres");
        postgres.sql(GLOBALS);
        if major >= 16 {
            postgres.sql(GLOBALS_16);
        }
        // An in-place tablespace needs no directory, and 15.
        if major >= 15 {
            postgres.sql(
                "SET allow_in_place_tablespaces = on; CREATE TABLESPACE fast LOCATION '' WITH (seq_page_cost = 2)",
            );
            postgres.sql("COMMENT ON TABLESPACE fast IS 'quick'; GRANT CREATE ON TABLESPACE fast TO crew; ALTER TABLESPACE fast OWNER TO boss");
        }
        let before = postgres.sql(&state);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("globals-backup-20260114-020000.sql.gz");
        let file = archive.to_str().unwrap();
        let url = source.url("postgres");
        pgstow(["create", &url, "--globals", "-o", file]).expect_status(0);
        let shown = pgstow(["show", file]).expect_status(0).stdout();
        assert!(shown.contains("ROLE MEMBERSHIP") && !shown.contains("TABLE DATA"));

        let target = server_of_our_own(major);
        let copy = database(target, "postgres");
        // In-place tablespaces are the server's own affair: the copy has one already.
        if major >= 15 {
            copy.sql("ALTER DATABASE postgres SET allow_in_place_tablespaces = on");
        }
        let restore = ["restore", file, &target.url("postgres"), "--yes"];
        pgstow(restore).expect_status(0);
        assert_eq!(copy.sql(&state), before, "restored on {major}");
        // Once more, over what is there.
        pgstow(restore).expect_status(0);
        assert_eq!(copy.sql(&state), before, "restored again on {major}");

        let replayed = server_of_our_own(major);
        let copy = database(replayed, "postgres");
        if major >= 15 {
            copy.sql("ALTER DATABASE postgres SET allow_in_place_tablespaces = on");
        }
        copy.replay(&archive).unwrap();
        assert_eq!(copy.sql(&state), before, "replayed on {major}");

        let refused = pgstow(["drill", file, &url]).expect_status(2);
        assert!(refused.stderr().contains("cannot be drilled"));
        let none = dir.path().join("none-backup-20260114-020000.sql.gz");
        let none = none.to_str().unwrap();
        pgstow([
            "create",
            &url,
            "--globals",
            "--no-role-passwords",
            "-o",
            none,
        ])
        .expect_status(0);
        let sql = pgstow(["show", "--sql", none]).expect_status(0).stdout();
        assert!(sql.contains("VALID UNTIL") && !sql.contains("PASSWORD"));
        for database in [postgres, database(target, "postgres"), copy] {
            std::mem::forget(database);
        }
    }
}

#[test]
fn every_database_and_the_globals_are_backed_up_in_one_run() {
    let major = newest();
    let server = server_of_our_own(major);
    let postgres = database(server, "postgres");
    postgres.sql("CREATE ROLE keeper");
    for name in ["one", "two words", "closed", "left out"] {
        postgres.sql(&format!("CREATE DATABASE \"{name}\""));
    }
    postgres.sql("ALTER DATABASE closed ALLOW_CONNECTIONS false");
    let one = database(server, "one");
    one.sql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)");
    std::mem::forget(one);
    let host = Host::of(&postgres);
    host.run(["create", "--all", "--exclude-database", "left*"])
        .expect_status(0);
    let mut names: Vec<String> = host
        .files()
        .iter()
        .filter(|file| file.ends_with(".gz"))
        .map(|file| file.split("-backup-").next().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["globals", "one", "postgres", "template1", "two_words"]
    );
    let one = host
        .files()
        .into_iter()
        .find(|file| file.starts_with("one-") && file.ends_with(".meta"));
    let meta = std::fs::read_to_string(host.backups().join(one.unwrap())).unwrap();
    assert!(meta.contains("\"database\": \"one\""), "{meta}");
    // A set of the globals is whole, is kept as any other, and is not the latest backup of a database.
    let mut listed = host.command();
    let listed = finish(listed.args(["list", "--name", "globals"])).expect_status(0);
    assert!(listed.stdout().contains("globals"), "{}", listed.stdout());
    let mut kept = host.command();
    let kept = finish(kept.args([
        "cleanup",
        "--dry-run",
        "--keep-last",
        "1",
        "--name",
        "globals",
    ]));
    assert!(!kept.expect_status(0).stdout().contains("partial"));
    // Two databases whose sets would have the same name stop the run before it begins.
    postgres.sql("CREATE DATABASE \"two-words\"; CREATE DATABASE \"two:words\"");
    let refused = host.run(["create", "--all"]).expect_status(2);
    assert!(refused.stderr().contains("--exclude-database"));
    std::mem::forget(postgres);
}
