//! Archives of pg_dump, made by its versions 15, 17 and 18 in every form and compression, come back as pg_restore brings them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::pgstow::{command, finish};
use crate::harness::server::{client_dir, client_dir_17, newest, wanted_majors};
use crate::harness::share::wants_every;
use crate::harness::{Database, Server, Snapshot, differences, expect_equal, on_newest, pgstow};

/// Tables of all sorts, large objects, an owner, a loop, privileges, names that need quotes.
const SOURCE: &str = r#"
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgstow_reader') THEN CREATE ROLE pgstow_reader; END IF;
END $$;
CREATE SCHEMA app;
CREATE TABLE app.customer (id serial PRIMARY KEY, name text NOT NULL UNIQUE, note text DEFAULT 'a;b');
INSERT INTO app.customer (name, note)
    SELECT 'n' || n, CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN E'it''s;\n\\. "x"\t' ELSE 'ä' END FROM generate_series(1, 3000) n;
CREATE TABLE app."Order; ""x" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int REFERENCES app.customer,
    at timestamptz DEFAULT '2024-01-01', double int GENERATED ALWAYS AS (customer * 2) STORED);
INSERT INTO app."Order; ""x" (customer) SELECT n FROM generate_series(1, 2000) n;
CREATE INDEX ON app."Order; ""x" (at, customer);
CREATE TABLE app.empty (a int, b text);
CREATE TABLE app.nothing ();
INSERT INTO app.nothing SELECT FROM generate_series(1, 3);
CREATE TABLE app.part (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE app.part_1 PARTITION OF app.part FOR VALUES FROM (0) TO (10);
CREATE TABLE app.part_2 PARTITION OF app.part FOR VALUES FROM (10) TO (20);
CREATE INDEX ON app.part (v);
INSERT INTO app.part SELECT n, 'v' || n FROM generate_series(0, 19) n;
CREATE VIEW app.names AS SELECT name FROM app.customer;
CREATE MATERIALIZED VIEW app.counts AS SELECT count(*) FROM app.customer;
CREATE FUNCTION app.f(a int, b text) RETURNS text LANGUAGE sql AS $$ SELECT b || a; $$;
CREATE FUNCTION app."begin"("begin" int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TRIGGER t BEFORE UPDATE ON app.customer FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE OPERATOR app.### (LEFTARG = int, RIGHTARG = text, FUNCTION = app.f);
COMMENT ON TABLE app.customer IS 'customers';
COMMENT ON COLUMN app.customer.name IS E'their\nnames';
GRANT SELECT ON app.customer TO pgstow_reader;
ALTER TABLE app.empty OWNER TO pgstow_reader;
SELECT lo_create(4711), lo_create(4712), lo_create(4713);
SELECT lo_put(4711, 0, decode(repeat('00ff41', 100000), 'hex')), lo_put(4713, 0, 'small');
GRANT SELECT ON LARGE OBJECT 4711 TO pgstow_reader;
COMMENT ON LARGE OBJECT 4713 IS 'the small one';
ALTER LARGE OBJECT 4712 OWNER TO pgstow_reader;
"#;

fn source(server: &'static Server) -> Database {
    let _one_at_a_time = server
        .loading
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    Database::filled(server, SOURCE)
}

/// Runs pg_dump or pg_restore of a version.
#[track_caller]
fn run(program: &Path, server: &Server, arguments: &[&str]) {
    let output = server.client(program).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    // pg_restore 17 and later set what older servers do not know, and go on.
    let only_new_setting = stderr.contains("\"transaction_timeout\"")
        && stderr.contains("errors ignored on restore: 1\n");
    assert!(
        output.status.success() || only_new_setting,
        "{} {arguments:?}: {stderr}",
        program.display()
    );
}

/// The programs that can dump a server, which refuse newer ones.
fn programs(server: &Server) -> Vec<PathBuf> {
    let mut dirs = vec![client_dir().to_owned()];
    if server.major <= 17 {
        dirs.push(client_dir_17().to_owned());
    }
    let debian = PathBuf::from("/usr/lib/postgresql/15/bin");
    if server.major <= 15 && debian.join("pg_dump").exists() {
        dirs.push(debian);
    }
    dirs
}

/// Dumps, restores by both programs, compares; then over it again.
#[track_caller]
fn comes_back(
    server: &'static Server,
    bin: &Path,
    database: &Database,
    options: &[&str],
    jobs: &str,
) {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    let archive = archive.to_str().unwrap();
    let what = format!("{} {options:?}", bin.display());
    run(
        &bin.join("pg_dump"),
        server,
        &[&["-d", &database.name, "-f", archive], options].concat(),
    );

    pgstow(["verify", archive]).expect_status(0);
    let shown = pgstow(["show", archive]).expect_status(0).stdout();
    assert!(shown.contains("app.customer"), "{what}: {shown}");

    let (theirs, ours) = (Database::empty(server), Database::empty(server));
    run(
        &bin.join("pg_restore"),
        server,
        &["-d", &theirs.name, archive],
    );
    let theirs = Snapshot::of(&theirs).unwrap();
    for _ in 0..2 {
        pgstow(["restore", archive, &ours.url(), "--yes", "-j", jobs]).expect_status(0);
        expect_equal(&what, &theirs, &ours);
    }
}

#[test]
fn every_form_and_compression_comes_back_as_pg_restore_brings_it() {
    for major in wanted_majors().into_iter().filter(|major| *major >= 12) {
        let server = Server::of_major(major);
        let database = source(server);
        for bin in programs(server) {
            for options in [
                &["-Fc"][..],
                &["-Fc", "-Z0"],
                &["-Fd", "--clean", "-C"],
                &["-Ft"],
            ] {
                comes_back(server, &bin, &database, options, "4");
            }
            comes_back(
                server,
                &bin,
                &database,
                &["-Fc", "--inserts", "--rows-per-insert=7"],
                "2",
            );
        }
        if major <= 17 {
            for compression in ["lz4", "zstd"] {
                for form in ["-Fc", "-Fd"] {
                    let options = [form, "--compress", compression];
                    comes_back(server, client_dir_17(), &database, &options, "4");
                }
            }
        }
    }
}

#[test]
fn an_archive_that_came_from_standard_output_is_scanned() {
    on_newest(|server| {
        let database = source(server);
        let dir = tempfile::tempdir().unwrap();
        // Into a file, pg_dump appends its table of contents again.
        for way in ["| cat >", ">"] {
            let archive = dir.path().join(if way == ">" { "file" } else { "piped" });
            restore_what_pg_dump_prints(&database, way, &archive);
        }
        // Of two tables of contents neither may be altered.
        let whole = std::fs::read(dir.path().join("file")).unwrap();
        let altered = dir.path().join("altered");
        let refused = |bytes: &[u8]| {
            std::fs::write(&altered, bytes).unwrap();
            let said = pgstow(["verify", altered.to_str().unwrap()]).expect_status(4);
            assert!(said.stderr().contains("damaged"), "{}", said.stderr());
        };
        refused(&whole[..whole.len() - 1]);
        refused(&[&whole[..], b"\0"].concat());
        let mut flipped = whole.clone();
        let copy = b"COPY ";
        let at = whole.windows(copy.len()).rposition(|bytes| bytes == copy);
        let at = at.unwrap();
        flipped[at] ^= 1;
        refused(&flipped);
    });
}

fn restore_what_pg_dump_prints(database: &Database, way: &str, archive: &Path) {
    let server = database.server;
    let script = format!(
        "'{}' -h 127.0.0.1 -U postgres -p {} -Fc {} {way} '{}'",
        client_dir().join("pg_dump").display(),
        server.port,
        database.name,
        archive.display()
    );
    assert!(
        Command::new("bash")
            .args(["-o", "pipefail", "-c", &script])
            .status()
            .unwrap()
            .success()
    );
    let restored = Database::empty(server);
    pgstow([
        "restore",
        archive.to_str().unwrap(),
        &restored.url(),
        "--yes",
    ])
    .expect_status(0);
    let (before, after) = (
        Snapshot::of(database).unwrap(),
        Snapshot::of(&restored).unwrap(),
    );
    assert_eq!(differences(&before, &after), None);
}

/// Names, comments and rows with a word, of which half a character may look like a backslash.
fn source_of_word(server: &'static Server, word: &str, options: &str) -> Database {
    let database = Database::with_options(server, options);
    database.sql(&format!(
        r#"CREATE SCHEMA "s {word}";
        CREATE TABLE "s {word}"."t {word}" (id integer PRIMARY KEY, "{word}" text DEFAULT '{word}');
        COMMENT ON TABLE "s {word}"."t {word}" IS 'it''s {word}';
        CREATE FUNCTION "{word}"() RETURNS text LANGUAGE sql AS $$ SELECT '{word}' $$;
        INSERT INTO "s {word}"."t {word}" SELECT n, '{word} ' || n FROM generate_series(1, 200) n;
        INSERT INTO "s {word}"."t {word}" VALUES (-1, E'\\{word}\t{word}\n''{word}'), (-2, NULL);"#
    ));
    database
}

const UTF8: &str = "ENCODING 'UTF8' LOCALE 'C'";
const EUC_JP: &str = "ENCODING 'EUC_JP' LOCALE 'C'";

#[test]
fn archives_in_encodings_of_clients_come_back() {
    // Which encoding is what is between pg_dump and us.
    let takes = |major: &u32| *major >= 12 && (*major == newest() || wants_every());
    for major in wanted_majors().into_iter().filter(takes) {
        let server = Server::of_major(major);
        for (encoding, word, database) in [
            ("SJIS", "表ソ能", UTF8),
            ("SJIS", "表ソ能", EUC_JP),
            ("BIG5", "功", UTF8),
            ("GBK", "乗", UTF8),
            ("GB18030", "乗", UTF8),
            ("UHC", "갂", UTF8),
        ] {
            let source = source_of_word(server, word, database);
            let (targets, forms) = match encoding {
                "SJIS" => (&[UTF8, EUC_JP][..], 3),
                _ => (&[UTF8][..], 1),
            };
            for options in [&["-Fc"][..], &["-Fd"], &["-Fc", "--inserts"]]
                .into_iter()
                .take(forms)
            {
                let dir = tempfile::tempdir().unwrap();
                let archive = dir.path().join("archive");
                let archive = archive.to_str().unwrap();
                let dumped = [
                    &["-d", &source.name, "-E", encoding, "-f", archive],
                    options,
                ];
                run(&client_dir().join("pg_dump"), server, &dumped.concat());
                for target in targets {
                    let what = format!("{encoding} {options:?} {database} {target}");
                    let (theirs, ours) = (
                        Database::with_options(server, target),
                        Database::with_options(server, target),
                    );
                    let restored = ["-d", &theirs.name, archive];
                    run(&client_dir().join("pg_restore"), server, &restored);
                    let theirs = Snapshot::of(&theirs).unwrap();
                    for _ in 0..2 {
                        let url = ours.url();
                        let verify = match options.contains(&"--inserts") {
                            // Only a server knows what rows they make.
                            true => "--verbose",
                            false => "--verify-rows",
                        };
                        pgstow(["restore", archive, &url, "--yes", verify]).expect_status(0);
                        expect_equal(&what, &theirs, &ours);
                    }
                }
            }
            let dir = tempfile::tempdir().unwrap();
            let archive = dir.path().join("archive");
            let archive = archive.to_str().unwrap();
            let dumped = ["-d", &source.name, "-E", encoding, "-Fc", "-f", archive];
            run(&client_dir().join("pg_dump"), server, &dumped);
            shown_in_whole_characters(server, &source, archive, word);
        }
    }
}

/// What an archive in an encoding of clients prints of a table of [`source_of_word`].
#[track_caller]
fn shown_in_whole_characters(
    server: &'static Server,
    source: &Database,
    archive: &str,
    word: &str,
) {
    pgstow(["verify", archive]).expect_status(0);
    let shown = pgstow(["show", archive]).expect_status(0).stdout();
    assert!(shown.contains(&format!("s {word}.t {word}")), "{shown}");
    let table = format!("\"s {word}\".\"t {word}\"");
    let extract = |condition: &str, format: &str| {
        let asked = [
            "extract", archive, &table, "--where", condition, "--format", format,
        ];
        pgstow(asked).expect_status(0).stdout()
    };
    let seventh = format!("\"{word}\" = '{word} 7'");
    assert_eq!(extract(&seventh, "copy"), format!("7\t{word} 7\n"));
    let odd = extract("id = -1", "csv");
    assert_eq!(
        odd,
        format!("id,{word}\n-1,\"\\{word}\t{word}\n'{word}\"\n")
    );
    let odd = extract("id = -1", "jsonl");
    assert!(
        odd.contains(&format!("\\\\{word}\\t{word}\\n'{word}")),
        "{odd}"
    );

    for more in [&[][..], &["--inserts"]] {
        let script = pgstow([&["show", archive, "--sql"], more].concat()).expect_status(0);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("script.sql");
        std::fs::write(&file, script.stdout_bytes()).unwrap();
        let replayed = Database::empty(server);
        replayed.try_file(&file).unwrap();
        let rows = format!("SELECT * FROM {table} ORDER BY id; SELECT \"{word}\"()");
        assert_eq!(replayed.sql(&rows), source.sql(&rows), "{more:?}");
    }
}

#[test]
fn one_table_and_its_rows_come_out_alone() {
    on_newest(|server| {
        let database = source(server);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("archive");
        let archive = archive.to_str().unwrap();
        run(
            &client_dir().join("pg_dump"),
            server,
            &["-d", &database.name, "-Fc", "-f", archive],
        );
        let rows = pgstow([
            "show",
            archive,
            "--rows",
            "app.customer",
            "--where",
            "id = 2999",
        ]);
        assert_eq!(rows.expect_status(0).stdout(), "2999\tn2999\tä\n");

        let target = Database::filled(server, "CREATE SCHEMA app");
        pgstow([
            "restore",
            archive,
            &target.url(),
            "--yes",
            "-t",
            "app.customer",
        ])
        .expect_status(0);
        let found = target.sql(
            "SELECT count(*) FROM app.customer; SELECT count(*) FROM pg_class WHERE relnamespace = 'app'::regnamespace AND relkind = 'r'",
        );
        assert_eq!(found, "3000\n1\n");

        let script = pgstow(["show", archive, "--sql"]).expect_status(0);
        let replayed = Database::empty(server);
        let file = dir.path().join("script.sql");
        std::fs::write(&file, script.stdout_bytes()).unwrap();
        replayed.try_file(&file).unwrap();
        let (before, after) = (
            Snapshot::of(&database).unwrap(),
            Snapshot::of(&replayed).unwrap(),
        );
        assert_eq!(differences(&before, &after), None);
    });
}

#[test]
fn the_database_is_made_with_its_properties_under_any_name() {
    on_newest(|server| {
        let database = source(server);
        let name = &database.name;
        database.sql(&format!(
            "COMMENT ON DATABASE {name} IS 'DATABASE x'; ALTER DATABASE {name} SET work_mem = '5MB'"
        ));
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("archive");
        let archive = archive.to_str().unwrap();
        run(
            &client_dir().join("pg_dump"),
            server,
            &["-d", name, "-Fc", "-f", archive],
        );
        let made = Database::empty(server);
        made.drop_now();
        pgstow(["restore", archive, &made.url(), "--yes", "--create"]).expect_status(0);
        assert_eq!(
            made.sql("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database(); SHOW work_mem"),
            "DATABASE x\n5MB\n"
        );
    });
}

#[test]
fn a_damaged_archive_exits_with_4_and_changes_nothing() {
    on_newest(|server| {
        let database = source(server);
        let dir = tempfile::tempdir().unwrap();
        let good = dir.path().join("good");
        let copy = dir.path().join("copy");
        let target = Database::filled(
            server,
            "CREATE SCHEMA app; CREATE TABLE app.customer (mine int)",
        );
        for form in ["-Fc", "-Ft"] {
            run(
                &client_dir().join("pg_dump"),
                server,
                &["-d", &database.name, form, "-f", good.to_str().unwrap()],
            );
            let bytes = std::fs::read(&good).unwrap();
            for part in [1, 3, 6, 9] {
                std::fs::write(&copy, &bytes[..bytes.len() * part / 10]).unwrap();
                pgstow([Path::new("verify"), &copy]).expect_status(4);
                pgstow(["restore", copy.to_str().unwrap(), &target.url(), "--yes"])
                    .expect_status(4);
            }
            std::fs::remove_file(&good).unwrap();
        }
        // A flipped bit of compressed rows, and a file that is gone.
        run(
            &client_dir().join("pg_dump"),
            server,
            &["-d", &database.name, "-Fd", "-f", good.to_str().unwrap()],
        );
        let largest = std::fs::read_dir(&good)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let largest = largest
            .max_by_key(|path| path.metadata().unwrap().len())
            .unwrap();
        let mut bytes = std::fs::read(&largest).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(&largest, bytes).unwrap();
        pgstow([Path::new("verify"), &good]).expect_status(4);
        std::fs::remove_file(&largest).unwrap();
        pgstow(["restore", good.to_str().unwrap(), &target.url(), "--yes"]).expect_status(4);
        let mine = target.sql("SELECT attname FROM pg_attribute WHERE attrelid = 'app.customer'::regclass AND attnum > 0");
        assert_eq!(mine, "mine\n");
    });
}

#[test]
fn an_archive_may_come_through_standard_input() {
    on_newest(|server| {
        let database = source(server);
        let dir = tempfile::tempdir().unwrap();
        for form in ["-Fc", "-Ft"] {
            let archive = dir.path().join(form);
            run(
                &client_dir().join("pg_dump"),
                server,
                &["-d", &database.name, form, "-f", archive.to_str().unwrap()],
            );
            let piped = |arguments: &[&str]| {
                let mut call = command();
                call.args(arguments).env("TMPDIR", dir.path());
                finish(call.stdin(std::fs::File::open(&archive).unwrap()))
            };
            let shown = piped(&["show", "-"]).expect_status(0).stdout();
            assert!(shown.contains("app.customer"), "{shown}");
            piped(&["verify", "-"]).expect_status(0);
            let restored = Database::empty(server);
            let told = piped(&["restore", "-", &restored.url(), "--yes", "--verify-rows"]);
            let told = told.expect_status(0).stderr();
            assert!(told.contains("standard input is kept in"), "{told}");
            expect_equal(form, &Snapshot::of(&database).unwrap(), &restored);
            // Nothing of it stays.
            let left = std::fs::read_dir(dir.path()).unwrap().count();
            assert_eq!(left, if form == "-Fc" { 1 } else { 2 });
        }
    });
}

/// Replaces a text of a table of contents behind another one: a sign, four bytes of length, the text.
fn replace_text(toc: &mut Vec<u8>, behind: &str, old: &str, new: &str) {
    let stored = |text: &str| {
        let length = u32::try_from(text.len()).unwrap().to_le_bytes();
        [&[0][..], &length, text.as_bytes()].concat()
    };
    let find = |text: &[u8], wanted: &[u8]| text.windows(wanted.len()).position(|at| at == wanted);
    let from = find(toc, behind.as_bytes()).unwrap();
    let old = stored(old);
    let at = from + find(&toc[from..], &old).unwrap();
    toc.splice(at..at + old.len(), stored(new));
}

/// What pg_dump -o of PostgreSQL 11 made is made by hand: nothing else differs.
#[test]
fn rows_come_without_their_oids() {
    on_newest(|server| {
        let database = Database::filled(
            server,
            "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL)",
        );
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("archive");
        run(
            &client_dir().join("pg_dump"),
            server,
            &[
                "-Fd",
                "-Z0",
                "-d",
                &database.name,
                "-f",
                archive.to_str().unwrap(),
            ],
        );
        let toc_file = archive.join("toc.dat");
        let mut toc = std::fs::read(&toc_file).unwrap();
        replace_text(&mut toc, "CREATE TABLE public.t", "false", "true");
        let copy = "COPY public.t (a, b) FROM stdin;\n";
        let with_oids = "COPY public.t (a, b) WITH OIDS FROM stdin;\n";
        replace_text(&mut toc, "CREATE TABLE public.t", copy, with_oids);
        std::fs::write(&toc_file, toc).unwrap();
        let rows = std::fs::read_dir(&archive)
            .unwrap()
            .map(|it| it.unwrap().path());
        let rows = rows
            .into_iter()
            .find(|path| path.extension().unwrap() == "dat" && *path != toc_file);
        std::fs::write(rows.unwrap(), "16390\t1\tx\n16391\t2\t\\N\n\\.\n\n\n").unwrap();

        let archive = archive.to_str().unwrap();
        pgstow(["verify", archive]).expect_status(0);
        pgstow(["diff", archive, &database.url()]).expect_status(0);
        let restored = Database::empty(server);
        let told = pgstow([
            "restore",
            archive,
            &restored.url(),
            "--yes",
            "--verify-rows",
        ])
        .expect_status(0)
        .stderr();
        assert!(told.contains("made without the OIDs"), "{told}");
        expect_equal("the table", &Snapshot::of(&database).unwrap(), &restored);
    });
}

/// pg_restore stops at ALTER INDEX ... ATTACH PARTITION: the source is the reference.
#[test]
fn keys_that_partitions_cannot_be_attached_to_come_back() {
    on_newest(|server| {
        let fixture = include_str!("../../fixtures/objects/constraint/without_attachment.sql");
        let source = Database::filled(server, fixture);
        let before = Snapshot::of(&source).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.dump");
        let archive = archive.to_str().unwrap();
        let dump = client_dir().join("pg_dump");
        run(&dump, server, &["-Fc", "-d", &source.name, "-f", archive]);
        pgstow(["verify", archive]).expect_status(0);
        for options in [["-j2", "--yes"], ["-1", "--yes"]] {
            let target = Database::empty(server);
            pgstow([&["restore", archive, &target.url()], &options[..]].concat()).expect_status(0);
            expect_equal("the target", &before, &target);
        }
        // A partition alone makes its own.
        let target = Database::empty(server);
        let alone = [
            "restore",
            archive,
            &target.url(),
            "--yes",
            "-t",
            "e1",
            "-e",
            "btree_gist",
        ];
        pgstow(alone).expect_status(0);
        let keys = "SELECT conname FROM pg_constraint WHERE contype = 'x'";
        assert_eq!(target.sql(keys), source.sql("SELECT conname FROM pg_constraint WHERE contype = 'x' AND conrelid = 'e1'::regclass"));
    });
}
