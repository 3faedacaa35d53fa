//! How fast rows may come from the server: `create --max-rate`, and not at all while [`super::busy`] holds them up.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Bytes after which others get their turn, and which a limit counts at once.
const STEP_BYTES: u64 = 1 << 20;

/// The limit that all workers share. A worker that waits reads nothing, and so the server's COPY waits, too.
pub(crate) struct Pace {
    bytes_per_second: Option<NonZeroU64>,
    /// When all that was taken may have been taken.
    due: Mutex<Option<Instant>>,
    held: watch::Sender<bool>,
}

impl Pace {
    /// `None`: as fast as it goes.
    pub(crate) fn new(bytes_per_second: Option<NonZeroU64>) -> Pace {
        Pace {
            bytes_per_second,
            due: Mutex::new(None),
            held: watch::Sender::new(false),
        }
    }

    /// After how many bytes to call [`Pace::take`]: enough to be worth it, no more than a tenth of a second.
    pub(crate) fn step(&self) -> u64 {
        let tenth = self.bytes_per_second.map(|rate| rate.get() / 10);
        tenth.map_or(STEP_BYTES, |tenth| tenth.clamp(1, STEP_BYTES))
    }

    /// Whether those who take wait until this says otherwise.
    pub(crate) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Waits until so many more bytes, which have come, may have come. Gives others their turn in any case.
    pub(crate) async fn take(&self, bytes: u64) {
        // The sender lives as long as this: no error.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
        match self.pause(bytes, Instant::now()) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => tokio::task::yield_now().await,
        }
    }

    /// The bytes of all workers follow each other; what was not taken in time is not made up for.
    fn pause(&self, bytes: u64, now: Instant) -> Option<Duration> {
        let rate = self.bytes_per_second?;
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
        let span = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let next = due.map_or(now, |due| due.max(now)) + span;
        *due = Some(next);
        Some(next - now)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn bytes_of_all_workers_follow_each_other() {
        let pace = Pace::new(NonZeroU64::new(1000));
        let now = Instant::now();
        assert_eq!(pace.pause(500, now), Some(SECOND / 2));
        assert_eq!(pace.pause(1000, now), Some(SECOND * 3 / 2));
        assert_eq!(pace.pause(1000, now + SECOND), Some(SECOND * 3 / 2));
    }

    #[test]
    fn time_in_which_nothing_came_is_not_made_up_for() {
        let pace = Pace::new(NonZeroU64::new(1000));
        let now = Instant::now();
        pace.pause(1000, now).unwrap();
        assert_eq!(pace.pause(1000, now + 60 * SECOND), Some(SECOND));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let pace = Pace::new(None);
        assert_eq!(pace.pause(u64::MAX, Instant::now()), None);
        assert_eq!(pace.step(), STEP_BYTES);
    }

    #[tokio::test]
    async fn who_takes_waits_while_it_is_held() {
        let pace = Pace::new(None);
        pace.hold(true);
        let mut taking = std::pin::pin!(pace.take(1));
        assert!(futures::poll!(&mut taking).is_pending());
        pace.hold(false);
        taking.await;
    }

    #[test]
    fn steps_are_small_where_the_rate_is() {
        let step = |rate| Pace::new(NonZeroU64::new(rate)).step();
        assert_eq!(
            (step(1), step(1 << 20), step(1 << 40)),
            (1, 104_857, STEP_BYTES)
        );
    }
}
