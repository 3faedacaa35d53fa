//! The server, the databases on it, and the contenders.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::Server;
use crate::harness::server::{client_dir, client_dir_17, wanted_majors};
use crate::link::{self, Line};
use crate::measure::{Run, run, size_below, until_line};
use crate::report::Comparison;

/// Measured: the scale 1.0 gives tables of 480 and 420 MB.
const TEXT_ROWS: f64 = 1_150_000.0;
const NUMBER_ROWS: f64 = 4_700_000.0;
const INDEXED_ROWS: f64 = 5_000_000.0;

/// The database that restores go into.
pub(crate) const RESTORED: &str = "bench_restored";

/// One way to do the job: it is given the database and a directory, and leaves its output there.
pub(crate) struct Contender {
    pub(crate) name: String,
    commands: Box<Commands>,
}

type Commands = dyn Fn(&str, &Path) -> Vec<Command>;

impl Contender {
    pub(crate) fn commands(&self, database: &str, dir: &Path) -> Vec<Command> {
        (self.commands)(database, dir)
    }

    /// The same by way of another port.
    fn through(self, port: u16) -> Contender {
        let commands = self.commands;
        Contender {
            name: self.name,
            commands: Box::new(move |database, dir| {
                let mut commands = commands(database, dir);
                for command in &mut commands {
                    command.env("PGPORT", port.to_string());
                }
                commands
            }),
        }
    }
}

pub(crate) struct Bench {
    host: String,
    port: String,
    user: String,
    scale: f64,
    pub(crate) tables: u32,
    pub(crate) rounds: usize,
    only: Vec<String>,
    /// Where the report goes.
    pub(crate) report_into: Option<PathBuf>,
    /// Of the pg_dump and pg_restore to compare with.
    client: PathBuf,
    pub(crate) dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn from_environment() -> Bench {
        let variable = |name: &str| std::env::var(name).ok();
        let number = |name: &str, default: f64| {
            variable(name).map_or(default, |text| text.parse().expect("a number"))
        };
        let port = variable("PGPORT").unwrap_or_else(|| {
            let newest = wanted_majors().into_iter().max().unwrap();
            Server::of_major(newest).port.to_string()
        });
        Bench {
            host: variable("PGHOST").unwrap_or_else(|| "127.0.0.1".into()),
            port,
            user: variable("PGUSER").unwrap_or_else(|| "postgres".into()),
            scale: number("PGSTOW_BENCH_SCALE", 1.0),
            tables: variable("PGSTOW_BENCH_TABLES")
                .map_or(2000, |text| text.parse().expect("a number of tables")),
            rounds: variable("PGSTOW_BENCH_ROUNDS")
                .map_or(3, |text| text.parse().expect("a number of rounds")),
            only: variable("PGSTOW_BENCH_ONLY")
                .map(|names| names.split(',').map(str::to_owned).collect())
                .unwrap_or_default(),
            report_into: variable("PGSTOW_BENCH_REPORT").map(PathBuf::from),
            client: variable("PGSTOW_BENCH_CLIENT")
                .map_or_else(|| client_dir().to_owned(), PathBuf::from),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == case)
    }

    pub(crate) fn text_rows(&self) -> u64 {
        self.scaled(TEXT_ROWS)
    }

    pub(crate) fn number_rows(&self) -> u64 {
        self.scaled(NUMBER_ROWS)
    }

    pub(crate) fn indexed_rows(&self) -> u64 {
        self.scaled(INDEXED_ROWS)
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rows in millions"
    )]
    pub(crate) fn scaled(&self, rows: f64) -> u64 {
        (rows * self.scale) as u64
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("PGHOST", &self.host)
            .env("PGPORT", &self.port)
            .env("PGUSER", &self.user)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = self.command(client_dir().join("psql"));
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database]);
        psql
    }

    pub(crate) fn pgbench(&self) -> Command {
        self.command(client_dir().join("pgbench"))
    }

    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = self.psql(database);
        let output = psql
            .args(["-c", sql])
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        assert!(output.status.success(), "psql failed");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(crate) fn fresh(&self, database: &str) {
        self.sql("postgres", &format!("DROP DATABASE IF EXISTS {database}"));
        self.sql(
            "postgres",
            &format!("CREATE DATABASE {database} TEMPLATE template0"),
        );
    }

    /// Makes the database, unless an earlier case did from the same scripts.
    pub(crate) fn fill(&self, database: &str, scripts: &[String]) {
        self.fill_side_by_side(database, &[scripts.concat()]);
    }

    /// The same by scripts that need nothing of each other, each in a session of its own.
    pub(crate) fn fill_side_by_side(&self, database: &str, scripts: &[String]) {
        let mark = mark(scripts);
        let made = format!("SELECT count(*) FROM pg_database WHERE datname = '{database}'");
        if self.sql("postgres", &made) == "1" && self.is_marked(database, &mark) {
            return;
        }
        self.fresh(database);
        let start = |(number, script): (usize, &String)| {
            // A file, not -c: the script commits as it goes.
            let file = self.dir.path().join(format!("fill-{number}.sql"));
            std::fs::write(&file, script).unwrap();
            self.psql(database).arg("-f").arg(&file).spawn().unwrap()
        };
        let sessions: Vec<_> = scripts.iter().enumerate().map(start).collect();
        for mut psql in sessions {
            assert!(psql.wait().unwrap().success(), "psql failed");
        }
        self.sql(database, "VACUUM ANALYZE");
        self.sql(
            database,
            &format!("COMMENT ON DATABASE {database} IS '{mark}'"),
        );
        self.sql(database, "CHECKPOINT");
    }

    fn is_marked(&self, database: &str, mark: &str) -> bool {
        let comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()";
        self.sql(database, comment) == mark
    }

    pub(crate) fn size(&self, database: &str) -> String {
        self.sql(
            database,
            "SELECT pg_size_pretty(coalesce(sum(pg_table_size(oid)), 0)) FROM pg_class
             WHERE relkind IN ('r', 'm') AND relnamespace = 'public'::regnamespace",
        )
    }

    pub(crate) fn pg_dump(&self, options: &[&str]) -> Contender {
        self.pg_dump_in(&self.client, "", options)
    }

    /// pg_dump of 17, which has lz4 and zstd.
    pub(crate) fn pg_dump_17(&self, options: &[&str]) -> Contender {
        self.pg_dump_in(client_dir_17(), " (17)", options)
    }

    fn pg_dump_in(&self, client: &Path, which: &str, options: &[&str]) -> Contender {
        let name = format!("pg_dump {}{which}", options.join(" "));
        let options = owned(options);
        let pg_dump = self.command(client.join("pg_dump"));
        one(name, pg_dump, move |command, database, dir| {
            command
                .args(&options)
                .arg("-f")
                .arg(dir.join("out"))
                .arg(database);
        })
    }

    /// The plain format through gzip.
    pub(crate) fn pg_dump_gzip(&self) -> Contender {
        let program = self.client.join("pg_dump");
        let script = format!(
            "set -o pipefail; '{}' -Fp \"$1\" | gzip > \"$2\"",
            program.display()
        );
        one(
            "pg_dump -Fp | gzip".to_owned(),
            self.command("bash"),
            move |command, database, dir| {
                command
                    .args(["-c", &script, "bash", database])
                    .arg(dir.join("out"));
            },
        )
    }

    pub(crate) fn create(&self, options: &[&str]) -> Contender {
        let name = format!("pgstow create {}", options.join(" "));
        let pgstow = self.command(env!("CARGO_BIN_EXE_pgstow"));
        let options = owned(options);
        let extension = match &options {
            options if options.iter().any(|it| it == "-s") => "sql",
            options if options.iter().any(|it| it.starts_with("zstd")) => "sql.zst",
            _ => "sql.gz",
        };
        one(name, pgstow, move |command, database, dir| {
            command
                .args(["create", "--progress", "none"])
                .args(&options)
                .arg("-o")
                .arg(dir.join(format!("out.{extension}")))
                .arg(database)
                .stderr(Stdio::null());
        })
    }

    /// Dumps that say on standard output when they begin with the rows, and how they say it.
    fn until_rows(&self) -> ([Contender; 2], [&'static str; 2]) {
        let theirs = self.command(self.client.join("pg_dump"));
        let ours = "exec \"$1\" create -j2 --progress plain -o - \"$2\" 2>&1 >/dev/null";
        let contenders = [
            one("pg_dump -Fp".to_owned(), theirs, |command, database, _| {
                command.args(["-Fp", database]);
            }),
            one(
                "pgstow create -j2".to_owned(),
                self.command("bash"),
                move |command, database, _| {
                    let pgstow = env!("CARGO_BIN_EXE_pgstow");
                    command.args(["-c", ours, "bash", pgstow, database]);
                },
            ),
        ];
        (contenders, ["COPY ", "data"])
    }

    /// What the server alone takes to send rows: statements side by side, to nowhere.
    pub(crate) fn floor(&self, copies: &[&str]) -> Contender {
        let statement = |rows: &&str| format!("COPY {rows} TO STDOUT");
        let statements: Vec<String> = copies.iter().map(statement).collect();
        let template = self.command(client_dir().join("psql"));
        Contender {
            name: format!("COPY TO, {} connections (floor)", copies.len()),
            commands: Box::new(move |database, _| {
                let of_each = statements.iter().map(|statement| {
                    let mut psql = like(&template);
                    psql.args(["-Xq", "-d", database, "-c", statement]);
                    psql
                });
                of_each.collect()
            }),
        }
    }

    /// A copy of a database by way of an archive.
    pub(crate) fn copy_of_database(&self) -> Contender {
        let script = "set -e; \"$1\" create -j2 --progress none -o \"$3/copy.sql.gz\" \"$2\"; \
                      \"$1\" restore -j2 --yes --no-analyze --progress none \"$3/copy.sql.gz\" \"$4\"";
        one(
            "pgstow create -j2, then restore -j2".to_owned(),
            self.command("bash"),
            move |command, database, dir| {
                command
                    .args(["-c", script, "bash", env!("CARGO_BIN_EXE_pgstow"), database])
                    .arg(dir)
                    .arg(RESTORED)
                    .stderr(Stdio::null());
            },
        )
    }

    /// Copies from database to database.
    pub(crate) fn pgcopydb(&self) -> Contender {
        let path = std::env::join_paths(
            std::iter::once(self.client.clone())
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        let mut pgcopydb = self.command("pgcopydb");
        pgcopydb.env("PATH", path.unwrap());
        let base = format!("postgresql://{}@{}:{}", self.user, self.host, self.port);
        one(
            "pgcopydb clone, 2 jobs".to_owned(),
            pgcopydb,
            move |command, database, dir| {
                command
                    .args(["clone", "--table-jobs", "2", "--index-jobs", "2"])
                    .args(["--skip-vacuum", "--skip-analyze", "--source"])
                    .arg(format!("{base}/{database}"))
                    .args(["--target", &format!("{base}/{RESTORED}"), "--dir"])
                    .arg(dir.join("pgcopydb"))
                    .stderr(Stdio::null());
            },
        )
    }

    pub(crate) fn pg_restore(&self, directory: PathBuf) -> Contender {
        let pg_restore = self.command(self.client.join("pg_restore"));
        one(
            "pg_restore -j2".to_owned(),
            pg_restore,
            move |command, target, _| {
                command.args(["-j2", "-d", target]).arg(&directory);
            },
        )
    }

    /// The statistics that pg_restore leaves to the user.
    pub(crate) fn pg_restore_and_analyze(&self, directory: &Path) -> Contender {
        let script = format!(
            "set -e; '{}' -j2 -d \"$1\" '{}'; '{}' -q -j2 --analyze-only -d \"$1\"",
            self.client.join("pg_restore").display(),
            directory.display(),
            client_dir().join("vacuumdb").display(),
        );
        one(
            "pg_restore -j2, then vacuumdb -j2 --analyze-only".to_owned(),
            self.command("bash"),
            move |command, target, _| {
                command.args(["-c", &script, "bash", target]);
            },
        )
    }

    pub(crate) fn restore(&self, archive: &Path, options: &[&str]) -> Contender {
        let name = format!("pgstow restore {}", options.join(" "));
        let pgstow = self.command(env!("CARGO_BIN_EXE_pgstow"));
        let options = owned(options);
        let archive = archive.to_owned();
        one(name, pgstow, move |command, target, _| {
            command
                .args(["restore", "--yes", "--progress", "none"])
                .args(&options)
                .arg(&archive)
                .arg(target)
                .stderr(Stdio::null());
        })
    }

    /// Rows from files over two connections, then statements over two.
    pub(crate) fn restore_floor(
        &self,
        schema: &str,
        loads: [String; 2],
        after: [String; 2],
    ) -> Contender {
        let psql = format!(
            "'{}' -Xq -v ON_ERROR_STOP=1 -d \"$1\"",
            client_dir().join("psql").display()
        );
        let both = |[one, other]: &[String; 2]| {
            format!("{{ {psql} {one} & p=$!; {psql} {other}; wait $p; }}")
        };
        let after = after.map(|sql| format!("-c \"{sql}\""));
        let script = format!(
            "set -e; {psql} -c \"{schema}\"; {}; {}",
            both(&loads),
            both(&after)
        );
        one(
            "COPY FROM and indexes, 2 connections (floor)".to_owned(),
            self.command("bash"),
            move |command, target, _| {
                command.args(["-c", &script, "bash", target]);
            },
        )
    }

    /// Writes rows into a file.
    pub(crate) fn rows_into(&self, database: &str, rows: &str, file: &Path) {
        let to = std::fs::File::create(file).unwrap();
        let mut psql = self.psql(database);
        let copy = format!("COPY {rows} TO STDOUT");
        let status = psql.args(["-c", &copy]).stdout(to).status().unwrap();
        assert!(status.success(), "psql failed");
    }

    /// The same over such a line.
    pub(crate) fn over<const N: usize>(
        &self,
        line: Line,
        contenders: [Contender; N],
    ) -> [Contender; N] {
        let port = link::start(line, (self.host.clone(), self.port.parse().unwrap()));
        contenders.map(|contender| contender.through(port))
    }

    /// Runs dumps in turns; the first contender is 1.00.
    pub(crate) fn compare(
        &self,
        database: &str,
        title: &str,
        contenders: &[Contender],
    ) -> Comparison {
        let about = format!("{} of tables", self.size(database));
        self.take_turns(title, about, contenders, |contender| {
            let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
            let run = self.run(contender, database, dir.path());
            Run {
                bytes: size_below(dir.path()),
                ..run
            }
        })
    }

    /// Runs restores in turns, each into a fresh database.
    pub(crate) fn compare_restores(
        &self,
        database: &str,
        title: &str,
        contenders: &[Contender],
    ) -> Comparison {
        self.fill_in_turns(database, title, contenders, RESTORED)
    }

    /// Runs copies from the database in turns, each into a fresh one.
    pub(crate) fn compare_copies(
        &self,
        database: &str,
        title: &str,
        contenders: &[Contender],
    ) -> Comparison {
        self.fill_in_turns(database, title, contenders, database)
    }

    fn fill_in_turns(
        &self,
        database: &str,
        title: &str,
        contenders: &[Contender],
        argument: &str,
    ) -> Comparison {
        let about = format!("{} of tables", self.size(database));
        let comparison = self.take_turns(title, about, contenders, |contender| {
            let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
            self.fresh(RESTORED);
            self.sql("postgres", "CHECKPOINT");
            self.run(contender, argument, dir.path())
        });
        self.sql("postgres", &format!("DROP DATABASE {RESTORED}"));
        comparison
    }

    fn take_turns(
        &self,
        title: &str,
        about: String,
        contenders: &[Contender],
        measure: impl Fn(&Contender) -> Run,
    ) -> Comparison {
        let runs = self.in_turns(contenders, measure);
        let names = contenders.iter().map(|contender| contender.name.clone());
        Comparison::new(title, about, names.zip(runs).collect())
    }

    /// Measures each as often as there are rounds, every second round backwards.
    pub(crate) fn in_turns<C, M>(
        &self,
        contenders: &[C],
        measure: impl Fn(&C) -> M,
    ) -> Vec<Vec<M>> {
        let mut measured: Vec<Vec<M>> = contenders.iter().map(|_| Vec::new()).collect();
        for round in 0..self.rounds {
            let mut turn: Vec<usize> = (0..contenders.len()).collect();
            if round % 2 == 1 {
                turn.reverse();
            }
            for at in turn {
                measured[at].push(measure(&contenders[at]));
            }
        }
        measured
    }

    /// Runs dumps in turns until the first rows come.
    pub(crate) fn compare_first_rows(&self, database: &str, title: &str) -> Comparison {
        let (contenders, signs) = self.until_rows();
        let about = "catalogs, locks, order and definitions".to_owned();
        self.take_turns(title, about, &contenders, |contender| {
            let command = &mut contender.commands(database, self.dir.path())[0];
            until_line(command, &signs, self.postmaster())
        })
    }

    pub(crate) fn run(&self, contender: &Contender, database: &str, dir: &Path) -> Run {
        run(&mut contender.commands(database, dir), self.postmaster())
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

    /// What programs say of themselves.
    pub(crate) fn versions(&self) -> Vec<String> {
        let says = |program: PathBuf| {
            let output = Command::new(&program).arg("--version").output().ok()?;
            let text = String::from_utf8(output.stdout).ok()?;
            Some(text.lines().next()?.trim().to_owned())
        };
        let server = format!("server: {}", self.sql("postgres", "SHOW server_version"));
        [
            PathBuf::from(env!("CARGO_BIN_EXE_pgstow")),
            self.client.join("pg_dump"),
            client_dir_17().join("pg_dump"),
            PathBuf::from("pgcopydb"),
        ]
        .into_iter()
        .filter_map(says)
        .chain([server])
        .collect()
    }

    pub(crate) fn has_pgcopydb(&self) -> bool {
        Command::new("pgcopydb").arg("--version").output().is_ok()
    }
}

/// What a database is marked with.
fn mark(scripts: &[String]) -> String {
    blake3::hash(scripts.concat().as_bytes())
        .to_hex()
        .to_string()
}

fn owned(options: &[&str]) -> Vec<String> {
    options.iter().map(ToString::to_string).collect()
}

/// A contender that is one process, started like `template`.
fn one(
    name: String,
    template: Command,
    arguments: impl Fn(&mut Command, &str, &Path) + 'static,
) -> Contender {
    Contender {
        name,
        commands: Box::new(move |database, dir| {
            let mut command = like(&template);
            arguments(&mut command, database, dir);
            vec![command]
        }),
    }
}

/// The program and the environment of a template.
fn like(template: &Command) -> Command {
    let mut command = Command::new(template.get_program());
    for (name, value) in template.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}
