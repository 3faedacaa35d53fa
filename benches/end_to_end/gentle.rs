//! What is left for others while a database is dumped: pgbench on the same server, with dumps beside it.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::bench::{Bench, Contender};
use crate::cases::fill_two;
use crate::measure::median;
use crate::report::{Section, medians_of, or_dash};

/// What pgbench reached in one run.
struct Load {
    transactions_per_second: f64,
    /// Milliseconds that 99 of 100 transactions took at most.
    p99: f64,
    /// Dumps that were done meanwhile, the last one in part.
    dumps: f64,
}

/// pgbench's database: 100 000 accounts each.
const BRANCHES: &str = "10";
const CLIENTS: &str = "4";
const SECONDS: u64 = 10;

/// Runs pgbench alone, then beside dumps of the two large tables that follow each other until it is done.
pub(crate) fn beside_pgbench(bench: &Bench) -> Section {
    fill_two(bench);
    bench.fresh("bench_workload");
    let mut fill = bench.pgbench();
    let filled = fill.args(["-i", "-q", "-s", BRANCHES, "bench_workload"]);
    assert!(filled.status().unwrap().success(), "pgbench -i failed");

    let contenders = [
        None,
        Some(bench.pg_dump(&["-Fd", "-j2"])),
        Some(bench.create(&["-j2"])),
        Some(bench.create(&["-j1"])),
        Some(bench.create(&["-j2", "--max-rate", "20MiB"])),
        Some(bench.create(&["-j2", "--max-load", "2"])),
    ];
    // The first run on fresh tables is slower than all others.
    measure(bench, None);
    let loads = bench.in_turns(&contenders, |beside| measure(bench, beside.as_ref()));
    bench.sql("postgres", "DROP DATABASE bench_workload");

    let middle = |loads: &[Load], of: fn(&Load) -> f64| median(loads.iter().map(of).collect());
    let alone = middle(&loads[0], |load| load.transactions_per_second);
    let rows = contenders.iter().zip(&loads).map(|(beside, loads)| {
        let transactions = middle(loads, |load| load.transactions_per_second);
        let dumps = middle(loads, |load| load.dumps);
        let name = beside.as_ref().map_or("nothing", |it| it.name.trim());
        vec![
            name.to_owned(),
            format!("{transactions:.0}"),
            format!("{:.2}", transactions / alone),
            format!("{:.1}", middle(loads, |load| load.p99)),
            or_dash(dumps > 0.0, dumps, 1),
        ]
    });
    Section {
        title: "What is left for others".to_owned(),
        about: format!(
            "pgbench with {CLIENTS} clients for {SECONDS} seconds a round, as fast as it can; beside it one dump after the other of {}; {}",
            bench.size("bench_two"),
            medians_of(bench.rounds)
        ),
        head: &["beside it", "transactions/s", "ratio", "p99 in ms", "dumps"],
        rows: rows.collect(),
        goals: Vec::new(),
        bars: Vec::new(),
    }
}

fn measure(bench: &Bench, beside: Option<&Contender>) -> Load {
    let dir = tempfile::tempdir_in(bench.dir.path()).unwrap();
    bench.sql("bench_workload", "VACUUM pgbench_branches");
    bench.sql("postgres", "CHECKPOINT");
    let mut command = bench.pgbench();
    command
        .args(["-n", "-c", CLIENTS, "-T", &SECONDS.to_string(), "--log"])
        .arg(format!("--log-prefix={}", dir.path().join("log").display()))
        .arg("bench_workload")
        .stderr(std::process::Stdio::null());
    let began = Instant::now();
    let mut pgbench = command.spawn().unwrap();
    let dumps = match beside {
        None => 0.0,
        Some(contender) => dumps_until_done(contender, dir.path(), &mut pgbench),
    };
    assert!(pgbench.wait().unwrap().success(), "pgbench failed");
    let seconds = began.elapsed().as_secs_f64();
    let latencies = latencies(dir.path());
    Load {
        transactions_per_second: f64::from(u32::try_from(latencies.len()).unwrap()) / seconds,
        p99: latencies[latencies.len() * 99 / 100],
        dumps,
    }
}

/// How many dumps were made until pgbench was done. The last one is killed and counts by its time as a part of those before it.
fn dumps_until_done(contender: &Contender, dir: &Path, pgbench: &mut Child) -> f64 {
    let mut times: Vec<f64> = Vec::new();
    loop {
        let out = tempfile::tempdir_in(dir).unwrap();
        let began = Instant::now();
        let mut commands: Vec<Command> = contender.commands("bench_two", out.path());
        let mut dump = commands[0].spawn().unwrap();
        let ended = loop {
            if let Some(status) = dump.try_wait().unwrap() {
                assert!(status.success(), "{}: {status}", contender.name);
                break true;
            }
            if pgbench.try_wait().unwrap().is_some() {
                dump.kill().unwrap();
                dump.wait().unwrap();
                break false;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let took = began.elapsed().as_secs_f64();
        if ended {
            times.push(took);
            continue;
        }
        let done = f64::from(u32::try_from(times.len()).unwrap());
        return match times.is_empty() {
            true => done,
            false => done + (took / median(times)).min(1.0),
        };
    }
}

/// Milliseconds of each transaction, sorted: the third field of pgbench's log, in microseconds. Manual: pgbench, "Per-Transaction Logging".
fn latencies(dir: &Path) -> Vec<f64> {
    let files = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| path.is_file());
    let mut latencies: Vec<f64> = logs
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let of_line = |line: &str| -> f64 { line.split(' ').nth(2).unwrap().parse().unwrap() };
            text.lines()
                .map(|line| of_line(line) / 1000.0)
                .collect::<Vec<_>>()
        })
        .collect();
    latencies.sort_by(f64::total_cmp);
    assert!(!latencies.is_empty(), "pgbench did nothing");
    latencies
}
