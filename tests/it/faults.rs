//! Crashes of the server, broken lines and killed restores, at random moments: in the end all is as in the source, once.
//!
//! `scripts/faults.sh` makes 300 runs; `PGSTOW_TEST_FAULTS` and `PGSTOW_TEST_SEED` say how many and which.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::harness::pgstow::command;
use crate::harness::server::wanted_majors;
use crate::harness::{Database, Proxy, Server, Snapshot, differences, pgstow};
use crate::resume::{OLD, SOURCE};

/// Faults in a row before a restore is let through.
const FAULTS_IN_A_ROW: u64 = 3;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// SIGKILL of pgstow.
    Kill,
    /// SIGINT of pgstow.
    Interrupt,
    /// The server dies at once and comes back.
    Crash,
    /// All connections break.
    Cut,
}

/// What came of one call of pgstow.
#[derive(Debug, PartialEq)]
enum End {
    Done,
    /// The target is as before.
    Unchanged,
    Unfinished,
    Killed,
}

/// A reproducible source of numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

struct Trial {
    server: &'static Server,
    archive: PathBuf,
    source: Snapshot,
    old: Snapshot,
    target: Database,
    proxy: Proxy,
    /// Of a restore that nothing disturbs: lines of progress, bytes to the server.
    lines: u64,
    bytes: u64,
    _dir: tempfile::TempDir,
}

impl Trial {
    fn new(server: &'static Server) -> Trial {
        let source = Database::filled(server, SOURCE);
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.sql.gz");
        pgstow(["create", &source.url(), "-o", archive.to_str().unwrap()]).expect_status(0);
        let target = Database::empty(server);
        let mut trial = Trial {
            server,
            archive,
            source: Snapshot::of(&source).unwrap(),
            old: Snapshot::of(&target).unwrap(),
            target,
            proxy: Proxy::to(server.port),
            lines: 0,
            bytes: 0,
            _dir: dir,
        };
        let mut child = trial.start(&["-j2"]);
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        trial.lines = lines.count() as u64;
        assert_eq!(child.wait().unwrap().code(), Some(0));
        trial.bytes = trial.proxy.sent();
        trial.expect(&trial.source, "nothing disturbed it");
        trial.reset();
        trial.old = Snapshot::of(&trial.target).unwrap();
        trial
    }

    /// The target as it was before the restore.
    fn reset(&self) {
        self.target.drop_now();
        crate::harness::database::run_psql(
            self.server,
            "postgres",
            &format!("CREATE DATABASE {} TEMPLATE template0", self.target.name),
        )
        .unwrap();
        // The server's own setting would let a crash forget it.
        self.target
            .sql(&format!("SET synchronous_commit = on; {OLD}"));
    }

    fn start(&self, options: &[&str]) -> Child {
        command()
            .args(["restore", "--yes", "--progress", "json"])
            .args(options)
            .arg(&self.archive)
            .arg(self.server.url_through(self.proxy.port, &self.target.name))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// One call, disturbed at a random moment. Gives what it said, too.
    fn disturbed(&self, options: &[&str], fault: Fault, random: &mut Random) -> (End, String) {
        if let Fault::Cut = fault {
            self.proxy.cut_after(random.below(self.bytes));
        }
        let at = random.below(self.lines);
        let mut child = self.start(options);
        let mut said = String::new();
        for (number, line) in (0..).zip(BufReader::new(child.stderr.take().unwrap()).lines()) {
            said.push_str(&line.unwrap());
            said.push('\n');
            if number == at {
                match fault {
                    Fault::Kill => child.kill().unwrap(),
                    Fault::Interrupt => crate::harness::pgstow::signal(&child, "-INT"),
                    Fault::Crash => self.server.crash(),
                    Fault::Cut => {}
                }
            }
        }
        let end = match child.wait().unwrap().code() {
            Some(0) => End::Done,
            Some(1 | 20 | 130) => End::Unchanged,
            Some(6) => End::Unfinished,
            None => End::Killed,
            Some(status) => panic!("{fault:?} ended with status {status}:\n{said}"),
        };
        (end, said)
    }

    #[track_caller]
    fn expect(&self, wanted: &Snapshot, why: &str) {
        if let Some(difference) = differences(wanted, &Snapshot::of(&self.target).unwrap()) {
            panic!("{why}:\n{difference}");
        }
    }

    fn is_unfinished(&self) -> bool {
        let query = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pgstow%'";
        self.target.sql(query) != "0\n"
    }

    /// Disturbs a restore some times, lets it through at last and compares.
    fn run(&self, random: &mut Random) {
        let jobs = format!("-j{}", 1 + random.below(4));
        let faults = 1 + random.below(FAULTS_IN_A_ROW);
        let mut done = false;
        let mut story = String::new();
        for _ in 0..faults {
            let fault = [Fault::Kill, Fault::Interrupt, Fault::Crash, Fault::Cut]
                [usize::try_from(random.below(4)).unwrap()];
            // Either pgstow goes on by itself or by command.
            let patience = ["--retry-for=0", "--retry-for=60"][usize::from(random.below(4) != 0)];
            let mut options = vec![jobs.as_str(), patience];
            options.extend(self.is_unfinished().then_some("--resume"));
            let (end, said) = self.disturbed(&options, fault, random);
            story.push_str(&format!("{fault:?} {options:?}: {end:?}\n{said}"));
            if let (End::Done, Fault::Crash) = (&end, fault)
                && !said.contains("Trying again")
            {
                // The restore was over, and the crash emptied the unlogged table. Once more, then.
                break;
            }
            if end == End::Done || end == End::Killed && !self.is_unfinished() && self.is_new() {
                done = true;
                break;
            }
            if !self.is_unfinished() {
                self.expect(
                    &self.old,
                    &format!("it stopped before its first change\n{story}"),
                );
            }
        }
        if !done {
            let resume = self.is_unfinished().then_some("--resume");
            let options: Vec<&str> = [jobs.as_str()].into_iter().chain(resume).collect();
            let mut child = self.start(&options);
            let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
            assert_eq!(
                child.wait().unwrap().code(),
                Some(0),
                "{story}{options:?}:\n{said}"
            );
        }
        assert!(!self.is_unfinished(), "a record is left\n{story}");
        self.target.sql("DROP TABLE untouched");
        self.expect(&self.source, &story);
        self.reset();
    }

    /// Whether the target has what only the source has.
    fn is_new(&self) -> bool {
        self.target
            .sql("SELECT to_regclass('public.other') IS NOT NULL")
            == "t\n"
    }
}

#[test]
fn faults_at_random_moments() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = number("PGSTOW_TEST_SEED", u64::from(now.unwrap().subsec_nanos()));
    let runs = number("PGSTOW_TEST_FAULTS", 8);
    let newest = wanted_majors().into_iter().max().unwrap();
    let server: &'static Server = Box::leak(Box::new(Server::alone(newest)));
    let trial = Trial::new(server);
    for run in 0..runs {
        // Each run has its own seed: the one that failed can be had alone.
        let seed = seed + run;
        println!("run {run} of {runs}: PGSTOW_TEST_SEED={seed} PGSTOW_TEST_FAULTS=1");
        trial.run(&mut Random(seed));
    }
}
