//! The directory form: `toc.dat`, the data of each entry in a file of its own, in a directory of this host.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bytes::{Fault, damaged};
use super::files::Files;

/// A directory with an archive.
pub(crate) struct Directory {
    path: PathBuf,
    read: Arc<AtomicU64>,
}

/// A file of which the bytes that are read are counted.
struct CountedFile {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for CountedFile {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Whether a directory is an archive.
pub(crate) fn is_archive(path: &Path) -> bool {
    path.join(super::files::TOC).is_file()
}

impl Directory {
    /// Counts what is read of it.
    pub(crate) fn new(path: &Path, read: &Arc<AtomicU64>) -> Self {
        Directory {
            path: path.to_owned(),
            read: Arc::clone(read),
        }
    }

    /// Names come from the archive: nothing outside of the directory may be read.
    fn path(&self, name: &str) -> Result<PathBuf, Fault> {
        if name.contains(['/', '\0']) || matches!(name, "" | "." | "..") {
            return Err(damaged("it names a file outside of its directory"));
        }
        Ok(self.path.join(name))
    }

    /// Bytes of all files together.
    pub(crate) fn size(&self) -> Result<u64, Fault> {
        let mut size = 0;
        for entry in std::fs::read_dir(&self.path).map_err(Fault::Io)? {
            let metadata = entry
                .and_then(|entry| entry.metadata())
                .map_err(Fault::Io)?;
            if metadata.is_file() {
                size += metadata.len();
            }
        }
        Ok(size)
    }
}

impl Files for Directory {
    fn open(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>, Fault> {
        match File::open(self.path(name)?) {
            Ok(file) => Ok(Some(Box::new(CountedFile {
                file,
                read: Arc::clone(&self.read),
            }))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault::Io(error)),
        }
    }

    fn length(&self, name: &str) -> Result<Option<u64>, Fault> {
        match std::fs::metadata(self.path(name)?) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault::Io(error)),
        }
    }
}
