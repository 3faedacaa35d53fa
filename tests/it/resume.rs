//! `restore --resume`, `--abandon` and what else an unfinished restore means.

use crate::harness::pgstow::{Outcome, archive_of, command, finish};
use crate::harness::{
    Database, Server, Snapshot, differences, expect_equal, on_every_major, on_newest, pgstow,
    wait_while_running,
};

pub(crate) const SOURCE: &str = "
    CREATE TABLE big (id bigint, grp int, filler text);
    INSERT INTO big SELECT n, n % 100, repeat(md5(n::text), 3) FROM generate_series(1, 90000) n;
    CREATE TABLE other (id serial PRIMARY KEY, big_id bigint, note text);
    INSERT INTO other (big_id, note) SELECT n, repeat(md5((n * 7)::text), 4) FROM generate_series(1, 40000) n;
    ALTER TABLE big ADD PRIMARY KEY (id);
    ALTER TABLE other ADD FOREIGN KEY (big_id) REFERENCES big;
    CREATE INDEX ON big (grp);
    CREATE INDEX ON big (filler);
    CREATE INDEX ON other (note);
    CREATE UNLOGGED TABLE fleeting (n int PRIMARY KEY, t text);
    INSERT INTO fleeting SELECT n, md5(n::text) FROM generate_series(1, 5000) n;
    CREATE MATERIALIZED VIEW sums AS SELECT grp, count(*) FROM big GROUP BY 1;
    CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO fleeting VALUES (-NEW.id, ''trigger''); RETURN NEW; END';
    CREATE TRIGGER note AFTER INSERT ON other FOR EACH ROW EXECUTE PROCEDURE noted();
    CREATE TABLE parts (id int, t text) PARTITION BY RANGE (id);
    CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (500);
    CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM (500) TO (1000);
    INSERT INTO parts SELECT n, md5(n::text) FROM generate_series(0, 999) n;
    CREATE SEQUENCE counter; SELECT setval('counter', 77);
    SELECT lo_from_bytea(5000, decode(repeat('00ff', 300000), 'hex')), lo_from_bytea(5001, 'x');";

/// What was there before, of the same names and of others.
pub(crate) const OLD: &str = "
    CREATE TABLE big (id text PRIMARY KEY); INSERT INTO big VALUES ('old');
    CREATE TABLE fleeting (n int); INSERT INTO fleeting VALUES (1);
    CREATE TABLE untouched (n int); INSERT INTO untouched VALUES (2);
    SELECT lo_from_bytea(5000, 'old');";

struct Trial {
    source: Database,
    archive: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

impl Trial {
    fn new(server: &'static Server) -> Trial {
        let source = Database::filled(server, SOURCE);
        let (dir, archive) = archive_of(&source);
        Trial {
            source,
            archive: archive.into(),
            _dir: dir,
        }
    }

    fn restore(&self, target: &Database, failpoint: &str, options: &[&str]) -> Outcome {
        let mut call = command();
        if !failpoint.is_empty() {
            call.env("PGSTOW_FAILPOINT", failpoint);
        }
        finish(
            call.args(["restore", "--yes", "-j2"])
                .args(options)
                .arg(&self.archive)
                .arg(target.url()),
        )
    }

    #[track_caller]
    fn expect_equal(&self, target: &Database) {
        let before = Snapshot::of(&self.source).unwrap();
        expect_equal("the target", &before, target);
    }
}

/// Died as by `kill -9`.
const KILLED: i32 = 134;

fn journals(target: &Database) -> String {
    target.sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pgstow%'")
}

#[test]
fn killed_restores_go_on_where_they_stopped() {
    on_every_major(|server| {
        let trial = Trial::new(server);
        let target = Database::filled(server, OLD);
        let old = Snapshot::of(&target).unwrap();
        trial
            .restore(&target, "restore.before_beginning", &[])
            .expect_status(KILLED);
        assert!(differences(&old, &Snapshot::of(&target).unwrap()).is_none());
        let refused = trial.restore(&target, "", &["--resume"]).expect_status(1);
        assert!(refused.stderr().contains("no unfinished restore"));
        target.sql("DROP TABLE untouched");
        for place in [
            "restore.after_beginning",
            "restore.member",
            "restore.step",
            "restore.before_end",
        ] {
            trial.restore(&target, place, &[]).expect_status(KILLED);
            assert_eq!(journals(&target), "1\n", "{place}");
            trial.restore(&target, "", &["--resume"]).expect_status(0);
            assert_eq!(journals(&target), "0\n", "{place}");
            trial.expect_equal(&target);
        }
    });
}

/// Their archives do not say how many rows there are, and what is done is not read again.
#[test]
fn archives_of_pg_dump_go_on_and_all_of_it_is_reported() {
    on_newest(|server| {
        let trial = Trial::new(server);
        let theirs = trial.archive.with_file_name("a.dump");
        let dumped =
            std::process::Command::new(crate::harness::server::client_dir().join("pg_dump"))
                .args(["-Fc", "-d", &trial.source.url(), "-f"])
                .arg(&theirs)
                .status();
        assert!(dumped.unwrap().success());
        let trial = Trial {
            archive: theirs,
            ..trial
        };
        let target = Database::empty(server);
        for place in ["restore.member", "restore.step", "restore.before_end"] {
            trial.restore(&target, place, &[]).expect_status(KILLED);
            let told = trial
                .restore(&target, "", &["--resume", "--json"])
                .expect_status(0)
                .stdout();
            assert!(told.contains("\"rows\":136000,"), "{place}: {told}");
            trial.expect_equal(&target);
        }
    });
}

#[test]
fn rows_alone_go_on_too() {
    on_newest(|server| {
        let trial = Trial::new(server);
        let target = Database::empty(server);
        trial.restore(&target, "", &["-s"]).expect_status(0);
        target.sql("ALTER TABLE other DISABLE TRIGGER ALL");
        let rows = ["-a", "-t", "public.big", "-t", "public.other"];
        trial
            .restore(&target, "restore.member", &rows)
            .expect_status(KILLED);
        // Another restore of rows would fill what is half full.
        let refused = trial.restore(&target, "", &rows).expect_status(1);
        assert!(
            refused.stderr().contains("--abandon"),
            "{}",
            refused.stderr()
        );
        trial
            .restore(&target, "", &[rows.as_slice(), &["--resume"]].concat())
            .expect_status(0);
        assert_eq!(
            target.sql("SELECT count(*), count(DISTINCT id) FROM big"),
            "90000\t90000\n"
        );
        assert_eq!(journals(&target), "0\n");
        // What fails before its first row leaves nothing behind.
        trial.restore(&target, "", &rows).expect_status(1);
        assert_eq!(journals(&target), "0\n");
    });
}

#[test]
fn other_options_and_other_archives_are_refused_by_name() {
    on_newest(|server| {
        let trial = Trial::new(server);
        let target = Database::empty(server);
        trial
            .restore(&target, "restore.member", &[])
            .expect_status(KILLED);
        let refused = trial
            .restore(&target, "", &["--resume", "-O", "-t", "public.big"])
            .expect_status(2)
            .stderr();
        assert!(
            refused.contains("--no-owner") && refused.contains("the selection"),
            "{refused}"
        );
        let other = Trial::new(server);
        let refused = other.restore(&target, "", &["--resume"]).expect_status(1);
        assert!(refused.stderr().contains("unfinished restore of archive"));
        // A whole restore of the other one forgets the first, and says so.
        let restored = other.restore(&target, "", &[]).expect_status(0);
        assert!(restored.stderr().contains("will be forgotten"));
        assert_eq!(journals(&target), "0\n");
        other.expect_equal(&target);
    });
}

#[test]
fn abandoned_restores_are_forgotten() {
    on_newest(|server| {
        let trial = Trial::new(server);
        let target = Database::empty(server);
        for file in [None, trial.archive.to_str()] {
            trial
                .restore(&target, "restore.before_end", &[])
                .expect_status(KILLED);
            let url = target.url();
            let mut call = vec!["restore", "--abandon", "--yes"];
            call.extend(file);
            call.push(&url);
            let told = pgstow(&call).expect_status(0).stderr();
            assert!(told.contains("(136000 rows) and "), "{told}");
            assert!(!told.contains("and 0 of"), "{told}");
            assert_eq!(journals(&target), "0\n");
            pgstow(&call).expect_status(1);
        }
        assert_eq!(target.sql("SELECT count(*) FROM big"), "90000\n");
    });
}

#[test]
fn a_dump_of_what_is_half_restored_says_so() {
    on_newest(|server| {
        let trial = Trial::new(server);
        let target = Database::empty(server);
        trial
            .restore(&target, "restore.before_end", &[])
            .expect_status(KILLED);
        let archive = trial.archive.with_file_name("half.sql.gz");
        let archive = archive.to_str().unwrap();
        let told = pgstow(["create", &target.url(), "-o", archive])
            .expect_status(0)
            .stderr();
        assert!(told.contains("half restored"), "{told}");
        let shown = pgstow(["show", archive]).expect_status(0).stdout();
        assert!(!shown.contains("TABLE pgstow_restore"), "{shown}");
        let copy = Database::empty(server);
        pgstow(["restore", "--yes", archive, &copy.url()]).expect_status(0);
        assert_eq!(journals(&copy), "0\n");
        trial.expect_equal(&copy);
    });
}

#[test]
fn made_databases_get_their_properties_in_the_end() {
    on_newest(|server| {
        let trial = Trial::new(server);
        trial.source.sql(&format!(
            "COMMENT ON DATABASE {} IS 'mine'",
            trial.source.name
        ));
        pgstow([
            "create",
            &trial.source.url(),
            "-o",
            trial.archive.with_file_name("b.sql.gz").to_str().unwrap(),
        ])
        .expect_status(0);
        let trial = Trial {
            archive: trial.archive.with_file_name("b.sql.gz"),
            ..trial
        };
        let target = Database::empty(server);
        target.drop_now();
        trial
            .restore(&target, "restore.member", &["--create"])
            .expect_status(KILLED);
        trial
            .restore(&target, "", &["--create", "--resume"])
            .expect_status(0);
        trial.expect_equal(&target);
        assert_eq!(
            target.sql("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"),
            "mine\n"
        );
    });
}

#[test]
fn a_second_restore_at_the_same_time_is_refused() {
    on_newest(|server| {
        let trial = Trial::new(server);
        let target = Database::filled(server, "CREATE TABLE big (n int)");
        // The first one waits for this lock, in its first transaction.
        let mut held = target.hold("BEGIN; LOCK TABLE big IN ACCESS SHARE MODE");
        let mut first = command()
            .args(["restore", "--yes"])
            .arg(&trial.archive)
            .arg(target.url())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let waiting =
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'big'::regclass";
        wait_while_running(&mut first, "it waits for the lock", || {
            target.sql(waiting) == "1\n"
        });
        let refused = trial
            .restore(&target, "", &["--retry-for", "0"])
            .expect_status(11);
        assert!(refused.stderr().contains("another restore is at work"));
        held.release();
        assert!(first.wait().unwrap().success());
        trial.expect_equal(&target);
    });
}

#[test]
fn who_may_not_make_schemas_restores_without_a_record() {
    on_newest(|server| {
        let trial = Trial::new(server);
        let target = Database::empty(server);
        target.sql("CREATE ROLE pgstow_rows LOGIN; GRANT pg_read_server_files TO pgstow_rows");
        trial
            .restore(&target, "", &["-s", "-O", "-x"])
            .expect_status(0);
        target.sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO pgstow_rows");
        let url = target.url().replace("postgres@", "pgstow_rows@");
        let told = finish(
            command()
                .args(["restore", "--yes", "-a", "-t", "public.big", "-O"])
                .arg(&trial.archive)
                .arg(url),
        )
        .stderr();
        assert!(told.contains("cannot be resumed"), "{told}");
        assert_eq!(target.sql("SELECT count(*) FROM big"), "90000\n");
        target.sql("DROP OWNED BY pgstow_rows; DROP ROLE pgstow_rows");
    });
}
