//! When a task is due, and the loop that runs what is.
//!
//! There is no state file: when a kind of backup was made last is told by the sets themselves. What was missed, by however
//! many runs, is caught up by one. A task that becomes due while another of its database runs waits for it; one that becomes
//! due twice meanwhile runs once.
//!
//! Schedules are meant in wall-clock time. A time that a night of daylight saving leaves out runs as much later as the clock
//! jumped; one that occurs twice runs at its first occurrence. Patterns for every hour (`*` in the field of hours) go by
//! elapsed time instead, and so lose and repeat nothing.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::errors::CronError;
use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::config::{CronExpression, Task};
use crate::{Error, ErrorKind, Result};

/// No zone's clock ever jumped further than this in one night.
const LONGEST_JUMP: SignedDuration = SignedDuration::from_hours(25);

/// The clock is looked at this often, so that a clock that was set and a host that slept are noticed.
const LONGEST_SLEEP: SignedDuration = SignedDuration::from_secs(60);

/// The first moment after `after` at which `cron` is due in `zone`; `None` if it never is again.
///
/// # Errors
/// `Usage` if the expression gives no next time that a calendar has.
pub fn next_due(
    cron: &CronExpression,
    after: Timestamp,
    zone: &TimeZone,
) -> Result<Option<Timestamp>> {
    match cron.as_str().split_ascii_whitespace().nth(1) {
        Some(hours) if hours.starts_with('*') => next_by_elapsed_time(cron, after, zone),
        _ => next_by_wall_clock(cron, after, zone),
    }
}

/// By the offset that holds now, and from the next change of it on by the new one.
fn next_by_elapsed_time(
    cron: &CronExpression,
    after: Timestamp,
    zone: &TimeZone,
) -> Result<Option<Timestamp>> {
    let mut from = after;
    loop {
        let fixed = TimeZone::fixed(zone.to_offset(from));
        let change = zone.following(from).next().map(|change| change.timestamp());
        let start = match from == after {
            true => fixed.to_datetime(from),
            // What is due at the very moment of the change is due by the new offset.
            false => fixed
                .to_datetime(from)
                .saturating_sub(SignedDuration::from_secs(1)),
        };
        let Some(wall) = next_wall_clock(cron, start)? else {
            return Ok(None);
        };
        let moment = fixed
            .to_timestamp(wall)
            .map_err(|e| unusable(cron).caused_by(e))?;
        match change {
            Some(change) if moment >= change => from = change,
            _ => return Ok(Some(moment)),
        }
    }
}

fn next_by_wall_clock(
    cron: &CronExpression,
    after: Timestamp,
    zone: &TimeZone,
) -> Result<Option<Timestamp>> {
    let mut wall = zone.to_datetime(after).saturating_sub(LONGEST_JUMP);
    let mut first: Option<Timestamp> = None;
    loop {
        wall = match next_wall_clock(cron, wall)? {
            Some(next) => next,
            None => return Ok(first),
        };
        // Past a jump a later wall clock time may be the earlier moment: look until none can be.
        if first.is_some_and(|first| wall > zone.to_datetime(first)) {
            return Ok(first);
        }
        let moment = zone
            .to_timestamp(wall)
            .map_err(|e| unusable(cron).caused_by(e))?;
        if moment > after && first.is_none_or(|first| moment < first) {
            first = Some(moment);
        }
    }
}

/// The cron library counts in chrono's UTC, which stands here for a clock without daylight saving.
fn next_wall_clock(
    cron: &CronExpression,
    after: civil::DateTime,
) -> Result<Option<civil::DateTime>> {
    let seconds = TimeZone::UTC
        .to_timestamp(after)
        .map_err(|e| unusable(cron).caused_by(e))?
        .as_second();
    let start = DateTime::<Utc>::from_timestamp(seconds, 0).ok_or_else(|| unusable(cron))?;
    match cron.cron().find_next_occurrence(&start, false) {
        Ok(next) => Timestamp::from_second(next.timestamp())
            .map(|next| Some(TimeZone::UTC.to_datetime(next)))
            .map_err(|e| unusable(cron).caused_by(e)),
        Err(CronError::TimeSearchLimitExceeded) => Ok(None),
        Err(e) => Err(unusable(cron).caused_by(e)),
    }
}

fn unusable(cron: &CronExpression) -> Error {
    Error::new(
        ErrorKind::Usage,
        format!("schedule \"{}\" gives no next time", cron.as_str()),
    )
}

/// Tells the time and waits for it.
pub trait Clock {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Returns when it is `until`, or a little earlier.
    fn sleep_until(&self, until: Timestamp) -> impl Future<Output = ()> + Send;
}

/// The host's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        let wait = until.duration_since(Timestamp::now()).min(LONGEST_SLEEP);
        tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
    }
}

/// What the sets of a database tell of earlier runs.
#[derive(Clone, Debug, Default)]
pub struct LastRuns {
    /// When each task was done last. Those that were never done are left out, and so is cleanup, of which nothing tells.
    pub done: HashMap<Task, Timestamp>,
    /// When the oldest set was made: what was never done since is overdue.
    pub oldest: Option<Timestamp>,
    /// When the newest set was made.
    pub newest: Option<Timestamp>,
}

/// What the loop drives: one database.
pub trait Runner {
    /// What the sets tell of earlier runs.
    fn last_runs(&self) -> impl Future<Output = Result<LastRuns>> + Send;

    /// Does it. Failures are the runner's to report: the task is tried again when it is due the next time.
    fn run(&self, task: Task) -> impl Future<Output = ()> + Send;
}

/// Runs the tasks of one database when they are due, until it is dropped.
///
/// # Errors
/// `Usage` if a schedule gives no time.
pub async fn run_schedule(
    schedule: &[(Task, CronExpression)],
    zone: &TimeZone,
    clock: &impl Clock,
    runner: &impl Runner,
    mut warn: impl FnMut(&Error),
) -> Result<()> {
    let started = clock.now();
    let mut attempted: HashMap<Task, Timestamp> = HashMap::new();
    let mut known = LastRuns::default();
    // The sets are only looked at when something seems due: in an object store each look costs.
    let mut is_fresh = false;
    loop {
        let now = clock.now();
        let last = |task: Task| {
            let tried = attempted.get(&task).copied();
            let done = known.done.get(&task).copied();
            tried.max(done).or(known.oldest).unwrap_or(started)
        };
        let next = match first_due(schedule, last, now, zone)? {
            Due::Now(task) if is_fresh => {
                attempted.insert(task, now);
                runner.run(task).await;
                is_fresh = false;
                continue;
            }
            Due::At(next) if !attempted.is_empty() => next,
            Due::Never if !attempted.is_empty() => std::future::pending().await,
            Due::Now(_) | Due::At(_) | Due::Never => {
                // Sets that cannot be read tell nothing; then what this process knows has to do.
                match runner.last_runs().await {
                    Ok(runs) => known = runs,
                    Err(error) => warn(&error),
                }
                // Who made the newest set before this process started was there to clean up, too; sets made since tell
                // nothing.
                attempted
                    .entry(Task::Cleanup)
                    .or_insert(known.newest.unwrap_or(started));
                is_fresh = true;
                continue;
            }
        };
        clock.sleep_until(next).await;
        is_fresh = false;
    }
}

/// What comes next.
enum Due {
    Now(Task),
    At(Timestamp),
    Never,
}

/// The first task of the schedule that is due, else the earliest time at which one will be.
fn first_due(
    schedule: &[(Task, CronExpression)],
    last: impl Fn(Task) -> Timestamp,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Due> {
    let mut next: Option<Timestamp> = None;
    for (task, cron) in schedule {
        match next_due(cron, last(*task), zone)? {
            Some(moment) if moment <= now => return Ok(Due::Now(*task)),
            Some(moment) => next = Some(next.map_or(moment, |next| next.min(moment))),
            None => {}
        }
    }
    Ok(next.map_or(Due::Never, Due::At))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Mutex;

    use super::*;
    use crate::backup::Kind;
    use crate::backup::retention::{Policy, Scheduled, SetFacts, State, plan};

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn next(cron: &str, after: &str) -> String {
        let cron = cron.parse().unwrap();
        let next = next_due(&cron, after.parse().unwrap(), &berlin());
        next.unwrap().unwrap().to_string()
    }

    #[test]
    fn a_time_left_out_in_spring_runs_once_after_the_jump() {
        let first = next("30 2 * * *", "2026-03-28T12:00:00Z");
        assert_eq!(first, "2026-03-29T01:30:00Z");
        assert_eq!(next("30 2 * * *", &first), "2026-03-30T00:30:00Z");
    }

    #[test]
    fn a_time_that_occurs_twice_in_autumn_runs_at_the_first() {
        let first = next("30 2 * * *", "2026-10-24T12:00:00Z");
        assert_eq!(first, "2026-10-25T00:30:00Z");
        assert_eq!(next("30 2 * * *", &first), "2026-10-26T01:30:00Z");
    }

    #[test]
    fn every_hour_is_every_hour_in_both_nights() {
        for start in ["2026-03-28T20:10:00Z", "2026-10-24T20:10:00Z"] {
            let mut moment: Timestamp = start.parse().unwrap();
            let cron = "0 * * * *".parse().unwrap();
            let mut gaps = Vec::new();
            for _ in 0..12 {
                let next = next_due(&cron, moment, &berlin()).unwrap().unwrap();
                gaps.push(next.duration_since(moment).as_secs());
                moment = next;
            }
            assert_eq!(gaps[0], 50 * 60);
            assert!(gaps[1..].iter().all(|gap| *gap == 3600), "{gaps:?}");
        }
    }

    #[test]
    fn every_minute_is_every_minute() {
        assert_eq!(
            next("* * * * *", "2026-10-25T00:59:30Z"),
            "2026-10-25T01:00:00Z"
        );
    }

    #[test]
    fn a_date_that_never_comes_is_never_due() {
        let never = "0 2 30 2 *".parse().unwrap();
        let after = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(next_due(&never, after, &berlin()).unwrap(), None);
    }

    /// A clock that is wherever one waits for, until its time is over.
    struct FakeClock {
        now: Mutex<Timestamp>,
        end: Timestamp,
    }

    impl Clock for FakeClock {
        fn now(&self) -> Timestamp {
            *self.now.lock().unwrap()
        }

        async fn sleep_until(&self, until: Timestamp) {
            if until > self.end {
                *self.now.lock().unwrap() = self.end;
                std::future::pending::<()>().await;
            }
            *self.now.lock().unwrap() = until;
        }
    }

    impl FakeClock {
        fn advance(&self, seconds: i64) {
            let mut now = self.now.lock().unwrap();
            *now += SignedDuration::from_secs(seconds);
        }
    }

    /// A repository in memory: backups take a quarter of an hour, and fail on some days.
    struct FakeRunner<'a> {
        clock: &'a FakeClock,
        sets: &'a Mutex<Vec<SetFacts>>,
        log: &'a Mutex<Vec<(Task, Timestamp)>>,
        fails_on: &'a [&'a str],
    }

    impl Runner for FakeRunner<'_> {
        async fn last_runs(&self) -> Result<LastRuns> {
            let sets = self.sets.lock().unwrap();
            let mut last = LastRuns::default();
            for set in sets.iter() {
                let entry = last.done.entry(Task::Backup(set.kind));
                let entry = entry.or_insert(set.created);
                *entry = set.created.max(*entry);
            }
            last.oldest = sets.iter().map(|set| set.created).min();
            last.newest = sets.iter().map(|set| set.created).max();
            Ok(last)
        }

        async fn run(&self, task: Task) {
            let now = self.clock.now();
            self.log.lock().unwrap().push((task, now));
            let mut sets = self.sets.lock().unwrap();
            match task {
                Task::Backup(kind) => {
                    let day = berlin().to_datetime(now).date().to_string();
                    self.clock.advance(900);
                    if !self.fails_on.contains(&day.as_str()) {
                        sets.push(SetFacts {
                            id: format!("{now}-{kind}"),
                            created: now,
                            kind,
                            state: State::Good,
                            pinned: false,
                            in_use: false,
                        });
                    }
                }
                Task::Cleanup => {
                    let policy = Policy {
                        scheduled: Scheduled::usual(),
                        ..Policy::default()
                    };
                    let decisions = plan(&sets, &policy, now, &berlin());
                    let mut keep = decisions.iter().map(|decision| decision.keep);
                    sets.retain(|_| keep.next().unwrap());
                }
                Task::Verify | Task::Drill => unreachable!("not scheduled here"),
            }
        }
    }

    fn usual_schedule() -> Vec<(Task, CronExpression)> {
        [
            (Task::Backup(Kind::Daily), "0 2 * * *"),
            (Task::Backup(Kind::Weekly), "0 3 * * 0"),
            (Task::Backup(Kind::Monthly), "0 4 1 * *"),
            (Task::Cleanup, "0 5 * * *"),
        ]
        .map(|(task, cron)| (task, cron.parse().unwrap()))
        .into()
    }

    /// Lets the service run from `from` to `to`; what it keeps in memory is lost at the end.
    fn live(
        sets: &Mutex<Vec<SetFacts>>,
        from: &str,
        to: &str,
        fails_on: &[&str],
    ) -> Vec<(Task, Timestamp)> {
        let clock = FakeClock {
            now: Mutex::new(from.parse().unwrap()),
            end: to.parse().unwrap(),
        };
        let log = Mutex::new(Vec::new());
        let runner = FakeRunner {
            clock: &clock,
            sets,
            log: &log,
            fails_on,
        };
        let schedule = usual_schedule();
        let zone = berlin();
        let run = run_schedule(&schedule, &zone, &clock, &runner, |_| {});
        // The fake never waits, so one poll runs until its time is over.
        assert!(futures::FutureExt::now_or_never(run).is_none());
        log.into_inner().unwrap()
    }

    fn counts(sets: &Mutex<Vec<SetFacts>>) -> [usize; 3] {
        let sets = sets.lock().unwrap();
        [Kind::Daily, Kind::Weekly, Kind::Monthly]
            .map(|kind| sets.iter().filter(|set| set.kind == kind).count())
    }

    #[test]
    fn a_year_ends_with_30_daily_12_weekly_and_12_monthly_sets() {
        let sets = Mutex::default();
        // Both nights of daylight saving, and a week of downtime in June.
        let mut log = live(&sets, "2026-01-01T12:00:00Z", "2026-06-03T12:00:00Z", &[]);
        let second = live(&sets, "2026-06-10T12:00:00Z", "2027-01-02T12:00:00Z", &[]);
        let caught_up: Vec<Task> = second
            .iter()
            .take_while(|(_, at)| *at < "2026-06-11T00:00:00Z".parse().unwrap())
            .map(|(task, _)| *task)
            .collect();
        assert_eq!(
            caught_up,
            [
                Task::Backup(Kind::Daily),
                Task::Backup(Kind::Weekly),
                Task::Cleanup
            ]
        );
        log.extend(second);
        assert_eq!(counts(&sets), [30, 12, 12]);
        let runs = |kind| {
            let of_kind = log.iter().filter(|(task, _)| *task == Task::Backup(kind));
            of_kind.count()
        };
        // 366 days from 2 January to 2 January, less the seven of downtime, of which one run makes up.
        assert_eq!(runs(Kind::Daily), 366 - 7 + 1);
        assert_eq!(runs(Kind::Monthly), 12);
        let cleanups = log.iter().filter(|(task, _)| *task == Task::Cleanup);
        assert_eq!(cleanups.count(), runs(Kind::Daily));
    }

    #[test]
    fn failed_runs_wait_for_their_next_time_and_push_nothing_out() {
        let sets = Mutex::default();
        let bad = ["2026-03-03", "2026-03-04", "2026-03-29"];
        let log = live(&sets, "2026-01-01T12:00:00Z", "2026-04-01T12:00:00Z", &bad);
        let on = |day: &str| {
            let day: civil::Date = day.parse().unwrap();
            let of_day = log.iter().filter(|(task, at)| {
                *task == Task::Backup(Kind::Daily) && berlin().to_datetime(*at).date() == day
            });
            of_day.count()
        };
        assert_eq!((on("2026-03-03"), on("2026-03-05")), (1, 1));
        assert_eq!(counts(&sets)[0], 30);
    }

    #[test]
    fn a_new_service_waits_for_its_first_time() {
        let sets = Mutex::default();
        let log = live(&sets, "2026-01-14T12:00:00Z", "2026-01-15T12:00:00Z", &[]);
        let expected = "2026-01-15T01:00:00Z".parse().unwrap();
        assert_eq!(log[0], (Task::Backup(Kind::Daily), expected));
        assert_eq!(log.len(), 2);
    }
}
