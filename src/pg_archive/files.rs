//! What directories and tar archives have in common: files by name, compressed or not, and lists of large objects.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use super::bytes::{Fault, damaged};
use super::compression::Decoder;
use super::toc::Algorithm;

/// The file of the table of contents.
pub(crate) const TOC: &str = "toc.dat";

/// How much is read of a file at once.
const READ_BYTES: usize = 256 << 10;

/// The longest list of large objects' files: some hundred million of them.
const MAX_LIST_BYTES: u64 = 4 << 30;

/// What a compression adds to the name of a file.
const SUFFIXES: [(&str, Algorithm); 4] = [
    ("", Algorithm::None),
    (".gz", Algorithm::Gzip),
    (".lz4", Algorithm::Lz4),
    (".zst", Algorithm::Zstd),
];

/// Files by name.
pub(crate) trait Files: Send + Sync {
    /// Opens one, if it is there.
    fn open(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>, Fault>;

    /// Bytes stored, if it is there.
    fn length(&self, name: &str) -> Result<Option<u64>, Fault>;
}

/// A file, decompressed.
pub(crate) type FileReader = Decoder<BufReader<Box<dyn Read + Send>>>;

/// Opens a file, whatever its compression added to its name.
///
/// # Errors
/// `Damaged` if it is not there.
pub(crate) fn open_file(files: &dyn Files, name: &str) -> Result<FileReader, Fault> {
    for (suffix, algorithm) in SUFFIXES {
        if let Some(file) = files.open(&format!("{name}{suffix}"))? {
            let input = BufReader::with_capacity(READ_BYTES, file);
            return Ok(Decoder::of_file(input, algorithm)?);
        }
    }
    Err(damaged(format!("its file \"{name}\" is missing")))
}

/// How a file is compressed and how many bytes it takes.
pub(crate) fn stored(files: &dyn Files, name: &str) -> Result<Option<(Algorithm, u64)>, Fault> {
    for (suffix, algorithm) in SUFFIXES {
        if let Some(length) = files.length(&format!("{name}{suffix}"))? {
            return Ok(Some((algorithm, length)));
        }
    }
    Ok(None)
}

/// The large objects of an entry, each in a file; a list names them.
pub(crate) struct FileObjects {
    files: Arc<dyn Files>,
    left: VecDeque<(u32, String)>,
    current: Option<FileReader>,
}

impl FileObjects {
    /// Reads the list: lines of a number and a file's name.
    pub(crate) fn open(files: &Arc<dyn Files>, list: &str) -> Result<Self, Fault> {
        let mut text = String::new();
        let list = open_file(files.as_ref(), list)?;
        list.take(MAX_LIST_BYTES).read_to_string(&mut text)?;
        let left = text.lines().map(parse_line).collect::<Result<_, _>>()?;
        Ok(FileObjects {
            files: Arc::clone(files),
            left,
            current: None,
        })
    }

    /// The number of the next object, whose contents are then read; `None` behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<u32>, Fault> {
        self.current = None;
        let Some((oid, name)) = self.left.pop_front() else {
            return Ok(None);
        };
        self.current = Some(open_file(self.files.as_ref(), &name)?);
        Ok(Some(oid))
    }
}

fn parse_line(line: &str) -> Result<(u32, String), Fault> {
    let (oid, name) = line.split_once(' ').unwrap_or_default();
    let oid = oid
        .parse()
        .map_err(|_| damaged("its list of large objects is altered"))?;
    Ok((oid, name.to_owned()))
}

impl Read for FileObjects {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.current {
            Some(file) => file.read(buffer),
            None => Ok(0),
        }
    }
}
