//! A local directory.
//!
//! Temporary files are `.NAME.tmp-PID`, lock files `.NAME.lock`. Both are held under `flock` while their owner
//! lives: the kernel lets go when it dies, so what can be locked by another one is abandoned. That is right across
//! containers with process numbers of their own, and where process numbers repeat.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Advice, FlockOperation, RenameFlags, fadvise, flock};

use super::{StoredFile, holder};
use crate::archive::{Source, open_local};
use crate::{Error, ErrorKind, Result};

/// The files directly in one directory.
#[derive(Clone, Debug)]
pub(super) struct LocalDirectory {
    path: PathBuf,
    durability: Durability,
}

/// Whether what was written is on the disk when a call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    Synced,
    /// `--no-sync`: the kernel writes when it likes.
    Unsynced,
}

impl Durability {
    fn sync(self, file: &File) -> io::Result<()> {
        match self {
            Durability::Synced => file.sync_all(),
            Durability::Unsynced => Ok(()),
        }
    }
}

impl LocalDirectory {
    pub(super) fn new(path: PathBuf) -> Self {
        LocalDirectory {
            path,
            durability: Durability::Synced,
        }
    }

    /// The same directory for whom a crash of the host does not matter: neither files nor names are synced.
    pub(super) fn without_sync(&self) -> Self {
        LocalDirectory {
            path: self.path.clone(),
            durability: Durability::Unsynced,
        }
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Sorted by name.
    pub(super) fn list(&self) -> Result<Vec<StoredFile>> {
        let mut files = Vec::new();
        for name in self.names()? {
            if name.starts_with('.') {
                continue;
            }
            let path = self.path_of(&name);
            let metadata = match path.metadata() {
                // Deleted meanwhile, or a link to nowhere.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(|e| failed("look at", &path, e))?,
            };
            if metadata.is_file() {
                files.push(StoredFile {
                    name,
                    size_bytes: metadata.len(),
                    modified: modified(&metadata),
                });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// All names, hidden ones too. A name that is no UTF-8 is none of ours.
    fn names(&self) -> Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|e| failed("list", &self.path, e))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| failed("list", &self.path, e))?;
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }

    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path_of(name);
        std::fs::read(&path).map_err(|e| failed("read", &path, e))
    }

    pub(super) fn source(&self, name: &str) -> Result<Box<dyn Source>> {
        let path = self.path_of(name);
        open_local(&path).map_err(|e| failed("open", &path, e))
    }

    pub(super) fn put_new(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut temporary = self.temporary(name)?;
        temporary.write(bytes, self.durability)?;
        let path = self.path_of(name);
        rename_without_overwriting(&temporary.path, &path)
            .map_err(|e| failed("publish", &path, e))?;
        self.sync()
    }

    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut temporary = self.temporary(name)?;
        temporary.write(bytes, self.durability)?;
        let path = self.path_of(name);
        std::fs::rename(&temporary.path, &path).map_err(|e| failed("replace", &path, e))?;
        self.sync()
    }

    pub(super) fn delete(&self, name: &str) -> Result<()> {
        let path = self.path_of(name);
        match std::fs::remove_file(&path) {
            Ok(()) => self.sync(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(failed("delete", &path, e)),
        }
    }

    pub(super) fn upload(&self, names: Vec<String>) -> Result<LocalUpload> {
        let free = names.iter().find(|name| self.in_the_way(name).is_none());
        let Some(free) = free else {
            return Err(self.taken(names.last().map_or("", String::as_str)));
        };
        let temporary = self.temporary(free)?;
        Ok(LocalUpload {
            directory: self.clone(),
            temporary,
            names,
            cached: Cached::default(),
        })
    }

    /// A file of this name, or one that would be beside it: the remains of another set.
    fn in_the_way(&self, name: &str) -> Option<PathBuf> {
        let path = self.path_of(name);
        let files = [
            path.clone(),
            beside(&path, ".sha256"),
            beside(&path, ".meta"),
        ];
        (files.into_iter()).find(|path| path.symlink_metadata().is_ok())
    }

    fn taken(&self, name: &str) -> Error {
        // Gone meanwhile: it is the name that was taken.
        let path = self.in_the_way(name).unwrap_or_else(|| self.path_of(name));
        super::taken(&path.display().to_string())
    }

    pub(super) fn clear_abandoned(&self) -> Result<Vec<String>> {
        let mut cleared = Vec::new();
        for name in self.names()? {
            if (is_temporary(&name) || is_lock(&name)) && self.clear_if_abandoned(&name)? {
                cleared.push(name);
            }
        }
        cleared.sort();
        Ok(cleared)
    }

    fn clear_if_abandoned(&self, name: &str) -> Result<bool> {
        let path = self.path_of(name);
        let mut file = match open_existing(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(|e| failed("open", &path, e))?,
        };
        if !try_flock(&file, true).map_err(|e| failed("lock", &path, e))?
            || !is_still_at(&file, &path)
            || (is_lock(name) && !holder::is_ours(&read_all(&mut file)))
        {
            return Ok(false);
        }
        std::fs::remove_file(&path).map_err(|e| failed("delete", &path, e))?;
        Ok(true)
    }

    pub(super) fn lock(&self, name: &str, exclusive: bool) -> Result<LocalLock> {
        let path = self.path_of(&format!(".{name}.lock"));
        self.make()?;
        for _ in 0..LOCK_ATTEMPTS {
            let mut file = match open_lock(&path) {
                Ok(file) => file,
                // Who cannot write here can still read: nothing holds the files in place for it then.
                Err(e) if !exclusive && is_read_only(&e) => return Ok(LocalLock { held: None }),
                Err(e) => return Err(failed("open", &path, e)),
            };
            if !try_flock(&file, exclusive).map_err(|e| failed("lock", &path, e))? {
                // It may be somebody who only looks whether it is abandoned.
                std::thread::sleep(LOCK_PAUSE);
                continue;
            }
            if !is_still_at(&file, &path) {
                continue;
            }
            describe_holder(&mut file).map_err(|e| failed("write", &path, e))?;
            return Ok(LocalLock {
                held: Some((file, path)),
            });
        }
        let held_by = open_existing(&path).map(|mut file| read_all(&mut file));
        Err(super::locked(name, &held_by.unwrap_or_default()))
    }

    pub(super) fn free_bytes(&self) -> Result<Option<u64>> {
        // A directory that will only be made lies on its parent's file system.
        let existing = self.path.ancestors().find(|path| path.exists());
        let existing = existing
            .filter(|path| !path.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let statistics = rustix::fs::statvfs(existing)
            .map_err(|e| failed("ask for the free space of", existing, e.into()))?;
        Ok(Some(
            statistics.f_bavail.saturating_mul(statistics.f_frsize),
        ))
    }

    fn make(&self) -> Result<()> {
        if self.path.is_dir() {
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|e| failed("make directory", &self.path, e))
    }

    /// A new, private file under a temporary name. A killed run may have left a file of that name where process
    /// numbers repeat, as they do in containers; then a counter follows.
    fn temporary(&self, name: &str) -> Result<TemporaryFile> {
        self.make()?;
        let stem = format!(".{name}.tmp-{}", std::process::id());
        let mut path = self.path_of(&stem);
        for attempt in 2.. {
            match open_new(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(failed("create", &path, e)),
                Ok(file) => {
                    let is_held = try_flock(&file, true).map_err(|e| failed("lock", &path, e))?;
                    // Between the two calls another run may have taken it for abandoned.
                    if is_held && is_still_at(&file, &path) {
                        return Ok(TemporaryFile { path, file });
                    }
                }
            }
            path = self.path_of(&format!("{stem}-{attempt}"));
        }
        Err(Error::internal("ran out of temporary names"))
    }

    /// Makes names durable.
    fn sync(&self) -> Result<()> {
        File::open(&self.path)
            .and_then(|directory| self.durability.sync(&directory))
            .map_err(|e| failed("sync directory", &self.path, e))
    }
}

const LOCK_ATTEMPTS: usize = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A file under a temporary name. Dropping it removes it.
#[derive(Debug)]
struct TemporaryFile {
    path: PathBuf,
    file: File,
}

impl TemporaryFile {
    fn write(&mut self, bytes: &[u8], durability: Durability) -> Result<()> {
        self.file
            .write_all(bytes)
            .and_then(|()| durability.sync(&self.file))
            .map_err(|e| failed("write", &self.path, e))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // Gone already after publication; anything else is cleared by the next run.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// An upload into a directory: a temporary file that gets its name at the end.
#[derive(Debug)]
pub(super) struct LocalUpload {
    directory: LocalDirectory,
    temporary: TemporaryFile,
    names: Vec<String>,
    cached: Cached,
}

/// What of an upload may be in the kernel's cache. A backup that nobody reads soon must not push out what the database needs.
#[derive(Debug, Default)]
struct Cached {
    written: u64,
    /// Where the last piece began.
    from: u64,
}

/// How much is written before the kernel is told.
const CACHED_BYTES: u64 = 32 << 20;

impl Cached {
    /// The piece that is full is not needed any more, nor the one before: the kernel begins to write the former, and forgets the latter, which
    /// is on the disk by then. Manual: posix_fadvise(2), POSIX_FADV_DONTNEED.
    fn add(&mut self, file: &File, bytes: usize) {
        self.written += bytes as u64;
        if self.written - self.from >= CACHED_BYTES {
            forget(file, self.from.saturating_sub(CACHED_BYTES));
            self.from = self.written;
        }
    }
}

/// All of a file from here on. It is advice: where it is not taken, nothing is lost.
fn forget(file: &File, from: u64) {
    let _ = fadvise(file, from, None, Advice::DontNeed);
}

impl LocalUpload {
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.temporary.file.write(bytes)?;
        self.cached.add(&self.temporary.file, written);
        Ok(written)
    }

    pub(super) fn publish(self) -> Result<String> {
        let path = &self.temporary.path;
        self.directory
            .durability
            .sync(&self.temporary.file)
            .map_err(|e| failed("sync", path, e))?;
        forget(&self.temporary.file, 0);
        let mut taken = "";
        for name in &self.names {
            let to = self.directory.path_of(name);
            if self.directory.in_the_way(name).is_some() {
                taken = name;
                continue;
            }
            match rename_without_overwriting(path, &to) {
                Ok(()) => {
                    self.directory.sync()?;
                    return Ok(name.clone());
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => taken = name,
                Err(e) => return Err(failed("publish", &to, e)),
            }
        }
        Err(self.directory.taken(taken))
    }
}

/// A lock by `flock`; `None` where the directory cannot be written.
#[derive(Debug)]
pub(super) struct LocalLock {
    held: Option<(File, PathBuf)>,
}

impl Drop for LocalLock {
    fn drop(&mut self) {
        let Some((file, path)) = &self.held else {
            return;
        };
        // The last one out removes the file. A reader is the last one if it can have the lock alone.
        if matches!(try_flock(file, true), Ok(true)) && is_still_at(file, path) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn is_temporary(name: &str) -> bool {
    let Some((stem, number)) = name.rsplit_once(".tmp-") else {
        return false;
    };
    let mut numbers = number.split('-');
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    stem.len() > 1
        && stem.starts_with('.')
        && numbers.next().is_some_and(is_number)
        && numbers.next().is_none_or(is_number)
        && numbers.next().is_none()
}

fn is_lock(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".lock") && name.len() > ".".len() + ".lock".len()
}

/// `rename` would overwrite. Where the kernel cannot rename otherwise, a hard link fails on a taken name; where the
/// file system has none either (some network shares), we take the name with an empty file of our own and rename over that.
fn rename_without_overwriting(from: &Path, to: &Path) -> io::Result<()> {
    let here = rustix::fs::CWD;
    match rustix::fs::renameat_with(here, from, here, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
        }
        outcome => return outcome.map_err(io::Error::from),
    }
    match std::fs::hard_link(from, to) {
        // The other name goes when its `TemporaryFile` is dropped.
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
        Err(_) => {
            open_new(to)?;
            std::fs::rename(from, to).inspect_err(|_| {
                let _ = std::fs::remove_file(to);
            })
        }
    }
}

fn open_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn open_existing(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0))
        .open(path)
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

fn try_flock(file: &File, exclusive: bool) -> io::Result<bool> {
    let operation = if exclusive {
        FlockOperation::NonBlockingLockExclusive
    } else {
        FlockOperation::NonBlockingLockShared
    };
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Whether the path still leads to this file: its owner removes it before it lets go of the lock.
fn is_still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(ours), Ok(there)) => ours.dev() == there.dev() && ours.ino() == there.ino(),
        _ => false,
    }
}

fn describe_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(holder::describe().as_bytes())
}

fn read_all(file: &mut File) -> String {
    let mut text = String::new();
    // Half a description is only half a message.
    let _ = file.take(1000).read_to_string(&mut text);
    text
}

fn modified(metadata: &std::fs::Metadata) -> jiff::Timestamp {
    metadata
        .modified()
        .ok()
        .and_then(|time| jiff::Timestamp::try_from(time).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(verb: &str, path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => Some("Who owns the directory, and who runs pgstow?"),
        _ => None,
    };
    let error = Error::io(format!("could not {verb} {}", path.display()), error);
    match hint {
        Some(hint) if error.kind() == ErrorKind::Io => error.hint(hint),
        _ => error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_of_a_name_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.sql.gz.meta"), "{}").unwrap();
        let directory = LocalDirectory::new(dir.path().to_owned());
        let error = directory.upload(vec!["a.sql.gz".to_owned()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("a.sql.gz.meta exists already"));
    }

    #[test]
    fn without_sync_nothing_is_synced() {
        // What cannot be synced tells who tries.
        let file = File::open("/dev/null").unwrap();
        let directory = LocalDirectory::new(PathBuf::from("/"));
        assert!(directory.durability.sync(&file).is_err());
        assert!(directory.without_sync().durability.sync(&file).is_ok());
    }
}
