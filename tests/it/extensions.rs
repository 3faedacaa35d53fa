//! What extensions make along with themselves: configuration tables, sequences, servers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::server::newest_alone;
use crate::harness::{Database, Server, pgstow};

/// The script of an extension that makes its own schema.
const SCRIPT: &str = "\
    CREATE FOREIGN DATA WRAPPER pgstow_wrapper;
    CREATE SERVER pgstow_server FOREIGN DATA WRAPPER pgstow_wrapper;
    CREATE USER MAPPING FOR PUBLIC SERVER pgstow_server OPTIONS (a 'b');
    CREATE SCHEMA made;
    CREATE TABLE made.conf (a int PRIMARY KEY);
    INSERT INTO made.conf VALUES (0);
    SELECT pg_catalog.pg_extension_config_dump('made.conf', 'WHERE a > 0');
    CREATE SEQUENCE made.numbers;
    SELECT pg_catalog.pg_extension_config_dump('made.numbers', '');
    CREATE MATERIALIZED VIEW made.summary AS SELECT count(*) FROM made.conf;
    SELECT pg_catalog.pg_extension_config_dump('made.summary', '');";

/// A server that finds the extension `pgstow_made` in the directory. `None` before 18, which looks nowhere but in its own.
fn server_with_extension(dir: &Path) -> Option<&'static Server> {
    let server = newest_alone();
    if server.major < 18 {
        return None;
    }
    let files = dir.join("extension");
    fs::create_dir(&files).unwrap();
    for open in [dir, &files] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let control = "default_version = '1'\nrelocatable = false\n";
    fs::write(files.join("pgstow_made.control"), control).unwrap();
    fs::write(files.join("pgstow_made--1.sql"), SCRIPT).unwrap();
    let path = format!("{}:$system", dir.display());
    Database::empty(server).sql(&format!(
        "ALTER ROLE postgres SET extension_control_path = '{path}'"
    ));
    Some(server)
}

#[test]
fn configuration_comes_back_with_the_extension_that_makes_its_schema() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = server_with_extension(dir.path()) else {
        return;
    };
    let source = Database::filled(
        server,
        "CREATE EXTENSION pgstow_made; INSERT INTO made.conf VALUES (7); SELECT nextval('made.numbers');
         REFRESH MATERIALIZED VIEW made.summary;
         ALTER USER MAPPING FOR PUBLIC SERVER pgstow_server OPTIONS (SET a 'c');
         CREATE SCHEMA app; CREATE TABLE app.t (a int)",
    );
    let configuration = "SELECT a FROM made.conf ORDER BY 1; SELECT last_value FROM made.numbers; SELECT count FROM made.summary;
         SELECT umoptions FROM pg_user_mappings";
    let expected = "0\n7\n1\n2\n{a=c}\n";
    assert_eq!(source.sql(configuration), expected);
    let file = dir.path().join("a.sql.gz");
    let file = file.to_str().unwrap();
    pgstow(["create", &source.url(), "-o", file]).expect_status(0);
    let copy = Database::empty(server);
    // The second time the extension stays, and rows that are there already are replaced.
    for _ in 0..2 {
        pgstow(["restore", "-y", file, &copy.url()]).expect_status(0);
        assert_eq!(copy.sql(configuration), expected);
    }

    for (choice, comes_along) in [
        (&["-n", "app", "-e", "pgstow_made"][..], true),
        (&["-t", "app.t", "-e", "pgstow_made"], true),
        (&["-n", "app"], false),
        (&["-t", "app.t"], false),
        (&["-e", "pgstow_made", "-N", "made"], false),
    ] {
        let url = source.url();
        let arguments = ["create", &url, "-Z", "none", "-o", "-"].into_iter();
        let script = pgstow(arguments.chain(choice.iter().copied()))
            .expect_status(0)
            .stdout();
        for part in [
            "COPY \"made\".\"conf\"",
            "setval('\"made\".\"numbers\"', 1, true)",
            "REFRESH MATERIALIZED VIEW \"made\".\"summary\"",
        ] {
            assert_eq!(script.contains(part), comes_along, "{choice:?}: {part}");
        }
    }
}
