//! `restore --swap`: the target is the old database or the new one, whatever happens.

use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::comparison::LATER_COLUMN;
use crate::harness::pgstow::ended_with;
use crate::harness::proxy::AtCommit;
use crate::harness::server::{client_dir, newest_alone};
use crate::harness::{
    Database, Host, Proxy, Server, Snapshot, differences, on_every_major, on_newest, pgstow,
    wait_until, wait_while_running,
};

const SOURCE: &str = "
    CREATE TABLE t (id int PRIMARY KEY, v text);
    INSERT INTO t SELECT n, 'new ' || n FROM generate_series(1, 2000) n;
    CREATE INDEX ON t (v);
    CREATE VIEW w AS SELECT count(*) FROM t;";

const OLD: &str =
    "CREATE TABLE t (id int); INSERT INTO t VALUES (7); CREATE TABLE only_here (a int)";

/// A set of a database, and an old database that will be swapped for it.
struct Swap {
    host: Host,
    source: Database,
    target: Database,
    id: String,
}

impl Swap {
    fn new(server: &'static Server, source: &str) -> Swap {
        let source = Database::filled(server, source);
        let host = Host::of(&source);
        let id = host.create("manual");
        Swap {
            host,
            source,
            target: Database::filled(server, OLD),
            id,
        }
    }

    fn command(&self) -> Command {
        self.command_to(&self.target.url())
    }

    fn command_to(&self, url: &str) -> Command {
        let mut command = self.host.command();
        command.args(["restore", &self.id, url, "--swap", "--yes"]);
        command
    }

    /// Starts it through a line that breaks at the COMMIT of the exchange.
    fn start_through(&self, proxy: &Proxy, at_commit: AtCommit, options: &[&str]) -> Child {
        proxy.at_commit_of_rename(at_commit);
        self.command_to(
            &self
                .target
                .server
                .url_through(proxy.port, &self.target.name),
        )
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
    }

    /// Until the target is the new database.
    fn wait_for_new(&self, child: &mut Child) {
        wait_while_running(child, "the target is the new database", || {
            self.target.try_sql("SELECT * FROM w").is_ok()
        });
    }

    /// Starts it; it dies at the place.
    fn start(&self, failpoint: Option<&str>) -> Child {
        let mut command = self.command();
        if let Some(place) = failpoint {
            command.env("PGSTOW_FAILPOINT", place);
        }
        command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Databases that were made for the target.
    fn others(&self, word: &str) -> String {
        self.source.sql(&format!(
            "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname ~ '^{}_{word}_'",
            self.target.name
        ))
    }

    #[track_caller]
    fn expect_old(&self) {
        assert_eq!(self.target.sql("SELECT id FROM t"), "7\n");
        assert_eq!(self.target.sql("SELECT count(*) FROM only_here"), "0\n");
        assert_eq!(self.others("before"), "\n");
    }

    #[track_caller]
    fn expect_new(&self) {
        let source = Snapshot::of(&self.source).unwrap();
        if let Some(difference) = differences(&source, &Snapshot::of(&self.target).unwrap()) {
            panic!("{difference}");
        }
    }

    /// Drops what a swap kept, so that it does not outlive the test.
    fn drop_before(&self) {
        for name in self.others("before").split_whitespace() {
            self.source.sql(&format!("DROP DATABASE {name}"));
        }
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.drop_before();
        }
    }
}

/// What a database has beside its contents.
fn properties(target: &Database) -> String {
    target.sql(
        "SELECT pg_get_userbyid(datdba), (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a), datconnlimit, datcollate, datctype, pg_encoding_to_char(encoding), \
         shobj_description(oid, 'pg_database'), datallowconn, dattablespace \
         FROM pg_database WHERE datname = current_database(); \
         SELECT setrole::regrole, setconfig FROM pg_db_role_setting \
         WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1",
    )
}

#[test]
fn the_new_database_has_the_properties_of_the_old_and_the_contents_of_the_archive() {
    on_every_major(|server| {
        let swap = Swap::new(server, SOURCE);
        let name = &swap.target.name;
        let role = format!("owner_{name}");
        swap.target.sql(&format!(
            "CREATE ROLE {role}; ALTER DATABASE {name} OWNER TO {role}; \
             REVOKE CONNECT ON DATABASE {name} FROM PUBLIC; GRANT TEMP ON DATABASE {name} TO pg_monitor; \
             COMMENT ON DATABASE {name} IS 'the shop''s'; ALTER DATABASE {name} SET work_mem TO '5MB'; \
             ALTER ROLE {role} IN DATABASE {name} SET search_path TO a, \"B c\"; ALTER DATABASE {name} CONNECTION LIMIT 30"
        ));
        let before = properties(&swap.target);
        // Somebody is at work in it, and will be sent away.
        let mut reader = swap.target.hold("BEGIN; SELECT * FROM t");
        let plan = swap
            .command()
            .args(["--dry-run", "--json"])
            .output()
            .unwrap();
        let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
        assert_eq!(plan["swap"]["old_tables"], 2, "{plan}");
        // The reader, and perhaps somebody who is just leaving.
        assert!(!plan["swap"]["sessions"].as_array().unwrap().is_empty());
        let outcome = pgstow::finish(swap.command().arg("--json")).expect_status(0);
        let report: Value = serde_json::from_str(&outcome.stdout()).unwrap();
        reader.release();
        assert_eq!(
            report["kept"].as_str().unwrap(),
            swap.others("before").trim()
        );
        assert_eq!(report["rows"], 2000);
        swap.expect_new();
        assert_eq!(properties(&swap.target), before);
        let kept = Database {
            server,
            name: swap.others("before").trim().to_owned(),
        };
        assert_eq!(kept.sql("SELECT id FROM t"), "7\n");
        drop(kept);
        // A template cannot be dropped as it is.
        swap.target
            .sql(&format!("ALTER DATABASE {name} IS_TEMPLATE true"));
        pgstow::finish(swap.command().arg("--drop-old")).expect_status(0);
        assert_eq!(swap.others("(before|pgstow)"), "\n");
        swap.expect_new();
        swap.target
            .sql(&format!("ALTER DATABASE {name} IS_TEMPLATE false"));
        swap.target.drop_now();
        swap.source.sql(&format!("DROP ROLE {role}"));
    });
}

#[test]
fn a_failure_before_the_exchange_leaves_nothing_behind() {
    on_newest(|server| {
        // An index that cannot be built anywhere else.
        let name = server.fresh_name();
        let source = format!(
            "{SOURCE} CREATE FUNCTION here(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN \
             IF current_database() ~ 'pgstow' THEN RAISE 'not in {name}'; END IF; RETURN $1; END $$; \
             CREATE INDEX ON t (here(id))"
        );
        let swap = Swap::new(server, &source);
        let outcome = pgstow::finish(&mut swap.command()).expect_status(1);
        let told = outcome.stderr();
        assert!(told.contains(&format!("not in {name}")), "{told}");
        assert!(told.contains("The target is unchanged."), "{told}");
        assert!(!told.contains("post-data entries are done"), "{told}");
        swap.expect_old();
        assert_eq!(swap.others("pgstow"), "\n");
    });
}

#[test]
fn a_signal_during_the_build_has_its_own_exit_status_and_leaves_nothing_behind() {
    on_newest(|server| {
        let source = format!(
            "{SOURCE} CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN \
             IF current_database() ~ 'pgstow' THEN PERFORM pg_sleep(600); END IF; RETURN $1; END $$; \
             CREATE INDEX ON t (slow(id))"
        );
        let swap = Swap::new(server, &source);
        for (signal, status) in [("-TERM", 143), ("-INT", 130)] {
            let mut child = swap.start(None);
            let sleeps = format!(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname ~ '^{}_pgstow_'",
                swap.target.name
            );
            wait_while_running(&mut child, "the index is built", || {
                swap.source.sql(&sleeps) != "0\n"
            });
            pgstow::signal(&child, signal);
            let told = ended_with(status, child);
            assert!(told.contains("The target is unchanged."), "{told}");
            swap.expect_old();
            assert_eq!(swap.others("pgstow"), "\n");
        }
    });
}

#[test]
fn killed_at_every_step() {
    on_newest(|server| {
        let swap = Swap::new(server, SOURCE);
        for place in [
            "swap.built",
            "swap.before_exchange",
            "swap.between_renames",
            "swap.before_commit",
        ] {
            let output = swap.start(Some(place)).wait_with_output().unwrap();
            let (status, told) = (output.status, String::from_utf8_lossy(&output.stderr));
            assert_eq!(status.code(), None, "{place} was never reached: {told}");
            swap.expect_old();
            assert_ne!(swap.others("pgstow"), "\n", "{place}");
            let doctor = swap.host.run(["doctor"]).stdout();
            assert!(doctor.contains(swap.others("pgstow").trim()), "{doctor}");
        }
        let status = swap.start(Some("swap.after_exchange")).wait_with_output();
        assert_eq!(status.unwrap().status.code(), None);
        swap.expect_new();
        // What the first ones left went with the others; of the last one only the old database is there.
        assert_eq!(swap.others("pgstow"), "\n");
        assert_ne!(swap.others("before"), "\n");
        pgstow::finish(&mut swap.command()).expect_status(0);
        swap.expect_new();
    });
}

/// Waits until a session waits for a lock on a database. Its process.
fn wait_for_exchange(source: &Database, child: &mut Child) -> String {
    let query = "SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'object' \
         AND classid = 'pg_database'::regclass";
    let mut waiting = String::new();
    wait_while_running(child, "it waits for a lock on a database", || {
        waiting = source.sql(query);
        !waiting.is_empty()
    });
    waiting.trim().to_owned()
}

#[test]
fn a_server_that_dies_in_the_exchange_has_the_old_database() {
    // Its death must not be another test's.
    let server = newest_alone();
    let swap = Swap::new(server, SOURCE);
    let elsewhere = Database::empty(server);
    let mut holder = elsewhere.hold(&format!(
        "BEGIN; COMMENT ON DATABASE {} IS 'locked'",
        swap.target.name
    ));
    let mut child = swap.start(None);
    let backend = wait_for_exchange(&swap.source, &mut child);
    Command::new("kill")
        .args(["-9", &backend])
        .status()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_ne!(output.status.code(), Some(0));
    holder.release();
    wait_until("the server is back", || {
        swap.target.try_sql("SELECT").is_ok()
    });
    swap.expect_old();
    pgstow::finish(&mut swap.command()).expect_status(0);
    swap.expect_new();
    assert_eq!(swap.others("pgstow"), "\n");
}

#[test]
fn one_swap_of_a_target_at_a_time() {
    on_newest(|server| {
        let swap = Swap::new(server, SOURCE);
        let key =
            xxhash_rust::xxh3::xxh3_64(format!("pgstow swap {}", swap.target.name).as_bytes());
        // It must outlive the test.
        let maintenance = std::mem::ManuallyDrop::new(Database {
            server,
            name: "postgres".to_owned(),
        });
        let mut other =
            maintenance.hold(&format!("SELECT pg_advisory_lock({})", key.cast_signed()));
        pgstow::finish(&mut swap.command()).expect_status(11);
        swap.expect_old();
        other.release();
        pgstow::finish(&mut swap.command()).expect_status(0);
    });
}

#[test]
fn the_owner_may_swap_without_being_a_superuser() {
    on_every_major(|server| {
        let swap = Swap::new(server, SOURCE);
        let name = &swap.target.name;
        let role = format!("plain_{name}");
        swap.source.sql(&format!("CREATE ROLE {role} LOGIN"));
        swap.target
            .sql(&format!("ALTER DATABASE {name} OWNER TO {role}"));
        let url = swap.target.url().replace("postgres@", &format!("{role}@"));
        let restore = |status| {
            swap.host
                .run(["restore", &swap.id, &url, "--swap", "-O", "-x", "--yes"])
                .expect_status(status)
        };
        let told = restore(1).stderr();
        assert!(told.contains("CREATEDB"), "{told}");
        swap.expect_old();
        swap.source.sql(&format!("ALTER ROLE {role} CREATEDB"));
        // What only superusers may set, and whose sessions it may not end.
        swap.source.sql(&format!(
            "ALTER DATABASE {name} SET log_min_duration_statement TO 100; ALTER DATABASE {name} SET work_mem TO '5MB'; \
             CREATE ROLE other_{name}; ALTER ROLE other_{name} IN DATABASE {name} SET work_mem TO '6MB'"
        ));
        let mut other = swap.target.hold("SELECT 1");
        let told = restore(1).stderr();
        for line in ["\"log_min_duration_statement\"", "ALTER ROLE"] {
            assert!(told.contains(line), "{line}: {told}");
        }
        assert!(!told.contains("5MB"), "{told}");
        let plan = ["restore", &swap.id, &url, "--swap", "-O", "-x", "--dry-run"];
        let told = swap.host.run(plan).expect_status(1).stderr();
        assert!(told.contains("may not end sessions of"), "{told}");
        swap.expect_old();
        assert_eq!(swap.others("pgstow"), "\n");
        swap.source
            .sql(&format!("GRANT pg_signal_backend TO {role}"));
        let waits = [
            "restore",
            &swap.id,
            &url,
            "--swap",
            "-O",
            "-x",
            "--yes",
            "--skip-privileged",
        ];
        other.release();
        let told = swap.host.run(waits).expect_status(0).stderr();
        assert!(
            told.contains("will not have what the role may not give it"),
            "{told}"
        );
        assert_eq!(
            swap.target.sql("SELECT count(*) FROM t; SHOW work_mem"),
            "2000\n5MB\n"
        );
        swap.drop_before();
        swap.target.drop_now();
        swap.source.sql(&format!("DROP ROLE {role}"));
        swap.source
            .sql(&format!("DROP ROLE IF EXISTS other_{name}"));
    });
}

#[test]
fn less_than_a_whole_database_is_refused() {
    on_newest(|server| {
        let swap = Swap::new(server, SOURCE);
        for option in [["-t", "t"], ["--section", "data"], ["-n", "public"]] {
            pgstow::finish(swap.command().args(option)).expect_status(2);
        }
        pgstow::finish(swap.command().arg("-s")).expect_status(2);
        let part = swap.host.dir().join("part.sql.gz");
        let part = part.to_str().unwrap();
        swap.host.run(["create", "-s", "-o", part]).expect_status(0);
        let told = swap
            .host
            .run(["restore", part, &swap.target.url(), "--swap", "--yes"])
            .expect_status(2)
            .stderr();
        assert!(told.contains("--schema-only"), "{told}");
        swap.expect_old();
    });
}

/// An archive of pg_dump in the place of the set.
fn pg_dump(swap: &Swap, options: &[&str]) -> String {
    let archive = swap.host.dir().join(options.concat());
    let mut command = Command::new(client_dir().join("pg_dump"));
    command.args(options).args(["-d", &swap.source.url(), "-f"]);
    pgstow::finish(command.arg(&archive)).expect_status(0);
    archive.to_str().unwrap().to_owned()
}

#[test]
fn archives_of_pg_dump_are_swapped_in() {
    on_newest(|server| {
        for form in ["-Fc", "-Fd", "-Ft"] {
            let swap = Swap::new(server, SOURCE);
            let archive = pg_dump(&swap, &[form]);
            let told = swap
                .host
                .run(["restore", &archive, &swap.target.url(), "--swap", "--yes"])
                .expect_status(0)
                .stderr();
            assert!(
                told.contains("lacks of the target: public.only_here"),
                "{told}"
            );
            swap.expect_new();
        }
        let swap = Swap::new(server, SOURCE);
        for (option, told_as) in [
            ("--schema-only", "--schema-only"),
            ("--data-only", "--data-only"),
            ("--exclude-table-data=t", "--schema-only"),
        ] {
            let archive = pg_dump(&swap, &["-Fc", option]);
            let told = swap
                .host
                .run(["restore", &archive, &swap.target.url(), "--swap", "--yes"])
                .expect_status(2)
                .stderr();
            assert!(told.contains(told_as), "{told}");
        }
        swap.expect_old();
    });
}

/// A child's columns stand in another order than the source's, where a column came to the parent later.
#[test]
fn rows_are_compared_by_the_columns_of_the_archive() {
    on_newest(|server| {
        let swap = Swap::new(server, LATER_COLUMN);
        let archive = pg_dump(&swap, &["-Fc"]);
        for set in [&swap.id, &archive] {
            swap.host
                .run(["restore", set, &swap.target.url(), "--swap", "--yes"])
                .expect_status(0);
            assert_eq!(swap.target.sql("SELECT id, b, c FROM child"), "1\tb\t3\n");
            swap.target.sql("TRUNCATE child");
        }
    });
}

/// The index's function is the source's, and changes another table where it is built.
#[test]
fn other_rows_than_the_archives_keep_the_target_as_it_is() {
    on_newest(|server| {
        let source = format!(
            "{SOURCE} CREATE TABLE log (v text); INSERT INTO log VALUES ('as it was');
             CREATE FUNCTION note(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
               IF current_database() ~ '_pgstow_' THEN UPDATE public.log SET v = 'changed'; END IF; RETURN n; END $$;
             CREATE FUNCTION noted(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
               $$ BEGIN RETURN public.note(n); END $$;
             CREATE INDEX ON t (noted(id))"
        );
        let swap = Swap::new(server, &source);
        let archive = pg_dump(&swap, &["-Fc"]);
        for set in [&swap.id, &archive] {
            let told = swap
                .host
                .run(["restore", set, &swap.target.url(), "--swap", "--yes"])
                .expect_status(1)
                .stderr();
            for line in [
                "a table does not hold the archive's rows",
                "public.log: 1 rows, as in the archive, with other contents.",
                "The target is unchanged.",
            ] {
                assert!(told.contains(line), "{line}\n{told}");
            }
            swap.expect_old();
            assert_eq!(swap.others("pgstow"), "\n");
        }
    });
}

#[test]
fn an_exchange_whose_answer_is_lost_is_asked_about() {
    on_every_major(|server| {
        let swap = Swap::new(server, SOURCE);
        let proxy = Proxy::to(server.port);
        let mut child = swap.start_through(&proxy, AtCommit::Unheard, &[]);
        swap.wait_for_new(&mut child);
        proxy.cut();
        let said = ended_with(0, child);
        assert!(said.contains("is kept as"), "{said}");
        swap.expect_new();
        assert_eq!(swap.others("pgstow"), "\n");
    });
}

#[test]
fn an_exchange_whose_commit_is_lost_changes_nothing() {
    on_every_major(|server| {
        let swap = Swap::new(server, SOURCE);
        let proxy = Proxy::to(server.port);
        let child = swap.start_through(&proxy, AtCommit::Lost, &[]);
        let said = ended_with(1, child);
        assert!(said.contains("The target is unchanged."), "{said}");
        swap.expect_old();
        assert_eq!(swap.others("pgstow"), "\n");
    });
}

#[test]
fn an_exchange_that_nobody_can_be_asked_about_is_in_doubt() {
    on_newest(|server| {
        let swap = Swap::new(server, SOURCE);
        let proxy = Proxy::to(server.port);
        let mut child = swap.start_through(&proxy, AtCommit::Unheard, &["--retry-for=0"]);
        swap.wait_for_new(&mut child);
        proxy.refuse();
        let said = ended_with(6, child);
        assert!(said.contains("txid_status("), "{said}");
        swap.expect_new();
    });
}

/// The server has committed and waits for a standby when its process is ended: it says FATAL, and what it did holds.
#[test]
fn a_session_that_is_ended_in_the_commit_of_the_exchange_is_asked_about() {
    let server = newest_alone();
    let swap = Swap::new(server, SOURCE);
    let elsewhere = Database::empty(server);
    // The database in which the exchange is made.
    elsewhere.sql("ALTER DATABASE postgres SET synchronous_commit = on");
    let mut holder = elsewhere.hold(&format!(
        "BEGIN; COMMENT ON DATABASE {} IS 'locked'",
        swap.target.name
    ));
    let mut child = swap.start(None);
    wait_for_exchange(&swap.source, &mut child);
    elsewhere.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    elsewhere.sql("SELECT pg_reload_conf()");
    wait_until("new sessions have the setting", || {
        elsewhere.sql("SHOW synchronous_standby_names") == "nobody\n"
    });
    // COMMIT waits when the checkpointer has it, too, which looks before each checkpoint; the first may have begun before.
    elsewhere.sql("CHECKPOINT; CHECKPOINT");
    holder.release();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'SyncRep'";
    wait_while_running(&mut child, "its COMMIT waits for a standby", || {
        elsewhere.sql(end) == "t\n"
    });
    let said = ended_with(0, child);
    assert!(said.contains("is kept as"), "{said}");
    elsewhere.sql("ALTER SYSTEM RESET synchronous_standby_names");
    elsewhere.sql("SELECT pg_reload_conf()");
    swap.expect_new();
}

/// The connection that keeps other swaps away is lost with the server; the build goes on by itself.
#[test]
fn a_server_that_restarts_during_the_build_is_waited_for() {
    let server = newest_alone();
    // The index waits for whoever holds a lock, in any database; the crash ends him.
    let source = format!(
        "{SOURCE} CREATE FUNCTION slow(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN \
         WHILE EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND objid = 42) LOOP \
         PERFORM pg_catalog.pg_sleep(0.1); END LOOP; RETURN n; END $$;
         CREATE INDEX ON t (slow(id))"
    );
    let swap = Swap::new(server, &source);
    let _holder = swap.source.hold("SELECT pg_advisory_lock(42)");
    let mut child = swap.start(None);
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait_while_running(&mut child, "the index is built", || {
        swap.source.sql(asleep) != "0\n"
    });
    server.crash();
    let said = ended_with(0, child);
    assert!(said.contains("Trying again"), "{said}");
    swap.expect_new();
    assert_eq!(swap.others("pgstow"), "\n");
}
