//! The custom form: one file, the data behind the table of contents in blocks.
//!
//! A block is a byte for its kind, the number of its entry, and chunks: a length and as many bytes, up to a length of zero. A
//! block of large objects is, instead of chunks, for each object its number and chunks, up to a number of zero.
//!
//! pg_dump goes back to note in its table of contents where the blocks are. In a pipe it cannot; and where its standard output is a
//! file, what it writes then is appended: the table stands behind the blocks once more.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::archive::Source;

use super::bytes::{Fault, MAX_NUMBER_BYTES, Offset, as_unsigned, damaged, number_of};
use super::compression::Decoder;
use super::toc::{Algorithm, RawEntry, Toc, read_entries_again};

/// How much is read at once: of remote sources each read is a request.
const READ_BYTES: usize = 256 << 10;

/// Kinds of blocks.
const ROWS: u8 = 1;
const LARGE_OBJECTS: u8 = 3;

/// Of the number of entries, with which a table of contents begins, and no kind of a block.
const SIGN: u8 = 0;

/// Reads a source from a place on.
pub(crate) struct From {
    source: Arc<dyn Source>,
    at: u64,
    end: u64,
}

impl From {
    /// The bytes from `start` to `end`, buffered.
    pub(crate) fn range(source: &Arc<dyn Source>, start: u64, end: u64) -> BufReader<From> {
        let from = From {
            source: Arc::clone(source),
            at: start,
            end,
        };
        BufReader::with_capacity(READ_BYTES, from)
    }
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        if length > 0 {
            let read = self.source.read_at(self.at, &mut buffer[..length]);
            // Decompressors' errors are of kind "other", too, and are damage; a store's are not.
            read.map_err(|error| match error.kind() {
                io::ErrorKind::Other => io::Error::new(io::ErrorKind::NotConnected, error),
                _ => error,
            })?;
            self.at += length as u64;
        }
        Ok(length)
    }
}

/// Counts the bytes that are read of a source.
pub(crate) struct CountedSource {
    pub(crate) source: Box<dyn Source>,
    pub(crate) read: Arc<AtomicU64>,
}

impl Source for CountedSource {
    fn len(&self) -> u64 {
        self.source.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.source.read_at(offset, buffer)?;
        self.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// A custom archive's data.
pub(crate) struct Custom {
    source: Arc<dyn Source>,
    compression: Algorithm,
    number_bytes: usize,
    /// Where the block of each entry starts.
    blocks: HashMap<u32, u64>,
    /// Where the last one ends.
    end: u64,
}

impl Custom {
    /// Finds the blocks. Where the writer could not note their places, which it cannot in a pipe, the whole file is read for
    /// them.
    ///
    /// # Errors
    /// `Damaged` if an entry that must have data has none, or they lie outside of the file.
    pub(crate) fn new(source: Arc<dyn Source>, toc: &Toc) -> Result<Self, Fault> {
        let mut custom = Custom {
            end: source.len(),
            source,
            compression: toc.head.compression,
            number_bytes: toc.head.number_bytes,
            blocks: HashMap::new(),
        };
        let with_data = || toc.entries.iter().filter(|entry| has_block(entry));
        if with_data().any(|entry| entry.offset == Offset::Unknown) {
            (custom.blocks, custom.end) = custom.scan(toc)?;
        } else {
            for entry in with_data() {
                if let Offset::At(at) = entry.offset {
                    custom.blocks.insert(entry.dump_id, at);
                }
            }
        }
        for entry in with_data() {
            match custom.blocks.get(&entry.dump_id) {
                Some(&at) if at >= toc.length && at < custom.source.len() => {}
                _ => {
                    return Err(damaged(format!(
                        "the data of entry {} are not in it",
                        entry.dump_id
                    )));
                }
            }
        }
        Ok(custom)
    }

    /// Bytes that each entry's block takes, by the places of the blocks.
    pub(crate) fn stored_lengths(&self) -> HashMap<u32, u64> {
        let mut places: Vec<(u64, u32)> = self.blocks.iter().map(|(id, at)| (*at, *id)).collect();
        places.sort_unstable();
        let ends = places.iter().skip(1).map(|(at, _)| *at);
        let ends = ends.chain([self.end]);
        let lengths = places.iter().zip(ends);
        lengths.map(|((at, id), end)| (*id, end - at)).collect()
    }

    /// An entry's rows or statements, decompressed.
    pub(crate) fn open_rows(&self, entry: u32) -> Result<Decoder<BufReader<Chunks>>, Fault> {
        let (kind, input) = self.open_block(entry)?;
        if kind != ROWS {
            return Err(damaged("large objects stand where rows should be"));
        }
        Ok(Decoder::of_block(
            Chunks::of(input, self.number_bytes),
            self.compression,
        )?)
    }

    /// The large objects of an entry.
    pub(crate) fn open_large_objects(&self, entry: u32) -> Result<CustomObjects, Fault> {
        let (kind, input) = self.open_block(entry)?;
        if kind != LARGE_OBJECTS {
            return Err(damaged("rows stand where large objects should be"));
        }
        Ok(CustomObjects {
            number_bytes: self.number_bytes,
            compression: self.compression,
            state: ObjectState::Between(input),
        })
    }

    fn open_block(&self, entry: u32) -> Result<(u8, BufReader<From>), Fault> {
        let at = self.blocks.get(&entry).copied();
        let at = at.ok_or_else(|| damaged(format!("entry {entry} has no data")))?;
        let mut input = From::range(&self.source, at, self.source.len());
        let kind = read_kind(&mut input)?.ok_or_else(|| damaged("it is cut off"))?;
        let found = read_block_head(&mut input, kind, self.number_bytes)?;
        if found != entry {
            return Err(damaged(format!(
                "the data of entry {found} stand where those of entry {entry} should be"
            )));
        }
        Ok((kind, input))
    }

    /// Goes through all blocks. Gives their places, and where the last one ends.
    fn scan(&self, toc: &Toc) -> Result<(HashMap<u32, u64>, u64), Fault> {
        let mut blocks = HashMap::new();
        let mut input = Counted {
            input: From::range(&self.source, toc.length, self.source.len()),
            at: toc.length,
        };
        loop {
            let at = input.at;
            let Some(kind) = read_kind(&mut input)? else {
                return Ok((blocks, at));
            };
            if kind == SIGN {
                self.check_repeated(toc, &blocks, at)?;
                return Ok((blocks, at));
            }
            let entry = read_block_head(&mut input, kind, self.number_bytes)?;
            blocks.insert(entry, at);
            match kind {
                ROWS => skip_chunks(&mut input, self.number_bytes)?,
                _ => {
                    while as_unsigned(read_number(&mut input, self.number_bytes)?)? != 0 {
                        skip_chunks(&mut input, self.number_bytes)?;
                    }
                }
            }
        }
    }

    /// Whether the table of contents stands here again, with the places of these blocks, and nothing behind it.
    fn check_repeated(&self, toc: &Toc, blocks: &HashMap<u32, u64>, at: u64) -> Result<(), Fault> {
        let input = From::range(&self.source, at, self.source.len());
        let (mut again, length) = read_entries_again(input, &toc.head)?;
        let tells_true = again.iter().all(|entry| match entry.offset {
            Offset::At(place) => blocks.get(&entry.dump_id) == Some(&place),
            Offset::Unknown | Offset::NoData => true,
        });
        for (again, first) in again.iter_mut().zip(&toc.entries) {
            again.offset = first.offset;
        }
        let is_repeated = tells_true && again == toc.entries && at + length == self.source.len();
        match is_repeated {
            true => Ok(()),
            false => Err(damaged("its two tables of contents differ")),
        }
    }
}

/// Whether a block must be there.
fn has_block(entry: &RawEntry) -> bool {
    entry.has_data && entry.offset != Offset::NoData
}

/// Counts what was read.
struct Counted<R> {
    input: R,
    at: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The kind of the next block; `None` at the end of the file.
fn read_kind(input: &mut impl Read) -> Result<Option<u8>, Fault> {
    let mut kind = [0];
    let read = input.read(&mut kind)?;
    Ok((read > 0).then_some(kind[0]))
}

/// The entry of a block, behind its kind.
fn read_block_head(input: &mut impl Read, kind: u8, number_bytes: usize) -> Result<u32, Fault> {
    if !matches!(kind, ROWS | LARGE_OBJECTS) {
        return Err(damaged("a block is of an unknown kind"));
    }
    as_unsigned(read_number(input, number_bytes)?)
}

fn read_number(input: &mut impl Read, number_bytes: usize) -> Result<i64, Fault> {
    let mut bytes = [0; 1 + MAX_NUMBER_BYTES];
    let bytes = &mut bytes[..=number_bytes];
    input.read_exact(bytes)?;
    number_of(bytes)
}

fn skip_chunks(input: &mut impl Read, number_bytes: usize) -> Result<(), Fault> {
    loop {
        let length = chunk_length(read_number(input, number_bytes)?)?;
        if length == 0 {
            return Ok(());
        }
        let skipped = io::copy(&mut input.take(length), &mut io::sink())?;
        if skipped != length {
            return Err(damaged("it is cut off"));
        }
    }
}

fn chunk_length(number: i64) -> Result<u64, Fault> {
    u64::try_from(number).map_err(|_| damaged("a chunk's length is negative"))
}

/// The bytes of a block's chunks, one behind the other.
pub(crate) struct Chunks {
    input: BufReader<From>,
    number_bytes: usize,
    /// Bytes left of the current chunk.
    left: u64,
    is_done: bool,
}

impl Chunks {
    fn of(input: BufReader<From>, number_bytes: usize) -> BufReader<Chunks> {
        BufReader::with_capacity(
            READ_BYTES,
            Chunks {
                input,
                number_bytes,
                left: 0,
                is_done: false,
            },
        )
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.is_done {
            let invalid = |fault: Fault| match fault {
                Fault::Io(error) => error,
                other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
            };
            let number = read_number(&mut self.input, self.number_bytes).map_err(invalid)?;
            self.left = chunk_length(number).map_err(invalid)?;
            self.is_done = self.left == 0;
        }
        if self.is_done {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let length = buffer.len().min(most);
        let read = self.input.read(&mut buffer[..length])?;
        if read == 0 && length > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// The large objects of a block, one after the other.
pub(crate) struct CustomObjects {
    number_bytes: usize,
    compression: Algorithm,
    state: ObjectState,
}

enum ObjectState {
    Between(BufReader<From>),
    In(Box<Decoder<BufReader<Chunks>>>),
    Done,
}

impl CustomObjects {
    /// The number of the next object, whose contents are then read; `None` behind the last. The object before must have been
    /// read to its end.
    pub(crate) fn next(&mut self) -> Result<Option<u32>, Fault> {
        let mut input = match std::mem::replace(&mut self.state, ObjectState::Done) {
            ObjectState::Between(input) => input,
            ObjectState::In(decoder) => {
                let mut chunks = decoder.into_inner();
                if !chunks.fill_buf()?.is_empty() {
                    return Err(damaged("bytes follow the end of a large object"));
                }
                chunks.into_inner().input
            }
            ObjectState::Done => return Ok(None),
        };
        let oid = as_unsigned(read_number(&mut input, self.number_bytes)?)?;
        if oid == 0 {
            return Ok(None);
        }
        let chunks = Chunks::of(input, self.number_bytes);
        self.state = ObjectState::In(Box::new(Decoder::of_block(chunks, self.compression)?));
        Ok(Some(oid))
    }
}

impl Read for CustomObjects {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.state {
            ObjectState::In(decoder) => decoder.read(buffer),
            ObjectState::Between(_) | ObjectState::Done => Ok(0),
        }
    }
}
