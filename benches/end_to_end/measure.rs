//! Runs of processes: time, memory, CPU.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One run of a contender, or the median of several, each figure's own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub(crate) seconds: f64,
    /// What it left in its directory.
    pub(crate) bytes: u64,
    pub(crate) peak_bytes: u64,
    pub(crate) client_cpu: f64,
    /// 0 if it is not known.
    pub(crate) server_cpu: f64,
}

/// Runs commands side by side, the server's processes watched beside them.
pub(crate) fn run(commands: &mut [Command], postmaster: Option<u32>) -> Run {
    watched(postmaster, || time(commands))
}

/// Runs a command until it writes a line that begins so or so, and kills it.
pub(crate) fn until_line(command: &mut Command, starts: &[&str], postmaster: Option<u32>) -> Run {
    watched(postmaster, || {
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .split(b'\n')
            .map(Result::unwrap);
        let is_sign = |line: Vec<u8>| {
            starts
                .iter()
                .any(|start| line.starts_with(start.as_bytes()))
        };
        assert!(
            lines.any(is_sign),
            "{command:?} never wrote one of {starts:?}"
        );
        let (seconds, peak_bytes) = (started.elapsed().as_secs_f64(), resident_bytes(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        (seconds, peak_bytes)
    })
}

/// What the work, which says how long it took and its peak of memory, cost client and server.
fn watched(postmaster: Option<u32>, work: impl FnOnce() -> (f64, u64)) -> Run {
    let (client, server) = (cpu_of_waited_children("self"), server_cpu(postmaster));
    let (seconds, peak_bytes) = work();
    Run {
        seconds,
        bytes: 0,
        peak_bytes,
        client_cpu: cpu_of_waited_children("self") - client,
        server_cpu: server_cpu(postmaster) - server,
    }
}

/// Seconds until the last one is done, and the peak of their memory together.
fn time(commands: &mut [Command]) -> (f64, u64) {
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

pub(crate) fn size_below(path: &Path) -> u64 {
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
pub(crate) fn median_run(runs: &[Run]) -> Run {
    let middle_of = |of: fn(&Run) -> f64| median(runs.iter().map(of).collect());
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

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
