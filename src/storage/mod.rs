//! Files by name in one place: a directory of this host, or a bucket of an object store.
//!
//! One flat level of names. What is written appears whole and durable under its name or not at all, and nothing is
//! overwritten but by [`Storage::replace`]. Names that start with a dot are ours for a while (temporary files, locks,
//! reservations) and are not listed.
//!
//! `local` keeps promises with `rename`, `fsync` and `flock`; `object` with conditional writes, multipart uploads and
//! leases. `encryption` is independent of the place: a [`Source`] over a [`Source`], a writer over a writer.

mod encryption;
mod hashing;
mod holder;
mod http;
mod local;
mod location;
mod object;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use encryption::starts_encrypted;
pub use encryption::{EncryptingWriter, Encryption, Identity, decrypt, encrypt};
pub use hashing::HashingWriter;
pub use http::{http_client, install_tls};
pub use location::{Location, Scheme};

use crate::archive::Source;
use crate::{Error, ErrorKind, Result};
use local::{LocalDirectory, LocalLock, LocalUpload};
use object::{Lease, ObjectStorage, ObjectUpload};

/// Where the files of backup sets lie. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Storage {
    location: Arc<Location>,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Local(Arc<LocalDirectory>),
    Object(ObjectStorage),
}

/// A file as [`Storage::list`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Its name in the storage.
    pub name: String,
    /// Bytes.
    pub size_bytes: u64,
    /// When it was written, by the clock of whoever stores it.
    pub modified: jiff::Timestamp,
}

impl Storage {
    /// Prepares access; asks nobody yet. Credentials and endpoints of object stores come from the usual environment
    /// (`AWS_*`, `GOOGLE_*`, `AZURE_*`).
    ///
    /// # Errors
    /// `Usage` if the environment contradicts itself.
    pub fn open(location: &Location) -> Result<Storage> {
        let variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Storage::open_with(location, &variables)
    }

    /// As [`Storage::open`], in another environment.
    ///
    /// # Errors
    /// As [`Storage::open`].
    pub fn open_with(location: &Location, variables: &[(String, String)]) -> Result<Storage> {
        let place = match location {
            Location::Directory(path) => Place::Local(Arc::new(LocalDirectory::new(path.clone()))),
            Location::Object {
                scheme,
                bucket,
                prefix,
            } => Place::Object(ObjectStorage::open(
                *scheme,
                bucket,
                prefix,
                location.to_string(),
                variables,
            )?),
        };
        Ok(Storage {
            location: Arc::new(location.clone()),
            place,
        })
    }

    /// The same place, where what is written need not outlive a crash of the host.
    ///
    /// # Errors
    /// `Usage` for an object store, which answers when an object is safe and cannot be asked for less.
    pub fn without_sync(self) -> Result<Storage> {
        match &self.place {
            Place::Local(directory) => Ok(Storage {
                place: Place::Local(Arc::new(directory.without_sync())),
                ..self
            }),
            Place::Object(_) => Err(Error::new(
                ErrorKind::Usage,
                format!("{} cannot do without syncing", self.location),
            )
            .hint("--no-sync is for files and directories of this host.")),
        }
    }

    /// As given to [`Storage::open`].
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Whether it is a directory of this host.
    pub fn is_local(&self) -> bool {
        self.local_path("").is_some()
    }

    /// Where a file lies on this host; `None` in an object store.
    pub fn local_path(&self, name: &str) -> Option<PathBuf> {
        match &self.place {
            Place::Local(directory) => Some(directory.path_of(name)),
            Place::Object(_) => None,
        }
    }

    /// The files of this level, sorted by name. A directory that does not exist has none.
    ///
    /// # Errors
    /// `Io`.
    pub async fn list(&self) -> Result<Vec<StoredFile>> {
        match &self.place {
            Place::Local(directory) => blocking(directory, |directory| directory.list()).await,
            Place::Object(bucket) => bucket.list().await,
        }
    }

    /// A small file, whole.
    ///
    /// # Errors
    /// `NotFound`; `Io`.
    pub async fn read(&self, name: &str) -> Result<Vec<u8>> {
        let name = checked(name)?;
        match &self.place {
            Place::Local(directory) => {
                blocking(directory, move |directory| directory.read(&name)).await
            }
            Place::Object(bucket) => bucket.read(&name).await,
        }
    }

    /// A file for reading at any offset, from any thread. `read_at` blocks.
    ///
    /// # Errors
    /// `NotFound`; `Io`.
    pub async fn source(&self, name: &str) -> Result<Box<dyn Source>> {
        let name = checked(name)?;
        match &self.place {
            Place::Local(directory) => {
                blocking(directory, move |directory| directory.source(&name)).await
            }
            Place::Object(bucket) => Ok(Box::new(bucket.source(&name).await?)),
        }
    }

    /// Writes a small file that must not exist yet; on this host private (0600). Durable on return.
    ///
    /// # Errors
    /// `AlreadyExists`; `NoSpace`; `Io`. Nothing is left then.
    pub async fn put_new(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let name = checked(name)?;
        match &self.place {
            Place::Local(directory) => {
                blocking(directory, move |directory| directory.put_new(&name, &bytes)).await
            }
            Place::Object(bucket) => bucket.put_new(&name, bytes).await,
        }
    }

    /// Writes a small file, over the old one if there is one: readers see the old or the new one, never a mixture.
    ///
    /// # Errors
    /// `NoSpace`; `Io`. The old one is unchanged then.
    pub async fn replace(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let name = checked(name)?;
        match &self.place {
            Place::Local(directory) => {
                blocking(directory, move |directory| directory.replace(&name, &bytes)).await
            }
            Place::Object(bucket) => bucket.replace(&name, bytes).await,
        }
    }

    /// Deletes a file. Gone already is fine.
    ///
    /// # Errors
    /// `Io`.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let name = checked(name)?;
        match &self.place {
            Place::Local(directory) => {
                blocking(directory, move |directory| directory.delete(&name)).await
            }
            Place::Object(bucket) => bucket.delete(&name).await,
        }
    }

    /// Starts a file of unknown size. It will have the first of `names` that is free, which it is if neither it nor
    /// its `.sha256` and `.meta` exist. Nothing is visible under any of them before [`Upload::publish`].
    ///
    /// # Errors
    /// `AlreadyExists` if no name is free; `NoSpace`; `Io`.
    pub async fn upload(&self, names: Vec<String>) -> Result<Upload> {
        for name in &names {
            checked(name)?;
        }
        let place = match &self.place {
            Place::Local(directory) => UploadPlace::Local(
                blocking(directory, move |directory| directory.upload(names)).await?,
            ),
            Place::Object(bucket) => UploadPlace::Object(Box::new(bucket.upload(names).await?)),
        };
        Ok(Upload { place })
    }

    /// Removes what dead runs left: temporary files, locks, reservations, parts of uploads. What a living run holds
    /// stays. Returns the names of what was removed.
    ///
    /// # Errors
    /// `Io`.
    pub async fn clear_abandoned(&self) -> Result<Vec<String>> {
        match &self.place {
            Place::Local(directory) => {
                blocking(directory, |directory| directory.clear_abandoned()).await
            }
            Place::Object(bucket) => bucket.clear_abandoned().await,
        }
    }

    /// Takes the lock called `name`, alone (`exclusive`) or together with other readers. It is released when dropped,
    /// also by the death of this process; in an object store ten minutes after it.
    ///
    /// Where a reader has no right to write, it goes on without a lock.
    ///
    /// # Errors
    /// `Locked`, naming the holder; `Io`.
    pub async fn lock(&self, name: &str, exclusive: bool) -> Result<Lock> {
        let name = checked(name)?;
        let place = match &self.place {
            Place::Local(directory) => LockPlace::Local(
                blocking(directory, move |directory| directory.lock(&name, exclusive)).await?,
            ),
            Place::Object(bucket) => LockPlace::Object(bucket.lock(&name, exclusive).await?),
        };
        Ok(Lock { _place: place })
    }

    /// Bytes that may still be written; `None` where nobody can know.
    ///
    /// # Errors
    /// `Io`.
    pub async fn free_bytes(&self) -> Result<Option<u64>> {
        match &self.place {
            Place::Local(directory) => {
                blocking(directory, |directory| directory.free_bytes()).await
            }
            Place::Object(_) => Ok(None),
        }
    }
}

/// A file on its way into a [`Storage`]. Written from a blocking thread; memory is bounded whatever the size.
/// Dropping it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    place: UploadPlace,
}

#[derive(Debug)]
enum UploadPlace {
    Local(LocalUpload),
    Object(Box<ObjectUpload>),
}

impl Upload {
    /// Makes the file visible and durable. Returns its name.
    ///
    /// # Errors
    /// `AlreadyExists` if somebody else took the last free name meanwhile; `NoSpace`; `Io`. Nothing is left then.
    pub async fn publish(self) -> Result<String> {
        match self.place {
            UploadPlace::Local(upload) => spawn_blocking(|| upload.publish()).await,
            UploadPlace::Object(upload) => upload.publish().await,
        }
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.place {
            UploadPlace::Local(upload) => upload.write(bytes),
            UploadPlace::Object(upload) => upload.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A held lock. Dropping it lets go.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct Lock {
    _place: LockPlace,
}

#[derive(Debug)]
enum LockPlace {
    #[expect(dead_code, reason = "held for its drop")]
    Local(LocalLock),
    #[expect(dead_code, reason = "held for its drop")]
    Object(Lease),
}

/// Names come from users, from HTTP and from `.meta` files: none may lead elsewhere.
fn checked(name: &str) -> Result<String> {
    let is_plain = !name.is_empty()
        && !name.starts_with('.')
        && !name.contains('/')
        && !name.contains(char::is_control);
    if is_plain {
        return Ok(name.to_owned());
    }
    Err(Error::new(
        ErrorKind::Usage,
        format!("\"{}\" is no name of a stored file", name.escape_debug()),
    ))
}

fn taken(place: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("{place} exists already"))
        .hint("Nothing is ever overwritten: choose another name or move the old files away.")
}

fn locked(name: &str, holder: &str) -> Error {
    let holder = match holder.lines().next().unwrap_or_default().trim() {
        "" => "another process",
        holder => holder,
    };
    Error::new(ErrorKind::Locked, format!("\"{name}\" is in use"))
        .detail(format!(
            "Held by {}.",
            crate::objects::quote::one_line(holder)
        ))
        .hint("Wait until it is done, then try again.")
}

async fn blocking<T: Send + 'static>(
    directory: &Arc<LocalDirectory>,
    work: impl FnOnce(&LocalDirectory) -> Result<T> + Send + 'static,
) -> Result<T> {
    let directory = Arc::clone(directory);
    spawn_blocking(move || work(&directory)).await
}

/// Runs what blocks on a thread for it.
pub(crate) async fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Error::internal("a blocking thread died").caused_by(e)))
}
