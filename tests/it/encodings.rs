//! `create --encoding`: archives whose text is in another encoding than UTF-8.

use std::process::Command;

use ::pgstow::archive::TextEncoding;

use crate::harness::server::client_dir;
use crate::harness::{Database, Snapshot, differences, on_newest, pgstow};

/// A table whose names, definitions, comments and rows all have the word.
fn source_with(server: &'static crate::harness::Server, word: &str) -> Database {
    Database::filled(
        server,
        &format!(
            r#"CREATE SCHEMA "s {word}";
            CREATE TABLE "s {word}"."t {word}" (id integer PRIMARY KEY, "c {word}" text DEFAULT '{word}');
            CREATE VIEW "s {word}".v AS SELECT * FROM "s {word}"."t {word}" WHERE "c {word}" <> '{word}\';
            COMMENT ON TABLE "s {word}"."t {word}" IS 'it''s {word}';
            CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT '{word}' $$;
            INSERT INTO "s {word}"."t {word}" SELECT n, '{word} ' || n FROM generate_series(1, 200) n;
            INSERT INTO "s {word}"."t {word}" VALUES (-1, E'\\{word}\t{word}\n''{word}'), (-2, NULL);"#
        ),
    )
}

#[test]
fn a_dump_in_another_encoding_is_what_pg_dump_makes_of_it() {
    on_newest(|server| {
        for (encoding, word, text) in [
            ("LATIN1", "façade", b"fa\xe7ade".as_slice()),
            ("windows-1251", "Привет", b"\xcf\xf0\xe8\xe2\xe5\xf2"),
            ("EUC_JP", "日本語", b"\xc6\xfc\xcb\xdc\xb8\xec"),
        ] {
            let source = source_with(server, word);
            let dir = tempfile::tempdir().unwrap();
            let theirs = dir.path().join("theirs.sql");
            let dumped = Command::new(client_dir().join("pg_dump"))
                .args(["-E", encoding, "-d", &source.url(), "-f"])
                .arg(&theirs)
                .status()
                .unwrap();
            assert!(dumped.success());
            let by_pg_dump = Database::empty(server);
            by_pg_dump.try_file(&theirs).unwrap();

            let archive = dir.path().join("a-backup-20260114-020000.sql.gz");
            let file = archive.to_str().unwrap();
            pgstow(["create", &source.url(), "-E", encoding, "-o", file]).expect_status(0);
            let script = pgstow(["show", file, "--sql"]).expect_status(0);
            let has = |text: &[u8]| {
                script
                    .stdout_bytes()
                    .windows(text.len())
                    .any(|at| at == text)
            };
            assert!(has(text), "{encoding}");
            pgstow(["verify", file]).expect_status(0);
            pgstow(["drill", file, &server.url("postgres")]).expect_status(0);
            let table = format!("\"s {word}\".\"t {word}\"");
            let value = format!("\"c {word}\" = '{word} 7'");
            let row = pgstow(["show", file, "--rows", &table, "--where", &value]).expect_status(0);
            assert_eq!(row.stdout_bytes(), [b"7\t", text, b" 7\n"].concat());

            let by_psql = Database::empty(server);
            by_psql.replay(&archive).unwrap();
            let restored = Database::empty(server);
            for _ in 0..2 {
                pgstow(["restore", file, &restored.url(), "--yes"]).expect_status(0);
            }
            // Into a database that is in this very encoding.
            let server_name = encoding.parse::<TextEncoding>().unwrap().name();
            let options = format!("ENCODING '{server_name}' LOCALE 'C'");
            let native = Database::with_options(server, &options);
            pgstow(["restore", file, &native.url(), "--yes"]).expect_status(0);
            let texts = format!(r#"SELECT f(); SELECT * FROM "s {word}".v ORDER BY id"#);
            assert_eq!(native.sql(&texts), source.sql(&texts));
            let expected = Snapshot::of(&source).unwrap();
            for copy in [&by_pg_dump, &by_psql, &restored] {
                let compared = differences(&expected, &Snapshot::of(copy).unwrap());
                assert!(compared.is_none(), "{encoding}: {}", compared.unwrap());
            }
        }
    });
}

#[test]
fn what_an_encoding_cannot_hold_stops_the_dump_by_name() {
    on_newest(|server| {
        let source = source_with(server, "naïve €");
        let create = |encoding: &str| {
            pgstow([
                "create",
                &source.url(),
                "-E",
                encoding,
                "-o",
                "/nowhere/to/be/written.sql",
            ])
        };
        for unsafe_one in [
            "SJIS",
            "big5",
            "GBK",
            "GB18030",
            "JOHAB",
            "UHC",
            "Shift-JIS-2004",
        ] {
            let refused = create(unsafe_one).expect_status(2);
            assert!(
                refused.stderr().contains("half of a character"),
                "{}",
                refused.stderr()
            );
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.sql.gz");
        let file = file.to_str().unwrap();
        let refused =
            pgstow(["create", &source.url(), "-E", "LATIN1", "-o", file]).expect_status(1);
        assert!(
            refused
                .stderr()
                .contains("LATIN1 has no character for U+20AC")
        );
        assert!(
            refused.stderr().contains("SCHEMA \"s naïve €\""),
            "{}",
            refused.stderr()
        );
        // It has no name that the encoding lacks, but a row.
        let rows = Database::filled(
            server,
            "CREATE TABLE t (a text); INSERT INTO t VALUES ('€')",
        );
        let refused = pgstow(["create", &rows.url(), "-E", "LATIN1", "-o", file]).expect_status(1);
        assert!(
            refused
                .stderr()
                .contains("could not copy table \"public\".\"t\"")
        );
        let latin = Database::with_options(server, "ENCODING 'LATIN1' LOCALE 'C'");
        let refused = pgstow(["create", &latin.url(), "-E", "KOI8R", "-o", file]).expect_status(2);
        assert!(refused.stderr().contains("cannot convert LATIN1 to KOI8R"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    });
}

#[test]
fn tables_of_single_bytes_are_the_servers() {
    on_newest(|server| {
        let database = Database::filled(
            server,
            "CREATE FUNCTION character_of(byte integer, encoding name) RETURNS text LANGUAGE plpgsql AS $$ \
             BEGIN RETURN pg_catalog.convert_from(pg_catalog.set_byte('\\x00', 0, byte), encoding); \
             EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$",
        );
        for encoding in TextEncoding::all().filter(|encoding| encoding.is_single_byte()) {
            let characters = database.sql(&format!(
                "SELECT ascii(character_of(n, '{}')) FROM generate_series(128, 255) n ORDER BY n",
                encoding.name()
            ));
            for (line, byte) in characters.lines().zip(128_u8..=255) {
                // What the server refuses cannot have come from it.
                let Ok(code) = line.parse::<u32>() else {
                    continue;
                };
                let expected = char::from_u32(code).unwrap().to_string();
                let decoded = encoding.decode(&[byte]).map(|text| text.into_owned());
                assert_eq!(decoded, Some(expected), "{} {byte:02x}", encoding.name());
            }
            assert_eq!(characters.lines().count(), 128);
        }
    });
}

/// A character that is read otherwise would come back as another one: better it is not read at all.
#[test]
fn tables_of_several_bytes_are_the_servers_as_far_as_they_go() {
    on_newest(|server| {
        let database = Database::filled(
            server,
            "CREATE FUNCTION character_of(bytes bytea, encoding name) RETURNS text LANGUAGE plpgsql AS $$ \
             BEGIN RETURN pg_catalog.convert_from(bytes, encoding); EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$",
        );
        for name in [
            "EUC_JP", "EUC_KR", "EUC_CN", "SJIS", "BIG5", "GBK", "UHC", "GB18030",
        ] {
            let encoding = TextEncoding::of_pg_dump(name).unwrap();
            let characters = database.sql(&format!(
                "SELECT encode(bytes, 'hex') || ' ' || ascii(found) FROM ( \
                   SELECT bytes, character_of(bytes, '{name}') AS found \
                   FROM generate_series(129, 254) a, generate_series(64, 254) b, \
                     LATERAL (SELECT set_byte(set_byte('\\x0000', 0, a), 1, b)) c (bytes)) d \
                 WHERE length(found) = 1"
            ));
            let (mut read, mut unread) = (0, 0);
            for line in characters.lines() {
                let (hex, character) = line.split_once(' ').unwrap();
                let bytes = u16::from_str_radix(hex, 16).unwrap().to_be_bytes();
                let character = char::from_u32(character.parse().unwrap()).unwrap();
                match encoding.decode(&bytes) {
                    Some(text) => {
                        assert_eq!(text, character.to_string(), "{name} {hex}");
                        read += 1;
                    }
                    None => unread += 1,
                }
            }
            assert!(read > 5000 && unread < 500, "{name}: {read}, {unread}");
        }
    });
}
