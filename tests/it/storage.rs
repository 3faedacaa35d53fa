//! One conformance suite for every storage: a directory, and S3 as s3s-fs serves it in this process.

use std::io::Write;
use std::net::TcpListener;

use pgstow::ErrorKind;
use pgstow::storage::{Location, Storage, Upload};
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;

use crate::harness::s3::{SECRET, serve_s3, variables};

/// Larger than several parts of an upload.
const LARGE_BYTES: usize = 27 << 20;

/// Runs a test on each storage, told by name when it fails.
fn on_every_storage<F: Future<Output = ()>>(test: impl Fn(Storage) -> F) {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let local = Location::Directory(directory.path().join("made/when/needed"));
    println!("a directory");
    runtime.block_on(test(Storage::open(&local).unwrap()));
    println!("S3");
    let bucket = tempfile::tempdir().unwrap();
    let port = serve_s3(bucket.path());
    runtime.block_on(test(s3(port, "bucket/below/it", SECRET)));
}

fn s3(port: u16, place: &str, secret: &str) -> Storage {
    let variables = variables(port, secret);
    Storage::open_with(&format!("s3://{place}").parse().unwrap(), &variables).unwrap()
}

async fn names(storage: &Storage) -> Vec<String> {
    let files = storage.list().await.unwrap();
    files.into_iter().map(|file| file.name).collect()
}

/// Writes from a blocking thread, as the engine does.
async fn written(mut upload: Upload, bytes: Vec<u8>) -> Upload {
    spawn_blocking(move || {
        upload.write_all(&bytes).unwrap();
        upload
    })
    .await
    .unwrap()
}

fn large_bytes() -> Vec<u8> {
    (0..LARGE_BYTES)
        .map(|n| u8::try_from(n * 31 % 251).unwrap())
        .collect()
}

#[test]
fn small_files_are_written_once_replaced_and_deleted() {
    on_every_storage(|storage| async move {
        assert!(names(&storage).await.is_empty());
        storage.put_new("b.meta", b"one".to_vec()).await.unwrap();
        storage.put_new("a.meta", b"two".to_vec()).await.unwrap();
        let again = storage.put_new("b.meta", b"other".to_vec()).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(storage.read("b.meta").await.unwrap(), b"one");
        storage.replace("b.meta", b"three".to_vec()).await.unwrap();
        assert_eq!(storage.read("b.meta").await.unwrap(), b"three");
        let files = storage.list().await.unwrap();
        assert_eq!((files[0].name.as_str(), files[0].size_bytes), ("a.meta", 3));
        assert_eq!((files[1].name.as_str(), files[1].size_bytes), ("b.meta", 5));
        let age = jiff::Timestamp::now().duration_since(files[1].modified);
        assert!(age.as_secs().abs() < 60);
        storage.delete("b.meta").await.unwrap();
        storage.delete("b.meta").await.unwrap();
        assert_eq!(names(&storage).await, ["a.meta"]);
        let gone = storage.read("b.meta").await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        let gone = storage.source("b.meta").await.err().unwrap();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn upload_appears_whole_and_is_read_at_any_offset() {
    on_every_storage(|storage| async move {
        let bytes = large_bytes();
        let upload = storage.upload(vec!["a.sql.gz".to_owned()]).await.unwrap();
        let upload = written(upload, bytes.clone()).await;
        assert!(names(&storage).await.is_empty());
        assert_eq!(upload.publish().await.unwrap(), "a.sql.gz");
        assert_eq!(names(&storage).await, ["a.sql.gz"]);
        let source = storage.source("a.sql.gz").await.unwrap();
        assert_eq!(source.len(), LARGE_BYTES as u64);
        spawn_blocking(move || {
            for (offset, length) in [
                (0, 10),
                (8 << 20, 100),
                (LARGE_BYTES - 7, 7),
                (5, 0),
                (0, LARGE_BYTES),
            ] {
                let mut buffer = vec![0; length];
                source.read_at(offset as u64, &mut buffer).unwrap();
                assert!(
                    buffer == bytes[offset..offset + length],
                    "{length} bytes at {offset}"
                );
            }
            let beyond = source
                .read_at(LARGE_BYTES as u64 - 1, &mut [0; 2])
                .unwrap_err();
            assert_eq!(beyond.kind(), std::io::ErrorKind::UnexpectedEof);
        })
        .await
        .unwrap();
        // Nothing is left that the next run would have to clear.
        assert!(storage.clear_abandoned().await.unwrap().is_empty());
    });
}

#[test]
fn dropped_upload_leaves_nothing() {
    on_every_storage(|storage| async move {
        let upload = storage.upload(vec!["a.sql".to_owned()]).await.unwrap();
        drop(written(upload, large_bytes()).await);
        assert!(names(&storage).await.is_empty());
        let upload = storage.upload(vec!["a.sql".to_owned()]).await.unwrap();
        assert_eq!(upload.publish().await.unwrap(), "a.sql");
        assert_eq!(storage.read("a.sql").await.unwrap(), b"");
    });
}

#[test]
fn upload_takes_the_first_free_name() {
    on_every_storage(|storage| async move {
        storage.put_new("a.sql", b"old".to_vec()).await.unwrap();
        storage
            .put_new("a-2.sql.meta", b"of another set".to_vec())
            .await
            .unwrap();
        let candidates = ["a.sql", "a-2.sql", "a-3.sql"].map(str::to_owned).to_vec();
        let upload = storage.upload(candidates.clone()).await.unwrap();
        assert_eq!(upload.publish().await.unwrap(), "a-3.sql");
        assert_eq!(storage.read("a.sql").await.unwrap(), b"old");
        let none = storage.upload(candidates).await;
        assert_eq!(none.err().unwrap().kind(), ErrorKind::AlreadyExists);
    });
}

#[test]
fn two_uploads_never_take_the_same_name() {
    on_every_storage(|storage| async move {
        let candidates = ["a.sql", "a-2.sql"].map(str::to_owned).to_vec();
        let one = storage.upload(candidates.clone()).await.unwrap();
        let two = storage.upload(candidates).await.unwrap();
        let one = written(one, b"one".to_vec()).await;
        let two = written(two, b"two".to_vec()).await;
        let one = one.publish().await.unwrap();
        let two = two.publish().await.unwrap();
        assert_ne!(one, two);
        assert_eq!(storage.read(&one).await.unwrap(), b"one");
        assert_eq!(storage.read(&two).await.unwrap(), b"two");
    });
}

#[test]
fn lock_excludes_others_until_it_is_dropped() {
    on_every_storage(|storage| async move {
        let alone = storage.lock("shop", true).await.unwrap();
        for exclusive in [true, false] {
            let refused = storage.lock("shop", exclusive).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Locked);
            let holder = format!("process {}", std::process::id());
            assert!(refused.details()[0].contains(&holder), "{refused}");
        }
        let _other = storage.lock("other", true).await.unwrap();
        drop(alone);
        let one = storage.lock("shop", false).await.unwrap();
        let two = storage.lock("shop", false).await.unwrap();
        drop(one);
        let refused = storage.lock("shop", true).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Locked);
        drop(two);
        drop(storage.lock("shop", true).await.unwrap());
    });
}

#[test]
fn what_lives_is_not_cleared() {
    on_every_storage(|storage| async move {
        let lock = storage.lock("shop", true).await.unwrap();
        let upload = storage.upload(vec!["a.sql".to_owned()]).await.unwrap();
        assert!(storage.clear_abandoned().await.unwrap().is_empty());
        let upload = written(upload, b"rows".to_vec()).await;
        assert_eq!(upload.publish().await.unwrap(), "a.sql");
        assert!(storage.lock("shop", true).await.is_err());
        drop(lock);
    });
}

#[test]
fn names_lead_nowhere_else() {
    on_every_storage(|storage| async move {
        for name in [
            "",
            ".",
            "..",
            "../a",
            "a/b",
            "/etc/passwd",
            ".hidden",
            "a\nb",
        ] {
            let refused = storage.read(name).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Usage, "{name:?}");
            let refused = storage.put_new(name, Vec::new()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Usage, "{name:?}");
        }
    });
}

#[test]
fn wrong_credentials_are_told_without_the_secret() {
    let bucket = tempfile::tempdir().unwrap();
    let port = serve_s3(bucket.path());
    let storage = s3(port, "bucket", "not-the-secret");
    let error = Runtime::new()
        .unwrap()
        .block_on(storage.list())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let hint = error.hint_text().unwrap_or_default();
    assert!(hint.contains("credentials"), "{error}");
    assert!(!error.to_string().contains("not-the-secret"));
}

#[test]
fn dead_endpoint_ends_in_one_error() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let storage = s3(free, "bucket", SECRET);
    let error = Runtime::new()
        .unwrap()
        .block_on(storage.list())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.message().contains("s3://bucket"), "{error}");
}

#[test]
fn only_directories_can_do_without_sync() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let local = Location::Directory(directory.path().to_owned());
    let local = Storage::open(&local).unwrap().without_sync().unwrap();
    runtime
        .block_on(local.put_new("a.meta", b"one".to_vec()))
        .unwrap();
    assert_eq!(runtime.block_on(names(&local)), ["a.meta"]);
    let error = s3(9, "bucket/below/it", SECRET).without_sync().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}
