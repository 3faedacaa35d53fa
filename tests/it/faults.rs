//! Crashes of the server, broken lines and killed restores, at random moments, in place, in one transaction and by a swap: in the
//! end all is as in the source, once.
//!
//! `scripts/faults.sh` makes 300 runs; `PGSTOW_TEST_FAULTS` and `PGSTOW_TEST_SEED` say how many and which.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::harness::pgstow::command;
use crate::harness::server::{client_dir, newest_alone};
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

/// How it is restored, and how that goes if nothing disturbs it.
#[derive(Debug)]
struct Way {
    /// All or nothing: in place it can be resumed instead.
    is_whole: bool,
    options: &'static [&'static str],
    archive: PathBuf,
    /// Of progress.
    lines: u64,
    /// To the server.
    bytes: u64,
}

struct Trial {
    server: &'static Server,
    ways: Vec<Way>,
    source: Snapshot,
    old: Snapshot,
    target: Database,
    proxy: Proxy,
    _dir: tempfile::TempDir,
}

impl Trial {
    fn new(server: &'static Server) -> Trial {
        let source = Database::filled(server, SOURCE);
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("a.sql.gz");
        pgstow(["create", &source.url(), "-o", ours.to_str().unwrap()]).expect_status(0);
        let theirs = dir.path().join("a.dump");
        let dumped = Command::new(client_dir().join("pg_dump"))
            .args(["-Fc", "-d", &source.url(), "-f"])
            .arg(&theirs)
            .status();
        assert!(dumped.unwrap().success());
        let way = |is_whole, options, archive: &PathBuf| Way {
            is_whole,
            options,
            archive: archive.clone(),
            lines: 0,
            bytes: 0,
        };
        let target = Database::empty(server);
        let mut trial = Trial {
            server,
            ways: vec![
                way(false, &[], &ours),
                way(false, &[], &ours),
                way(false, &[], &theirs),
                way(true, &["--swap", "--drop-old"], &ours),
                way(true, &["-1"], &ours),
                way(true, &["-1"], &theirs),
            ],
            source: Snapshot::of(&source).unwrap(),
            old: Snapshot::of(&target).unwrap(),
            target,
            proxy: Proxy::to(server.port),
            _dir: dir,
        };
        trial.reset();
        trial.old = Snapshot::of(&trial.target).unwrap();
        let mut ways = std::mem::take(&mut trial.ways);
        for way in &mut ways {
            let before = trial.proxy.sent();
            let mut child = trial.start(way, &[]);
            let lines = BufReader::new(child.stderr.take().unwrap()).lines();
            way.lines = lines.count() as u64;
            assert_eq!(child.wait().unwrap().code(), Some(0), "{way:?}");
            way.bytes = trial.proxy.sent() - before;
            trial.target.sql("DROP TABLE IF EXISTS untouched");
            trial.expect(&trial.source, "nothing disturbed it");
            trial.reset();
        }
        trial.ways = ways;
        trial
    }

    /// The target as it was before the restore, and no other database beside it.
    fn reset(&self) {
        let psql = |script: &str| {
            crate::harness::database::run_psql(self.server, "postgres", script).unwrap()
        };
        let name = &self.target.name;
        let all = psql(&format!(
            "SELECT datname FROM pg_database WHERE datname = '{name}' OR datname LIKE '{name}\\_%'"
        ));
        for name in all.lines() {
            psql(&format!("DROP DATABASE {name}"));
        }
        psql(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        // The server's own setting would let a crash forget it.
        self.target
            .sql(&format!("SET synchronous_commit = on; {OLD}"));
    }

    fn start(&self, way: &Way, options: &[&str]) -> Child {
        command()
            .args(["restore", "--yes", "--progress", "json"])
            .args(way.options)
            .args(options)
            .arg(&way.archive)
            .arg(self.server.url_through(self.proxy.port, &self.target.name))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// One call, disturbed at a random moment. Gives what it said, too.
    fn disturbed(
        &self,
        way: &Way,
        options: &[&str],
        fault: Fault,
        random: &mut Random,
    ) -> (End, String) {
        // The moments around the last COMMIT are few, and matter.
        let is_late = random.below(3) == 0;
        let moment = |random: &mut Random, all: u64, last: u64| match is_late {
            true => all.saturating_sub(random.below(last)),
            false => random.below(all),
        };
        if let Fault::Cut = fault {
            self.proxy.cut_after(moment(random, way.bytes, 500));
        }
        let at = moment(random, way.lines, 8);
        let mut child = self.start(way, options);
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
            // All but the statistics, or but for the old database of a swap.
            Some(3) => End::Done,
            Some(6) => End::Unfinished,
            None => End::Killed,
            Some(status) => panic!("{fault:?} ended with status {status}:\n{said}"),
        };
        // A cut that never came must not hit what comes next.
        self.proxy.cut_never();
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

    fn run(&self, random: &mut Random) {
        let way = &self.ways[usize::try_from(random.below(self.ways.len() as u64)).unwrap()];
        let faults: Vec<Fault> = (0..=random.below(FAULTS_IN_A_ROW))
            .map(|_| {
                let faults = [Fault::Kill, Fault::Interrupt, Fault::Crash, Fault::Cut];
                faults[usize::try_from(random.below(4)).unwrap()]
            })
            .collect();
        match way.is_whole {
            true => self.run_whole(way, &faults, random),
            false => self.run_resumable(way, &faults, random),
        }
        self.reset();
    }

    /// Disturbs a restore that is all or nothing: after each call the target is old or new. Lets it through at last.
    fn run_whole(&self, way: &Way, faults: &[Fault], random: &mut Random) {
        let mut done = false;
        let mut story = format!("{way:?}\n");
        for &fault in faults {
            let options = [["--retry-for=0", "--retry-for=60"][usize::from(random.below(4) != 0)]];
            let (end, said) = self.disturbed(way, &options, fault, random);
            story.push_str(&format!("{fault:?} {options:?}: {end:?}\n{said}"));
            self.target.wait_for_quiet();
            let is_new = self.is_new();
            match end {
                End::Done => assert!(is_new, "it said that it was done\n{story}"),
                End::Unchanged => assert!(!is_new, "it said that nothing was changed\n{story}"),
                End::Unfinished | End::Killed => {}
            }
            if !is_new {
                self.expect(&self.old, &story);
                continue;
            }
            // A crash after the COMMIT empties the unlogged table. Once more, then.
            let was_emptied = matches!(fault, Fault::Crash)
                && self.target.sql("SELECT count(*) FROM fleeting") == "0\n";
            done = !was_emptied;
            break;
        }
        if !done {
            let mut child = self.start(way, &[]);
            let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(0), "{story}:\n{said}");
            let built = format!(
                "SELECT count(*) FROM pg_database WHERE datname LIKE '{}\\_pgstow\\_%'",
                self.target.name
            );
            assert_eq!(self.target.sql(&built), "0\n", "{story}:\n{said}");
        }
        self.target.sql("DROP TABLE IF EXISTS untouched");
        self.expect(&self.source, &story);
    }

    /// Disturbs a restore some times, lets it through at last and compares.
    fn run_resumable(&self, way: &Way, faults: &[Fault], random: &mut Random) {
        let jobs = format!("-j{}", 1 + random.below(4));
        let mut done = false;
        let mut story = format!("{way:?}\n");
        for &fault in faults {
            // Either pgstow goes on by itself or by command.
            let patience = ["--retry-for=0", "--retry-for=60"][usize::from(random.below(4) != 0)];
            let mut options = vec![jobs.as_str(), patience];
            options.extend(self.is_unfinished().then_some("--resume"));
            let (end, said) = self.disturbed(way, &options, fault, random);
            story.push_str(&format!("{fault:?} {options:?}: {end:?}\n{said}"));
            self.target.wait_for_quiet();
            let is_over = end == End::Done && !said.contains("Trying again");
            if matches!(fault, Fault::Crash) && is_over
                || said.contains("has emptied unlogged tables")
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
            let mut child = self.start(way, &options);
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
    let runs = number("PGSTOW_TEST_FAULTS", 4);
    let server = newest_alone();
    let trial = Trial::new(server);
    for run in 0..runs {
        // Each run has its own seed: the one that failed can be had alone.
        let seed = seed + run;
        println!("run {run} of {runs}: PGSTOW_TEST_SEED={seed} PGSTOW_TEST_FAULTS=1");
        trial.run(&mut Random(seed));
    }
}
