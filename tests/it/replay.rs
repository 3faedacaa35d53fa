//! Anyone's plain script: what pgstow makes of it is what psql makes of it, or it is refused and nothing has changed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::pgstow::{Outcome, command};
use crate::harness::server::client_dir;
use crate::harness::{
    Database, Failure, Server, Snapshot, differences, on_every_major, on_newest, pgstow,
};

const SOURCE: &str = r#"
CREATE SCHEMA "it's";
CREATE TABLE "it's"."a "" b" (id serial PRIMARY KEY, "from" text, "stdin" numeric, bytes bytea);
INSERT INTO "it's"."a "" b" ("from", "stdin", bytes)
SELECT E'\\.\n' || chr(9) || repeat('ä''"$$;\', n), n, decode(repeat('00ff', n), 'hex') FROM generate_series(1, 150) n;
INSERT INTO "it's"."a "" b" ("from") VALUES (NULL), (''), ('\N'), ('\.'), (E'\r\n');
CREATE TABLE wide (t text);
INSERT INTO wide SELECT repeat(md5('x'), 30000);
CREATE TABLE empty ();
CREATE FUNCTION f(a text) RETURNS text LANGUAGE plpgsql AS $f$
BEGIN
    -- '; \! $$
    RETURN $$;$$ || a;
END $f$;
CREATE VIEW v AS SELECT f("from") AS "order", 'a;\' AS b FROM "it's"."a "" b";
COMMENT ON TABLE wide IS E'two\nlines; \\! and ''quotes''';
CREATE RULE r AS ON DELETE TO wide DO ALSO (INSERT INTO wide VALUES ('x'); INSERT INTO wide VALUES ('y'));
SELECT lo_from_bytea(4711, decode(repeat('0055', 3000), 'hex'));
"#;

/// Standard bodies came with 14.
const SINCE_14: &str = "CREATE FUNCTION g(i int) RETURNS int BEGIN ATOMIC \
     SELECT CASE WHEN i > 0 THEN 1 ELSE 2 END; SELECT i + 1; END;";

fn source(server: &'static Server) -> Database {
    let source = Database::filled(server, SOURCE);
    if server.major >= 14 {
        source.sql(SINCE_14);
    }
    source
}

fn pg_dump(
    programs: &Path,
    source: &Database,
    options: &[&str],
    file: &Path,
) -> Result<(), Failure> {
    let run = Command::new(programs.join("pg_dump"))
        .arg("-d")
        .arg(source.url())
        .arg("-f")
        .arg(file)
        .args(options)
        .output()
        .map_err(|error| error.to_string())?;
    match run.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&run.stderr).into_owned()),
    }
}

/// The newest pg_dump sets what older servers do not have, and psql stops at that.
fn without_newer_settings(script: &Path) -> std::io::Result<PathBuf> {
    let text = std::fs::read(script)?;
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let kept: Vec<&[u8]> = lines
        .filter(|line| *line != b"SET transaction_timeout = 0;\n")
        .collect();
    let older = script.with_extension("older.sql");
    std::fs::write(&older, kept.concat())?;
    Ok(older)
}

/// Packs a file as its new extension says.
fn packed(file: &Path, extension: &str) -> PathBuf {
    let text = std::fs::read(file).unwrap();
    // What the name says does not count.
    let packed = file.with_extension(format!("packed.{extension}"));
    let bytes = match extension {
        "gz" => {
            // Two members.
            let (one, two) = text.split_at(text.len() / 3);
            [gzip(one), gzip(two)].concat()
        }
        "zst" => zstd::encode_all(&text[..], 1).unwrap(),
        "xz" => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
            encoder.write_all(&text).unwrap();
            encoder.finish().unwrap()
        }
        "bz2" => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(&text).unwrap();
            encoder.finish().unwrap()
        }
        _ => text,
    };
    std::fs::write(&packed, bytes).unwrap();
    packed
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn restore(file: &Path, database: &Database, more: &[&str]) -> Outcome {
    let url = database.url();
    let arguments = ["restore", file.to_str().unwrap(), &url, "--yes"];
    pgstow(arguments.iter().chain(more))
}

/// With a script on standard input.
fn restore_stdin(script: &[u8], database: &Database, more: &[&str]) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stdin");
    std::fs::write(&file, script).unwrap();
    let mut command = command();
    command
        .args(["restore", "-", &database.url(), "--yes"])
        .args(more)
        .stdin(Stdio::from(std::fs::File::open(file).unwrap()));
    crate::harness::pgstow::finish(&mut command)
}

fn script(dir: &tempfile::TempDir, text: impl AsRef<[u8]>) -> PathBuf {
    let file = dir.path().join("script.sql");
    std::fs::write(&file, text).unwrap();
    file
}

const CASES: &[(&[&str], &str, &[&str])] = &[
    (&[], "sql", &[]),
    (&[], "gz", &["-1"]),
    (&["--inserts"], "zst", &[]),
    (&["--column-inserts", "--rows-per-insert=7"], "xz", &["-1"]),
    (&["--clean", "--if-exists"], "bz2", &[]),
];

#[test]
fn scripts_of_pg_dump_become_what_psql_makes_of_them() {
    on_every_major(|server| {
        let source = source(server);
        let before = Snapshot::of(&source).unwrap();
        let programs = [
            client_dir().to_owned(),
            PathBuf::from(format!("/usr/lib/postgresql/{}/bin", server.major)),
        ];
        for programs in programs.iter().filter(|dir| dir.join("pg_dump").exists()) {
            for (options, packing, ours) in CASES {
                let compare = || -> Result<(), Failure> {
                    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
                    let script = dir.path().join("dump.sql");
                    pg_dump(programs, &source, options, &script)?;
                    let by_psql = Database::empty(server);
                    let for_psql = match server.major < 17 {
                        true => without_newer_settings(&script).map_err(|e| e.to_string())?,
                        false => script.clone(),
                    };
                    by_psql.try_file(&for_psql)?;
                    let by_pgstow = Database::empty(server);
                    restore(&packed(&script, packing), &by_pgstow, ours).check_status(0)?;
                    let made = Snapshot::of(&by_pgstow)?;
                    let failed = differences(&Snapshot::of(&by_psql)?, &made)
                        .or_else(|| differences(&before, &made));
                    failed.map_or(Ok(()), Err)
                };
                if let Err(failure) = compare() {
                    panic!("{options:?} of {}: {failure}", programs.display());
                }
            }
        }
    });
}

#[test]
fn a_script_that_makes_its_database_is_followed_on_demand() {
    on_newest(|server| {
        let source = source(server);
        let before = Snapshot::of(&source).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("dump.sql");
        pg_dump(
            client_dir(),
            &source,
            &["-C", "--clean", "--if-exists"],
            &file,
        )
        .unwrap();
        let start = Database::empty(server);
        let refused = restore(&file, &start, &[]).expect_status(1);
        assert!(
            refused.stderr().contains("--follow-connect"),
            "{}",
            refused.stderr()
        );
        assert!(refused.stderr().contains("\\connect is not obeyed"));
        restore(&file, &start, &["--follow-connect", "-1"]).expect_status(1);
        source.sql("DROP TABLE wide");
        let shown = restore(&file, &start, &["--follow-connect"]).expect_status(0);
        assert!(
            shown
                .stderr()
                .contains(&format!("connects to \"{}\"", source.name))
        );
        assert_eq!(differences(&before, &Snapshot::of(&source).unwrap()), None);
        assert_eq!(
            start.sql("SELECT count(*) FROM pg_class WHERE relname = 'wide'"),
            "0\n"
        );
    });
}

#[test]
fn a_database_can_be_made_first_and_standard_input_be_read() {
    on_newest(|server| {
        let name = server.fresh_name();
        let database = Database { server, name };
        let text = b"CREATE TABLE t (a int);\nCOPY t FROM stdin;\n1\n2\n\\.\n";
        restore_stdin(text, &database, &["--create", "--role", "postgres"]).expect_status(0);
        assert_eq!(database.sql("SELECT sum(a) FROM t"), "3\n");
        restore_stdin(text, &database, &["--create"]).expect_status(1);
        assert_eq!(database.sql("SELECT sum(a) FROM t"), "3\n");
        // One that is made for a script that fails at once goes again.
        let other = Database {
            server,
            name: server.fresh_name(),
        };
        restore_stdin(b"SELECT nothing;\n", &other, &["--create"]).expect_status(1);
        assert!(other.try_sql("SELECT 1").is_err());
        std::mem::forget(other);
    });
}

/// A script, what is told of it, and whether psql may run it in the database of another test.
const REFUSED: &[(&str, &str)] = &[
    (
        "\\! touch /tmp/pgstow-was-here\n",
        "line 3: \\! is not obeyed",
    ),
    ("\\i /etc/passwd\n", "line 3: \\i is not obeyed"),
    (
        "\\copy t from '/etc/passwd'\n",
        "line 3: \\copy is not obeyed",
    ),
    ("\\set x 1\n", "line 3: \\set is not obeyed"),
    ("\\if true\n", "line 3: \\if is not obeyed"),
    (
        "SELECT 'DROP TABLE t' \\gexec\n",
        "line 3: \\gexec is not obeyed",
    ),
    ("SELECT 1\\; SELECT 2;\n", "line 3: \\; is not obeyed"),
    ("\\c other\n", "line 3: \\c is not obeyed"),
    ("\\.\n", "line 3: \\. is not obeyed"),
    (
        "\\restrict a\n\\connect x\n",
        "line 4: \\connect is not obeyed",
    ),
    ("\\unrestrict a\n", "line 3: \\unrestrict is not obeyed"),
    (
        "COPY t TO stdout;\n",
        "line 3: COPY to standard output is not obeyed",
    ),
    (
        "COPY t FROM stdin; DROP TABLE t;\n1\n\\.\n",
        "before its rows",
    ),
    ("COPY t FROM stdin (FORMAT binary);\n", "binary format"),
    (
        "COPY t FROM stdin;\n1\n",
        "the rows of the COPY in line 3 have no end",
    ),
    ("SELECT 'a;\n", "a string is opened in line 3"),
    (
        "SELECT $a$;\n",
        "a dollar-quoted string is opened in line 3",
    ),
    ("/* /* */\n", "a comment is opened in line 3"),
    (
        "DELETE FROM t\n",
        "the last statement, in line 3, has no semicolon",
    ),
    (
        "-- PostgreSQL database dump\n",
        "pg_dump's last comment is missing",
    ),
    ("SELECT '\0';\n", "holds a NUL"),
];

#[test]
fn what_is_refused_or_cut_off_changes_nothing() {
    on_newest(|server| {
        let target = Database::filled(server, "CREATE TABLE t (a int)");
        let dir = tempfile::tempdir().unwrap();
        for (text, told) in REFUSED {
            let file = script(
                &dir,
                format!("INSERT INTO t VALUES (1);\nSELECT 1;\n{text}"),
            );
            let refused = restore(&file, &target, &[]);
            assert!(
                [1, 4].contains(&refused.status()),
                "{text}: {}",
                refused.status()
            );
            assert!(
                refused.stderr().contains(told),
                "{text}: {}",
                refused.stderr()
            );
            // From a pipe it is found out only on the way.
            let text = std::fs::read(&file).unwrap();
            let refused = restore_stdin(&text, &target, &["-1"]);
            assert!(refused.stderr().contains(told), "{}", refused.stderr());
            assert!(
                refused.stderr().contains("rolled back"),
                "{}",
                refused.stderr()
            );
            assert_eq!(target.sql("SELECT count(*) FROM t"), "0\n", "{told}");
        }
        let whole = gzip(b"INSERT INTO t VALUES (1);\n");
        for bytes in [
            &whole[..whole.len() - 6],
            &[&whole[..], b"trailing garbage"].concat(),
        ] {
            restore(&script(&dir, bytes), &target, &[]).expect_status(4);
            restore_stdin(bytes, &target, &["-1"]).expect_status(4);
        }
        // What should have written it failed.
        for nothing in ["", "-- nothing\n"] {
            let refused = restore_stdin(nothing.as_bytes(), &target, &[]).expect_status(4);
            assert!(
                refused.stderr().contains("no statement"),
                "{}",
                refused.stderr()
            );
            restore(&script(&dir, nothing), &target, &[]).expect_status(4);
        }
        let utf16: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(b"SELECT 1;".iter().flat_map(|b| [*b, 0]))
            .collect();
        let refused = restore(&script(&dir, utf16), &target, &[]).expect_status(1);
        assert!(refused.stderr().contains("UTF-16"));
        assert_eq!(target.sql("SELECT count(*) FROM t"), "0\n");
        assert!(!Path::new("/tmp/pgstow-was-here").exists());
    });
}

#[test]
fn an_error_names_line_and_statement_and_no_value() {
    on_newest(|server| {
        let dir = tempfile::tempdir().unwrap();
        let inserts: String = (1..=40)
            .map(|n| format!("INSERT INTO t VALUES ({n});\n"))
            .collect();
        let cases = [
            (
                "SELECT\n  nothing\n;\n".to_owned(),
                "line 3: SELECT nothing failed",
                "42703",
            ),
            (
                format!("{inserts}INSERT INTO t VALUES (7);\n{inserts}"),
                "line 42: INSERT INTO t ... failed",
                "23505",
            ),
            (
                format!("{inserts}INSERT INTO t VALUES\n (7,);\n"),
                "line 43: INSERT INTO t ... failed",
                "42601",
            ),
            (
                format!("{inserts}INSERT INTO t VALUES\n ('secret');\n"),
                "line 43: INSERT INTO t ... failed",
                "22P02",
            ),
            (
                "COPY t FROM stdin;\n1\nsecret\n2\n\\.\n".to_owned(),
                "line 4: COPY t FROM stdin failed",
                "22P02",
            ),
            (
                "COPY nowhere FROM stdin;\n1\n\\.\n".to_owned(),
                "line 2: COPY nowhere FROM stdin failed",
                "42P01",
            ),
        ];
        for (text, told, sqlstate) in &cases {
            let file = script(
                &dir,
                format!("CREATE TABLE t (a int PRIMARY KEY);\n{text}CREATE TABLE after ();\n"),
            );
            for (more, status) in [(&["-1"][..], 1), (&[], 6)] {
                let target = Database::empty(server);
                let failed = restore(&file, &target, more).expect_status(status);
                let shown = failed.stderr();
                assert!(
                    shown.contains(told) && shown.contains(sqlstate),
                    "{told}: {shown}"
                );
                assert!(
                    !shown.contains("'secret'") && !shown.contains("\"secret\""),
                    "{shown}"
                );
                let tables =
                    target.sql("SELECT count(*) FROM pg_class WHERE relname IN ('t', 'after')");
                let (expected, state) = match status {
                    1 => ("0\n", "Everything was rolled back"),
                    _ => ("1\n", "1 statements are done: all up to line"),
                };
                assert_eq!(tables, expected, "{shown}");
                assert!(shown.contains(state), "{shown}");
            }
        }
    });
}

#[test]
fn scripts_are_read_as_psql_reads_them() {
    let scripts: &[&str] = &[
        // What a string means follows the setting, from the next line on.
        "SET standard_conforming_strings = off; SET escape_string_warning = off;\nCREATE TABLE t AS SELECT 'a\\';b' AS x;\nRESET standard_conforming_strings;\nINSERT INTO t VALUES ('\\');\n",
        "DO $$ BEGIN SET standard_conforming_strings = off; SET escape_string_warning = off; END $$;\nCREATE TABLE t AS SELECT 'a\\';b' AS x;\n",
        "SET escape_string_warning = off;\nBEGIN; SET LOCAL standard_conforming_strings = off;\nCREATE TABLE t AS SELECT 'a\\';b' AS x;\nCOMMIT;\nINSERT INTO t VALUES ('\\');\n",
        "\u{feff}CREATE TABLE t (a text, b text);\r\nCOPY t FROM stdin WITH (FORMAT csv, HEADER);\r\na,b\r\n\"x\r\ny\",\\.\r\n\"\",z\r\n\\.\r\nINSERT INTO t VALUES ('\r\n');\r\n",
        ";;\n;CREATE TABLE t AS SELECT 1 AS a /* ; /* ; */ */ -- ;\n;\nINSERT INTO t SELECT U&'\\0031'::int;;\n",
        "CREATE TABLE t (a text);\nINSERT INTO t VALUES (E'a\\'b'), ('a'\n  -- c\n  'b;'), ($x$;$$;$x$), (U&'d\\0061t\\+000061');\n",
        "CREATE TABLE t (a int[]);\nINSERT INTO t SELECT (ARRAY[1,2,3])[1:x] FROM (SELECT 2 AS x) s;\n",
        // A session starts with what the server has for it, not with what pgstow likes.
        "CREATE TABLE t AS SELECT current_setting('search_path') AS a, current_setting('row_security') AS b, current_setting('extra_float_digits') AS c;\n",
        "CREATE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;\nCREATE TABLE t AS SELECT 1 AS a;\n",
    ];
    on_newest(|server| {
        let dir = tempfile::tempdir().unwrap();
        for text in scripts {
            let file = script(&dir, text);
            let (by_psql, by_pgstow) = (Database::empty(server), Database::empty(server));
            by_psql.try_file(&file).unwrap();
            let from_pipe = match text.contains("DO $$") {
                // Only the server knows what a function sets.
                true => restore_stdin(text.as_bytes(), &by_pgstow, &[]),
                false => restore(&file, &by_pgstow, &[]),
            };
            from_pipe.expect_status(0);
            let expected = Snapshot::of(&by_psql).unwrap();
            let failed = differences(&expected, &Snapshot::of(&by_pgstow).unwrap());
            assert_eq!(failed, None, "{text}");
        }
    });
}

#[test]
fn bytes_arrive_in_the_encoding_that_the_script_names() {
    on_newest(|server| {
        let dir = tempfile::tempdir().unwrap();
        let source = Database::filled(
            server,
            "CREATE TABLE \"año\" (\"señal\" text); INSERT INTO \"año\" VALUES ('ü'), ('straße'); COMMENT ON TABLE \"año\" IS 'é';",
        );
        let before = Snapshot::of(&source).unwrap();
        for options in [
            &["-E", "LATIN1"][..],
            &["-E", "LATIN1", "--inserts"],
            &["-E", "WIN1252"],
        ] {
            let file = dir.path().join("latin1.sql");
            pg_dump(client_dir(), &source, options, &file).unwrap();
            for more in [&[][..], &["-1"]] {
                let target = Database::empty(server);
                restore(&file, &target, more).expect_status(0);
                assert_eq!(
                    differences(&before, &Snapshot::of(&target).unwrap()),
                    None,
                    "{options:?}"
                );
            }
        }
        // Bytes of no encoding at all.
        let bytes = b"CREATE TABLE t (a text);\nINSERT INTO t VALUES ('\xe4\xff');\nCOPY t FROM stdin;\n\xfc\xfe\n\\.\n";
        let ascii =
            Database::with_options(server, "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'");
        restore(&script(&dir, bytes), &ascii, &[]).expect_status(0);
        assert_eq!(
            ascii.sql("SELECT encode(a::bytea, 'hex') FROM t ORDER BY a"),
            "e4ff\nfcfe\n"
        );
    });
}

/// Encodings of clients alone, each with a word that ends in a byte that looks like a backslash or a letter.
const OF_CLIENTS: [(&str, &str); 7] = [
    ("SJIS", "表ソ能"),
    ("SHIFT_JIS_2004", "表ソ能"),
    ("BIG5", "功"),
    ("GBK", "乗"),
    ("GB18030", "乗"),
    ("UHC", "갂"),
    // The server itself takes few of its characters.
    ("JOHAB", "똥"),
];

#[test]
fn halves_of_characters_are_no_backslashes() {
    on_newest(|server| {
        let dir = tempfile::tempdir().unwrap();
        for (encoding, word) in OF_CLIENTS {
            let source = Database::filled(
                server,
                &format!(
                    r#"CREATE TABLE "t {word}" ("{word}" text DEFAULT '{word}', b text);
                    COMMENT ON TABLE "t {word}" IS '{word}';
                    INSERT INTO "t {word}" VALUES ('{word}', E'{word}\\\t{word}\n'), (E'\\{word}', NULL);
                    CREATE FUNCTION "{word}"() RETURNS text LANGUAGE sql AS $$ SELECT '{word}' $$;"#
                ),
            );
            let before = Snapshot::of(&source).unwrap();
            for options in [&["-E", encoding][..], &["-E", encoding, "--inserts"]] {
                let file = dir.path().join("clients.sql");
                pg_dump(client_dir(), &source, options, &file).unwrap();
                for more in [&[][..], &["-1"]] {
                    let target = Database::empty(server);
                    restore(&file, &target, more).expect_status(0);
                    let after = Snapshot::of(&target).unwrap();
                    assert_eq!(differences(&before, &after), None, "{options:?}");
                }
            }
        }
        // What is obeyed is told by the encoding that holds.
        let text = b"SET client_encoding = 'SJIS';\nSELECT '\x95\\';\nSET client_encoding = 'UTF8';\nSELECT 1 \\! id\n;\n";
        let target = Database::empty(server);
        let refused = restore(&script(&dir, text), &target, &[]).expect_status(1);
        assert!(refused.stderr().contains("line 4"), "{}", refused.stderr());
    });
}

#[test]
fn transactions_of_the_script_are_its_own_unless_all_is_one() {
    on_newest(|server| {
        let dir = tempfile::tempdir().unwrap();
        let text = "CREATE TABLE t (a int);\nBEGIN;\nINSERT INTO t VALUES (1);\nCOMMIT;\nBEGIN;\nINSERT INTO t VALUES (2);\nSELECT 1/0;\n";
        let target = Database::empty(server);
        let failed = restore(&script(&dir, text), &target, &[]).expect_status(6);
        assert!(
            failed.stderr().contains("all up to line 4"),
            "{}",
            failed.stderr()
        );
        assert_eq!(target.sql("SELECT a FROM t"), "1\n");
        let target = Database::empty(server);
        restore(&script(&dir, text), &target, &["-1"]).expect_status(1);
        assert_eq!(
            target.sql("SELECT count(*) FROM pg_class WHERE relname = 't'"),
            "0\n"
        );
        let target = Database::empty(server);
        let open = &text[..text.find("SELECT").unwrap()];
        restore(&script(&dir, open), &target, &[]).expect_status(6);
        assert_eq!(target.sql("SELECT a FROM t"), "1\n");
        restore(&script(&dir, "ROLLBACK;\n"), &target, &["-1"]).expect_status(1);
    });
}

#[test]
fn an_archive_is_no_script_unless_the_user_says_so() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t AS SELECT 1 AS a");
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        let url = source.url();
        pgstow(["create", &url, "-o", archive.to_str().unwrap()]).expect_status(0);
        let target = Database::empty(server);
        restore(&archive, &target, &["--follow-connect"]).expect_status(2);
        let unpacked = dir.path().join("a.sql");
        let mut text = Vec::new();
        let file = std::fs::File::open(&archive).unwrap();
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(file), &mut text)
            .unwrap();
        std::fs::write(&unpacked, &text).unwrap();
        let refused = restore(&unpacked, &target, &[]).expect_status(4);
        assert!(refused.stderr().contains("--plain"), "{}", refused.stderr());
        restore(&unpacked, &target, &["--plain"]).expect_status(0);
        assert_eq!(target.sql("SELECT a FROM t"), "1\n");
    });
}

#[test]
fn options_that_cannot_apply_are_refused_and_the_rest_tells() {
    let dir = tempfile::tempdir().unwrap();
    let file = script(
        &dir,
        "CREATE TABLE t (a int);\nCOPY t FROM stdin;\n1\n\\.\nINSERT INTO t VALUES (1);\n",
    );
    let file = file.to_str().unwrap();
    for refused in [
        &["-j", "2"][..],
        &["-t", "x"],
        &["-n", "x"],
        &["-s"],
        &["-a"],
        &["-O"],
        &["-x"],
        &["--no-clean"],
        &["--cascade"],
        &["--no-analyze"],
        &["--section", "data"],
    ] {
        let arguments = ["restore", file, "--yes"];
        let run = pgstow(arguments.iter().chain(refused)).expect_status(2);
        assert!(
            run.stderr().contains("cannot apply"),
            "{refused:?}: {}",
            run.stderr()
        );
    }
    pgstow(["restore", file, "-C", "--yes"]).expect_status(2);
    pgstow(["restore", "-", "postgresql://127.0.0.1:1/x"]).expect_status(2);
    let dry = pgstow(["restore", file, "--dry-run", "--json"]).expect_status(0);
    let dry: serde_json::Value = serde_json::from_str(&dry.stdout()).unwrap();
    assert_eq!(
        (&dry["statements"], &dry["copy_lines"]),
        (&3.into(), &1.into())
    );
    let verified = pgstow(["verify", file]).expect_status(0);
    assert!(
        verified.stdout().contains("can be read to its end"),
        "{}",
        verified.stdout()
    );
    assert!(verified.stdout().contains("no checksums"));
    pgstow(["verify", file, "--quick"]).expect_status(2);
    let shown = pgstow(["show", file]).expect_status(1);
    assert!(
        shown.stderr().contains("is a plain SQL script"),
        "{}",
        shown.stderr()
    );
    std::fs::write(dir.path().join("cut.gz"), &gzip(b"SELECT 1;\n")[..20]).unwrap();
    pgstow(["verify", dir.path().join("cut.gz").to_str().unwrap()]).expect_status(4);
}
