//! Which cases of a long test a run takes: all of them take longer than a change should wait for.

use std::time::{SystemTime, UNIX_EPOCH};

use super::server::newest;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// Whether all cases are to be run: `PGSTOW_TEST_EVERY=1`, or fixtures are asked for by name.
pub(crate) fn wants_every() -> bool {
    ["PGSTOW_TEST_EVERY", "PGSTOW_TEST_FIXTURE"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
}

/// Of as many shares of the cases, the one that a case of this name falls into today, counted from 0. Tomorrow it is the next:
/// whoever takes share 0 has seen all cases in as many days.
pub(crate) fn share_of(name: &str, shares: usize) -> usize {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let day = usize::try_from(now.as_secs() / SECONDS_PER_DAY).unwrap();
    let of_name: usize = name.bytes().map(usize::from).sum();
    (of_name + day) % shares
}

/// Whether a run takes the fixture on that major: all on the newest, one in three on older ones.
pub(crate) fn is_taken(fixture: &str, major: u32) -> bool {
    major == newest() || wants_every() || share_of(fixture, 3) == 0
}
