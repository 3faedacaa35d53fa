//! A set's copy in another repository, proved by reading it back.

use std::io::Write;

use super::publish::{publish_rest, withdraw};
use super::{BackupSet, Meta, Repository};
use crate::archive::{Source, for_each_piece, sha256_of};
use crate::event::{Event, Events};
use crate::failpoint::failpoint;
use crate::storage::{HashingWriter, Upload, spawn_blocking};
use crate::{Error, ErrorKind, Result};

/// What came of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copied {
    /// It was made and read back.
    Made,
    /// The same bytes were there already.
    Present,
}

/// Copies a set as it is stored. It counts as a set of `to` only after its bytes were read back from there.
///
/// # Errors
/// `Damaged` if the bytes are not those of its `.sha256`, here or there; `AlreadyExists` if `to` has another set of that
/// name; those of the storages. Nothing is left in `to` then.
pub async fn copy_set(
    from: &Repository,
    set: &BackupSet,
    to: &Repository,
    events: &Events,
) -> Result<Copied> {
    let _lock = from.storage().lock(&set.file, false).await?;
    let place = to.storage().location().to_string();
    if let Some(present) = present(to, set).await? {
        return match present.sha256 == set.meta.sha256 {
            true => Ok(Copied::Present),
            false => Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("{place} has another set called {}", set.name.id),
            )),
        };
    }
    to.clear_abandoned().await?;
    let _publishing = to.lock_files(&set.file).await?;
    let upload = to.storage().upload(vec![set.file.clone()]).await?;
    let source = from.storage().source(&set.file).await?;
    let (upload, sha256) = send(source, from.path_of(&set.file), upload, events.clone()).await?;
    if sha256 != set.meta.sha256 {
        return Err(Error::new(
            ErrorKind::Damaged,
            format!("{} is damaged", from.path_of(&set.file)),
        )
        .detail("Its SHA-256 is not that of its .meta; it was not copied."));
    }
    let file = upload.publish().await?;
    failpoint("copy.after_data");
    match finish(to, &file, set).await {
        Ok(()) => Ok(Copied::Made),
        Err(error) => {
            withdraw(to.storage(), &file).await;
            Err(error)
        }
    }
}

async fn present(to: &Repository, set: &BackupSet) -> Result<Option<Meta>> {
    let listing = to.list().await?;
    let same = listing
        .sets
        .into_iter()
        .find(|there| there.file == set.file);
    Ok(same.map(|there| there.meta))
}

/// Writes all of `source` and gives the SHA-256 of what was written. `name` is for messages.
async fn send(
    source: Box<dyn Source>,
    name: String,
    upload: Upload,
    events: Events,
) -> Result<(Upload, String)> {
    spawn_blocking(move || {
        let mut sink = HashingWriter::new(upload);
        for_each_piece(source.as_ref(), &name, |piece| {
            sink.write_all(piece)
                .map_err(|e| Error::io("could not write the copy", e))?;
            events.emit(Event::Stored {
                bytes: piece.len() as u64,
            });
            Ok(())
        })?;
        let (upload, sha256, _) = sink.finish();
        let sha256 = sha256.ok_or_else(|| Error::internal("a copy was not hashed"))?;
        Ok((upload, sha256))
    })
    .await
}

/// Reads the copy back and makes it a set.
async fn finish(to: &Repository, file: &str, set: &BackupSet) -> Result<()> {
    let source = to.storage().source(file).await?;
    let name = to.path_of(file);
    let shown = name.clone();
    let sha256 = spawn_blocking(move || sha256_of(source.as_ref(), &name)).await?;
    if sha256 != set.meta.sha256 {
        return Err(Error::new(
            ErrorKind::Damaged,
            format!("the copy {shown} is not what was written"),
        )
        .detail("Its SHA-256, read back, is another one. The copy was removed."));
    }
    let mut meta = set.meta.clone();
    // What was proved of the same bytes elsewhere holds here too; a pin is about the place.
    meta.pinned = false;
    let text = meta.to_text()?;
    publish_rest(to.storage(), file, &sha256, |_| Ok(text)).await
}
