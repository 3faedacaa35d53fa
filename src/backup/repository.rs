//! The backup sets of one place. There is no index and no state: names and `.meta` files say it all.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use serde::Deserialize;

use super::name::{SetName, parse_set_name};
use super::retention::Kind;
use super::{META_FORMAT, Meta};
use crate::archive::{ArchiveReader, Stored};
use crate::failpoint::failpoint;
use crate::objects::quote::one_line;
use crate::storage::{Encryption, Identity, Location, Lock, Storage, decrypt, spawn_blocking};
use crate::{Error, ErrorKind, Result};

/// How often, and how long apart, a `.meta` that somebody else changes just now is tried again.
const META_ATTEMPTS: u32 = 20;
const META_PAUSE: Duration = Duration::from_millis(100);

/// `.meta` files that are read at the same time.
const READ_AT_ONCE: usize = 16;

/// A place with backup sets, and the keys to them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository {
    storage: Storage,
    encryption: Encryption,
    identity: Identity,
    only: Option<String>,
}

/// A whole set: data, `.sha256` and `.meta` are there.
#[derive(Clone, Debug)]
pub struct BackupSet {
    /// What its name says.
    pub name: SetName,
    /// Its data file.
    pub file: String,
    /// What its `.meta` says.
    pub meta: Meta,
}

/// All sets of a place.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The newest first.
    pub sets: Vec<BackupSet>,
    /// Files that look like a set's and are none that can be trusted, with the reason.
    pub unreadable: Vec<(String, String)>,
}

/// A set, or why its files are none.
type Readable = std::result::Result<BackupSet, String>;

/// A set that is being read. Nobody deletes it meanwhile.
pub struct OpenSet {
    /// Its archive, decrypted.
    pub reader: ArchiveReader,
    /// Released when dropped.
    pub lock: Lock,
}

impl Repository {
    /// The sets at `location`. New ones are encrypted as `encryption` says; `identity` opens old ones.
    ///
    /// # Errors
    /// As [`Storage::open`].
    pub fn open(
        location: &Location,
        encryption: Encryption,
        identity: Identity,
    ) -> Result<Repository> {
        Ok(Repository {
            storage: Storage::open(location)?,
            encryption,
            identity,
            only: None,
        })
    }

    /// The same place, with the sets of one NAME alone.
    #[must_use]
    pub fn only(self, name: String) -> Repository {
        Repository {
            only: Some(name),
            ..self
        }
    }

    /// The same place, where new sets need not outlive a crash of the host.
    ///
    /// # Errors
    /// As [`Storage::without_sync`].
    pub fn without_sync(self) -> Result<Repository> {
        Ok(Repository {
            storage: self.storage.without_sync()?,
            ..self
        })
    }

    /// Where its files are.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// To whom new sets are encrypted.
    pub fn encryption(&self) -> &Encryption {
        &self.encryption
    }

    /// Where a set's data is, for people: a path or a URL.
    pub fn path_of(&self, file: &str) -> String {
        match self.storage.local_path(file) {
            Some(path) => path.display().to_string(),
            None => format!("{}/{file}", self.storage.location()),
        }
    }

    /// Reads all sets. Data without `.meta` is no set: it is not mentioned, for its run may be at work.
    ///
    /// # Errors
    /// `Io`.
    pub async fn list(&self) -> Result<Listing> {
        let files = self.storage.list().await?;
        let sizes: HashMap<&str, u64> = files
            .iter()
            .map(|file| (file.name.as_str(), file.size_bytes))
            .collect();
        let mut reads: Vec<BoxFuture<'_, (String, Result<Readable>)>> = Vec::new();
        for file in &files {
            let Some(data) = file.name.strip_suffix(".meta") else {
                continue;
            };
            if let Some(name) = parse_set_name(data).filter(|name| self.shows(name)) {
                let read = async { (data.to_owned(), self.read_set(name, data, &sizes).await) };
                reads.push(Box::pin(read));
            }
        }
        // An object store answers each request late, but many at a time.
        let mut reads = stream::iter(reads).buffered(READ_AT_ONCE);
        let mut listing = Listing::default();
        while let Some((data, set)) = reads.next().await {
            match set? {
                Ok(set) => listing.sets.push(set),
                Err(why) => listing.unreadable.push((data, why)),
            }
        }
        let age = |set: &BackupSet| (set.name.created, set.name.attempt, set.name.id.clone());
        listing.sets.sort_by_key(|set| std::cmp::Reverse(age(set)));
        Ok(listing)
    }

    /// The set, or why its files are none.
    async fn read_set(
        &self,
        name: SetName,
        data: &str,
        sizes: &HashMap<&str, u64>,
    ) -> Result<Readable> {
        let text = match self.storage.read(&format!("{data}.meta")).await {
            // Deleted since it was listed.
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Ok(Err("its .meta is gone".to_owned()));
            }
            text => text?,
        };
        let meta = match read_meta(&text) {
            Ok(meta) => meta,
            Err(why) => return Ok(Err(why)),
        };
        let missing = match sizes.get(data) {
            None => Some("its data is missing".to_owned()),
            Some(&size) if size != meta.size => Some(format!(
                "its data has {size} bytes, its .meta says {}",
                meta.size
            )),
            Some(_) if meta.file != data => Some("its .meta is that of another file".to_owned()),
            Some(_) if !sizes.contains_key(format!("{data}.sha256").as_str()) => {
                Some("its .sha256 is missing".to_owned())
            }
            Some(_) => None,
        };
        Ok(match missing {
            Some(why) => Err(why),
            None => Ok(BackupSet {
                name,
                file: data.to_owned(),
                meta,
            }),
        })
    }

    fn shows(&self, name: &SetName) -> bool {
        self.only.as_ref().is_none_or(|only| *only == name.name)
    }

    /// The set that a user means: `latest` for the newest good one of a whole database, `latest:weekly` for the newest of that
    /// kind, its id, or the beginning of its id if no other begins so.
    ///
    /// # Errors
    /// `NotFound`; `Usage` if several begin so, or the latest could be of several databases; `Io`.
    pub async fn find(&self, wanted: &str) -> Result<BackupSet> {
        let Listing { sets, unreadable } = self.list().await?;
        let place = self.storage.location().to_string();
        let shown = one_line(wanted);
        if let Some(kind) = latest_of(wanted)? {
            return newest(sets, kind, &place);
        }
        let exact = |set: &&BackupSet| set.name.id == wanted || set.file == wanted;
        if let Some(set) = sets.iter().find(exact) {
            return Ok(set.clone());
        }
        let mut matching = sets.iter().filter(|set| set.name.id.starts_with(wanted));
        match (matching.next(), matching.count()) {
            (Some(set), 0) => Ok(set.clone()),
            (Some(set), others) => Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "{} backup sets in {place} begin with \"{shown}\"",
                    others + 1
                ),
            )
            .hint(format!("The newest of them is {}.", set.name.id))),
            (None, _) => {
                let error = Error::new(
                    ErrorKind::NotFound,
                    format!("there is no file and no backup set \"{shown}\" in {place}"),
                );
                Err(unreadable
                    .into_iter()
                    .filter(|(file, _)| file.starts_with(wanted))
                    .fold(error, |error, (file, why)| {
                        error.detail(format!("{file}: {why}."))
                    }))
            }
        }
    }

    /// Opens a set's archive for reading.
    ///
    /// # Errors
    /// `Usage` if it is encrypted and there is no fitting key; `Damaged`, `Unsupported` as [`ArchiveReader::open`];
    /// `NotFound` if it was deleted meanwhile; `Locked` if it is being deleted; `Io`.
    pub async fn open_set(&self, set: &BackupSet) -> Result<OpenSet> {
        let lock = self.storage.lock(&set.file, false).await?;
        let source = self.storage.source(&set.file).await?;
        let identity = self.identity.clone();
        let name = self.path_of(&set.file);
        let reader =
            spawn_blocking(move || ArchiveReader::from_source(&name, decrypt(source, &identity)?))
                .await?;
        Ok(OpenSet { reader, lock })
    }

    /// A set's bytes and side files as they are stored.
    ///
    /// # Errors
    /// `NotFound`; `Io`.
    pub async fn stored(&self, set: &BackupSet) -> Result<Stored> {
        let text = |bytes: Vec<u8>| Some(String::from_utf8_lossy(&bytes).into_owned());
        Ok(Stored {
            source: self.storage.source(&set.file).await?,
            sha256_file: text(self.storage.read(&format!("{}.sha256", set.file)).await?),
            meta_file: text(self.storage.read(&format!("{}.meta", set.file)).await?),
        })
    }

    /// Changes a set's `.meta`: readers see the old or the new one. Gives the set as it is then.
    ///
    /// # Errors
    /// `NotFound` if it was deleted meanwhile; `Locked` if somebody else changes it all the time; `NoSpace`; `Io`.
    pub async fn update_meta(
        &self,
        set: &BackupSet,
        change: impl FnOnce(&mut Meta),
    ) -> Result<BackupSet> {
        let file = format!("{}.meta", set.file);
        let _lock = self.lock_patiently(&file).await?;
        let mut meta = self.current_meta(set).await?;
        change(&mut meta);
        self.storage
            .replace(&file, meta.to_text()?.into_bytes())
            .await?;
        Ok(BackupSet {
            meta,
            ..set.clone()
        })
    }

    async fn lock_patiently(&self, name: &str) -> Result<Lock> {
        for _ in 1..META_ATTEMPTS {
            match self.storage.lock(name, true).await {
                Err(e) if e.kind() == ErrorKind::Locked => tokio::time::sleep(META_PAUSE).await,
                lock => return lock,
            }
        }
        self.storage.lock(name, true).await
    }

    async fn current_meta(&self, set: &BackupSet) -> Result<Meta> {
        let text = self.storage.read(&format!("{}.meta", set.file)).await?;
        read_meta(&text)
            .map_err(|why| Error::new(ErrorKind::Damaged, format!("{}: {why}", set.file)))
    }

    /// Deletes a set: `.meta`, `.sha256`, data, so that no half of it is ever taken for a whole one.
    ///
    /// # Errors
    /// `Locked` if somebody reads it; `Usage` if it was pinned meanwhile; `Io`.
    pub async fn delete(&self, set: &BackupSet) -> Result<()> {
        let _alone = self.lock_files(&set.file).await?;
        let _meta = self.lock_patiently(&format!("{}.meta", set.file)).await?;
        match self.current_meta(set).await {
            Ok(meta) if meta.pinned => {
                return Err(
                    Error::new(ErrorKind::Usage, format!("{} is pinned", set.name.id))
                        .hint("Unpin it first."),
                );
            }
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            Ok(_) | Err(_) => {}
        }
        self.storage.delete(&format!("{}.meta", set.file)).await?;
        failpoint("delete.after_meta");
        self.storage.delete(&format!("{}.sha256", set.file)).await?;
        failpoint("delete.after_sha256");
        self.storage.delete(&set.file).await
    }

    /// Keeps a set's files for oneself while they are written or deleted. If this process dies, the lock that stays behind tells
    /// [`Repository::clear_abandoned`] that halves of the set are nobody's.
    ///
    /// # Errors
    /// `Locked`; `Io`.
    pub async fn lock_files(&self, file: &str) -> Result<Lock> {
        self.storage.lock(file, true).await
    }

    /// Removes what dead runs left: temporary files, locks, parts of uploads, and data without `.meta` of sets that were just
    /// being published or deleted. Data that somebody brought here is not touched. Gives the names.
    ///
    /// # Errors
    /// `Io`.
    pub async fn clear_abandoned(&self) -> Result<Vec<String>> {
        let mut cleared = self.storage.clear_abandoned().await?;
        let suspects: Vec<String> = cleared
            .iter()
            .filter_map(|name| name.strip_prefix('.')?.strip_suffix(".lock"))
            .filter(|file| parse_set_name(file).is_some())
            .map(str::to_owned)
            .collect();
        if suspects.is_empty() {
            return Ok(cleared);
        }
        let files = self.storage.list().await?;
        let is_there = |name: &str| files.iter().any(|file| file.name == name);
        for file in suspects {
            if is_there(&format!("{file}.meta")) {
                continue;
            }
            for half in [format!("{file}.sha256"), file] {
                if is_there(&half) {
                    self.storage.delete(&half).await?;
                    cleared.push(half);
                }
            }
        }
        Ok(cleared)
    }

    /// Whether somebody reads the set now.
    ///
    /// # Errors
    /// `Io`.
    pub async fn is_in_use(&self, set: &BackupSet) -> Result<bool> {
        match self.storage.lock(&set.file, true).await {
            Ok(_) => Ok(false),
            Err(e) if e.kind() == ErrorKind::Locked => Ok(true),
            Err(e) => Err(e),
        }
    }
}

/// The kind that `latest` or `latest:KIND` asks for; `None` if it is something else.
fn latest_of(wanted: &str) -> Result<Option<Option<Kind>>> {
    match wanted.strip_prefix("latest") {
        Some("") => Ok(Some(None)),
        Some(rest) if rest.starts_with(':') => match rest[1..].parse() {
            Ok(kind) => Ok(Some(Some(kind))),
            Err(why) => Err(Error::new(
                ErrorKind::Usage,
                format!("\"{}\" names no kind: {why}", one_line(wanted)),
            )),
        },
        _ => Ok(None),
    }
}

/// Who asks for the latest backup wants all of the database, and one that no check found damaged.
fn newest(sets: Vec<BackupSet>, kind: Option<Kind>, place: &str) -> Result<BackupSet> {
    let good = |set: &BackupSet| {
        let is_database = set.meta.is_good() && !set.meta.is_of_cluster();
        is_database && kind.is_none_or(|kind| set.meta.kind == kind)
    };
    let candidates: Vec<BackupSet> = sets.into_iter().filter(good).collect();
    let names: BTreeSet<&str> = candidates
        .iter()
        .map(|set| set.name.name.as_str())
        .collect();
    if names.len() > 1 {
        let names: Vec<&str> = names.into_iter().collect();
        return Err(Error::new(
            ErrorKind::Usage,
            format!("{place} holds backups of several databases"),
        )
        .hint(format!("Give --name with one of: {}.", names.join(", "))));
    }
    candidates.into_iter().next().ok_or_else(|| {
        let what = match kind {
            None => "backup set of a whole database".to_owned(),
            Some(kind) => format!("{kind} backup set of a whole database"),
        };
        Error::new(
            ErrorKind::NotFound,
            format!("there is no good {what} in {place}"),
        )
    })
}

fn read_meta(text: &[u8]) -> std::result::Result<Meta, String> {
    #[derive(Deserialize)]
    struct Format {
        meta_format: u32,
    }
    match serde_json::from_slice(text) {
        Ok(Format { meta_format }) if meta_format > META_FORMAT => Err(format!(
            "its .meta has format {meta_format}, a newer pgstow wrote it"
        )),
        Ok(_) => serde_json::from_slice(text).map_err(|e| format!("its .meta cannot be read: {e}")),
        Err(e) => Err(format!("its .meta cannot be read: {e}")),
    }
}
