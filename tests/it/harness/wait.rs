//! Waiting for what others do.

use std::process::Child;
use std::time::{Duration, Instant};

/// Far more than anything that is waited for takes, on a busy machine, too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks, which start programs as often as not.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until it is so. `what` says what, should it never be.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not so in time: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// The same for what a program brings about that must not end before.
#[track_caller]
pub(crate) fn wait_while_running(child: &mut Child, what: &str, mut is_so: impl FnMut() -> bool) {
    let mut ended = None;
    wait_until(what, || {
        let status = child.try_wait().unwrap();
        let is_so = is_so();
        ended = status.filter(|_| !is_so);
        is_so || ended.is_some()
    });
    if let Some(status) = ended {
        let stderr = child.stderr.take().map(std::io::read_to_string);
        let said = stderr.map_or_else(String::new, Result::unwrap);
        panic!("it ended too early, with {status}, for: {what}\n{said}");
    }
}
