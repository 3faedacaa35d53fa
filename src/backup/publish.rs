//! Making a finished backup set visible: never half, never over another file.

use crate::Result;
use crate::failpoint::failpoint;
use crate::storage::{Storage, Upload};

/// Publishes a set: data (already written to `upload`), then `.sha256`, then the `.meta` that `render_meta` gives for
/// the file's name. Returns that name.
///
/// # Errors
/// `AlreadyExists` if all names are taken; `Io`, `NoSpace`. Nothing of the set is left then.
pub async fn publish(
    storage: &Storage,
    upload: Upload,
    sha256: &str,
    render_meta: impl FnOnce(&str) -> Result<String>,
) -> Result<String> {
    let name = upload.publish().await?;
    failpoint("publish.after_data");
    match publish_rest(storage, &name, sha256, render_meta).await {
        Ok(()) => Ok(name),
        Err(error) => {
            withdraw(storage, &name).await;
            Err(error)
        }
    }
}

/// Makes a set of published data: `.sha256`, then `.meta`.
///
/// # Errors
/// As [`publish`]. What was written is left: [`withdraw`] takes it back.
pub(super) async fn publish_rest(
    storage: &Storage,
    name: &str,
    sha256: &str,
    render_meta: impl FnOnce(&str) -> Result<String>,
) -> Result<()> {
    let meta = render_meta(name)?;
    let sum = format!("{sha256}  {name}\n");
    storage
        .put_new(&format!("{name}.sha256"), sum.into_bytes())
        .await?;
    failpoint("publish.after_sha256");
    storage
        .put_new(&format!("{name}.meta"), meta.into_bytes())
        .await
}

/// Takes back what a failed publication left, in the reverse order. The names were free before.
pub(super) async fn withdraw(storage: &Storage, name: &str) {
    for left in [
        format!("{name}.meta"),
        format!("{name}.sha256"),
        name.to_owned(),
    ] {
        // What cannot be removed has no .meta, and so is no backup.
        let _ = storage.delete(&left).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::storage::Location;
    use crate::{Error, ErrorKind};

    async fn publish_as(
        dir: &Path,
        names: &[&str],
        meta: impl FnOnce(&str) -> Result<String>,
    ) -> Result<String> {
        let storage = Storage::open(&Location::Directory(dir.to_owned()))?;
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let upload = storage.upload(names).await?;
        publish(&storage, upload, "00", meta).await
    }

    #[tokio::test]
    async fn publish_writes_three_private_files_and_leaves_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let name = publish_as(dir.path(), &["a.sql"], |name| Ok(name.to_owned())).await;
        assert_eq!(name.unwrap(), "a.sql");
        let mut found: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .inspect(|entry| {
                assert_eq!(
                    entry.metadata().unwrap().permissions().mode() & 0o777,
                    0o600
                )
            })
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, ["a.sql", "a.sql.meta", "a.sql.sha256"]);
        let sum = std::fs::read_to_string(dir.path().join("a.sql.sha256")).unwrap();
        assert_eq!(sum, "00  a.sql\n");
    }

    #[tokio::test]
    async fn publish_takes_the_next_name_and_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.sql"), "old").unwrap();
        let meta = |_: &str| Ok(String::new());
        let name = publish_as(dir.path(), &["a.sql", "a-2.sql"], meta).await;
        assert_eq!(name.unwrap(), "a-2.sql");
        let error = publish_as(dir.path(), &["a.sql"], meta).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(
            std::fs::read_to_string(dir.path().join("a.sql")).unwrap(),
            "old"
        );
    }

    #[tokio::test]
    async fn failed_publication_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let failed = publish_as(dir.path(), &["a.sql"], |_| Err(Error::internal("no meta"))).await;
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
