//! Which backup sets are kept and which are deleted, each with its reasons. Pure: no clock, no disk.
//!
//! The words mean what they mean to restic: `keep_daily = 30` keeps the newest good set of each of
//! the last 30 days *that have one*, so a server that was down for a week loses nothing by it.
//! A set is kept if any rule keeps it. Days, weeks (from Monday) and months are those of the given
//! time zone. Unlike restic, the oldest set does not fill a place that stays free.
//!
//! Whatever the rules say, these stay: the newest good set, pinned sets, sets in use, and sets
//! of a kind that no rule speaks of. A set that is not good takes nobody's place.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// What made a set: a hand, or one of the schedules.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Made by hand.
    #[default]
    Manual,
    /// Made by the daily schedule.
    Daily,
    /// Made by the weekly schedule.
    Weekly,
    /// Made by the monthly schedule.
    Monthly,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Manual, Kind::Daily, Kind::Weekly, Kind::Monthly];

    /// As users write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Manual => "manual",
            Kind::Daily => "daily",
            Kind::Weekly => "weekly",
            Kind::Monthly => "monthly",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.ok_or_else(|| "give manual, daily, weekly or monthly".to_owned())
    }
}

/// How far a set can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The whole database, and no check has found fault with it.
    Good,
    /// Made with options that leave part of the database out.
    Partial,
    /// Its run failed, or a check found it damaged.
    Damaged,
}

/// What retention has to know of a set.
#[derive(Clone, Debug)]
pub struct SetFacts {
    /// The set's id, unique in its repository.
    pub id: String,
    /// When its run started.
    pub created: Timestamp,
    /// What made it.
    pub kind: Kind,
    /// Whether it counts.
    pub state: State,
    /// Pinned by the operator.
    pub pinned: bool,
    /// Being read now, by a restore for instance.
    pub in_use: bool,
}

/// What to keep. `None` is a rule that is not given; `Some(0)` is one that keeps nothing.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The newest sets, whatever their kind.
    pub keep_last: Option<u32>,
    /// The newest set of each of the last days that have one, whatever its kind.
    pub keep_daily: Option<u32>,
    /// The same by weeks.
    pub keep_weekly: Option<u32>,
    /// The same by months.
    pub keep_monthly: Option<u32>,
    /// All sets within this span before the newest good one.
    pub keep_within: Option<Span>,
    /// All sets of the last days, counted from now (`BACKUP_RETENTION_DAYS`).
    pub keep_days: Option<u32>,
    /// What the schedules keep of their own sets.
    pub scheduled: Scheduled,
}

/// What each schedule keeps of the sets that it made itself.
#[derive(Clone, Debug, Default)]
pub struct Scheduled {
    /// Days of daily sets.
    pub daily: Option<u32>,
    /// Weeks of weekly sets.
    pub weekly: Option<u32>,
    /// Months of monthly sets.
    pub monthly: Option<u32>,
}

impl Scheduled {
    /// Daily sets for 30 days, weekly ones for 12 weeks, monthly ones for 12 months.
    pub fn usual() -> Scheduled {
        Scheduled {
            daily: Some(30),
            weekly: Some(12),
            monthly: Some(12),
        }
    }
}

/// What becomes of a set.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Decision {
    /// The set's id.
    pub id: String,
    /// Kept or deleted.
    pub keep: bool,
    /// Why; never empty.
    pub reasons: Vec<String>,
}

/// Decides about each of `sets`, in their order. Of sets made at the same moment the one with the
/// greater id counts as the newer.
pub fn plan(sets: &[SetFacts], policy: &Policy, now: Timestamp, zone: &TimeZone) -> Vec<Decision> {
    let mut reasons = vec![Vec::new(); sets.len()];
    let mut newest_first: Vec<usize> = (0..sets.len()).collect();
    newest_first.sort_by(|&a, &b| age_order(&sets[b]).cmp(&age_order(&sets[a])));
    newest_first.retain(|&i| sets[i].state == State::Good);

    let newest_good = newest_first.first().copied();
    if let Some(newest) = newest_good {
        reasons[newest].push("newest good set".to_owned());
    }
    for rule in count_rules(policy) {
        for kept in rule.kept(sets, &newest_first, zone) {
            reasons[kept].push(format!("{} {}", rule.name, rule.count));
        }
    }
    let spans = span_rules(policy, newest_good.map(|i| sets[i].created), now, zone);
    sets.iter()
        .zip(reasons)
        .map(|(set, mut reasons)| {
            reasons.extend(
                spans
                    .iter()
                    .filter(|rule| set.created >= rule.from)
                    .map(|rule| rule.name.clone()),
            );
            reasons.extend(other_reasons(set, policy, newest_good.map(|i| &sets[i])));
            decide(set, reasons)
        })
        .collect()
}

/// The reasons that no rule of the policy gives.
fn other_reasons(set: &SetFacts, policy: &Policy, newest_good: Option<&SetFacts>) -> Vec<String> {
    let mut reasons = Vec::new();
    if set.pinned {
        reasons.push("pinned".to_owned());
    }
    if set.in_use {
        reasons.push("in use".to_owned());
    }
    if !policy.speaks_of(set.kind) {
        reasons.push("no rule for its kind".to_owned());
    }
    let superseded = newest_good.is_some_and(|good| age_order(good) > age_order(set));
    if set.state != State::Good && !superseded {
        reasons.push("no newer good set".to_owned());
    }
    reasons
}

fn decide(set: &SetFacts, reasons: Vec<String>) -> Decision {
    let keep = !reasons.is_empty();
    let reasons = match (keep, set.state) {
        (true, _) => reasons,
        (false, State::Good) => vec!["no rule keeps it".to_owned()],
        (false, State::Partial) => vec!["partial, and a newer good set exists".to_owned()],
        (false, State::Damaged) => vec!["damaged, and a newer good set exists".to_owned()],
    };
    Decision {
        id: set.id.clone(),
        keep,
        reasons,
    }
}

fn age_order(set: &SetFacts) -> (Timestamp, &str) {
    (set.created, &set.id)
}

impl Policy {
    fn speaks_of(&self, kind: Kind) -> bool {
        let own = match kind {
            Kind::Manual => None,
            Kind::Daily => self.scheduled.daily,
            Kind::Weekly => self.scheduled.weekly,
            Kind::Monthly => self.scheduled.monthly,
        };
        let counts = [
            own,
            self.keep_last,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_days,
        ];
        self.keep_within.is_some() || counts.iter().any(Option::is_some)
    }
}

/// Keeps the newest good set of each of the last `count` periods that have one.
struct CountRule {
    name: &'static str,
    kind: Option<Kind>,
    period: Period,
    count: u32,
}

#[derive(Clone, Copy)]
enum Period {
    /// Each set is its own period.
    Set,
    Day,
    Week,
    Month,
}

fn count_rules(policy: &Policy) -> Vec<CountRule> {
    let own = &policy.scheduled;
    [
        ("keep-last", None, Period::Set, policy.keep_last),
        ("keep-daily", None, Period::Day, policy.keep_daily),
        ("keep-weekly", None, Period::Week, policy.keep_weekly),
        ("keep-monthly", None, Period::Month, policy.keep_monthly),
        ("daily schedule", Some(Kind::Daily), Period::Day, own.daily),
        (
            "weekly schedule",
            Some(Kind::Weekly),
            Period::Week,
            own.weekly,
        ),
        (
            "monthly schedule",
            Some(Kind::Monthly),
            Period::Month,
            own.monthly,
        ),
    ]
    .into_iter()
    .filter_map(|(name, kind, period, count)| {
        Some(CountRule {
            name,
            kind,
            period,
            count: count?,
        })
    })
    .collect()
}

impl CountRule {
    fn kept(&self, sets: &[SetFacts], newest_first: &[usize], zone: &TimeZone) -> Vec<usize> {
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        // A clock set back over midnight makes a day come twice: comparing neighbours is not enough.
        let mut seen = BTreeSet::new();
        newest_first
            .iter()
            .copied()
            .filter(|&i| self.kind.is_none_or(|kind| kind == sets[i].kind))
            .filter(|&i| {
                let day = zone.to_datetime(sets[i].created).date();
                self.period
                    .first_day(day)
                    .is_none_or(|first| seen.insert(first))
            })
            .take(count)
            .collect()
    }
}

impl Period {
    fn first_day(self, day: Date) -> Option<Date> {
        match self {
            Period::Set => None,
            Period::Day => Some(day),
            Period::Week => {
                let since_monday = day.weekday().to_monday_zero_offset();
                Some(day.saturating_sub(Span::new().days(since_monday)))
            }
            Period::Month => Some(day.first_of_month()),
        }
    }
}

/// Keeps every set made at `from` or later.
struct SpanRule {
    name: String,
    from: Timestamp,
}

fn span_rules(
    policy: &Policy,
    newest_good: Option<Timestamp>,
    now: Timestamp,
    zone: &TimeZone,
) -> Vec<SpanRule> {
    let within = policy.keep_within.map(|span| SpanRule {
        name: format!("keep-within {span:#}"),
        from: before(newest_good.unwrap_or(now), span, zone),
    });
    let days = policy.keep_days.map(|days| SpanRule {
        name: format!("keep-days {days}"),
        from: Span::new()
            .try_days(days)
            .map_or(Timestamp::MIN, |span| before(now, span, zone)),
    });
    within.into_iter().chain(days).collect()
}

/// `span` earlier by the calendar of `zone`; a span that leaves the calendar reaches back to its start.
fn before(moment: Timestamp, span: Span, zone: &TimeZone) -> Timestamp {
    moment
        .to_zoned(zone.clone())
        .checked_sub(span)
        .map_or(Timestamp::MIN, |zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn set(id: &str, created: &str, kind: Kind) -> SetFacts {
        SetFacts {
            id: id.to_owned(),
            created: created.parse().unwrap(),
            kind,
            state: State::Good,
            pinned: false,
            in_use: false,
        }
    }

    fn kept(sets: &[SetFacts], policy: &Policy, now: &str) -> Vec<String> {
        plan(sets, policy, now.parse().unwrap(), &berlin())
            .into_iter()
            .filter(|decision| decision.keep)
            .map(|decision| decision.id)
            .collect()
    }

    #[test]
    fn newest_good_pinned_and_used_sets_survive_a_policy_that_keeps_nothing() {
        let mut sets = vec![
            set("old", "2026-01-01T02:00:00Z", Kind::Daily),
            set("pinned", "2026-01-02T02:00:00Z", Kind::Daily),
            set("used", "2026-01-03T02:00:00Z", Kind::Daily),
            set("damaged", "2026-01-04T02:00:00Z", Kind::Daily),
            set("newest", "2026-01-05T02:00:00Z", Kind::Daily),
            set("partial", "2026-01-06T02:00:00Z", Kind::Manual),
        ];
        sets[1].pinned = true;
        sets[2].in_use = true;
        sets[3].state = State::Damaged;
        sets[5].state = State::Partial;
        let nothing = Policy {
            keep_last: Some(0),
            ..Policy::default()
        };
        assert_eq!(
            kept(&sets, &nothing, "2026-03-01T00:00:00Z"),
            ["pinned", "used", "newest", "partial"]
        );
    }

    #[test]
    fn damaged_set_takes_nobodys_place() {
        let mut sets = vec![
            set("a", "2026-01-01T02:00:00Z", Kind::Daily),
            set("b", "2026-01-02T02:00:00Z", Kind::Daily),
            set("c", "2026-01-03T02:00:00Z", Kind::Daily),
        ];
        sets[1].state = State::Damaged;
        let two = Policy {
            keep_last: Some(2),
            ..Policy::default()
        };
        assert_eq!(kept(&sets, &two, "2026-01-04T00:00:00Z"), ["a", "c"]);
    }

    #[test]
    fn a_schedules_rule_leaves_manual_sets_alone() {
        let sets = [
            set("by hand", "2020-01-01T02:00:00Z", Kind::Manual),
            set("a", "2026-01-02T02:00:00Z", Kind::Daily),
            set("b", "2026-01-03T02:00:00Z", Kind::Daily),
        ];
        let policy = Policy {
            scheduled: Scheduled {
                daily: Some(1),
                ..Scheduled::usual()
            },
            ..Policy::default()
        };
        assert_eq!(
            kept(&sets, &policy, "2026-01-04T00:00:00Z"),
            ["by hand", "b"]
        );
    }

    #[test]
    fn days_are_those_of_the_zone() {
        // 23:30 and 00:30 in Berlin, one day in UTC.
        let sets = [
            set("evening", "2026-01-01T22:30:00Z", Kind::Daily),
            set("night", "2026-01-01T23:30:00Z", Kind::Daily),
        ];
        let policy = Policy {
            keep_daily: Some(2),
            ..Policy::default()
        };
        assert_eq!(
            kept(&sets, &policy, "2026-02-01T00:00:00Z"),
            ["evening", "night"]
        );
    }

    #[test]
    fn keep_days_counts_calendar_days_over_a_dst_night() {
        // Berlin 02:00 on the 28th to 02:00 on the 30th of March is 47 hours.
        let sets = [
            set("47 h", "2026-03-28T01:00:00Z", Kind::Daily),
            set("47 h 1 s", "2026-03-28T00:59:59Z", Kind::Daily),
            set("now", "2026-03-30T00:00:00Z", Kind::Daily),
        ];
        let policy = Policy {
            keep_days: Some(2),
            ..Policy::default()
        };
        assert_eq!(
            kept(&sets, &policy, "2026-03-30T00:00:00Z"),
            ["47 h", "now"]
        );
    }

    #[test]
    fn keep_within_counts_from_the_newest_good_set() {
        let sets = [
            set("a", "2020-01-01T02:00:00Z", Kind::Manual),
            set("b", "2020-01-31T02:00:00Z", Kind::Manual),
            set("c", "2020-02-28T02:00:00Z", Kind::Manual),
        ];
        let policy = Policy {
            keep_within: Some(Span::new().months(1)),
            ..Policy::default()
        };
        assert_eq!(kept(&sets, &policy, "2026-01-01T00:00:00Z"), ["b", "c"]);
    }

    /// The slow reference: each rule's definition read aloud, one set at a time.
    fn reference_keeps(
        set: &SetFacts,
        all: &[SetFacts],
        policy: &Policy,
        now: Timestamp,
        zone: &TimeZone,
    ) -> bool {
        let newer = |a: &SetFacts, b: &SetFacts| (a.created, &a.id) > (b.created, &b.id);
        let good = |s: &SetFacts| s.state == State::Good;
        let newest_good = all
            .iter()
            .find(|s| good(s) && !all.iter().any(|t| good(t) && newer(t, s)));
        let is_newest_good = newest_good.is_some_and(|s| s.id == set.id);
        let counted = |format: Option<&str>, kind: Option<Kind>, count: Option<u32>| {
            let matches = |s: &SetFacts| good(s) && kind.is_none_or(|kind| kind == s.kind);
            let period = |s: &SetFacts| match format {
                Some(format) => s
                    .created
                    .to_zoned(zone.clone())
                    .strftime(format)
                    .to_string(),
                None => s.id.clone(),
            };
            let first = |s: &SetFacts| {
                matches(s)
                    && !all
                        .iter()
                        .any(|t| matches(t) && newer(t, s) && period(t) == period(s))
            };
            count.is_some_and(|count| {
                let rank = all.iter().filter(|t| first(t) && newer(t, set)).count();
                first(set) && rank < count as usize
            })
        };
        let own = &policy.scheduled;
        let own_count = match set.kind {
            Kind::Manual => None,
            Kind::Daily => own.daily,
            Kind::Weekly => own.weekly,
            Kind::Monthly => own.monthly,
        };
        let nothing_said = own_count.is_none()
            && policy.keep_last.is_none()
            && policy.keep_daily.is_none()
            && policy.keep_weekly.is_none()
            && policy.keep_monthly.is_none()
            && policy.keep_days.is_none()
            && policy.keep_within.is_none();
        // Added to the set's own moment, where the plan subtracts: the same for whole hours.
        let within = policy.keep_within.is_some_and(|span| {
            let newest = newest_good.map_or(now, |s| s.created);
            set.created.checked_add(span).unwrap() >= newest
        });
        let recent = policy.keep_days.is_some_and(|days| {
            let local = now.to_zoned(zone.clone());
            let date = (0..days).fold(local.date(), |date, _| date.yesterday().unwrap());
            let edge = date.to_datetime(local.time());
            set.created >= zone.to_timestamp(edge).unwrap()
        });
        is_newest_good
            || set.pinned
            || set.in_use
            || nothing_said
            || within
            || recent
            || (!good(set) && !all.iter().any(|t| good(t) && newer(t, set)))
            || counted(None, None, policy.keep_last)
            || counted(Some("%Y-%m-%d"), None, policy.keep_daily)
            || counted(Some("%G-%V"), None, policy.keep_weekly)
            || counted(Some("%Y-%m"), None, policy.keep_monthly)
            || counted(Some("%Y-%m-%d"), Some(Kind::Daily), own.daily)
            || counted(Some("%G-%V"), Some(Kind::Weekly), own.weekly)
            || counted(Some("%Y-%m"), Some(Kind::Monthly), own.monthly)
    }

    const YEAR_2026: i64 = 1_767_225_600;

    fn any_history() -> impl Strategy<Value = Vec<SetFacts>> {
        let kind = prop_oneof![
            Just(Kind::Manual),
            Just(Kind::Daily),
            Just(Kind::Weekly),
            Just(Kind::Monthly)
        ];
        let state = prop_oneof![
            6 => Just(State::Good),
            1 => Just(State::Partial),
            1 => Just(State::Damaged)
        ];
        // Half-hour steps make equal moments and period edges frequent.
        let moment = prop_oneof![0..48 * 400i64, 48 * 80..48 * 95i64];
        let facts = (
            moment,
            kind,
            state,
            prop::bool::weighted(0.05),
            prop::bool::weighted(0.05),
        );
        prop::collection::vec(facts, 0..40).prop_map(|facts| {
            facts
                .into_iter()
                .enumerate()
                .map(|(n, (half_hours, kind, state, pinned, in_use))| SetFacts {
                    id: format!("{n:02}"),
                    created: Timestamp::from_second(YEAR_2026 + half_hours * 1800).unwrap(),
                    kind,
                    state,
                    pinned,
                    in_use,
                })
                .collect()
        })
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        let count = || prop::option::weighted(0.4, 0u32..15);
        let general = (count(), count(), count(), count());
        let spans = (
            prop::option::weighted(0.2, 0i64..2000),
            prop::option::weighted(0.2, 0u32..90),
        );
        let own = (count(), count(), count());
        (general, spans, own).prop_map(|(general, spans, own)| Policy {
            keep_last: general.0,
            keep_daily: general.1,
            keep_weekly: general.2,
            keep_monthly: general.3,
            keep_within: spans.0.map(|hours| Span::new().hours(hours)),
            keep_days: spans.1,
            scheduled: Scheduled {
                daily: own.0,
                weekly: own.1,
                monthly: own.2,
            },
        })
    }

    fn cases() -> u32 {
        std::env::var("PGSTOW_PROPTEST_CASES")
            .map_or(256, |cases| cases.parse().expect("a number of cases"))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

        #[test]
        fn plan_agrees_with_the_slow_reference(
            sets in any_history(),
            policy in any_policy(),
            now in 0..48 * 420i64,
            zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
        ) {
            let zone = TimeZone::get(zone).unwrap();
            let now = Timestamp::from_second(YEAR_2026 + now * 1800).unwrap();
            let decisions = plan(&sets, &policy, now, &zone);
            prop_assert_eq!(decisions.len(), sets.len());
            for (set, decision) in sets.iter().zip(&decisions) {
                prop_assert_eq!(&set.id, &decision.id);
                prop_assert!(!decision.reasons.is_empty());
                let expected = reference_keeps(set, &sets, &policy, now, &zone);
                prop_assert_eq!(decision.keep, expected, "{:?}: {:?}", set, decision.reasons);
            }
        }
    }
}
