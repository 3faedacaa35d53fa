//! How hard members are compressed where that is left open (`-Z auto`): harder while cores are idle and no rows wait.
//!
//! Where the server or the line to it is the bottleneck, a smaller archive costs nothing. Where rows wait for an encoder, or the
//! server needs the cores itself, nothing is faster than the first level.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::archive::Compression;

/// How long cores are watched before the level changes: the system counts hundredths of a second.
const INTERVAL: Duration = Duration::from_millis(500);

/// Shares of the cores' time that are idle: below the first, a level less; above the second, one more.
const BUSY: f64 = 0.1;
const IDLE: f64 = 0.3;

/// Which of the levels is used now.
pub(super) struct Effort {
    /// From the fastest to the smallest.
    levels: Vec<Compression>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    at: usize,
    /// Somebody did since the cores were looked at.
    waited: bool,
    since: Option<(Instant, Cores)>,
}

/// What all cores did since the system started, in the system's ticks.
#[derive(Clone, Copy)]
struct Cores {
    idle: u64,
    all: u64,
}

impl Effort {
    pub(super) fn new(compression: Compression) -> Effort {
        Effort {
            levels: compression.levels(),
            state: Mutex::default(),
        }
    }

    /// For the next member. `waited`: its rows did, for an encoder.
    pub(super) fn level(&self, waited: bool) -> Compression {
        if let [one] = self.levels[..] {
            return one;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waited |= waited;
        let is_time = |(since, _): (Instant, Cores)| since.elapsed() >= INTERVAL;
        // Where the system does not tell, the fastest it is.
        if state.since.is_none_or(is_time)
            && let Some(cores) = Cores::read()
        {
            if let Some((_, before)) = state.since {
                let last = self.levels.len() - 1;
                state.at = next(state.at, last, cores.idle_since(before), state.waited);
            }
            state.waited = false;
            state.since = Some((Instant::now(), cores));
        }
        self.levels[state.at]
    }
}

/// The level after `at`, of 0 to `last`.
fn next(at: usize, last: usize, idle: f64, waited: bool) -> usize {
    if waited || idle < BUSY {
        at.saturating_sub(1)
    } else if idle > IDLE {
        last.min(at + 1)
    } else {
        at
    }
}

impl Cores {
    /// Manual: proc_stat(5). `None` where there is no such file.
    fn read() -> Option<Cores> {
        Cores::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    fn parse(stat: &str) -> Option<Cores> {
        let times = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks = times.split_whitespace().take(8).map(str::parse);
        let ticks: Vec<u64> = ticks.collect::<Result<_, _>>().ok()?;
        Some(Cores {
            idle: ticks.get(3)? + ticks.get(4)?,
            all: ticks.iter().sum(),
        })
    }

    fn idle_since(self, before: Cores) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        self.idle.saturating_sub(before.idle) as f64 / all as f64
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn idle_cores_raise_the_level_and_whoever_waits_lowers_it() {
        assert_eq!(next(0, 4, 0.5, false), 1);
        assert_eq!(next(4, 4, 0.5, false), 4);
        assert_eq!(next(2, 4, 0.2, false), 2);
        assert_eq!(next(2, 4, 0.05, false), 1);
        assert_eq!(next(2, 4, 0.9, true), 1);
        assert_eq!(next(0, 4, 0.0, true), 0);
    }

    #[test]
    fn idle_time_is_told_as_a_share_of_all() {
        let read = |stat| Cores::parse(stat).unwrap();
        let before = read("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3 4\n");
        let after = read("cpu  150 0 100 730 120 0 0 0 99 0\n");
        assert!((after.idle_since(before) - 0.5).abs() < 1e-9);
        assert!(Cores::parse("intr 1 2 3").is_none());
        assert!(Cores::parse("cpu  1 2 3\n").is_none());
    }

    #[test]
    fn a_level_that_was_asked_for_stays() {
        let effort = Effort::new(Compression::Zstd(7));
        assert_eq!(effort.level(true), Compression::Zstd(7));
        let open = Effort::new(Compression::GzipAuto);
        assert_eq!(open.level(false), Compression::Gzip(1));
    }
}
