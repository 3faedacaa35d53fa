//! Whether a run that failed is tried again, and when. Pure: the clock is an argument.

use std::time::{Duration, Instant};

use crate::Error;
use crate::error::Outlook;

/// The first pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Long enough to spare a server that is busy starting, short enough not to waste a minute of patience.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// A full disk does not empty itself within moments.
const DISK_FULL_FACTOR: u32 = 8;

/// The patience of one run. It starts afresh whenever something was done in between.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Trouble {
    since: Instant,
    attempts: u32,
    /// How much was done when it began.
    progress: u64,
}

impl Patience {
    /// `limit`: how long to try without anything getting done. Zero: never again.
    pub(crate) fn new(limit: Duration) -> Patience {
        Patience {
            limit,
            trouble: None,
        }
    }

    /// The pause before the next attempt; `None` to give up. `progress`: a number that grows with all that is done.
    pub(crate) fn pause_after(
        &mut self,
        error: &Error,
        progress: u64,
        now: Instant,
    ) -> Option<Duration> {
        let factor = match error.outlook() {
            Outlook::Lasting => return None,
            Outlook::Passing => 1,
            Outlook::DiskFull => DISK_FULL_FACTOR,
        };
        let trouble = match &mut self.trouble {
            Some(trouble) if trouble.progress == progress => trouble,
            other => other.insert(Trouble {
                since: now,
                attempts: 0,
                progress,
            }),
        };
        let left = (trouble.since + self.limit).saturating_duration_since(now);
        if left.is_zero() {
            return None;
        }
        let pause = FIRST_PAUSE * factor * 2u32.pow(trouble.attempts.min(8));
        trouble.attempts += 1;
        // The last attempt is made at the very end.
        Some(pause.min(LONGEST_PAUSE * factor).min(left))
    }

    /// Tells in the error that it was tried again.
    pub(crate) fn explain(&self, error: Error, now: Instant) -> Error {
        match &self.trouble {
            Some(trouble) if trouble.attempts > 0 => {
                let seconds = now.saturating_duration_since(trouble.since).as_secs();
                error.detail(format!(
                    "Tried again {} times within {seconds} s.",
                    trouble.attempts
                ))
            }
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn error(outlook: Outlook) -> Error {
        Error::new(ErrorKind::Connect, "x").with_outlook(outlook)
    }

    #[test]
    fn pauses_double_until_patience_ends() {
        let mut patience = Patience::new(Duration::from_secs(3));
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        while let Some(pause) = patience.pause_after(&error(Outlook::Passing), 0, now) {
            pauses.push(pause.as_millis());
            now += pause;
        }
        assert_eq!(pauses, [250, 500, 1000, 1250]);
    }

    #[test]
    fn progress_renews_patience_and_lasting_errors_end_it() {
        let mut patience = Patience::new(Duration::from_secs(1));
        let now = Instant::now();
        let later = now + Duration::from_secs(2);
        let passing = error(Outlook::Passing);
        assert!(patience.pause_after(&passing, 1, now).is_some());
        assert!(patience.pause_after(&passing, 1, later).is_none());
        assert!(patience.pause_after(&passing, 2, later).is_some());
        assert!(
            patience
                .pause_after(&error(Outlook::Lasting), 3, later)
                .is_none()
        );
    }

    #[test]
    fn zero_means_never() {
        let mut patience = Patience::new(Duration::ZERO);
        let now = Instant::now();
        assert_eq!(patience.pause_after(&error(Outlook::Passing), 0, now), None);
    }

    #[test]
    fn full_disks_get_more_time() {
        let mut patience = Patience::new(Duration::from_secs(60));
        let pause = patience.pause_after(&error(Outlook::DiskFull), 0, Instant::now());
        assert_eq!(pause, Some(Duration::from_secs(2)));
    }
}
