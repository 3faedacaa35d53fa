//! Dump and restore end to end, beside pg_dump, pg_restore and the bare `COPY TO` on the same machine.
//!
//! ```text
//! scripts/test.sh --no-run          # once: fetches a server and clients
//! cargo bench --bench end_to_end
//! PGSTOW_BENCH_SCALE=0.1 PGSTOW_BENCH_ROUNDS=1 PGSTOW_BENCH_ONLY=two,schema cargo bench --bench end_to_end
//! PGSTOW_BENCH_TABLES=50000 PGSTOW_BENCH_ONLY=schema cargo bench --bench end_to_end
//! PGHOST=localhost PGPORT=5499 PGUSER=postgres PGPASSWORD=pgstow cargo bench --bench end_to_end
//! cargo bench --features isal --bench end_to_end   # gzip by ISA-L; without it, by libdeflate
//! ```
//!
//! Contenders take turns within a round; figures are medians of rounds. `peak` is the highest sum of resident memory
//! (VmHWM) of a contender's processes, read every few milliseconds. CPU is user and system time: of the contender's processes, and of
//! the server's, if that runs on this host and does nothing else.
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
    let scenarios: [(&str, Scenario); 7] = [
        ("two", two_large_tables),
        ("one", one_large_table),
        ("schema", many_small_tables),
        ("text", text_and_jsonb),
        ("restore_one", restore_of_one_table),
        ("restore_two", restore_of_two_tables),
        ("resume", resume_after_a_cut),
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

/// (e) five million rows and four indexes on them.
fn restore_of_one_table(bench: &Bench) {
    bench.fill("bench_indexed", &[&bench.indexed()]);
    bench.print_size(
        "(e) restore of one table with four indexes",
        "bench_indexed",
    );
    bench.compare_restores("bench_indexed");
}

/// (f) the tables of (a), without a dump beside them.
fn restore_of_two_tables(bench: &Bench) {
    bench.fill("bench_two", &[&bench.texts(), &bench.numbers()]);
    bench.print_size("(f) restore of two large tables", "bench_two");
    bench.compare_restores("bench_two");
}

/// (g) what is left to do after a restore of (e) and (f) was killed at nine tenths of its time.
fn resume_after_a_cut(bench: &Bench) {
    bench.fill("bench_indexed", &[&bench.indexed()]);
    bench.print_size("(g) resume, one table with four indexes", "bench_indexed");
    bench.compare_resumes("bench_indexed");
    bench.fill("bench_two", &[&bench.texts(), &bench.numbers()]);
    bench.print_size("(g) resume, two large tables", "bench_two");
    bench.compare_resumes("bench_two");
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
const INDEXED_ROWS: f64 = 5_000_000.0;
/// When a restore is cut off, as a share of the time that a whole one takes.
const CUT: f64 = 0.9;

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
    client_cpu: f64,
    server_cpu: f64,
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

    fn indexed(&self) -> String {
        let numbers = numbers_script(self.scaled(INDEXED_ROWS));
        format!(
            "{numbers} ALTER TABLE numbers ADD PRIMARY KEY (id); CREATE INDEX ON numbers (a);
             CREATE INDEX ON numbers (b); CREATE INDEX ON numbers (at, small);"
        )
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
            let run = self.run(&mut (contender.commands)(database, dir.path()));
            Run {
                bytes: size_below(dir.path()),
                ..run
            }
        });
    }

    /// Restores what pg_dump and pgstow made of the database, each into a fresh one: without statistics, and with.
    fn compare_restores(&self, database: &str) {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        let archive = self.archive(database, dir.path());
        let directory = dir.path().join("out");
        self.run(&mut (self.pg_dump("", &["-Fd", "-j2"]).commands)(
            database,
            dir.path(),
        ));
        let analyzing = format!(
            "set -e; '{bin}/pg_restore' -j2 -d \"$1\" '{dir}'; '{bin}/vacuumdb' -q -j2 --analyze-only -d \"$1\"",
            bin = client_dir().display(),
            dir = directory.display(),
        );
        let pg_restore = self.command(client_dir().join("pg_restore"));
        let contenders = vec![
            contender("pg_restore -j2", pg_restore, move |command, target, _| {
                command.args(["-j2", "-d", target]).arg(&directory);
            }),
            self.restore("pgstow restore --no-analyze", &archive, &["--no-analyze"]),
            contender(
                "pg_restore and ANALYZE",
                self.command("sh"),
                move |command, target, _| {
                    command.args(["-c", &analyzing, "sh", target]);
                },
            ),
            self.restore("pgstow restore", &archive, &[]),
        ];
        self.take_turns(&contenders, |contender| {
            self.fresh(RESTORED);
            self.sql("postgres", "CHECKPOINT");
            self.run(&mut (contender.commands)(RESTORED, dir.path()))
        });
        self.sql("postgres", &format!("DROP DATABASE {RESTORED}"));
    }

    /// Restores the database, again until [`CUT`] of that time, and then what is left.
    fn compare_resumes(&self, database: &str) {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        let archive = self.archive(database, dir.path());
        let whole = self.restore("", &archive, &["--no-analyze"]);
        let rest = self.restore("", &archive, &["--no-analyze", "--resume"]);
        let mut runs: [Vec<Run>; 2] = Default::default();
        for _ in 0..self.rounds {
            self.fresh(RESTORED);
            let full = self.run(&mut (whole.commands)(RESTORED, dir.path()));
            self.fresh(RESTORED);
            let mut killed = (whole.commands)(RESTORED, dir.path())[0].spawn().unwrap();
            std::thread::sleep(Duration::from_secs_f64(full.seconds * CUT));
            killed.kill().unwrap();
            assert!(
                !killed.wait().unwrap().success(),
                "it was done before the cut"
            );
            runs[0].push(full);
            runs[1].push(self.run(&mut (rest.commands)(RESTORED, dir.path())));
        }
        print_head();
        let full = median(&runs[0]);
        print_run("whole restore", full, full);
        print_run("--resume after a cut at 90 %", median(&runs[1]), full);
        self.sql("postgres", &format!("DROP DATABASE {RESTORED}"));
    }

    /// An archive of the database.
    fn archive(&self, database: &str, dir: &Path) -> PathBuf {
        let create = self.pgstow("", &["-j2"], "sql.gz");
        self.run(&mut (create.commands)(database, dir));
        dir.join("out.sql.gz")
    }

    fn restore(&self, name: &str, archive: &Path, options: &[&str]) -> Contender {
        let pgstow = self.command(env!("CARGO_BIN_EXE_pgstow"));
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let archive = archive.to_owned();
        contender(name, pgstow, move |command, target, _| {
            command.args(["restore", "-j2", "--yes", "--progress", "none"]);
            command.args(&options).arg(&archive).arg(target);
            command.stderr(Stdio::null());
        })
    }

    /// Runs commands side by side.
    fn run(&self, commands: &mut [Command]) -> Run {
        let postmaster = self.postmaster();
        let (client, server) = (cpu_of_waited_children("self"), server_cpu(postmaster));
        let (seconds, peak_bytes) = run(commands);
        Run {
            seconds,
            bytes: 0,
            peak_bytes,
            client_cpu: cpu_of_waited_children("self") - client,
            server_cpu: server_cpu(postmaster) - server,
        }
    }

    /// The parent of the processes that serve connections.
    fn postmaster(&self) -> Option<u32> {
        let backend = self.sql(
            "postgres",
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'",
        );
        let status = std::fs::read_to_string(format!("/proc/{backend}/status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        parent.trim().parse().ok()
    }

    fn take_turns(&self, contenders: &[Contender], measure: impl Fn(&Contender) -> Run) {
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); contenders.len()];
        for _ in 0..self.rounds {
            for (contender, runs) in contenders.iter().zip(&mut runs) {
                runs.push(measure(contender));
            }
        }
        print_head();
        let first = median(&runs[0]);
        for (contender, runs) in contenders.iter().zip(&runs) {
            print_run(&contender.name, median(runs), first);
        }
    }
}

fn print_head() {
    println!(
        "  {:<30}{:>9}{:>8}{:>11}{:>8}{:>11}{:>12}{:>12}",
        "", "seconds", "ratio", "MB", "ratio", "peak MiB", "client CPU", "server CPU"
    );
}

/// `first`: what ratios are of.
fn print_run(name: &str, run: Run, first: Run) {
    println!(
        "  {name:<30}{:>9.2}{:>8.2}{:>11}{:>8}{:>11.1}{:>12.2}{:>12}",
        run.seconds,
        run.seconds / first.seconds,
        or_dash(run.bytes > 0, megabytes(run.bytes)),
        or_dash(run.bytes > 0, ratio(run.bytes, first.bytes)),
        ratio(run.peak_bytes, 1 << 20),
        run.client_cpu,
        or_dash(run.server_cpu > 0.0, run.server_cpu),
    );
}

/// The database that restores go into.
const RESTORED: &str = "bench_restored";

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

/// Seconds of user and system time: of a process itself and of its children that have ended. Manual: proc_pid_stat(5).
fn cpu_times(pid: &str) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the program's name, in parentheses.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<f64> = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse().ok())
        .collect();
    match ticks[..] {
        [user, system, waited_user, waited_system] => (
            (user + system) / TICKS_PER_SECOND,
            (waited_user + waited_system) / TICKS_PER_SECOND,
        ),
        _ => (0.0, 0.0),
    }
}

/// USER_HZ, which is 100 on every architecture that pgstow is built for.
const TICKS_PER_SECOND: f64 = 100.0;

fn cpu_of_waited_children(pid: &str) -> f64 {
    cpu_times(pid).1
}

/// Of the postmaster, of its children that live, and of those that have ended; 0 if it is not on this host.
fn server_cpu(postmaster: Option<u32>) -> f64 {
    let Some(pid) = postmaster.map(|pid| pid.to_string()) else {
        return 0.0;
    };
    let (own, of_ended) = cpu_times(&pid);
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let of_living: f64 = children
        .unwrap_or_default()
        .split_whitespace()
        .map(|pid| cpu_times(pid).0)
        .sum();
    own + of_ended + of_living
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
    let middle_of = |of: fn(&Run) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let middle = |of: fn(&Run) -> u64| {
        let mut values: Vec<u64> = runs.iter().map(of).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    Run {
        seconds: middle_of(|run| run.seconds),
        bytes: middle(|run| run.bytes),
        peak_bytes: middle(|run| run.peak_bytes),
        client_cpu: middle_of(|run| run.client_cpu),
        server_cpu: middle_of(|run| run.server_cpu),
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
