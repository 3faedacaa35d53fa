//! What is measured.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bench::{Bench, Contender, RESTORED};
use crate::data;
use crate::gentle::beside_pgbench;
use crate::link;
use crate::report::{Comparison, Figure, Section};

/// Something to do, by several contenders.
pub(crate) struct Case {
    /// For `PGSTOW_BENCH_ONLY`.
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Bench) -> Vec<Section>,
    /// More rounds than this tell nothing new, or take too long.
    pub(crate) most_rounds: usize,
}

/// In the order of the report.
pub(crate) const ALL: &[Case] = &[
    case("two", two_large_tables),
    case("workers", workers).in_rounds(3),
    case("one", one_large_table),
    case("text", text_and_jsonb).in_rounds(3),
    case("numbers", numbers).in_rounds(3),
    case("binary", binary).in_rounds(3),
    case("wide", wide).in_rounds(3),
    case("partitions", partitions).in_rounds(3),
    case("schema", small_tables).in_rounds(3),
    case("schema_many", many_small_tables).in_rounds(3),
    case("first_rows", first_rows).in_rounds(3),
    case("restore_one", restore_of_one_table),
    case("restore_two", restore_of_two_tables),
    case("analyze", restore_and_analyze).in_rounds(3),
    case("resume", resume_after_a_cut).in_rounds(3),
    case("copy", copy_of_a_database).in_rounds(3),
    // The line decides: rounds are alike.
    case("far", far_away).in_rounds(1),
    case("cores", more_cores).in_rounds(1),
    case("gentle", |bench| vec![beside_pgbench(bench)]).in_rounds(3),
];

const fn case(name: &'static str, run: fn(&Bench) -> Vec<Section>) -> Case {
    Case {
        name,
        run,
        most_rounds: usize::MAX,
    }
}

impl Case {
    const fn in_rounds(self, most_rounds: usize) -> Case {
        Case {
            most_rounds,
            ..self
        }
    }
}

/// When a restore is cut off, as a share of the time that a whole one takes.
const CUT: f64 = 0.9;

const PG_DUMP_ZSTD: &str = "pg_dump -Fd -j2 -Z zstd (17)";

/// 480 MB of text and jsonb, 420 MB of numbers.
fn two_large_tables(bench: &Bench) -> Vec<Section> {
    fill_two(bench);
    let contenders = [
        bench.pg_dump(&["-Fd", "-j2"]),
        bench.pg_dump_gzip(),
        bench.pg_dump(&["-Fc"]),
        bench.pg_dump(&["-Fd", "-j2", "-Z1"]),
        bench.pg_dump_17(&["-Fd", "-j2", "-Z", "lz4"]),
        bench.pg_dump_17(&["-Fd", "-j2", "-Z", "zstd"]),
        bench.create(&["-j2"]),
        bench.create(&["-j2", "-Z", "zstd:1"]),
        bench.create(&["-j2", "-Z", "zstd:-5"]),
        bench.floor(&["texts", "numbers"]),
    ];
    let floor = "COPY TO, 2 connections (floor)";
    vec![
        bench
            .compare("bench_two", "Two large tables", &contenders)
            .goal("pgstow create -j2", "pg_dump -Fd -j2", Figure::Time, 0.24)
            .goal("pgstow create -j2", "pg_dump -Fd -j2", Figure::Size, 1.03)
            .goal(
                "pgstow create -j2 -Z zstd:1",
                PG_DUMP_ZSTD,
                Figure::Time,
                0.75,
            )
            .goal(
                "pgstow create -j2 -Z zstd:1",
                PG_DUMP_ZSTD,
                Figure::Size,
                1.0,
            )
            .goal("pgstow create -j2 -Z zstd:-5", floor, Figure::Time, 1.25)
            .into(),
    ]
}

/// The same by more and fewer workers.
fn workers(bench: &Bench) -> Vec<Section> {
    fill_two(bench);
    let of_ours = ["-j1", "-j2", "-j4", "-j8"].map(|jobs| bench.create(&[jobs]));
    let of_theirs = ["-j1", "-j2", "-j4", "-j8"].map(|jobs| bench.pg_dump(&["-Fd", jobs]));
    let contenders: Vec<Contender> = of_theirs.into_iter().chain(of_ours).collect();
    vec![
        bench
            .compare("bench_two", "Two large tables by workers", &contenders)
            .into(),
    ]
}

/// Only ranges of a table can serve more than one core.
fn one_large_table(bench: &Bench) -> Vec<Section> {
    bench.fill("bench_one", &[data::numbers(bench.number_rows())]);
    let pages: u64 = bench
        .sql("bench_one", "SELECT pg_relation_size('numbers') / 8192")
        .parse()
        .unwrap();
    let half = pages / 2;
    let contenders = [
        bench.pg_dump(&["-Fc"]),
        bench.create(&["-j2"]),
        bench.create(&["-j2", "-Z", "zstd:1"]),
        bench.floor(&[
            &format!("(SELECT * FROM numbers WHERE ctid < '({half},0)')"),
            &format!("(SELECT * FROM numbers WHERE ctid >= '({half},0)')"),
        ]),
    ];
    vec![
        bench
            .compare("bench_one", "One large table", &contenders)
            .goal("pgstow create -j2", "pg_dump -Fc", Figure::Time, 0.15)
            .into(),
    ]
}

fn text_and_jsonb(bench: &Bench) -> Vec<Section> {
    fill_two(bench);
    vec![one_of(
        bench,
        "bench_two",
        "Text and jsonb",
        &["-t", "texts"],
    )]
}

fn numbers(bench: &Bench) -> Vec<Section> {
    fill_two(bench);
    vec![one_of(
        bench,
        "bench_two",
        "Numbers and timestamps",
        &["-t", "numbers"],
    )]
}

fn binary(bench: &Bench) -> Vec<Section> {
    bench.fill("bench_binary", &[data::binary(bench.scaled(400.0))]);
    vec![one_of(
        bench,
        "bench_binary",
        "bytea and large objects that do not compress",
        &[],
    )]
}

fn wide(bench: &Bench) -> Vec<Section> {
    bench.fill("bench_wide", &[data::wide(bench.scaled(80_000.0))]);
    vec![one_of(bench, "bench_wide", "Rows of 200 columns", &[])]
}

fn partitions(bench: &Bench) -> Vec<Section> {
    bench.fill("bench_parted", &[data::partitions(bench.number_rows())]);
    vec![one_of(bench, "bench_parted", "64 partitions", &[])]
}

/// The usual contenders for a part of a database.
fn one_of(bench: &Bench, database: &str, title: &str, part: &[&'static str]) -> Section {
    let with = |options: &[&'static str]| [options, part].concat();
    let contenders = [
        bench.pg_dump(&with(&["-Fd", "-j2"])),
        bench.pg_dump_17(&with(&["-Fd", "-j2", "-Z", "zstd"])),
        bench.create(&with(&["-j2"])),
        bench.create(&with(&["-j2", "-Z", "zstd:1"])),
    ];
    bench.compare(database, title, &contenders).into()
}

/// 2 000 tables without rows, or as many as `PGSTOW_BENCH_TABLES` says.
fn small_tables(bench: &Bench) -> Vec<Section> {
    vec![schema_of(bench, bench.tables).into()]
}

fn many_small_tables(bench: &Bench) -> Vec<Section> {
    if !has_room_for_many(bench) {
        return Vec::new();
    }
    let comparison = schema_of(bench, MANY);
    vec![
        comparison
            .goal("pgstow create -s", "pg_dump -Fp -s", Figure::Time, 0.4)
            .into(),
    ]
}

/// Catalogs, order and definitions of many tables.
fn first_rows(bench: &Bench) -> Vec<Section> {
    if !has_room_for_many(bench) {
        return Vec::new();
    }
    let database = fill_schema(bench, MANY);
    let title = format!("{MANY} tables, time to the first row");
    vec![bench.compare_first_rows(&database, &title).into()]
}

/// What takes a lock for each relation needs a server with room for them.
fn has_room_for_many(bench: &Bench) -> bool {
    let room = bench.sql(
        "postgres",
        "SELECT current_setting('max_locks_per_transaction')::int * current_setting('max_connections')::int",
    );
    let has_room = room.parse::<u32>().unwrap() >= 4 * MANY;
    if !has_room {
        println!(
            "\nno room for {MANY} tables in the server's lock table: see PGSTOW_TEST_SERVER_OPTIONS"
        );
    }
    has_room
}

const MANY: u32 = 50_000;

fn schema_of(bench: &Bench, tables: u32) -> Comparison {
    let database = fill_schema(bench, tables);
    let contenders = [bench.pg_dump(&["-Fp", "-s"]), bench.create(&["-s"])];
    bench.compare(
        &database,
        &format!("{tables} tables, schema only"),
        &contenders,
    )
}

fn fill_schema(bench: &Bench, tables: u32) -> String {
    let database = format!("bench_schema_{tables}");
    bench.fill_side_by_side(&database, &data::many_tables(tables));
    database
}

/// Five million rows and four indexes on them.
fn restore_of_one_table(bench: &Bench) -> Vec<Section> {
    bench.fill("bench_indexed", &[data::indexed(bench.indexed_rows())]);
    let half = bench.indexed_rows() / 2;
    let parts = [
        format!("(SELECT * FROM numbers WHERE id <= {half})"),
        format!("(SELECT * FROM numbers WHERE id > {half})"),
    ];
    let files = ["one", "other"].map(|name| bench.dir.path().join(name));
    for (rows, file) in parts.iter().zip(&files) {
        bench.rows_into("bench_indexed", rows, file);
    }
    let loads = files.each_ref().map(|file| load_from("numbers", file));
    let [a, b, c, d] = data::INDEXES;
    let after = [format!("{a}; {d}"), format!("{b}; {c}")];
    let comparison = restores(
        bench,
        "bench_indexed",
        "Restore of one table with four indexes",
        loads,
        after,
    );
    files
        .iter()
        .for_each(|file| std::fs::remove_file(file).unwrap());
    vec![comparison.into()]
}

/// The two large tables.
fn restore_of_two_tables(bench: &Bench) -> Vec<Section> {
    fill_two(bench);
    let tables = ["texts", "numbers"];
    let files = tables.map(|name| bench.dir.path().join(name));
    for (table, file) in tables.iter().zip(&files) {
        bench.rows_into("bench_two", table, file);
    }
    let loads = [0, 1].map(|at| load_from(tables[at], &files[at]));
    let nothing = ["SELECT".to_owned(), "SELECT".to_owned()];
    let comparison = restores(
        bench,
        "bench_two",
        "Restore of two large tables",
        loads,
        nothing,
    );
    files
        .iter()
        .for_each(|file| std::fs::remove_file(file).unwrap());
    vec![comparison.into()]
}

fn load_from(table: &str, file: &Path) -> String {
    format!("-c \"COPY {table} FROM STDIN\" < '{}'", file.display())
}

/// Of what pg_dump and pgstow made of the database, without statistics.
fn restores(
    bench: &Bench,
    database: &str,
    title: &str,
    loads: [String; 2],
    after: [String; 2],
) -> Comparison {
    let dir = tempfile::tempdir_in(bench.dir.path()).unwrap();
    let archives = Archives::of(bench, database, dir.path());
    let tables = format!("{} {}", data::CREATE_TEXTS, data::CREATE_NUMBERS);
    let contenders = [
        bench.pg_restore(archives.theirs),
        bench.restore(&archives.ours, &["-j2", "--no-analyze"]),
        bench.restore_floor(&tables, loads, after),
    ];
    let ours = "pgstow restore -j2 --no-analyze";
    let floor = "COPY FROM and indexes, 2 connections (floor)";
    bench
        .compare_restores(database, title, &contenders)
        .goal(ours, "pg_restore -j2", Figure::Time, 0.99)
        .goal(ours, floor, Figure::Time, 1.08)
}

/// A restore with the statistics that pg_restore leaves to the user.
fn restore_and_analyze(bench: &Bench) -> Vec<Section> {
    bench.fill("bench_indexed", &[data::indexed(bench.indexed_rows())]);
    let dir = tempfile::tempdir_in(bench.dir.path()).unwrap();
    let archives = Archives::of(bench, "bench_indexed", dir.path());
    let contenders = [
        bench.pg_restore_and_analyze(&archives.theirs),
        bench.restore(&archives.ours, &["-j2"]),
    ];
    let title = "Restore of one table with four indexes, with statistics";
    vec![
        bench
            .compare_restores("bench_indexed", title, &contenders)
            .into(),
    ]
}

/// What is left to do after a restore was killed at nine tenths of its time.
fn resume_after_a_cut(bench: &Bench) -> Vec<Section> {
    bench.fill("bench_indexed", &[data::indexed(bench.indexed_rows())]);
    fill_two(bench);
    let cases = [
        ("bench_indexed", "Resume, one table with four indexes"),
        ("bench_two", "Resume, two large tables"),
    ];
    let measured = cases.map(|(database, title)| resumes(bench, database, title));
    measured.into_iter().flatten().map(Section::from).collect()
}

fn resumes(bench: &Bench, database: &str, title: &str) -> Option<Comparison> {
    let dir = tempfile::tempdir_in(bench.dir.path()).unwrap();
    let archive = archive(bench, database, dir.path());
    let whole = bench.restore(&archive, &["-j2", "--no-analyze"]);
    let rest = bench.restore(&archive, &["-j2", "--no-analyze", "--resume"]);
    let (mut of_whole, mut of_rest) = (Vec::new(), Vec::new());
    let mut done_before = 0;
    while of_rest.len() < bench.rounds {
        bench.fresh(RESTORED);
        let full = bench.run(&whole, RESTORED, dir.path());
        bench.fresh(RESTORED);
        let mut killed = whole.commands(RESTORED, dir.path())[0].spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(full.seconds * CUT));
        killed.kill().unwrap();
        if killed.wait().unwrap().success() {
            // Runs differ by a tenth, on a machine that others use, too.
            done_before += 1;
            if done_before > bench.rounds {
                println!("\n{title}: it was done before the cut, the tables are too small");
                return None;
            }
            continue;
        }
        of_whole.push(full);
        of_rest.push(bench.run(&rest, RESTORED, dir.path()));
    }
    bench.sql("postgres", &format!("DROP DATABASE {RESTORED}"));
    let about = format!(
        "{} of tables, cut at 90 % of the time",
        bench.size(database)
    );
    let ours = rest.name.clone();
    let contenders = vec![(whole.name.clone(), of_whole), (ours.clone(), of_rest)];
    Some(Comparison::new(title, about, contenders).goal(&ours, &whole.name, Figure::Time, 0.25))
}

/// From database to database.
fn copy_of_a_database(bench: &Bench) -> Vec<Section> {
    if !bench.has_pgcopydb() {
        println!("\nno pgcopydb here: nothing to compare copies with");
        return Vec::new();
    }
    bench.fill("bench_indexed", &[data::indexed(bench.indexed_rows())]);
    let contenders = [bench.pgcopydb(), bench.copy_of_database()];
    vec![
        bench
            .compare_copies(
                "bench_indexed",
                "Copy of one table with four indexes",
                &contenders,
            )
            .into(),
    ]
}

/// A server at the other end of a slow line: 100 small tables, and one of which the line takes a few seconds.
fn far_away(bench: &Bench) -> Vec<Section> {
    let [some, others] = data::many_tables(100);
    let scripts = [
        data::numbers(bench.number_rows() / 3),
        some,
        others,
        data::few_rows(100),
    ];
    bench.fill("bench_far", &scripts);
    let line = format!(
        "{} ms there and back, {} Mbit/s",
        link::FAR.round_trip.as_millis(),
        link::FAR.bytes_per_second * 8 / 1_000_000
    );
    let dumps = bench.over(
        link::FAR,
        [
            bench.pg_dump(&["-Fd", "-j2"]),
            bench.create(&["-j2"]),
            bench.create(&["-j2", "-Z", "auto"]),
        ],
    );
    let dir = tempfile::tempdir_in(bench.dir.path()).unwrap();
    let archives = Archives::of(bench, "bench_far", dir.path());
    let restores = bench.over(
        link::FAR,
        [
            bench.pg_restore(archives.theirs),
            bench.restore(&archives.ours, &["-j2", "--no-analyze"]),
        ],
    );
    vec![
        bench
            .compare(
                "bench_far",
                &format!("Dump over a slow line ({line})"),
                &dumps,
            )
            .into(),
        bench
            .compare_restores(
                "bench_far",
                &format!("Restore over a slow line ({line})"),
                &restores,
            )
            .into(),
    ]
}

/// One table, from and to a server whose cores are slow, but as many as there are connections.
fn more_cores(bench: &Bench) -> Vec<Section> {
    bench.fill("bench_one", &[data::numbers(bench.number_rows())]);
    let a_core = format!(
        "a simulation: {:.1} MB/s for each connection",
        f64::from(u32::try_from(link::SLOW_CORES.bytes_per_second).unwrap()) / 1e6
    );
    let dumps = bench.over(
        link::SLOW_CORES,
        [
            bench.pg_dump(&["-Fd", "-j8"]),
            bench.create(&["-j1"]),
            bench.create(&["-j2"]),
            bench.create(&["-j4"]),
            bench.create(&["-j8"]),
        ],
    );
    let dir = tempfile::tempdir_in(bench.dir.path()).unwrap();
    let archives = Archives::of(bench, "bench_one", dir.path());
    let restore = |jobs| bench.restore(&archives.ours, &[jobs, "--no-analyze"]);
    let restores = bench.over(
        link::SLOW_CORES,
        [
            bench.pg_restore(archives.theirs),
            restore("-j1"),
            restore("-j2"),
            restore("-j4"),
            restore("-j8"),
        ],
    );
    let title =
        |what: &str| format!("{what} of one table on a server of many slow cores ({a_core})");
    vec![
        bench.compare("bench_one", &title("Dump"), &dumps).into(),
        bench
            .compare_restores("bench_one", &title("Restore"), &restores)
            .into(),
    ]
}

/// An archive of the database.
fn archive(bench: &Bench, database: &str, dir: &Path) -> PathBuf {
    bench.run(&bench.create(&["-j2"]), database, dir);
    dir.join("out.sql.gz")
}

/// What a restore is made from.
struct Archives {
    ours: PathBuf,
    /// In the directory format.
    theirs: PathBuf,
}

impl Archives {
    fn of(bench: &Bench, database: &str, dir: &Path) -> Archives {
        bench.run(&bench.pg_dump(&["-Fd", "-j2"]), database, dir);
        Archives {
            ours: archive(bench, database, dir),
            theirs: dir.join("out"),
        }
    }
}

pub(crate) fn fill_two(bench: &Bench) {
    bench.fill(
        "bench_two",
        &[
            data::texts(bench.text_rows()),
            data::numbers(bench.number_rows()),
        ],
    );
}
