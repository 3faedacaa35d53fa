//! Making a finished archive visible: never half, never over another file.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::{Error, ErrorKind, Result};

/// A file under a temporary name in the directory of its final one. Dropping it removes it.
#[derive(Debug)]
pub struct PartialFile {
    path: PathBuf,
    directory: PathBuf,
}

impl PartialFile {
    /// Opens a new file (0600) in `directory`, which is made (0700) if it is not there.
    ///
    /// # Errors
    /// `Io`, `NoSpace`.
    pub fn create(directory: &Path, final_name: &str) -> Result<(PartialFile, File)> {
        let shown = directory.display();
        if !directory.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(|e| Error::io(format!("could not make directory {shown}"), e))?;
        }
        let (path, file) = new_temporary_file(directory, final_name)?;
        let partial = PartialFile {
            path,
            directory: directory.to_owned(),
        };
        Ok((partial, file))
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // Gone already after publication; anything else cannot be helped here.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A published set.
#[derive(Clone, Debug)]
pub struct Published {
    /// The data file.
    pub path: PathBuf,
}

/// Publishes a set: data (already written to `partial`), then `.sha256`, then the `.meta` that
/// `render_meta` gives for the file's base name. `names` are tried in order until one is free.
///
/// # Errors
/// `AlreadyExists` if all names are taken; `Io`, `NoSpace`. Nothing of the set is left then.
pub fn publish(
    partial: PartialFile,
    file: &File,
    names: impl IntoIterator<Item = String>,
    sha256: &str,
    render_meta: impl FnOnce(&str) -> Result<String>,
) -> Result<Published> {
    file.sync_all()
        .map_err(|e| Error::io("could not sync the archive to disk", e))?;
    let name = link_first_free(&partial, names)?;
    let path = partial.directory.join(&name);
    let complete = || {
        sync_directory(&partial.directory)?;
        let meta = render_meta(&name)?;
        write_beside(&path, ".sha256", &format!("{sha256}  {name}\n"))?;
        write_beside(&path, ".meta", &meta)?;
        sync_directory(&partial.directory)
    };
    if let Err(error) = complete() {
        withdraw(&path);
        return Err(error);
    }
    Ok(Published { path })
}

/// Takes back what a failed publication left, in the reverse order. The names were free before.
fn withdraw(path: &Path) {
    for left in [
        beside(path, ".meta"),
        beside(path, ".sha256"),
        path.to_owned(),
    ] {
        // What cannot be removed has no .meta, or none that is whole, and so is no backup.
        let _ = std::fs::remove_file(left);
    }
}

/// Gives the file its name, the first free one.
fn link_first_free(
    partial: &PartialFile,
    names: impl IntoIterator<Item = String>,
) -> Result<String> {
    let mut taken = String::new();
    for name in names {
        let path = partial.directory.join(&name);
        // The files beside it count, too: they would be the remains of another set of that name.
        if beside(&path, ".sha256").exists() || beside(&path, ".meta").exists() {
            taken = name;
            continue;
        }
        match rename_without_overwriting(&partial.path, &path) {
            Ok(()) => return Ok(name),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => taken = name,
            Err(e) => {
                return Err(Error::io(
                    format!("could not publish {}", path.display()),
                    e,
                ));
            }
        }
    }
    let path = partial.directory.join(taken);
    Err(Error::new(
        ErrorKind::AlreadyExists,
        format!("{} exists already", path.display()),
    )
    .hint("Nothing is ever overwritten: choose another name or move the old files away."))
}

/// A hard link fails where rename would overwrite. Where the file system has none (exFAT, some network
/// shares), we take the name with an empty file of our own and rename over that.
fn rename_without_overwriting(from: &Path, to: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(from, to) {
        // The other name goes when its `PartialFile` is dropped.
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Err(e),
        Err(_) => {
            open_new(to)?;
            std::fs::rename(from, to).inspect_err(|_| {
                let _ = std::fs::remove_file(to);
            })
        }
    }
}

fn write_beside(path: &Path, suffix: &str, text: &str) -> Result<()> {
    let path = beside(path, suffix);
    let mut file = new_file(&path)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|e| Error::io(format!("could not write {}", path.display()), e))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// `.NAME.tmp-PID`. A killed run may have left a file of that name where process numbers repeat, as they
/// do in containers; then a counter follows.
fn new_temporary_file(directory: &Path, final_name: &str) -> Result<(PathBuf, File)> {
    let name = format!(".{final_name}.tmp-{}", std::process::id());
    let mut path = directory.join(&name);
    for attempt in 2.. {
        match new_file(&path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                path = directory.join(format!("{name}-{attempt}"));
            }
            outcome => return outcome.map(|file| (path, file)),
        }
    }
    Err(Error::internal("ran out of temporary names"))
}

fn new_file(path: &Path) -> Result<File> {
    open_new(path).map_err(|e| Error::io(format!("could not create {}", path.display()), e))
}

fn open_new(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|e| {
            Error::io(
                format!("could not sync directory {}", directory.display()),
                e,
            )
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn publish_writes_three_private_files_and_leaves_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (partial, file) = PartialFile::create(dir.path(), "a.sql").unwrap();
        let set = publish(partial, &file, names(&["a.sql"]), "00", |name| {
            Ok(name.to_owned())
        })
        .unwrap();
        assert_eq!(set.path, dir.path().join("a.sql"));
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

    #[test]
    fn publish_takes_the_next_name_and_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.sql"), "old").unwrap();
        let (partial, file) = PartialFile::create(dir.path(), "a.sql").unwrap();
        let set = publish(partial, &file, names(&["a.sql", "a-2.sql"]), "00", |_| {
            Ok(String::new())
        });
        assert_eq!(set.unwrap().path, dir.path().join("a-2.sql"));
        let (partial, file) = PartialFile::create(dir.path(), "a.sql").unwrap();
        let error = publish(partial, &file, names(&["a.sql"]), "00", |_| {
            Ok(String::new())
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(
            std::fs::read_to_string(dir.path().join("a.sql")).unwrap(),
            "old"
        );
    }

    #[test]
    fn failed_publication_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (partial, file) = PartialFile::create(dir.path(), "a.sql").unwrap();
        let failed = publish(partial, &file, names(&["a.sql"]), "00", |_| {
            Err(Error::internal("no meta"))
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn leftover_of_a_killed_run_is_not_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = PartialFile::create(dir.path(), "a.sql").unwrap();
        let (second, _) = PartialFile::create(dir.path(), "a.sql").unwrap();
        assert_ne!(first.path, second.path);
    }

    #[test]
    fn dropped_partial_file_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        drop(PartialFile::create(dir.path(), "a.sql").unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
