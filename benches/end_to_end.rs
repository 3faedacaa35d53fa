//! Dump and restore end to end, beside pg_dump, pg_restore and the bare `COPY TO` on the same machine.
//!
//! ```text
//! scripts/test.sh --no-run          # once: fetches a server and clients
//! cargo bench --bench end_to_end
//! PGSTOW_BENCH_SCALE=0.1 PGSTOW_BENCH_ROUNDS=1 PGSTOW_BENCH_ONLY=two,schema cargo bench --bench end_to_end
//! PGSTOW_BENCH_TABLES=50000 PGSTOW_BENCH_ONLY=schema cargo bench --bench end_to_end
//! PGHOST=localhost PGPORT=5499 PGUSER=postgres PGPASSWORD=pgstow cargo bench --bench end_to_end
//! ```
//!
//! Contenders take turns within a round; figures are medians of rounds. `peak` is the highest sum of resident memory
//! (VmHWM) of a contender's processes, read every few milliseconds.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its findings and stops at the first failure"
)]

#[path = "../tests/it/harness/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "shared with the tests"
)]
mod harness;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::Server;
use harness::server::{client_dir, wanted_majors};

fn main() {
    let bench = Bench::from_environment();
    let scenarios: [(&str, Scenario); 4] = [
        ("two", two_large_tables),
        ("one", one_large_table),
        ("schema", many_small_tables),
        ("text", text_and_jsonb),
    ];
    for (name, scenario) in scenarios {
        if bench.only.is_empty() || bench.only.iter().any(|only| only == name) {
            scenario(&bench);
        }
    }
}

type Scenario = fn(&Bench);

/// (a) 480 MB of text and jsonb, 420 MB of numbers.
fn two_large_tables(bench: &Bench) {
    bench.fill("bench_two", &[&bench.texts(), &bench.numbers()]);
    bench.print_size("(a) two large tables", "bench_two");
    let contenders = vec![
        bench.pg_dump("pg_dump -Fd -j2", &["-Fd", "-j2"]),
        bench.pg_dump("pg_dump -Fd -j2 -Z1", &["-Fd", "-j2", "-Z1"]),
        bench.pgstow("pgstow create -j2", &["-j2"], "sql.gz"),
        bench.pgstow("pgstow create -j2 -Z zstd", &["-j2"], "sql.zst"),
        bench.pgstow("pgstow create -j4", &["-j4"], "sql.gz"),
        bench.floor(&["texts", "numbers"]),
    ];
    bench.compare("bench_two", contenders);
    bench.compare_restores("bench_two");
}

/// (b) one table that only ranges can serve with more than one core.
fn one_large_table(bench: &Bench) {
    bench.fill("bench_one", &[&bench.numbers()]);
    bench.print_size("(b) one large table", "bench_one");
    let contenders = vec![
        bench.pg_dump("pg_dump -Fc", &["-Fc"]),
        bench.pgstow("pgstow create -j2", &["-j2"], "sql.gz"),
        bench.pgstow("pgstow create -j2 -Z zstd", &["-j2"], "sql.zst"),
        bench.floor(&["numbers"]),
    ];
    bench.compare("bench_one", contenders);
    bench.compare_restores("bench_one");
}

/// (c) 2 000 tables without rows, or as many as `PGSTOW_BENCH_TABLES` says. A server that is not the bench's own needs
/// room in its lock table for twice as many.
fn many_small_tables(bench: &Bench) {
    let tables = bench.tables;
    bench.fill("bench_schema", &[&many_tables_script(tables)]);
    bench.print_size(&format!("(c) {tables} tables, schema only"), "bench_schema");
    let contenders = vec![
        bench.pg_dump("pg_dump -s", &["-Fp", "-s"]),
        bench.pgstow("pgstow create -s", &["-s"], "sql"),
    ];
    bench.compare("bench_schema", contenders);
}

/// (d) text and jsonb alone.
fn text_and_jsonb(bench: &Bench) {
    bench.fill("bench_text", &[&bench.texts()]);
    bench.print_size("(d) text and jsonb", "bench_text");
    let contenders = vec![
        bench.pg_dump("pg_dump -Fc", &["-Fc"]),
        bench.pgstow("pgstow create -j2", &["-j2"], "sql.gz"),
        bench.pgstow("pgstow create -j2 -Z zstd", &["-j2"], "sql.zst"),
        bench.floor(&["texts"]),
    ];
    bench.compare("bench_text", contenders);
}

/// Each with a primary key, an index, the sequence of a serial column, a check and a foreign key.
fn many_tables_script(tables: u32) -> String {
    format!(
        "DO $$ BEGIN
            FOR n IN 1..{tables} LOOP
                EXECUTE format('CREATE TABLE t%s (id bigserial PRIMARY KEY, parent bigint, name text NOT NULL DEFAULT %L, at timestamptz, CHECK (name <> %L))', n, 'x', '');
                EXECUTE format('CREATE INDEX ON t%s (name, at)', n);
                IF n > 1 THEN EXECUTE format('ALTER TABLE t%s ADD FOREIGN KEY (parent) REFERENCES t%s', n, n - 1); END IF;
                IF n % 100 = 0 THEN COMMIT; END IF;
            END LOOP;
        END $$;"
    )
}

/// Sentences of made-up words: each row holds some of many, so that nothing repeats within a compressor's window.
fn texts_script(rows: u64) -> String {
    format!(
        "SELECT setseed(0.42);
         CREATE TEMP TABLE words AS SELECT n, left(md5((n * n)::text), 2 + n % 8) AS word FROM generate_series(1, 4000) n;
         CREATE TEMP TABLE sentences AS
             SELECT p.n, string_agg(w.word, ' ') AS sentence
             FROM (SELECT n / 9 AS n, 1 + floor(power(random(), 3) * 3999)::int AS pick FROM generate_series(0, 1800000 - 1) n) p
             JOIN words w ON w.n = p.pick GROUP BY 1;
         CREATE TABLE texts (id bigint, author int, body text, meta jsonb, sent_at timestamptz);
         INSERT INTO texts
             SELECT p.n, (random() * 50000)::int, string_agg(s.sentence, '. '),
                 jsonb_build_object('client', left(md5(random()::text), 12), 'score', round(random()::numeric, 4), 'tags', ARRAY['t' || (random() * 99)::int, 'common'], 'seen', random() < 0.5),
                 timestamptz '2025-01-01' + p.n * interval '7 seconds' + random() * interval '5 seconds'
             FROM (SELECT n / 5 AS n, floor(random() * 200000)::int AS pick FROM generate_series(0, {rows}::bigint * 5 - 1) n) p
             JOIN sentences s ON s.n = p.pick GROUP BY 1;"
    )
}

fn numbers_script(rows: u64) -> String {
    format!(
        "SELECT setseed(0.42);
         CREATE TABLE numbers (id bigint, a int, b bigint, f float8, n numeric(12, 2), at timestamptz, day date, small smallint);
         INSERT INTO numbers
             SELECT n, (random() * 1000000)::int, (random() * 1e15)::bigint, random() * 1000, round((random() * 100000)::numeric, 2),
                 timestamptz '2025-01-01' + n * interval '1 second', date '2025-01-01' + (n % 365)::int, (random() * 100)::smallint
             FROM generate_series(1, {rows}) n;"
    )
}

/// Measured: the scale 1.0 gives tables of 480 and 420 MB.
const TEXT_ROWS: f64 = 1_150_000.0;
const NUMBER_ROWS: f64 = 4_700_000.0;

/// One way to do the job: it is given the database and a directory, and leaves its output there.
struct Contender {
    name: String,
    commands: Box<Commands>,
}

type Commands = dyn Fn(&str, &Path) -> Vec<Command>;

/// One run of a contender.
#[derive(Clone, Copy)]
struct Run {
    seconds: f64,
    bytes: u64,
    peak_bytes: u64,
}

struct Bench {
    host: String,
    port: String,
    user: String,
    scale: f64,
    tables: u32,
    rounds: usize,
    only: Vec<String>,
    dir: tempfile::TempDir,
}

impl Bench {
    fn from_environment() -> Bench {
        let variable = |name: &str| std::env::var(name).ok();
        let number = |name: &str, default: f64| {
            variable(name).map_or(default, |text| text.parse().expect("a number"))
        };
        let port = variable("PGPORT").unwrap_or_else(|| {
            let newest = wanted_majors().into_iter().max().unwrap();
            Server::of_major(newest).port.to_string()
        });
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small count"
        )]
        let rounds = number("PGSTOW_BENCH_ROUNDS", 3.0) as usize;
        Bench {
            host: variable("PGHOST").unwrap_or_else(|| "127.0.0.1".into()),
            port,
            user: variable("PGUSER").unwrap_or_else(|| "postgres".into()),
            scale: number("PGSTOW_BENCH_SCALE", 1.0),
            tables: variable("PGSTOW_BENCH_TABLES")
                .map_or(2000, |text| text.parse().expect("a number of tables")),
            rounds,
            only: variable("PGSTOW_BENCH_ONLY")
                .map(|names| names.split(',').map(str::to_owned).collect())
                .unwrap_or_default(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn texts(&self) -> String {
        texts_script(self.scaled(TEXT_ROWS))
    }

    fn numbers(&self) -> String {
        numbers_script(self.scaled(NUMBER_ROWS))
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rows in millions"
    )]
    fn scaled(&self, rows: f64) -> u64 {
        (rows * self.scale) as u64
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("PGHOST", &self.host)
            .env("PGPORT", &self.port)
            .env("PGUSER", &self.user)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    fn client(&self, program: &str) -> Command {
        self.command(client_dir().join(program))
    }

    fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = self.client("psql");
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]);
        let output = psql.stdout(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "psql failed");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn fresh(&self, database: &str) {
        self.sql("postgres", &format!("DROP DATABASE IF EXISTS {database}"));
        self.sql(
            "postgres",
            &format!("CREATE DATABASE {database} TEMPLATE template0"),
        );
    }

    /// Makes the database anew.
    fn fill(&self, database: &str, scripts: &[&str]) {
        self.fresh(database);
        for script in scripts {
            // A file, not -c: the script commits as it goes.
            let file = self.dir.path().join("fill.sql");
            std::fs::write(&file, script).unwrap();
            let mut psql = self.client("psql");
            psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-f"]);
            assert!(psql.arg(&file).status().unwrap().success(), "psql failed");
        }
        self.sql(database, "VACUUM ANALYZE");
        self.sql(database, "CHECKPOINT");
    }

    fn print_size(&self, title: &str, database: &str) {
        let size = self.sql(
            database,
            "SELECT pg_size_pretty(coalesce(sum(pg_table_size(oid)), 0)) FROM pg_class
             WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        );
        println!(
            "\n{title}: {size} of tables, medians of {} rounds",
            self.rounds
        );
    }

    fn pg_dump(&self, name: &str, options: &[&str]) -> Contender {
        let program = client_dir().join("pg_dump");
        let envs = self.command(&program);
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        contender(name, envs, move |command, database, dir| {
            command
                .args(&options)
                .arg("-f")
                .arg(dir.join("out"))
                .arg(database);
        })
    }

    fn pgstow(&self, name: &str, options: &[&str], extension: &str) -> Contender {
        let envs = self.command(env!("CARGO_BIN_EXE_pgstow"));
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let file = format!("out.{extension}");
        contender(name, envs, move |command, database, dir| {
            command
                .args(["create", "--progress", "none"])
                .args(&options);
            command.arg("-o").arg(dir.join(&file)).arg(database);
            command.stderr(Stdio::null());
        })
    }

    /// What the server alone takes to send the rows, all tables at once.
    fn floor(&self, tables: &[&str]) -> Contender {
        let (host, port, user) = (self.host.clone(), self.port.clone(), self.user.clone());
        let tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
        Contender {
            name: "COPY TO (floor)".into(),
            commands: Box::new(move |database, _| {
                tables
                    .iter()
                    .map(|table| {
                        let mut psql = Command::new(client_dir().join("psql"));
                        psql.args(["-Xq", "-h", &host, "-p", &port, "-U", &user, "-d", database])
                            .args(["-c", &format!("COPY {table} TO STDOUT")])
                            .stdin(Stdio::null())
                            .stdout(Stdio::null());
                        psql
                    })
                    .collect()
            }),
        }
    }

    /// Runs dumps in turns and prints a table; the first contender is 1.00.
    fn compare(&self, database: &str, contenders: Vec<Contender>) {
        self.take_turns(&contenders, |contender| {
            let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
            let (seconds, peak_bytes) = run(&mut (contender.commands)(database, dir.path()));
            Run {
                seconds,
                bytes: size_below(dir.path()),
                peak_bytes,
            }
        });
    }

    /// Restores what pg_dump and pgstow made of the database, each into a fresh one.
    fn compare_restores(&self, database: &str) {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        let (directory, archive): (PathBuf, PathBuf) =
            (dir.path().join("out"), dir.path().join("out.sql.gz"));
        run(&mut (self.pg_dump("", &["-Fd", "-j2"]).commands)(
            database,
            dir.path(),
        ));
        run(&mut (self.pgstow("", &["-j2"], "sql.gz").commands)(
            database,
            dir.path(),
        ));
        let restored = "bench_restored";
        let pg_restore = self.command(client_dir().join("pg_restore"));
        let pgstow = self.command(env!("CARGO_BIN_EXE_pgstow"));
        let contenders = vec![
            contender("pg_restore -j2", pg_restore, move |command, target, _| {
                command.args(["-j2", "-d", target]).arg(&directory);
            }),
            contender("pgstow restore -j2", pgstow, move |command, target, _| {
                command.args([
                    "restore",
                    "-j2",
                    "--yes",
                    "--no-analyze",
                    "--progress",
                    "none",
                ]);
                command.arg(&archive).arg(target).stderr(Stdio::null());
            }),
        ];
        self.take_turns(&contenders, |contender| {
            self.fresh(restored);
            self.sql("postgres", "CHECKPOINT");
            let (seconds, peak_bytes) = run(&mut (contender.commands)(restored, dir.path()));
            Run {
                seconds,
                bytes: 0,
                peak_bytes,
            }
        });
        self.sql("postgres", &format!("DROP DATABASE {restored}"));
    }

    fn take_turns(&self, contenders: &[Contender], measure: impl Fn(&Contender) -> Run) {
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); contenders.len()];
        for _ in 0..self.rounds {
            for (contender, runs) in contenders.iter().zip(&mut runs) {
                runs.push(measure(contender));
            }
        }
        println!(
            "  {:<28}{:>9}{:>8}{:>11}{:>8}{:>11}",
            "", "seconds", "ratio", "MB", "ratio", "peak MiB"
        );
        let first = median(&runs[0]);
        for (contender, runs) in contenders.iter().zip(&runs) {
            let median = median(runs);
            println!(
                "  {:<28}{:>9.2}{:>8.2}{:>11}{:>8}{:>11.1}",
                contender.name,
                median.seconds,
                median.seconds / first.seconds,
                or_dash(median.bytes > 0, megabytes(median.bytes)),
                or_dash(median.bytes > 0, ratio(median.bytes, first.bytes)),
                ratio(median.peak_bytes, 1 << 20),
            );
        }
    }
}

/// A contender that is one process, started like `template`.
fn contender(
    name: &str,
    template: Command,
    arguments: impl Fn(&mut Command, &str, &Path) + 'static,
) -> Contender {
    Contender {
        name: name.into(),
        commands: Box::new(move |database, dir| {
            let mut command = Command::new(template.get_program());
            for (name, value) in template.get_envs() {
                if let Some(value) = value {
                    command.env(name, value);
                }
            }
            command.stdin(Stdio::null()).stdout(Stdio::null());
            arguments(&mut command, database, dir);
            vec![command]
        }),
    }
}

/// Runs commands side by side: seconds until the last one is done, and the peak of their memory together.
fn run(commands: &mut [Command]) -> (f64, u64) {
    let started = Instant::now();
    let mut children: Vec<Child> = commands.iter_mut().map(|c| c.spawn().unwrap()).collect();
    let mut peak_bytes = 0;
    loop {
        let resident = children
            .iter()
            .map(|child| resident_bytes(child.id()))
            .sum();
        peak_bytes = peak_bytes.max(resident);
        let states: Vec<_> = children.iter_mut().map(|c| c.try_wait().unwrap()).collect();
        if let Some(failed) = states.iter().flatten().find(|status| !status.success()) {
            panic!("{:?}: {failed}", commands[0]);
        }
        if states.iter().all(Option::is_some) {
            return (started.elapsed().as_secs_f64(), peak_bytes);
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// VmHWM of a process and its children; 0 once it is gone.
fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0);
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let of_children: u64 = children
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .map(resident_bytes)
        .sum();
    own * 1024 + of_children
}

fn size_below(path: &Path) -> u64 {
    let metadata = path.symlink_metadata().unwrap();
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = std::fs::read_dir(path).unwrap();
    entries
        .map(|entry| size_below(&entry.unwrap().path()))
        .sum()
}

/// Each figure's own median.
fn median(runs: &[Run]) -> Run {
    let mut seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let middle = |of: fn(&Run) -> u64| {
        let mut values: Vec<u64> = runs.iter().map(of).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    Run {
        seconds: seconds[seconds.len() / 2],
        bytes: middle(|run| run.bytes),
        peak_bytes: middle(|run| run.peak_bytes),
    }
}

fn or_dash(is_known: bool, value: f64) -> String {
    if is_known {
        format!("{value:.2}")
    } else {
        "-".into()
    }
}

#[allow(clippy::cast_precision_loss, reason = "three digits are printed")]
fn ratio(value: u64, of: u64) -> f64 {
    value as f64 / of as f64
}

fn megabytes(bytes: u64) -> f64 {
    ratio(bytes, 1_000_000)
}
