//! Can backups be stored, are there any, and how far can they be relied on?

use indicatif::BinaryBytes;
use jiff::{SignedDuration, Timestamp};

use super::{Check, Status};
use crate::Result;
use crate::backup::{BackupSet, Repository};
use crate::config::Profile;
use crate::storage::Location;

/// A day and the time a run may take.
const DAILY: SignedDuration = SignedDuration::from_hours(26);
const WEEKLY: SignedDuration = SignedDuration::from_hours(8 * 24);
const MONTHLY: SignedDuration = SignedDuration::from_hours(35 * 24);

/// The checks. The size of the database helps to judge the free space.
pub(super) async fn checks(profile: &Profile, database_bytes: Option<u64>) -> Vec<Check> {
    let repository = match profile.repository() {
        Ok(repository) => repository,
        Err(error) => return vec![Check::of_error("repository", &error)],
    };
    let mut checks = Vec::new();
    let sets = match place(&repository, &mut checks).await {
        Ok(sets) => sets,
        Err(error) => {
            checks.push(Check::of_error("repository", &error));
            return checks;
        }
    };
    checks.extend(space(&repository, &sets, database_bytes).await);
    checks.extend(quality(&sets, Timestamp::now()));
    checks.extend(offsite(profile, sets.first()).await);
    checks
}

/// Whether it is there and can be written. Gives the sets.
async fn place(repository: &Repository, checks: &mut Vec<Check>) -> Result<Vec<BackupSet>> {
    let storage = repository.storage();
    let location = storage.location();
    if let Location::Directory(path) = location
        && !path.is_dir()
    {
        checks.push(
            Check::warn("repository", format!("{location} is not there yet"))
                .hint("The first backup makes it, if it may; or choose another by BACKUP_DIR."),
        );
        return Ok(Vec::new());
    }
    let listing = repository.list().await?;
    // Taking a lock writes a file, and letting go removes it.
    drop(storage.lock("pgstow-doctor", true).await?);
    let count = listing.sets.len();
    checks.push(Check::ok(
        "repository",
        format!("{location} can be written, {count} backup sets"),
    ));
    for (file, why) in &listing.unreadable {
        checks.push(Check::warn(
            "repository",
            format!("{file} is no backup set: {why}"),
        ));
    }
    Ok(listing.sets)
}

async fn space(
    repository: &Repository,
    sets: &[BackupSet],
    database_bytes: Option<u64>,
) -> Option<Check> {
    let free = match repository.storage().free_bytes().await {
        Ok(free) => free?,
        Err(error) => return Some(Check::of_error("disk space", &error)),
    };
    // The last one tells best; without one a database compresses to about a third at worst.
    let last = sets.first().map(|set| set.meta.size);
    let need = last.or(database_bytes.map(|bytes| bytes / 3)).unwrap_or(0);
    let found = format!(
        "{} free, a backup takes about {}",
        BinaryBytes(free),
        BinaryBytes(need)
    );
    let hint = "Delete what is not needed (pgstow cleanup --dry-run), or keep backups elsewhere.";
    Some(match free / 2 {
        _ if free < need => Check::fail("disk space", found).hint(hint),
        half if half < need => Check::warn("disk space", found).hint(hint),
        _ => Check::ok("disk space", found),
    })
}

/// How old the newest good set and its proofs are.
fn quality(sets: &[BackupSet], now: Timestamp) -> Vec<Check> {
    let mut checks = Vec::new();
    let damaged: Vec<&str> = sets
        .iter()
        .filter(|set| set.meta.is_damaged())
        .map(|set| set.name.id.as_str())
        .collect();
    if !damaged.is_empty() {
        checks.push(
            Check::fail("damage", format!("damaged: {}", damaged.join(", "))).hint(
                "Is there another copy? cleanup deletes them once there is a newer good set.",
            ),
        );
    }
    let Some(newest) = sets.iter().find(|set| set.meta.is_good()) else {
        checks.push(Check::warn("last backup", "there is none").hint("Run: pgstow create"));
        return checks;
    };
    let since = |at: Timestamp| now.duration_since(at);
    let age = since(newest.name.created);
    let status = match age {
        age if age > WEEKLY => Status::Fail,
        age if age > DAILY => Status::Warn,
        _ => Status::Ok,
    };
    let found = format!("{}, {} ago", newest.name.id, days(age));
    checks.push(Check::new("last backup", status, found));
    for anomaly in &newest.meta.anomalies {
        checks.push(Check::warn("last backup", format!("anomaly: {anomaly}")));
    }
    let verified = sets
        .iter()
        .filter_map(|set| set.meta.verified.as_ref())
        .filter(|verified| verified.intact)
        .filter_map(|verified| verified.at.parse().ok())
        .max();
    checks.push(proof(
        "verified",
        verified.map(since),
        WEEKLY,
        "pgstow verify latest",
    ));
    let drilled = sets
        .iter()
        .filter_map(|set| set.meta.drilled.as_ref()?.at.parse().ok())
        .max();
    checks.push(proof(
        "restore proved",
        drilled.map(since),
        MONTHLY,
        "pgstow drill",
    ));
    checks
}

fn proof(
    check: &'static str,
    age: Option<SignedDuration>,
    limit: SignedDuration,
    command: &str,
) -> Check {
    match age {
        None => Check::warn(check, "never").hint(format!("Run: {command}")),
        Some(age) if age > limit => {
            Check::warn(check, format!("{} ago", days(age))).hint(format!("Run: {command}"))
        }
        Some(age) => Check::ok(check, format!("{} ago", days(age))),
    }
}

/// `3 d 4 h`, `25 min`.
fn days(age: SignedDuration) -> String {
    let minutes = age.as_mins().max(0);
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// Whether the second copies are there.
async fn offsite(profile: &Profile, newest: Option<&BackupSet>) -> Option<Check> {
    let offsite = match profile.offsite() {
        Ok(offsite) => offsite?,
        Err(error) => return Some(Check::of_error("off-site", &error)),
    };
    let location = offsite.storage().location().clone();
    let listing = match offsite.list().await {
        Ok(listing) => listing,
        Err(error) => return Some(Check::of_error("off-site", &error)),
    };
    let is_there = |set: &BackupSet| listing.sets.iter().any(|there| there.file == set.file);
    Some(match newest {
        Some(set) if !is_there(set) => Check::fail(
            "off-site",
            format!("{location} does not have {}", set.name.id),
        )
        .hint(format!("Run: pgstow copy {} --to {location}", set.name.id)),
        _ => Check::ok(
            "off-site",
            format!("{location}, {} backup sets", listing.sets.len()),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_days_hours_minutes() {
        assert_eq!(days(SignedDuration::from_mins(25)), "25 min");
        assert_eq!(days(SignedDuration::from_mins(60 * 5 + 1)), "5 h 1 min");
        assert_eq!(days(SignedDuration::from_hours(76)), "3 d 4 h");
        assert_eq!(days(SignedDuration::from_secs(-9)), "0 min");
    }
}
