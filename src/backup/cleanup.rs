//! Deleting the sets that need not be kept: plan, show, execute.

use std::collections::{BTreeSet, HashSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::retention::{Decision, Policy, SetFacts, State, plan};
use super::{BackupSet, Listing, Meta, Repository};
use crate::failpoint::failpoint;
use crate::{Error, ErrorKind, Result};

/// What will become of each set, and why. The newest first.
#[derive(Clone, Debug)]
pub struct CleanupPlan {
    /// All sets that can be read.
    pub sets: Vec<(BackupSet, Decision)>,
    /// Files that look like a set's and are none that can be trusted, with the reason: they stay.
    pub unreadable: Vec<(String, String)>,
}

/// What a cleanup did.
#[derive(Clone, Debug, Default)]
pub struct CleanupReport {
    /// Ids of the sets that are gone.
    pub deleted: Vec<String>,
    /// Bytes of their data.
    pub freed_bytes: u64,
    /// Ids of the sets that stayed against the plan, with the reason.
    pub stayed: Vec<(String, String)>,
}

/// Plans. Sets of different names are judged apart: the newest good one of each stays.
///
/// # Errors
/// `Io`.
pub async fn plan_cleanup(
    repository: &Repository,
    policy: &Policy,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<CleanupPlan> {
    let Listing { sets, unreadable } = repository.list().await?;
    let mut in_use = HashSet::new();
    let mut decisions = decide_with(&sets, &in_use, policy, now, zone);
    // Only what would go is asked whether it is in use: an object store charges for every question.
    for (set, decision) in sets.iter().zip(&decisions) {
        if !decision.keep && repository.is_in_use(set).await? {
            in_use.insert(set.file.clone());
        }
    }
    if !in_use.is_empty() {
        decisions = decide_with(&sets, &in_use, policy, now, zone);
    }
    Ok(CleanupPlan {
        sets: sets.into_iter().zip(decisions).collect(),
        unreadable,
    })
}

/// Decides about `sets`, in their order, as if nobody read any. Sets of different names are judged apart.
pub fn decide(
    sets: &[BackupSet],
    policy: &Policy,
    now: Timestamp,
    zone: &TimeZone,
) -> Vec<Decision> {
    decide_with(sets, &HashSet::new(), policy, now, zone)
}

fn decide_with(
    sets: &[BackupSet],
    in_use: &HashSet<String>,
    policy: &Policy,
    now: Timestamp,
    zone: &TimeZone,
) -> Vec<Decision> {
    let names: BTreeSet<&str> = sets.iter().map(|set| set.name.name.as_str()).collect();
    let mut decisions: Vec<Option<Decision>> = vec![None; sets.len()];
    for name in names {
        let of_name: Vec<usize> = (0..sets.len())
            .filter(|&i| sets[i].name.name == name)
            .collect();
        let facts: Vec<SetFacts> = of_name
            .iter()
            .map(|&i| facts_of(&sets[i], in_use.contains(&sets[i].file)))
            .collect();
        for (i, decision) in of_name.into_iter().zip(plan(&facts, policy, now, zone)) {
            decisions[i] = Some(decision);
        }
    }
    decisions.into_iter().flatten().collect()
}

/// What retention has to know of a set.
fn facts_of(set: &BackupSet, in_use: bool) -> SetFacts {
    SetFacts {
        id: set.file.clone(),
        created: set.name.created,
        kind: set.meta.kind,
        state: state_of(&set.meta),
        pinned: set.meta.pinned,
        in_use,
    }
}

fn state_of(meta: &Meta) -> State {
    if meta.is_damaged() {
        State::Damaged
    } else if meta.is_whole() {
        State::Good
    } else {
        State::Partial
    }
}

impl CleanupPlan {
    /// The sets that will be deleted.
    pub fn doomed(&self) -> impl Iterator<Item = &BackupSet> {
        self.sets
            .iter()
            .filter(|(_, decision)| !decision.keep)
            .map(|(set, _)| set)
    }

    /// Deletes, the oldest first. What is read or was pinned since the plan stays.
    ///
    /// # Errors
    /// `Io`, telling how far it came.
    pub async fn execute(&self, repository: &Repository) -> Result<CleanupReport> {
        let mut report = CleanupReport::default();
        let mut doomed: Vec<&BackupSet> = self.doomed().collect();
        doomed.reverse();
        for set in doomed {
            failpoint("cleanup.between");
            match repository.delete(set).await {
                Ok(()) => {
                    report.deleted.push(set.name.id.clone());
                    report.freed_bytes += set.meta.size;
                }
                Err(e) if matches!(e.kind(), ErrorKind::Locked | ErrorKind::Usage) => {
                    report
                        .stayed
                        .push((set.name.id.clone(), e.message().to_owned()));
                }
                Err(e) => return Err(told(e, set, &report)),
            }
        }
        Ok(report)
    }
}

fn told(error: Error, set: &BackupSet, report: &CleanupReport) -> Error {
    error
        .detail(format!(
            "It happened when {} was to be deleted.",
            set.name.id
        ))
        .detail(format!(
            "{} sets were deleted before.",
            report.deleted.len()
        ))
}
