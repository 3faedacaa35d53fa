//! A bucket of an object store: conditional writes, multipart uploads, leases.
//!
//! Nothing here is a process' own as a file lock is. A lease is an object whose holder writes it again every minute; one
//! that is older than ten minutes belongs to a dead run and may be taken over, by a write on condition that
//! nobody else did so. An upload notes its id in such a lease before its first part, so that the next run can abort it.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    ClientOptions, MultipartId, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, RetryConfig, UpdateVersion,
};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::http::{CONNECT_TIMEOUT, install_tls};
use super::{Scheme, StoredFile, holder, locked, taken};
use crate::archive::Source;
use crate::{Error, ErrorKind, Result};

/// How often a living holder writes its lease again, and from what age on its holder counts as dead. Clocks of hosts and
/// stores may differ by minutes.
const LEASE_RENEWAL: Duration = Duration::from_secs(60);
const LEASE_EXPIRY: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// The size of the first parts. A store takes 10 000 parts: later ones grow, so that 5 TiB fit.
const PART_BYTES: usize = 8 << 20;
const PARTS_OF_FIRST_SIZE: usize = 1000;
const PART_GROWTH_BYTES: usize = 136 << 10;

/// Parts on their way while the next one fills.
const PARTS_IN_FLIGHT: usize = 2;

/// An attempt to send or fetch a part, retries of one request together, and the goodbye of a dropped upload or lease.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_RETRIES: usize = 5;
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the three stores have in common.
trait Bucket: ObjectStore + MultipartStore {}
impl<T: ObjectStore + MultipartStore> Bucket for T {}

/// A bucket, below a prefix.
#[derive(Clone)]
pub(super) struct ObjectStorage {
    bucket: Arc<dyn Bucket>,
    prefix: Path,
    /// For messages.
    shown: String,
}

impl std::fmt::Debug for ObjectStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectStorage({})", self.shown)
    }
}

impl ObjectStorage {
    /// `variables` is the environment: credentials and endpoints. Asks nobody yet.
    pub(super) fn open(
        scheme: Scheme,
        bucket: &str,
        prefix: &str,
        shown: String,
        variables: &[(String, String)],
    ) -> Result<ObjectStorage> {
        install_tls();
        let failed = |e| {
            error(&format!("could not prepare access to {shown}"), e).with_kind(ErrorKind::Usage)
        };
        let options = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout(REQUEST_TIMEOUT)
            .with_allow_http(variables.iter().any(|(name, value)| {
                let is_endpoint = name.to_ascii_uppercase().contains("ENDPOINT");
                is_endpoint && is_loopback(value)
            }));
        let retry = RetryConfig {
            max_retries: MAX_RETRIES,
            retry_timeout: RETRY_TIMEOUT,
            ..RetryConfig::default()
        };
        let bucket: Arc<dyn Bucket> = match scheme {
            Scheme::S3 => {
                let builder = AmazonS3Builder::new().with_client_options(options);
                let builder = configured(variables, "AWS_", builder, |builder, key, value| {
                    builder.with_config(key, value)
                });
                let builder = builder.with_bucket_name(bucket).with_retry(retry);
                Arc::new(builder.build().map_err(failed)?)
            }
            Scheme::Gs => {
                let builder = GoogleCloudStorageBuilder::new().with_client_options(options);
                let builder = configured(variables, "GOOGLE_", builder, |builder, key, value| {
                    builder.with_config(key, value)
                });
                let builder = builder.with_bucket_name(bucket).with_retry(retry);
                Arc::new(builder.build().map_err(failed)?)
            }
            Scheme::Az => {
                let builder = MicrosoftAzureBuilder::new().with_client_options(options);
                let builder = configured(variables, "AZURE_", builder, |builder, key, value| {
                    builder.with_config(key, value)
                });
                let builder = builder.with_container_name(bucket).with_retry(retry);
                Arc::new(builder.build().map_err(failed)?)
            }
        };
        Ok(ObjectStorage {
            bucket,
            prefix: Path::from(prefix),
            shown,
        })
    }

    fn path_of(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    fn shown(&self, name: &str) -> String {
        format!("{}/{name}", self.shown)
    }

    /// All objects of this level, ours for a while included.
    async fn objects(&self) -> Result<Vec<(String, ObjectMeta)>> {
        let listed = self
            .bucket
            .list(Some(&self.prefix))
            .try_collect::<Vec<_>>()
            .await
            .map_err(|e| error(&format!("could not list {}", self.shown), e))?;
        Ok(listed
            .into_iter()
            .filter_map(|object| {
                let mut parts = object.location.prefix_match(&self.prefix)?;
                let name = parts.next()?.as_ref().to_owned();
                parts.next().is_none().then_some((name, object.clone()))
            })
            .collect())
    }

    pub(super) async fn list(&self) -> Result<Vec<StoredFile>> {
        let mut files: Vec<StoredFile> = self
            .objects()
            .await?
            .into_iter()
            .filter(|(name, _)| !name.starts_with('.'))
            .map(|(name, object)| StoredFile {
                name,
                size_bytes: object.size,
                modified: modified(&object),
            })
            .collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    pub(super) async fn read(&self, name: &str) -> Result<Vec<u8>> {
        let failed = |e| error(&format!("could not read {}", self.shown(name)), e);
        let object = self.bucket.get(&self.path_of(name)).await.map_err(failed)?;
        Ok(object.bytes().await.map_err(failed)?.to_vec())
    }

    pub(super) async fn source(&self, name: &str) -> Result<ObjectSource> {
        let path = self.path_of(name);
        let object = self
            .bucket
            .head(&path)
            .await
            .map_err(|e| error(&format!("could not open {}", self.shown(name)), e))?;
        Ok(ObjectSource {
            bucket: Arc::clone(&self.bucket),
            path,
            len: object.size,
        })
    }

    pub(super) async fn put_new(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.put(name, bytes, PutMode::Create).await.map(drop)
    }

    pub(super) async fn replace(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.put(name, bytes, PutMode::Overwrite).await.map(drop)
    }

    async fn put(&self, name: &str, bytes: Vec<u8>, mode: PutMode) -> Result<()> {
        let options = PutOptions::from(mode);
        let put = self
            .bucket
            .put_opts(&self.path_of(name), PutPayload::from(bytes), options)
            .await;
        match put {
            Ok(_) => Ok(()),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Err(taken(&self.shown(name))),
            Err(e) => Err(error(&format!("could not write {}", self.shown(name)), e)),
        }
    }

    pub(super) async fn delete(&self, name: &str) -> Result<()> {
        match self.bucket.delete(&self.path_of(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(error(&format!("could not delete {}", self.shown(name)), e)),
        }
    }

    async fn exists(&self, name: &str) -> Result<bool> {
        match self.bucket.head(&self.path_of(name)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(error(
                &format!("could not look for {}", self.shown(name)),
                e,
            )),
        }
    }

    pub(super) async fn upload(&self, names: Vec<String>) -> Result<ObjectUpload> {
        for name in &names {
            let mut is_free = true;
            for suffix in ["", ".sha256", ".meta"] {
                is_free = is_free && !self.exists(&format!("{name}{suffix}")).await?;
            }
            if !is_free {
                continue;
            }
            let path = self.path_of(name);
            let failed = |e| error(&format!("could not start {}", self.shown(name)), e);
            let id = self.bucket.create_multipart(&path).await.map_err(failed)?;
            let text = format!("{}{UPLOAD_LINE}{id}\n", holder::describe());
            match Lease::take(self, &reservation_of(name), text).await {
                Ok(lease) => {
                    return Ok(ObjectUpload {
                        storage: self.clone(),
                        name: name.clone(),
                        path,
                        id,
                        filling: Vec::new(),
                        in_flight: VecDeque::new(),
                        parts: Vec::new(),
                        size_bytes: 0,
                        reservation: Some(lease),
                        is_open: true,
                    });
                }
                Err(e) => {
                    self.abort(&path, &id).await?;
                    if e.kind() != ErrorKind::Locked {
                        return Err(e);
                    }
                }
            }
        }
        Err(taken(&self.shown(names.last().map_or("", String::as_str))))
    }

    /// Aborting what is no longer there is fine.
    async fn abort(&self, path: &Path, id: &MultipartId) -> Result<()> {
        match self.bucket.abort_multipart(path, id).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(error(&format!("could not abort the upload of {path}"), e)),
        }
    }

    pub(super) async fn clear_abandoned(&self) -> Result<Vec<String>> {
        let mut cleared = Vec::new();
        for (name, object) in self.objects().await? {
            if !is_lease(&name) {
                continue;
            }
            let text = String::from_utf8_lossy(&self.read(&name).await?).into_owned();
            if !holder::is_ours(&text) || !is_dead(&object, &text) {
                continue;
            }
            let data = name
                .strip_prefix('.')
                .and_then(|name| name.strip_suffix(RESERVED));
            let id = text.lines().find_map(|line| line.strip_prefix(UPLOAD_LINE));
            if let (Some(data), Some(id)) = (data, id)
                && let Err(e) = self.abort(&self.path_of(data), &id.to_owned()).await
                // Some stores refuse to abort what was completed.
                && self.source(data).await.is_err()
            {
                // It must not keep the next backup from being made; each run tries again.
                tracing::warn!("{}: {}", e.message(), e.details().join(" "));
                continue;
            }
            self.delete(&name).await?;
            cleared.push(name);
        }
        Ok(cleared)
    }

    /// Alone: the one lease `.NAME.lock`. With others: a lease of one's own beside it. Each writes its lease first and looks
    /// for the other sort afterwards, so that of two at least one sees the other.
    pub(super) async fn lock(&self, name: &str, exclusive: bool) -> Result<Lease> {
        let exclusive_lease = format!(".{name}{LOCK}");
        if !exclusive {
            let lease = Lease::take(
                self,
                &format!("{exclusive_lease}-{}", unique()),
                holder::describe(),
            )
            .await?;
            if let Some(holder) = self.living(|other| other == exclusive_lease).await? {
                return Err(locked(name, &holder));
            }
            return Ok(lease);
        }
        let lease = Lease::take(self, &exclusive_lease, holder::describe()).await?;
        let shared = format!("{exclusive_lease}-");
        match self.living(|other| other.starts_with(&shared)).await? {
            Some(holder) => Err(locked(name, &holder)),
            None => Ok(lease),
        }
    }

    /// Who holds one of these leases.
    async fn living(&self, is_meant: impl Fn(&str) -> bool) -> Result<Option<String>> {
        for (name, object) in self.objects().await? {
            if is_meant(&name) {
                let text = String::from_utf8_lossy(&self.read(&name).await?).into_owned();
                if !is_dead(&object, &text) {
                    return Ok(Some(text));
                }
            }
        }
        Ok(None)
    }
}

const LOCK: &str = ".lock";
const RESERVED: &str = ".reserved";
const UPLOAD_LINE: &str = "upload ";

fn reservation_of(name: &str) -> String {
    format!(".{name}{RESERVED}")
}

fn is_lease(name: &str) -> bool {
    name.starts_with('.')
        && (name.ends_with(RESERVED) || name.ends_with(LOCK) || name.contains(".lock-"))
}

/// Nobody renews the lease any more.
fn is_dead(object: &ObjectMeta, holder: &str) -> bool {
    is_expired(object) || holder::is_known_dead(holder)
}

fn is_expired(object: &ObjectMeta) -> bool {
    jiff::Timestamp::now().duration_since(modified(object)) > LEASE_EXPIRY
}

fn modified(object: &ObjectMeta) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(object.last_modified.timestamp_millis()).unwrap_or_default()
}

fn unique() -> String {
    let now = jiff::Timestamp::now().as_nanosecond();
    format!("{}-{now:x}", std::process::id())
}

/// An object that says: somebody is at work here.
#[derive(Debug)]
pub(super) struct Lease {
    storage: ObjectStorage,
    name: String,
    renewal: JoinHandle<()>,
}

impl Lease {
    /// # Errors
    /// `Locked` if somebody living holds it.
    async fn take(storage: &ObjectStorage, name: &str, text: String) -> Result<Lease> {
        match storage
            .put(name, text.clone().into_bytes(), PutMode::Create)
            .await
        {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                take_over(storage, name, &text).await?
            }
            outcome => outcome?,
        }
        let renewed = storage.clone();
        let object = name.to_owned();
        let renewal = runtime().spawn(async move {
            loop {
                tokio::time::sleep(LEASE_RENEWAL).await;
                // A failure is tried again in a minute; there are ten of them.
                let _ = renewed.replace(&object, text.clone().into_bytes()).await;
            }
        });
        Ok(Lease {
            storage: storage.clone(),
            name: name.to_owned(),
            renewal,
        })
    }
}

/// Writes over an expired lease, unless somebody else does so first.
async fn take_over(storage: &ObjectStorage, name: &str, text: &str) -> Result<()> {
    let path = storage.path_of(name);
    let failed = |e| error(&format!("could not read {}", storage.shown(name)), e);
    let object = storage.bucket.get(&path).await.map_err(failed)?;
    let meta = object.meta.clone();
    let version = UpdateVersion {
        e_tag: meta.e_tag.clone(),
        version: meta.version.clone(),
    };
    let holder = object.bytes().await.map_err(failed)?;
    let holder = String::from_utf8_lossy(&holder).into_owned();
    let what = name.trim_start_matches('.');
    if !is_dead(&meta, &holder) {
        return Err(locked(what, &holder));
    }
    match storage
        .put(name, text.as_bytes().to_vec(), PutMode::Update(version))
        .await
    {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            Err(locked(what, "a run that began just now"))
        }
        outcome => outcome,
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
        let (storage, name) = (self.storage.clone(), self.name.clone());
        // One that cannot be deleted expires.
        let _ = wait_at_most(GOODBYE_TIMEOUT, async move { storage.delete(&name).await });
    }
}

/// An object for reading at any offset.
pub(super) struct ObjectSource {
    bucket: Arc<dyn Bucket>,
    path: Path,
    len: u64,
}

impl Source for ObjectSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        let end = end
            .filter(|&end| end <= self.len)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        if buffer.is_empty() {
            return Ok(());
        }
        let (bucket, path) = (Arc::clone(&self.bucket), self.path.clone());
        let bytes = wait(async move { bucket.get_range(&path, offset..end).await })?
            .map_err(|e| io::Error::other(without_queries(&e)))?;
        if bytes.len() != buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.copy_from_slice(&bytes);
        Ok(())
    }
}

/// A multipart upload.
#[derive(Debug)]
pub(super) struct ObjectUpload {
    storage: ObjectStorage,
    name: String,
    path: Path,
    id: MultipartId,
    filling: Vec<u8>,
    in_flight: VecDeque<JoinHandle<object_store::Result<PartId>>>,
    parts: Vec<PartId>,
    size_bytes: u64,
    reservation: Option<Lease>,
    /// Neither completed nor aborted.
    is_open: bool,
}

impl ObjectUpload {
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part_bytes = part_bytes(self.parts.len() + self.in_flight.len());
        let length = bytes.len().min(part_bytes - self.filling.len());
        self.filling.extend_from_slice(&bytes[..length]);
        self.size_bytes += length as u64;
        if self.filling.len() == part_bytes {
            self.send_part();
            while self.in_flight.len() > PARTS_IN_FLIGHT {
                if let Some(part) = self.in_flight.pop_front() {
                    let part = wait(part)?.map_err(io::Error::other)?;
                    self.parts
                        .push(part.map_err(|e| io::Error::other(without_queries(&e)))?);
                }
            }
        }
        Ok(length)
    }

    fn send_part(&mut self) {
        let data = PutPayload::from(std::mem::take(&mut self.filling));
        let index = self.parts.len() + self.in_flight.len();
        let (storage, path, id) = (self.storage.clone(), self.path.clone(), self.id.clone());
        self.in_flight.push_back(
            runtime().spawn(async move { storage.bucket.put_part(&path, &id, index, data).await }),
        );
    }

    pub(super) async fn publish(mut self) -> Result<String> {
        let shown = self.storage.shown(&self.name);
        let failed = |e| error(&format!("could not upload {shown}"), e);
        if !self.filling.is_empty() || self.size_bytes == 0 {
            self.send_part();
        }
        while let Some(part) = self.in_flight.pop_front() {
            let part = part
                .await
                .map_err(|e| Error::internal("an upload's task died").caused_by(e))?;
            self.parts.push(part.map_err(failed)?);
        }
        let parts = std::mem::take(&mut self.parts);
        self.storage
            .bucket
            .complete_multipart(&self.path, &self.id, parts)
            .await
            .map_err(failed)?;
        self.is_open = false;
        let stored = self.storage.bucket.head(&self.path).await.map_err(failed)?;
        if stored.size != self.size_bytes {
            self.storage.delete(&self.name).await?;
            return Err(
                Error::new(ErrorKind::Io, format!("could not upload {shown}")).detail(format!(
                    "{} bytes were sent, {} arrived.",
                    self.size_bytes, stored.size
                )),
            );
        }
        Ok(self.name.clone())
    }
}

impl Drop for ObjectUpload {
    fn drop(&mut self) {
        for part in self.in_flight.drain(..) {
            part.abort();
        }
        if self.is_open {
            let (storage, path, id) = (self.storage.clone(), self.path.clone(), self.id.clone());
            let aborted = wait_at_most(
                GOODBYE_TIMEOUT,
                async move { storage.abort(&path, &id).await },
            );
            if !matches!(aborted, Some(Ok(()))) {
                // The reservation stays: when it has expired, the next run aborts the upload.
                if let Some(reservation) = self.reservation.take() {
                    reservation.renewal.abort();
                    std::mem::forget(reservation);
                }
            }
        }
    }
}

/// The size of a part by its number.
fn part_bytes(index: usize) -> usize {
    PART_BYTES + PART_GROWTH_BYTES * index.saturating_sub(PARTS_OF_FIRST_SIZE)
}

/// Requests run on threads of their own: who waits for one may be a thread of any other runtime.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        #[allow(clippy::expect_used, reason = "without threads nothing works")]
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("storage")
            .enable_all()
            .build()
            .expect("threads can be started")
    })
}

/// Runs a request and waits for it, whatever thread this is.
fn wait<T: Send + 'static>(request: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    runtime().spawn(async move {
        let _ = sender.send(request.await);
    });
    receiver.recv().map_err(io::Error::other)
}

fn wait_at_most<T: Send + 'static>(
    timeout: Duration,
    request: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    wait(async move { tokio::time::timeout(timeout, request).await.ok() })
        .ok()
        .flatten()
}

/// Gives a builder all variables with this prefix that it knows.
fn configured<B, K: std::str::FromStr>(
    variables: &[(String, String)],
    prefix: &str,
    builder: B,
    set: impl Fn(B, K, String) -> B,
) -> B {
    variables
        .iter()
        .filter(|(name, _)| name.starts_with(prefix))
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.clone())))
        .fold(builder, |builder, (key, value)| set(builder, key, value))
}

/// Plain HTTP leaves this host only if the environment says so (`AWS_ALLOW_HTTP`).
fn is_loopback(endpoint: &str) -> bool {
    let rest = endpoint.strip_prefix("http://").unwrap_or_default();
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
        rest.strip_prefix(host)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    })
}

const CREDENTIALS_HINT: &str = "Are the credentials in the environment right (AWS_*, GOOGLE_*, AZURE_*), and may they read, write, list and delete there?";

fn error(what: &str, error: object_store::Error) -> Error {
    use object_store::Error as Store;
    let detail = without_queries(&error);
    let (kind, hint) = match &error {
        Store::NotFound { .. } => (ErrorKind::NotFound, None),
        Store::AlreadyExists { .. } | Store::Precondition { .. } => {
            (ErrorKind::AlreadyExists, None)
        }
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
            (ErrorKind::Io, Some(CREDENTIALS_HINT))
        }
        // A refused list comes as Generic.
        _ if detail.contains("403 Forbidden") || detail.contains("401 Unauthorized") => {
            (ErrorKind::Io, Some(CREDENTIALS_HINT))
        }
        _ => (ErrorKind::Io, None),
    };
    let error = Error::new(kind, what).detail(detail);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The store's words on one line. Queries of URLs may hold signatures.
fn without_queries(error: &object_store::Error) -> String {
    let text = error.to_string();
    let text = crate::objects::quote::one_line(&text);
    let cut = |word: &str| match word.split_once('?') {
        Some((url, _)) if url.contains("://") => format!("{url}?..."),
        _ => word.to_owned(),
    };
    text.split(' ').map(cut).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_five_tebibytes() {
        let total: u64 = (0..10_000).map(|index| part_bytes(index) as u64).sum();
        assert!(total >= 5 << 40, "{total}");
    }

    #[test]
    fn plain_http_is_for_loopback_alone() {
        for endpoint in [
            "http://127.0.0.1:9000",
            "http://localhost",
            "http://[::1]:80/x",
        ] {
            assert!(is_loopback(endpoint), "{endpoint}");
        }
        for endpoint in [
            "http://localhost.evil.example",
            "http://10.0.0.1",
            "https://127.0.0.1",
        ] {
            assert!(!is_loopback(endpoint), "{endpoint}");
        }
    }

    #[test]
    fn signatures_are_not_repeated() {
        let error = object_store::Error::Generic {
            store: "S3",
            source: "GET https://host/path?X-Amz-Signature=abc failed".into(),
        };
        let text = without_queries(&error);
        assert!(text.contains("https://host/path?... failed"), "{text}");
    }
}
