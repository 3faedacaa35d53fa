//! Verifying a set, with the outcome in its `.meta`.

use std::num::NonZeroUsize;

use super::{BackupSet, How, Repository, Verified};
use crate::archive::{VerifyLevel, VerifyReport, verify_archive};
use crate::event::Events;
use crate::storage::spawn_blocking;
use crate::{Error, ErrorKind, Result};

/// Verifies a set and records when, how and with what outcome. A set that cannot be written to is verified all the same;
/// the second value then tells why nothing is recorded.
///
/// # Errors
/// `Damaged` if its footer, index or encryption is damaged, which is recorded too; those of [`Repository::open_set`].
pub async fn verify_set(
    repository: &Repository,
    set: &BackupSet,
    level: VerifyLevel,
    jobs: NonZeroUsize,
    events: &Events,
) -> Result<(VerifyReport, Option<Error>)> {
    let how = match level {
        VerifyLevel::Quick => How::Quick,
        VerifyLevel::Full => How::ReadData,
    };
    match read(repository, set, level, jobs, events).await {
        Ok(report) => {
            let unrecorded = record(repository, set, how, report.is_intact()).await;
            Ok((report, unrecorded.err()))
        }
        Err(error) if error.kind() == ErrorKind::Damaged => {
            match record(repository, set, how, false).await {
                Ok(()) => Err(error),
                Err(unrecorded) => Err(error.detail(unrecorded.to_string())),
            }
        }
        Err(error) => Err(error),
    }
}

async fn read(
    repository: &Repository,
    set: &BackupSet,
    level: VerifyLevel,
    jobs: NonZeroUsize,
    events: &Events,
) -> Result<VerifyReport> {
    let open = repository.open_set(set).await?;
    let stored = repository.stored(set).await?;
    let events = events.clone();
    spawn_blocking(move || {
        let report = verify_archive(&open.reader, &stored, level, jobs, &events);
        drop(open);
        report
    })
    .await
}

/// A quick look that finds nothing wrong does not take the place of a thorough one; one that finds something does.
pub(super) async fn record(
    repository: &Repository,
    set: &BackupSet,
    how: How,
    intact: bool,
) -> Result<()> {
    let verified = Verified::now(how, intact);
    let change = |meta: &mut super::Meta| match &meta.verified {
        Some(earlier) if how == How::Quick && intact && earlier.how != How::Quick => {}
        _ => meta.verified = Some(verified),
    };
    repository.update_meta(set, change).await.map(drop)
}
