//! Rows out of an archive without any server.

use std::path::Path;

use crate::harness::{Database, on_newest, pgstow};

/// A table of nearly all bytes, and a small one with every kind of value that a format has to care for.
const LARGE_AND_SMALL: &str = "
    CREATE TABLE large (n int, noise text);
    INSERT INTO large SELECT n, md5(n::text) || md5((n * 7)::text) FROM generate_series(1, 100000) n;
    CREATE TABLE small (id int, \"Odd name\" text, at timestamptz, doc jsonb);
    INSERT INTO small VALUES (1, E'tab\\t, \"quote\" and\\nline', '2026-01-02 03:04:05+00', '{\"a\": [1, null]}'),
      (2, NULL, NULL, NULL), (3, '', NULL, 'null'), (4, '\\N', NULL, '\"\\\\\"'), (42, 'it''s', NULL, '{}');
    INSERT INTO small SELECT n, 'row ' || n FROM generate_series(100, 400) n;";

fn archive(dir: &Path, server: &'static crate::harness::Server) -> (Database, String) {
    let source = Database::filled(server, LARGE_AND_SMALL);
    let file = dir.join("a.sql.gz").to_str().unwrap().to_owned();
    pgstow(["create", &source.url(), "-o", &file]).expect_status(0);
    (source, file)
}

#[test]
fn extracted_rows_are_those_of_the_server_in_every_format() {
    on_newest(|server| {
        let dir = tempfile::tempdir().unwrap();
        let (source, file) = archive(dir.path(), server);
        let extract = |options: &[&str]| {
            let arguments = ["extract", &file, "small"];
            let outcome = pgstow(arguments.iter().chain(options)).expect_status(0);
            outcome.stdout()
        };
        let expected = |options: &str| {
            source.sql(&format!(
                "COPY (SELECT * FROM small WHERE id < 50 ORDER BY id) TO STDOUT {options};"
            ))
        };
        let few = [
            "--where",
            "id <> 100",
            "--where",
            "\"Odd name\" is not null",
        ];
        let all = extract(&["--format", "copy"]);
        assert!(all.starts_with(expected("").trim_end()), "{all}");
        assert_eq!(all.lines().count(), 306);
        let csv = extract(&[]);
        assert!(
            csv.starts_with(expected("(FORMAT csv, HEADER)").trim_end()),
            "{csv}"
        );
        assert_eq!(extract(&few).matches("row ").count(), 300);

        let json = extract(&["--format", "jsonl"]);
        let rows: Vec<serde_json::Value> = json
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(rows[0]["Odd name"], "tab\t, \"quote\" and\nline");
        assert_eq!(rows[1]["Odd name"], serde_json::Value::Null);
        assert_eq!(rows[2]["Odd name"], "");
        assert_eq!(rows[3]["Odd name"], "\\N");

        let target = Database::filled(
            server,
            "CREATE TABLE small (id int, \"Odd name\" text, at timestamptz, doc jsonb)",
        );
        target.sql(&extract(&["--format", "insert"]));
        let digest = "SELECT md5(string_agg(t::text, ';' ORDER BY id)) FROM small t";
        assert_eq!(target.sql(digest), source.sql(digest));
    });
}

#[test]
fn extract_reads_only_the_members_of_its_table_and_writes_no_file_twice() {
    on_newest(|server| {
        let dir = tempfile::tempdir().unwrap();
        let (_source, file) = archive(dir.path(), server);
        let rows = dir.path().join("rows.csv").to_str().unwrap().to_owned();
        let arguments = [
            "extract",
            &file,
            "public.small",
            "--where",
            "id = 42",
            "-o",
            &rows,
        ];
        let told = pgstow(arguments).expect_status(0).stderr();
        assert!(
            told.starts_with("1 row of \"public\".\"small\"; read "),
            "{told}"
        );
        let read = told
            .split(" read ")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        // Footer, index and one member; the file has megabytes.
        assert!(told.contains("KiB of "), "{told}");
        assert!(read.parse::<f64>().unwrap() < 20.0, "{told}");
        assert!(std::fs::metadata(&file).unwrap().len() > 2 << 20);
        assert_eq!(
            std::fs::read_to_string(&rows).unwrap(),
            "id,Odd name,at,doc\n42,it's,,{}\n"
        );
        pgstow(arguments).expect_status(1);
        for wrong in [
            &["nothing"][..],
            &["*"],
            &["small", "--where", "no_such = 1"],
            &["small", "--where", "id > 1"],
        ] {
            let outcome = pgstow(["extract", &file].iter().chain(wrong)).expect_status(2);
            assert!(outcome.stdout().is_empty(), "{wrong:?}");
        }
    });
}
